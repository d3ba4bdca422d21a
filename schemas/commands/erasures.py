"""Bodies of the calls that forget a child."""

from typing import Self
from uuid import UUID

from pydantic import model_validator

from schemas.base import Reference, Strict
from schemas.vocabulary import ErasureReason, GivenUp


class RequestErasure(Strict):
    """Asks that a case, or a child in all its cases, be forgotten. `reference`: the file that justifies it, no name."""

    case_id: UUID | None = None
    child_id: UUID | None = None
    reason: ErasureReason
    reference: Reference

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.case_id is None) == (self.child_id is None):
            raise ValueError("name a case_id or a child_id, and not both")
        return self


class ApproveErasure(Strict):
    """Agrees to what somebody else asked for; there is nothing to say."""


class WithdrawErasure(Strict):
    """Takes a request back, or declines it; there is nothing to say."""


class GiveUpPartner(Strict):
    """Waits no longer for a recipient to confirm."""

    reason: GivenUp
