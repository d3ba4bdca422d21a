"""The envelope of an event: CloudEvents 1.0 and the extensions of this system."""

from datetime import datetime
from uuid import UUID

from schemas.base import Strict
from schemas.vocabulary import Mode, Origin


class Envelope(Strict):
    """Attributes that travel as `ce_…` Kafka headers; none of them carries personal data.

    `time` is when it happened, `recordedtime` when we learned it, `importedtime` when an import read it.
    `subject` is the case (or the partner, or the counter) and the Kafka key; (`stream`, `streamversion`) is what
    consumers decide by.
    """

    id: UUID
    source: str
    type: str
    subject: str
    time: datetime
    stream: str
    streamversion: int
    recordedtime: datetime
    importedtime: datetime | None = None
    correlationid: str
    causationid: str | None = None
    actor: str
    traceparent: str | None = None
    origin: Origin
    mode: Mode
