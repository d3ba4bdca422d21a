"""Ids in the paths of intake's calls: one that is none leads to nothing, like one that nobody has."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

from services.kernel.problems import NotFoundError


def _uuid(text: str, rule: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFoundError(rule, "there is nothing with this id: take it from the list of cases") from error


def _case_id(case_id: str) -> UUID:
    return _uuid(case_id, "no-such-case")


def _campaign_id(campaign_id: str) -> UUID:
    return _uuid(campaign_id, "no-such-campaign")


def _erasure_id(erasure_id: str) -> UUID:
    return _uuid(erasure_id, "no-such-erasure")


def _recipient_id(recipient_id: str) -> UUID:
    return _uuid(recipient_id, "no-such-partner")


CaseId = Annotated[UUID, Depends(_case_id)]
CampaignId = Annotated[UUID, Depends(_campaign_id)]
ErasureId = Annotated[UUID, Depends(_erasure_id)]
RecipientId = Annotated[UUID, Depends(_recipient_id)]
