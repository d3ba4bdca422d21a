"""Who gets an alert, in what form, and what it says. Pure: the same input gives the same deliveries and bytes."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from typing import Literal
from uuid import UUID

import orjson

from schemas.audiences import reached
from schemas.base import Strict
from schemas.commands import Text
from schemas.payloads import AlertBody, AlertMessage, MediaShown, PersonShown
from schemas.vocabulary import AlertKind, Audience, Language, Mode
from services.geography.areas import overlap
from services.kernel.errors import ZoeklichtError

Content = Literal["issued", "updated", "withdrawn"]
"""What a revision does."""

DISPLAY_FOR_S = 1800
"""How long a partner may show an alert without hearing from us again, unless the installation says otherwise."""

_EVERYWHERE = frozenset({Audience.MISSING_PERSONS_UNIT})


class DispatchError(ZoeklichtError):
    """Planning or a partner's request cannot be done."""


class WrongAudienceError(DispatchError):
    """An alert of this kind must not reach this audience, such as a vignette a public display."""


@dataclass(frozen=True, slots=True)
class Alert:
    """What an alert is about. `case_version`: the version of the case that a standby rests on.

    `audiences`: whom it is meant for, as its event says; None: the default of its kind.
    """

    alert_id: UUID
    kind: AlertKind
    case_id: UUID
    campaign_id: UUID | None
    mode: Mode
    areas: tuple[str, ...]
    case_version: int = 0
    expires_at: datetime | None = None
    audiences: tuple[Audience, ...] | None = None

    @property
    def reaches(self) -> frozenset[Audience]:
        """Whom it may reach: never one that is forbidden for its kind, whatever its event says."""
        return reached(self.kind, self.audiences)


@dataclass(frozen=True, slots=True)
class Recipient:
    """What planning needs to know of a recipient."""

    recipient_id: UUID
    format: str
    content: str
    areas: tuple[str, ...]
    languages: tuple[str, ...]
    audience: Audience
    exercise: bool
    state: str


@dataclass(frozen=True, slots=True)
class Addressed:
    """An alert and a recipient that may get it: a pair that must not be cannot be constructed."""

    alert: Alert
    recipient: Recipient

    def __post_init__(self) -> None:
        if self.recipient.audience not in self.alert.reaches:
            raise WrongAudienceError(
                f"this alert of kind {self.alert.kind.value} must not reach {self.recipient.audience.value};"
                " choose a campaign kind that is meant for it"
            )


@dataclass(frozen=True, slots=True)
class Variant:
    """A form of a body: recipients with the same variant get the same bytes."""

    format: str
    content: str
    languages: tuple[str, ...]
    audience: Audience

    @property
    def name(self) -> str:
        """As it is stored."""
        return f"{self.format}.{self.content}.{'+'.join(self.languages)}.{self.audience.value}"


ALL_LANGUAGES = ("all",)
"""A CAP message holds all languages of its campaign: every recipient of a form gets the same."""

CAP_FULL = Variant("cap", "full", ALL_LANGUAGES, Audience.DISPLAY)
"""What CAP partners get and the public feeds show."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One delivery to be made."""

    recipient_id: UUID
    audience: Audience
    content: Content
    variant: str


class Material(Strict):
    """The clear content of a revision, before it takes a form; it exists in memory and sealed, nowhere else."""

    texts: dict[Language, Text] | None = None
    persons: tuple[PersonShown, ...] = ()
    media: tuple[MediaShown, ...] = ()
    """Each with the path of its address; the installation's own address comes before it in the body."""
    case_number: str | None = None
    criteria: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Frame:
    """What every body of an alert has around its content."""

    base_url: str
    case_ref: str
    issued_at: datetime
    now: datetime
    display_for_s: int = DISPLAY_FOR_S
    earlier: tuple["Earlier", ...] = ()


@dataclass(frozen=True, slots=True)
class Earlier:
    """A CAP message of an earlier revision that somebody may still show: its number, form and moment."""

    number: int
    variant: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision that is being made; a dark one is recorded and sent to nobody."""

    alert: Alert
    number: int
    content: Content
    dark: bool
    frame: Frame


# ── whether ─────────────────────────────────────────────────────────────────────────────────────────────────


class Verdict(Enum):
    """What becomes of something to be published."""

    NOTHING = auto()
    LIT = auto()
    DARK = auto()
    """Recorded, but sent to nobody."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an alert already. `repeated`: this very event made a revision of it."""

    head_revision: int
    withdrawn: bool
    repeated: bool


def verdict(
    content: Content,
    known: Known | None,
    *,
    expires_at: datetime | None,
    now: datetime,
    stopped: bool,
    readable: bool,
) -> Verdict:
    """Whether a revision is published, and whether it may be shown.

    Nothing follows a withdrawal, nothing is done twice. What has expired, was stopped in the store, or can no longer
    be read since its key was destroyed is recorded dark.
    """
    if known is None and content == "withdrawn":
        return Verdict.NOTHING
    if known is not None and (known.withdrawn or known.repeated or content == "issued"):
        return Verdict.NOTHING
    if content == "withdrawn":
        return Verdict.LIT
    expired = expires_at is not None and expires_at <= now
    return Verdict.DARK if expired or stopped or not readable else Verdict.LIT


def is_stopped(alert: Alert, stops: Mapping[tuple[str, UUID], int]) -> bool:
    """Whether the store says that this alert must be dark: (kind, id) → version as in `eventlog.stop`."""
    if alert.campaign_id is not None:
        return ("campaign", alert.campaign_id) in stops
    return stops.get(("case", alert.case_id), 0) > alert.case_version


# ── to whom ─────────────────────────────────────────────────────────────────────────────────────────────────


def addressed(alert: Alert, recipients: Iterable[Recipient]) -> list[Addressed]:
    """Those the alert is meant for, whatever their state: audience, mode and area fit."""
    return [
        Addressed(alert, recipient)
        for recipient in recipients
        if not any(apart(alert.reaches, alert.mode, alert.areas, recipient))
    ]


def apart(
    reaches: frozenset[Audience], mode: Mode, areas: Sequence[str], recipient: Recipient
) -> Iterator[str]:
    """What keeps an alert from a recipient: audience, mode, area; nothing when it is meant for it."""
    if recipient.audience not in reaches:
        yield "audience"
    if recipient.exercise != (mode is Mode.EXERCISE):
        yield "mode"
    if recipient.audience not in _EVERYWHERE and not overlap(recipient.areas, areas):
        yield "area"


def plan(
    alert: Alert,
    content: Content,
    recipients: Sequence[Recipient],
    last: Mapping[UUID, str],
    concerns: frozenset[Audience] | None = None,
    *,
    only: frozenset[UUID] | None = None,
) -> list[Planned]:
    """The deliveries of a revision, one per recipient, ordered by recipient.

    `last`: what the newest delivery of the alert to each recipient did. `concerns`: the audiences for whom the
    revision says something new, `only`: the recipients; the others keep what they have. A withdrawal goes to everyone
    who could have got anything; a recipient that an update no longer selects gets one of its own, whomever it concerns.
    """
    known = {recipient.recipient_id: recipient for recipient in recipients}
    if content == "withdrawn":
        chosen = [withdrawal_of(known[one]) for one in last if one in known]
    else:
        kept = [a.recipient for a in addressed(alert, recipients) if _receives(a.recipient, last)]
        stay = {recipient.recipient_id for recipient in kept}
        lost = [known[one] for one in last if one in known and one not in stay and last[one] != "withdrawn"]
        told = [r for r in kept if concerns is None or r.audience in concerns]
        told = [r for r in told if only is None or r.recipient_id in only]
        chosen = [Planned(r.recipient_id, r.audience, content, variant_of(r).name) for r in told]
        chosen += [withdrawal_of(recipient) for recipient in lost]
    return sorted(chosen, key=lambda planned: planned.recipient_id)


def _receives(recipient: Recipient, last: Mapping[UUID, str]) -> bool:
    # One that proves its new address keeps getting what it got at the old one: it waits in its lane until then.
    return recipient.state == "active" or (
        recipient.state == "unverified" and last.get(recipient.recipient_id, "withdrawn") != "withdrawn"
    )


def withdrawal_of(recipient: Recipient) -> Planned:
    """What makes a recipient go dark."""
    return Planned(
        recipient.recipient_id, recipient.audience, "withdrawn", withdrawal_variant(recipient.format)
    )


# ── what ────────────────────────────────────────────────────────────────────────────────────────────────────


def variant_of(recipient: Recipient) -> Variant:
    """The form in which this recipient gets an appeal or a standby."""
    languages = ALL_LANGUAGES if recipient.format == "cap" else tuple(sorted(set(recipient.languages)))
    return Variant(recipient.format, recipient.content, languages, recipient.audience)


def variants_for(alert: Alert, recipients: Iterable[Recipient]) -> set[Variant]:
    """Every form of an alert that is wanted: by recipients, behind the links of CAP partners, and in the feeds."""
    wanted = {variant_of(one.recipient) for one in addressed(alert, recipients)}
    linked = {replace(one, content="full") for one in wanted if one.format == "cap"}
    return wanted | linked | ({CAP_FULL} if is_public(alert) else set())


def is_leased(variant: Variant) -> bool:
    """Whether an appeal in this form must be renewed: only displays are, others keep it until it is over."""
    return variant.audience is Audience.DISPLAY


def is_public(alert: Alert) -> bool:
    """Whether the public feeds show it: what is meant for public displays, and no exercise."""
    return alert.mode is Mode.ACTUAL and Audience.DISPLAY in alert.reaches


def appeal_content(revision: int) -> Content:
    """What a revision that shows something does."""
    return "issued" if revision == 1 else "updated"


def withdrawal_variant(message_format: str) -> str:
    """A withdrawal says the same to everybody."""
    return f"{message_format}.withdrawn"


def message(revision: Revision, material: Material | None, variant: Variant | None) -> bytes:
    """The bytes as they are signed and sent; without material they are a withdrawal's."""
    alert, frame = revision.alert, revision.frame
    body = AlertBody(
        alert_id=alert.alert_id,
        revision=revision.number,
        kind=alert.kind,
        case_ref=frame.case_ref,
        status=alert.mode,
        issued_at=frame.issued_at,
        receipts_url=f"{frame.base_url}/v1/receipts",
    )
    content: Content = "withdrawn"
    if material is not None and variant is not None:
        content = revision.content
        body = body.model_copy(update=_shown(alert, frame, material, variant))
    whole = AlertMessage(type=_TYPES[content], timestamp=frame.now, data=body)
    return orjson.dumps(whole.model_dump(mode="json", exclude_none=True))


def _shown(alert: Alert, frame: Frame, material: Material, variant: Variant) -> dict[str, object]:
    areas = list(alert.areas)
    if alert.kind is AlertKind.STANDBY:
        shown: dict[str, object] = {"areas": areas, "persons": [], "media": []}
        if variant.audience is Audience.MISSING_PERSONS_UNIT:
            shown |= {"case_number": material.case_number, "criteria": list(material.criteria)}
        return shown
    shown = {"areas": areas, "expires_at": alert.expires_at}
    if is_leased(variant):
        shown["display_for_s"] = frame.display_for_s
    if variant.content == "link":
        return shown | {"content_url": f"{frame.base_url}/v1/partner/alerts/{alert.alert_id}"}
    texts = material.texts or {}
    # Better in another language than not at all.
    wanted = {language: text for language, text in texts.items() if language in variant.languages} or texts
    return shown | {
        "texts": wanted,
        "persons": list(material.persons),
        "media": pictures(frame, material, wanted),
    }


def pictures(frame: Frame, material: Material, languages: Container[Language]) -> list[MediaShown]:
    """What is shown in these languages, photos in any, at its whole address."""
    return [
        one.model_copy(update={"url": f"{frame.base_url}{one.url}"})
        for one in material.media
        if one.language is None or one.language in languages
    ]


_TYPES: Mapping[Content, Literal["alert.issued", "alert.updated", "alert.withdrawn"]] = {
    "issued": "alert.issued",
    "updated": "alert.updated",
    "withdrawn": "alert.withdrawn",
}
