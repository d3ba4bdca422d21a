"""What has happened cannot lie in the future."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from schemas.base import Strict
from services.intake.domain.errors import ContentError

AHEAD = timedelta(minutes=5)
"""How far the clock of whoever reports may be ahead of ours."""
_PAST = ("at", "disappeared_at")


def happened(told: Strict, now: datetime) -> None:
    """Raises ContentError when something that is told as having happened lies in the future.

    History that is imported is not asked: its own clock is part of it.
    """
    for field, at in _moments(told):
        if at > now + AHEAD:
            raise ContentError(
                field,
                "in-the-future",
                "this has not happened yet: correct the moment, and mind its time zone",
            )


def _moments(told: Strict) -> Iterator[tuple[str, datetime]]:
    for field in _PAST:
        at = getattr(told, field, None)
        if at is not None:
            yield field, at
    for number, consent in enumerate(getattr(told, "consents", ())):
        yield f"consents.{number}.at", consent.at
