"""What people write for a time of the day or a date, on telephones that have no picker for it. Pure."""

import re
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_TIME = re.compile(r"^\s*([01]?\d|2[0-3])\s*(?:[:.hHu]\s*([0-5]\d)?)?\s*$")
_DATE = re.compile(r"^\s*(\d{1,2})[./-](\d{1,2})[./-](\d{4})\s*$")


class WrongTimeError(ValueError):
    """What was written is no time of the day."""


class WrongDateError(ValueError):
    """What was written is no date."""


def time_of(text: str) -> time:
    """20:00, 20.00, 20h, 20 u 15, 8. Raises WrongTimeError."""
    written = _TIME.match(text)
    if written is None:
        raise WrongTimeError
    return time(int(written[1]), int(written[2] or 0))


def next_time(text: str, now: datetime, zone: ZoneInfo) -> datetime:
    """The next moment at which the clock on the wall shows what somebody wrote. Raises WrongTimeError."""
    local = now.astimezone(zone)
    wanted = datetime.combine(local.date(), time_of(text), zone)
    return wanted if wanted > local else wanted + timedelta(days=1)


def date_of(text: str) -> date:
    """2026-07-01, as browsers send it; or 1.7.2026, 1/7/2026, 1-7-2026 as people write it here. Raises WrongDateError."""
    written = _DATE.match(text)
    try:
        return (
            date(int(written[3]), int(written[2]), int(written[1]))
            if written
            else date.fromisoformat(text.strip())
        )
    except ValueError:
        raise WrongDateError from None
