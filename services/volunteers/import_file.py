"""A file of volunteers in CSV: its lines as profiles, or what is wrong with them. Pure; no text of it is repeated."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from schemas.commands import NewVolunteer
from services.kernel.errors import ZoeklichtError
from services.kernel.problems import field_errors

MAX_BYTES = 4 * 1024 * 1024
REQUIRED = ("given_name", "family_name", "team", "languages", "postal_code", "channels", "consent")
OPTIONAL = ("lat", "lon", "radius_km", "car", "skills", "hours", "quiet", "away", "exercise")
_LISTS = ("languages", "skills", "channels")
_BOOLEANS = {
    **dict.fromkeys(("yes", "true", "1", "ja", "oui"), True),
    **dict.fromkeys(("no", "false", "0", "nee", "non", "nein"), False),
}


class ImportFileError(ZoeklichtError):
    """The file as a whole cannot be read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line: a profile, or what is wrong, each as field, rule and what to do."""

    number: int
    profile: NewVolunteer | None = None
    errors: tuple[Mapping[str, str], ...] = ()


def lines(content: bytes) -> Iterator[Line]:
    """Every line of a file, the first below the header being number 2. Raises ImportFileError.

    Several values in one field are separated by spaces; hours look like `mon@18:00-23:00`, quiet hours like
    `22:00-07:00`, times away like `2026-07-01T00:00+02:00/2026-07-15T00:00+02:00`.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ImportFileError("the file is not UTF-8: save it as CSV UTF-8") from None
    header = text.partition("\n")[0]
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=";" if header.count(";") > header.count(",") else ","
    )
    try:
        columns = [name.strip().lower() for name in reader.fieldnames or ()]
    except csv.Error:
        raise ImportFileError("the first line is not CSV: look at its quotation marks") from None
    missing = [name for name in REQUIRED if name not in columns]
    if missing or len(set(columns)) < len(columns) or not set(columns) <= {*REQUIRED, *OPTIONAL}:
        raise ImportFileError(
            f"the first line names the columns, each once: {', '.join(REQUIRED)}; and if wanted {', '.join(OPTIONAL)}"
        )
    reader.fieldnames = columns
    try:
        for row in reader:
            yield _line(reader.line_num, row)
    except csv.Error:
        raise ImportFileError(f"line {reader.line_num} is not CSV: look at its quotation marks") from None


def _line(number: int, row: Mapping[str | None, Any]) -> Line:
    if None in row or None in row.values():
        detail = "it has more or fewer fields than the first line: look at its separators"
        return Line(number, errors=({"field": "line", "rule": "columns", "detail": detail},))
    given = {str(name): value.strip() for name, value in row.items() if value.strip()}
    try:
        return Line(number, NewVolunteer.model_validate({n: _value(n, text) for n, text in given.items()}))
    except ValidationError as error:
        return Line(number, errors=tuple(field_errors(error.errors())))


def _value(name: str, text: str) -> Any:
    """The text of a field as bodies have it; what does not fit stays, and is refused with its field."""
    if name in _LISTS:
        return text.split()
    if name in ("car", "consent", "exercise"):
        return _BOOLEANS.get(text.lower(), text)
    if name == "hours":
        return None if text == "always" else [_hours(part) for part in text.split() if part != "never"]
    if name == "quiet":
        return _between(text, "-")
    if name == "away":
        return [_between(part, "/") for part in text.split()]
    return text


def _hours(text: str) -> Mapping[str, str]:
    day, _, hours = text.partition("@")
    return {"day": day, **_between(hours, "-")}


def _between(text: str, mark: str) -> dict[str, str]:
    begins, _, until = text.partition(mark)
    return {"from": begins, "until": until}
