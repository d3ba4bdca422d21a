"""Times as CAP writes them: to the second, with a numeric offset; UTC is -00:00, never Z (section 3.3.2)."""

import re
from datetime import UTC, datetime, timedelta

PATTERN = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[-+]\d\d:\d\d$")


def written(moment: datetime) -> str:
    """The time as text; parts of a second are cut off. ValueError for a time without a zone."""
    if moment.tzinfo is None:
        raise ValueError("a CAP time needs a time zone")
    text = moment.replace(microsecond=0).isoformat()
    return text[:-6] + "-00:00" if moment.tzinfo is UTC or moment.tzname() == "UTC" else text


def to_the_second(moment: datetime) -> datetime:
    """The time as it comes back from a message."""
    return moment - timedelta(microseconds=moment.microsecond)


def parsed(text: str) -> datetime:
    """The time. ValueError unless it is written as the standard says."""
    if not PATTERN.match(text):
        raise ValueError("write a time as 2026-03-04T17:30:00+01:00")
    return datetime.fromisoformat(text)
