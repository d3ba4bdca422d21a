"""Ages in whole years on a day, and what an age must satisfy."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from schemas.commands import AgeEstimate
from services.intake.domain.errors import ContentError

OLDEST = 130


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """The calendar day of a moment in the installation's calendar."""
    return moment.astimezone(zone).date()


def age_on(day: date, born: date) -> int:
    """Whole years on a day. Somebody born on 29 February turns a year older on 1 March."""
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def age_range(
    day: date, born: date | None, estimate: AgeEstimate | None, field: str
) -> tuple[int | None, int | None]:
    """The least and the greatest age on the day of the disappearance; (None, None) when nothing is known.

    Raises ContentError when the birth date is after that day, or more than 130 years before.
    """
    if born is None:
        return (estimate.min, estimate.max) if estimate else (None, None)
    age = age_on(day, born)
    if age < 0:
        raise ContentError(
            f"{field}.date_of_birth",
            "born-after-disappearance",
            "the birth date is after the disappearance: correct one of them",
        )
    if age > OLDEST:
        raise ContentError(
            f"{field}.date_of_birth", "too-old", f"the birth date is over {OLDEST} years ago: correct it"
        )
    return age, age
