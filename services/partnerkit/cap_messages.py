"""The kit's alerts as CAP 1.2, made by the code that real ones are made by: to be read, and signed twice."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from schemas.vocabulary import AlertKind, Mode
from services.cap import Message, SigningKey, Value, sign, write
from services.dispatch.cap_message import Originator, appeal_message, cancel_message
from services.dispatch.domain import CAP_FULL, Alert, Content, Earlier, Frame, Material, Revision
from services.partnerkit.messages import AREA, DISPLAY_FOR_S, PERSON, Exercise, texts

_OFFICE = Originator("partner-kit@zoeklicht.example", "zoeklicht partner kit", UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class CapExercise(Exercise):
    """The same invented alert, in XML; its renewals stay JSON, as those of real alerts do."""

    signing_key: SigningKey
    earlier: list[Earlier] = field(default_factory=list)
    """What was made of it before: an Update or a Cancel names it."""

    def issued(self, revision: int, display_for_s: int = DISPLAY_FOR_S) -> bytes:
        """An Alert when it is the first revision, else an Update."""
        now = datetime.now(UTC)
        made = self._revision("issued" if revision == 1 else "updated", revision, now, display_for_s)
        material = Material(texts=texts(revision), persons=(PERSON,))
        said = appeal_message(made, material, CAP_FULL, _OFFICE)
        self.earlier.append(Earlier(revision, CAP_FULL.name, now))
        return self._signed(said)

    def withdrawn(self, revision: int) -> bytes:
        """A Cancel of every earlier message."""
        if not self.earlier:  # a Cancel must name something; what it overtook on the way is on its way still
            self.earlier.append(Earlier(1, CAP_FULL.name, datetime.now(UTC)))
        return self._signed(cancel_message(self._revision("withdrawn", revision, datetime.now(UTC)), _OFFICE))

    def _revision(
        self, content: Content, number: int, now: datetime, display_for_s: int = DISPLAY_FOR_S
    ) -> Revision:
        alert = Alert(
            self.alert_id,
            AlertKind.PUBLIC,
            case_id=uuid4(),
            campaign_id=uuid4(),
            mode=Mode.EXERCISE,
            areas=(AREA,),
            expires_at=now + timedelta(hours=1),
        )
        frame = Frame(
            "https://zoeklicht.example", "partner-kit", now, now, display_for_s, tuple(self.earlier)
        )
        return Revision(alert, number, content, dark=False, frame=frame)

    def _signed(self, said: Message) -> bytes:
        """With the address at which the kit takes receipts instead of a real one."""
        there = Value("receipts_url", self.receipts_url)
        infos = tuple(
            replace(
                info, parameters=tuple(there if one.name == there.name else one for one in info.parameters)
            )
            for info in said.infos
        )
        return sign(write(replace(said, infos=infos)), self.signing_key)
