"""Lines of an import file: read, checked against the models of the API, and given ids that never change."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, get_args
from uuid import UUID

import orjson
from pydantic import Field, ValidationError

from schemas.areas import Areas
from schemas.base import ShortText, Strict
from schemas.commands import Fact, ImportChild, ImportLine, MergeCase, OpenCase, RetractCircumstance
from schemas.events import (
    AppActivated,
    CallsCounted,
    EventData,
    PartnersCounted,
    PartnersEngaged,
    ReachReported,
    VolunteersCalledOut,
)
from schemas.vocabulary import CampaignKind, EndReason
from services.kernel.ids import derived_id
from services.kernel.problems import field_errors

MAX_LINE = 64 * 1024


class ImportCase(OpenCase):
    """A case of the file, whose children may have a `ref`."""

    children: Annotated[list[ImportChild], Field(min_length=1, max_length=100)]  # type: ignore[assignment]


class ImportRelease(Strict):
    """A campaign that was released; `campaign` names it within its case."""

    campaign: ShortText
    kind: CampaignKind
    areas: Areas


class ImportEnd(Strict):
    """A campaign that ended."""

    campaign: ShortText
    reason: EndReason


COUNTERS: dict[str, tuple[type[EventData], str | None]] = {
    "partners.engaged": (PartnersEngaged, None),
    "volunteers.called_out": (VolunteersCalledOut, None),
    "reach.reported": (ReachReported, None),
    "app.activated": (AppActivated, None),
    "calls.counted": (CallsCounted, "calls"),
    "partners.counted": (PartnersCounted, "partners"),
}
"""Type of line → its event, and the counter it belongs to where it belongs to no case."""

_FACTS: dict[str, type[Strict]] = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(get_args(Fact)[0])
}
_OTHERS: dict[str, type[Strict]] = {
    "case.opened": ImportCase,
    "campaign.released": ImportRelease,
    "campaign.ended": ImportEnd,
}


class BadLineError(ValueError):
    """A line that cannot go in; says why without its values."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `number` from 1; `body` is a command of the API, a campaign's step, or a counter's event."""

    number: int
    event_id: UUID
    type: str
    at: datetime
    ref: str | None
    body: Any

    @property
    def case_id(self) -> UUID | None:
        """The case it is about."""
        return None if self.ref is None or self.counter else case_of_ref(self.ref)

    @property
    def counter(self) -> str | None:
        """The counter it belongs to."""
        return COUNTERS[self.type][1] if self.type in COUNTERS else None


def case_of_ref(ref: str) -> UUID:
    """A case of the file, always the same."""
    return derived_id("import-case", ref)


def event_of_id(ref: str | None, line_id: str) -> UUID:
    """The event of a line that has an `id`."""
    return derived_id("import-line", "id", ref or "", line_id)


def identified(raw: str) -> tuple[UUID, dict[str, Any]]:
    """The id of a line's event and its content. Raises BadLineError."""
    if len(raw) > MAX_LINE:
        raise BadLineError(f"a line holds at most {MAX_LINE} characters")
    try:
        content = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadLineError("not valid JSON") from error
    if not isinstance(content, dict):
        raise BadLineError("a line is a JSON object")
    ref, line_id = content.get("ref"), content.get("id")
    if isinstance(line_id, str) and (ref is None or isinstance(ref, str)):
        return event_of_id(ref, line_id), content
    canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode()
    return derived_id("import-line", "content", canonical), content


def parsed(number: int, raw: str) -> Line:
    """A line, checked. Raises BadLineError."""
    event_id, content = identified(raw)
    try:
        line = ImportLine.model_validate(content)
        body = _body(line)
    except ValidationError as error:
        found = field_errors(error.errors())
        raise BadLineError("; ".join(f"{item['field']}: {item['detail']}" for item in found)) from None
    parsed_line = Line(number, event_id, line.type, line.at, line.ref, body)
    if line.ref is None and parsed_line.counter is None:
        raise BadLineError("ref: name the case this line is about")
    return parsed_line


def _body(line: ImportLine) -> Any:
    if line.type in COUNTERS:
        return COUNTERS[line.type][0].model_validate(line.data)
    if line.type in _OTHERS:
        return _OTHERS[line.type].model_validate(line.data)
    family, _, name = line.type.partition(".")
    model = _FACTS.get(name) if family == "case" else None
    if model is None:
        raise BadLineError("type: no such type of line; see the documentation of the import")
    return model.model_validate({**_resolved(model, line), "type": name})


def _resolved(model: type[Strict], line: ImportLine) -> dict[str, Any]:
    """Names of the file, a line's `id` or a case's `ref`, become the ids that they stand for."""
    data = dict(line.data)
    if model is RetractCircumstance and isinstance(data.get("event_id"), str):
        data["event_id"] = _uuid_or(data["event_id"], event_of_id(line.ref, data["event_id"]))
    if model is MergeCase and isinstance(data.get("case_id"), str):
        data["case_id"] = _uuid_or(data["case_id"], case_of_ref(data["case_id"]))
    return data


def _uuid_or(text: str, otherwise: UUID) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return otherwise
