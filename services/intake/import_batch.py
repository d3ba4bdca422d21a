"""One batch of an import: lines become events, decided in the order of the file by the rules of the domain.

History is not judged by the rules of today's work: a closed case takes facts, campaigns need no consent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from schemas.commands import CorrectDetails, ImportChild, MergeCase
from schemas.events import CampaignEnded, CampaignReleased, EventData
from schemas.vocabulary import Mode, Origin
from services.eventlog.store import Append, Cause, NewEvent, Recorded, campaign_stream
from services.intake import store
from services.intake.domain import facts
from services.intake.domain.appeal import Known, checked_areas
from services.intake.domain.campaign import Campaign
from services.intake.domain.drafts import Draft
from services.intake.domain.errors import ContentError, IntakeError
from services.intake.domain.identity import identity_of
from services.intake.domain.merging import decide_merge
from services.intake.domain.policy import Policy
from services.intake.import_lines import BadLineError, ImportCase, ImportEnd, ImportRelease, Line
from services.intake.sealing import key_names, sealed_data
from services.intake.store import File
from services.kernel.ids import derived_id

ACTOR = "import"


@dataclass(slots=True)
class Batch:
    """What a batch needs to know, and what comes of it.

    `files` are all cases of the batch, `places` says which line of the file made which event, `marks` the blind index
    as far as it concerns the batch, `numbers` unused case numbers by year.
    """

    files: dict[UUID, File]
    places: Mapping[UUID, int]
    keys: Mapping[str, bytes]
    marks: dict[bytes, UUID]
    numbers: dict[int, list[str]]
    secret: bytes
    policy: Policy
    zone: ZoneInfo
    correlation_id: str
    imported_at: datetime
    appends: list[Append] = field(default_factory=list)
    facts: list[tuple[UUID, EventData]] = field(default_factory=list)
    indexed: dict[bytes, UUID] = field(default_factory=dict)
    children: dict[UUID, list[UUID]] = field(default_factory=dict)

    def take(self, line: Line) -> None:
        """Decides one line and adds its events. Raises BadLineError, with a reason that repeats no value."""
        if line.at > self.imported_at:
            raise BadLineError("at: it lies in the future, and this is history: correct it")
        case_id = line.case_id
        if case_id is None:
            self._append(line, f"ops-{line.counter}", str(line.counter), line.body)
            return
        file = self.files[case_id]
        if any(event.cause.origin is Origin.LIVE for event in file.events):
            raise BadLineError("this case is worked on here: add the fact there")
        then = self._as_of(file, line)
        if not then.case.version and not isinstance(line.body, ImportCase):
            raise BadLineError("no such case up to this line: open it first")
        try:
            drafts = self._decided(line, then)
        except ContentError as error:
            raise BadLineError(f"data.{error.field}: {error.detail}") from error
        except IntakeError as error:
            raise BadLineError(error.detail) from error
        if drafts is None:
            self._append(line, f"ops-{case_id}", str(case_id), line.body, file=file)
            return
        if key_names(drafts) - self.keys.keys():
            raise BadLineError("this identity is erased and takes no new data")
        self._seal(line, file, drafts)

    def _as_of(self, file: File, line: Line) -> File:
        """The case as the lines before this one left it, so that a second run judges every line the same."""

        def later(event: Recorded) -> bool:
            cause = event.cause.causation_id
            place = self.places.get(event.event_id) or (self.places.get(UUID(cause)) if cause else None)
            return place is not None and place > line.number

        if not any(later(event) for event in file.events):
            return file
        return store.fold(file.case.case_id, [event for event in file.events if not later(event)])

    def _decided(self, line: Line, file: File) -> list[Draft] | None:
        """The drafts of a line; None: the line is a counter's event already."""
        match line.body:
            case EventData():
                return None
            case ImportCase():
                return self._opened(line, file, line.body)
            case ImportRelease():
                return [self._released(file, line.body)]
            case ImportEnd():
                campaign = self._campaign(file, line.body.campaign)
                if not campaign.version:
                    raise BadLineError("no such campaign up to this line: release it first")
                fields = {"campaign_id": campaign.campaign_id, "reason": line.body.reason}
                return [Draft(campaign.stream, CampaignEnded, fields)]
            case MergeCase():
                other = self.files[line.body.case_id]
                notes = {at: at.opened(self.keys) for at in file.case.texts if at.sealed.key in self.keys}
                known = replace(self._known(line, [file, other]), notes=notes)
                ours, theirs = list(file.campaigns.values()), list(other.campaigns.values())
                return decide_merge(file.case, ours, other.case, theirs, known)
            case _:
                told = [file] if isinstance(line.body, CorrectDetails) else []
                known = self._known(line, told)
                return facts.decide_fact(file.case, list(file.campaigns.values()), line.body, known)

    def _known(self, line: Line, files: Iterable[File]) -> Known:
        identities = {
            child.child_id: child.identity.opened(self.keys) for file in files for child in file.case.children
        }
        return Known(line.at, self.zone, self.policy, ACTOR, "", identities, {})

    def _opened(self, line: Line, file: File, command: ImportCase) -> list[Draft]:
        free = self.numbers[line.at.astimezone(self.zone).year]
        known = self._known(line, [])
        drafts = facts.decide_open(file.case, free[0], command, self.children_of(line), known)
        free.pop(0)
        return drafts

    def children_of(self, line: Line) -> list[UUID]:
        """The id of each child of an opening, by `ref`, else by identity; always the same for one line.

        Within a batch the same identity gets the same id, though it is not stored yet.
        """
        if line.event_id not in self.children:
            self.children[line.event_id] = [
                self._child(child, line.body.mode) for child in line.body.children
            ]
        return self.children[line.event_id]

    def _child(self, child: ImportChild, mode: Mode) -> UUID:
        mark = store.fingerprint(self.secret, identity_of(child), mode)
        known = self.marks.get(mark) if mark else None
        if child.ref is None:
            child_id = known or uuid4()
        elif mode is Mode.ACTUAL:
            child_id = derived_id("import-child", child.ref)
        else:
            child_id = derived_id("import-child", mode.value, child.ref)
        if mark:
            self.marks.setdefault(mark, child_id)
        return child_id

    def _campaign(self, file: File, name: str) -> Campaign:
        campaign_id = derived_id("import-campaign", file.case.case_id, name)
        return file.campaigns.get(campaign_id) or Campaign(campaign_id, file.case.case_id)

    def _released(self, file: File, body: ImportRelease) -> Draft:
        campaign = self._campaign(file, body.campaign)
        if campaign.version:
            raise BadLineError("a campaign of this name is in the case already: give it another name")
        # Nobody is shown again, so no portrait is copied out of the case.
        appeal = {"kind": body.kind, "areas": checked_areas(body.areas)}
        fields = {"campaign_id": campaign.campaign_id, "appeal": appeal}
        return Draft(campaign_stream(campaign.campaign_id), CampaignReleased, fields)

    def _seal(self, line: Line, file: File, drafts: Sequence[Draft]) -> None:
        case_id = file.case.case_id
        self.indexed |= store.fingerprints(self.secret, drafts, self._mode(line, file))
        for number, draft in enumerate(drafts):
            event_id = line.event_id if number == 0 else derived_id("import-derived", line.event_id, number)
            data = sealed_data(draft, event_id, self.keys)
            owner = self._owner(draft, self.files[case_id])
            subject = owner.case.case_id
            self.facts.append((subject, data))
            self._append(
                line, draft.stream, str(subject), data, file=owner, derived=event_id if number else None
            )

    def _mode(self, line: Line, file: File | None) -> Mode:
        if isinstance(line.body, ImportCase):
            return line.body.mode
        return file.case.mode if file else Mode.ACTUAL

    def _owner(self, draft: Draft, file: File) -> File:
        """Whose stream it is: a merge writes to the other case too."""
        if draft.stream.startswith("case-") and draft.stream != file.case.stream:
            return self.files[UUID(draft.stream.removeprefix("case-"))]
        return file

    def _append(
        self,
        line: Line,
        stream: str,
        subject: str,
        data: EventData,
        *,
        file: File | None = None,
        derived: UUID | None = None,
    ) -> None:
        """Adds an event of a line; `derived` is its id when it only follows from the line."""
        mode = self._mode(line, file)
        caused_by = str(line.event_id) if derived else None
        cause = Cause(ACTOR, self.correlation_id, caused_by, origin=Origin.IMPORT, mode=mode)
        new = NewEvent(data, derived or line.event_id, line.at, line.at, self.imported_at)
        expected = None
        if file is not None and not stream.startswith("ops-"):
            expected = file.versions.get(stream, 0)
            self.files[file.case.case_id] = store.with_event(
                file, _as_read(stream, subject, new, cause, expected)
            )
        self.appends.append(Append(stream, subject, [new], cause, expected))


def _as_read(stream: str, subject: str, new: NewEvent, cause: Cause, before: int) -> Recorded:
    """The event as it will be read from the log."""
    assert new.time is not None  # noqa: S101 - an imported event always says when
    return Recorded(
        stream=stream,
        version=before + 1,
        event_id=new.event_id,
        type=new.data.TYPE,
        subject=subject,
        time=new.time,
        recorded_time=new.time,
        imported_time=new.imported_time,
        cause=cause,
        data=new.data,
    )
