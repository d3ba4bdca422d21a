"""What the kit sends: alerts of an exercise about nobody, in the very models that real alerts are made of."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

import orjson

from schemas.commands import Text
from schemas.payloads import AlertBody, AlertMessage, DisplayRenewed, PersonShown, PingBody, RenewedAlert
from schemas.vocabulary import AlertKind, Language, Mode
from services.dispatch.transport import CONTENT_TYPES

DISPLAY_FOR_S = 1800
AREA = "24062"
PERSON = PersonShown(name="Lou Voorbeeld", age=14)
Type = Literal["alert.issued", "alert.updated", "alert.withdrawn"]


@dataclass(frozen=True, slots=True)
class Exercise:
    """One invented alert; each check has its own."""

    receipts_url: str
    alert_id: UUID = field(default_factory=uuid4)

    def issued(self, revision: int, display_for_s: int = DISPLAY_FOR_S) -> bytes:
        """A revision to show: `alert.issued` when it is the first, else `alert.updated`."""
        kind: Type = "alert.issued" if revision == 1 else "alert.updated"
        return self._body(kind, revision, display_for_s)

    def withdrawn(self, revision: int) -> bytes:
        """The end."""
        return self._body("alert.withdrawn", revision, None)

    def renewed(self, revision: int, display_for_s: int) -> bytes:
        """A longer lease for a revision."""
        alert = RenewedAlert(alert_id=self.alert_id, revision=revision, display_for_s=display_for_s)
        data = DisplayRenewed(alerts=[alert])
        return _written(AlertMessage(type="display.renewed", timestamp=datetime.now(UTC), data=data))

    def _body(self, kind: Type, revision: int, display_for_s: int | None) -> bytes:
        now = datetime.now(UTC)
        body = AlertBody(
            alert_id=self.alert_id,
            revision=revision,
            kind=AlertKind.PUBLIC,
            case_ref="partner-kit",
            status=Mode.EXERCISE,
            issued_at=now,
            receipts_url=self.receipts_url,
        )
        if display_for_s is not None:
            shown = {
                "expires_at": now + timedelta(hours=1),
                "display_for_s": display_for_s,
                "areas": [AREA],
                "texts": texts(revision),
                "persons": [PERSON],
                "media": [],
            }
            body = body.model_copy(update=shown)
        return _written(AlertMessage(type=kind, timestamp=now, data=body))


def texts(revision: int) -> dict[Language, Text]:
    """What a revision says, the same in each language."""
    text = Text(headline=f"EXERCISE {revision}", body="Lou Voorbeeld is invented.")
    return dict.fromkeys((Language.NL, Language.FR, Language.EN), text)


def ping() -> bytes:
    """Only whether somebody answers."""
    return _written(AlertMessage(type="ping", timestamp=datetime.now(UTC), data=PingBody()))


def content_type(body: bytes) -> str:
    """What a partner is told that a body is: XML begins with `<`, and JSON never does."""
    return CONTENT_TYPES["cap" if body.startswith(b"<") else "json"]


def respelled(body: bytes) -> bytes:
    """The same JSON in other bytes: spaced, escaped, in another order."""
    fields = json.loads(body)
    return json.dumps(dict(reversed(fields.items())), indent=3, separators=(" ,", " : ")).encode()


def _written(message: AlertMessage) -> bytes:
    return orjson.dumps(message.model_dump(mode="json", exclude_none=True))
