"""What an alert's revision says as a CAP message. Pure: the same input gives the same message.

One message serves every recipient of its form, in all languages of the campaign: an identifier never names two texts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import tzinfo
from uuid import UUID

from schemas.commands import Text
from schemas.payloads import PersonShown
from schemas.vocabulary import AlertKind, Audience, Language, Mode
from services.cap import Area, Info, Message, Reference, Resource, Value
from services.cap.model import MsgType
from services.cap.times import to_the_second
from services.dispatch.cap_words import EXERCISE, OVER, WORDS, Words
from services.dispatch.domain import (
    CAP_FULL,
    Earlier,
    Frame,
    Material,
    Revision,
    Variant,
    is_leased,
    is_public,
    pictures,
)
from services.geography.names import geocodes_of, name_of
from services.geography.outlines import outline

CONTACT = "116 000"
_RESTRICTIONS = {
    Audience.MISSING_PERSONS_UNIT: "For the Missing Persons Unit only",
    Audience.MOBILE_TEAM: "For the mobile volunteer team only",
}


@dataclass(frozen=True, slots=True)
class Originator:
    """Who sends: `sender` as in identifiers (no space, comma, < or &), `name` for people, `zone` of its times."""

    sender: str
    name: str
    zone: tzinfo


def identifier(alert_id: UUID, number: int, variant: str) -> str:
    """The identifier of a revision in one form; the form in which displays get it whole is not named."""
    form = "" if variant == CAP_FULL.name else "." + variant.removeprefix("cap.").replace(".all.", ".")
    return f"{alert_id}.{number}{form}"


def appeal_message(revision: Revision, material: Material, variant: Variant, office: Originator) -> Message:
    """An Alert or an Update, with everything that its recipients may know."""
    infos = tuple(
        _info(revision, material, variant, office, language) for language in _languages(material, variant)
    )
    return _message(
        revision,
        office,
        identifier(revision.alert.alert_id, revision.number, variant.name),
        "Alert" if revision.content == "issued" or not revision.frame.earlier else "Update",
        _RESTRICTIONS.get(variant.audience),
        infos=infos,
    )


def cancel_message(revision: Revision, office: Originator) -> Message:
    """A Cancel of every earlier message. It identifies nobody: no info, no area."""
    discreet = Audience.DISPLAY not in revision.alert.reaches
    return _message(
        revision,
        office,
        f"{revision.alert.alert_id}.{revision.number}.cancel",
        "Cancel",
        "For the recipients of what it cancels only" if discreet else None,
        note=OVER,
    )


def _message(
    revision: Revision,
    office: Originator,
    name: str,
    msg_type: MsgType,
    restriction: str | None,
    *,
    note: str | None = None,
    infos: tuple[Info, ...] = (),
) -> Message:
    alert, frame = revision.alert, revision.frame
    exercise = alert.mode is Mode.EXERCISE
    return Message(
        identifier=name,
        sender=office.sender,
        sent=to_the_second(frame.now.astimezone(office.zone)),
        status="Exercise" if exercise else "Actual",
        msg_type=msg_type,
        scope="Restricted" if restriction else "Public",
        restriction=restriction,
        note=" ".join(part for part in (EXERCISE if exercise else None, note) if part) or None,
        references=() if msg_type == "Alert" else tuple(_references(alert.alert_id, frame.earlier, office)),
        incidents=frame.case_ref,
        infos=infos,
    )


def _references(alert_id: UUID, earlier: Iterable[Earlier], office: Originator) -> Iterable[Reference]:
    # All of them, in every form: whoever missed an update still shows an older one, and a partner's form may change.
    for one in earlier:
        sent = to_the_second(one.at.astimezone(office.zone))
        yield Reference(office.sender, identifier(alert_id, one.number, one.variant), sent)


def _languages(material: Material, variant: Variant) -> list[Language]:
    if variant.content == "link" or not material.texts:
        return list(WORDS)
    return [language for language in WORDS if language in material.texts]


def _info(
    revision: Revision, material: Material, variant: Variant, office: Originator, language: Language
) -> Info:
    alert, frame, words = revision.alert, revision.frame, WORDS[language]
    standby = alert.kind is AlertKind.STANDBY
    headline, description = _said(alert.kind, material, variant, words, (material.texts or {}).get(language))
    expires = alert.expires_at
    return Info(
        language=words.tag,
        categories=("Rescue", "Safety"),
        event=words.event,
        response_types=("Prepare" if standby else "Monitor",),
        urgency="Expected" if standby else "Immediate",
        severity="Extreme" if alert.kind is AlertKind.CHILD_ALERT else "Severe",
        certainty="Likely" if standby else "Observed",
        event_codes=(Value("kind", alert.kind.value),),
        effective=to_the_second(frame.now.astimezone(office.zone)),
        expires=to_the_second(expires.astimezone(office.zone)) if expires else None,
        sender_name=office.name,
        headline=headline,
        description=description,
        instruction=words.standby_instruction if standby else words.instruction,
        web=_web(revision, variant),
        contact=CONTACT,
        parameters=tuple(_parameters(revision, material, variant)),
        resources=tuple(_resources(frame, material, variant, language)),
        areas=tuple(_area(code, language) for code in alert.areas),
    )


def _said(
    kind: AlertKind, material: Material, variant: Variant, words: Words, text: Text | None
) -> tuple[str, str]:
    """Headline and description."""
    if kind is AlertKind.STANDBY:
        return words.standby, words.standby
    if variant.content == "link":
        return words.linked, words.linked
    persons = [_person(person, words) for person in material.persons]
    return text.headline if text else words.event, "\n".join([*([text.body] if text else []), *persons])


def _person(person: PersonShown, words: Words) -> str:
    gender = {"girl": words.girl, "boy": words.boy}.get(person.gender or "")
    return " · ".join(part for part in (person.name, gender, _age(person, words), person.description) if part)


def _age(person: PersonShown, words: Words) -> str | None:
    if person.age is not None:
        return words.years.format(person.age)
    if person.age_min is not None and person.age_max is not None:
        return words.years.format(f"{person.age_min}–{person.age_max}")  # noqa: RUF001 - a range of years
    return None


def _web(revision: Revision, variant: Variant) -> str | None:
    alert, base = revision.alert, revision.frame.base_url
    if alert.kind is AlertKind.STANDBY:
        return None
    if variant.content == "link":
        return f"{base}/v1/partner/alerts/{alert.alert_id}"
    return f"{base}/alerts/{alert.alert_id}.cap.xml" if is_public(alert) else None


def _parameters(revision: Revision, material: Material, variant: Variant) -> Iterable[Value]:
    alert, frame = revision.alert, revision.frame
    yield Value("alert_id", str(alert.alert_id))
    yield Value("revision", str(revision.number))
    yield Value("receipts_url", f"{frame.base_url}/v1/receipts")
    if alert.kind is not AlertKind.STANDBY:
        if is_leased(variant):
            yield Value("display_for_s", str(frame.display_for_s))
    elif variant.audience is Audience.MISSING_PERSONS_UNIT:
        if material.case_number:
            yield Value("case_number", material.case_number)
        yield from (Value("criterion", criterion) for criterion in material.criteria)


def _resources(frame: Frame, material: Material, variant: Variant, language: Language) -> Iterable[Resource]:
    if variant.content == "full":
        for media in pictures(frame, material, {language}):
            yield Resource(resource_desc=media.rel, mime_type=media.type, uri=media.url)


def _area(code: str, language: Language) -> Area:
    level, _, name = code.rpartition(":")
    return Area(
        area_desc=name_of(code, language.value),
        polygons=outline(name) if level == "arrondissement" else (),
        geocodes=tuple(Value(one.scheme, one.code) for one in geocodes_of(code)),
    )
