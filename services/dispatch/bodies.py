"""Bodies of revisions: opened from events, frozen, sealed with the key of their alert."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from schemas.base import Sealed
from schemas.commands import Text
from schemas.events import Appeal
from schemas.payloads import MediaShown, PersonShown
from services.cap import SigningKey, sign, write
from services.dispatch.cap_key import signing_key
from services.dispatch.cap_message import Originator, appeal_message, cancel_message
from services.dispatch.domain import (
    DISPLAY_FOR_S,
    Alert,
    DispatchError,
    Earlier,
    Frame,
    Material,
    Revision,
    Variant,
    message,
    withdrawal_variant,
)
from services.eventlog.store import Recorded, alert_stream
from services.kernel.settings import Settings
from services.kernel.vault import Vault, VaultError, blind, context, derive, key_name, seal, unseal

SOURCE = "source"
"""The variant that holds the whole content, from which a form that is wanted later is made."""


class KeysAwayError(DispatchError):
    """The vault does not open with the master key of this process: nothing can be planned until it does."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of `dispatch.body`: sealed, or clear for a withdrawal."""

    variant: str
    box: str | None
    clear: str | None


@dataclass(frozen=True, slots=True)
class Bodies:
    """Makes and opens bodies of this installation."""

    base_url: str
    case_ref_key: bytes
    fingerprint_key: bytes
    originator: Originator
    signing_key: SigningKey
    display_for_s: int = DISPLAY_FOR_S

    @classmethod
    def of(cls, settings: Settings) -> "Bodies":
        """With the keys of these settings. Raises CapKeyError for a signing key that cannot be used."""
        master = settings.master_key_bytes
        keys = derive(master, "case-ref"), derive(master, "fingerprint")
        originator = Originator(settings.cap_sender_id, settings.cap_sender_name, settings.zone)
        return cls(settings.base_url, *keys, originator, signing_key(settings), settings.display_for_s)

    def frame(self, alert: Alert, issued_at: Any, now: Any, earlier: Iterable[Earlier] = ()) -> Frame:
        """What surrounds the content. The case's reference is opaque: it leads nobody to the case."""
        digest = blind(self.case_ref_key, str(alert.case_id))[:12]
        case_ref = base64.urlsafe_b64encode(digest).decode()
        return Frame(self.base_url, case_ref, issued_at, now, self.display_for_s, tuple(earlier))

    def fingerprint(self, alert: Alert, material: Material | None) -> bytes | None:
        """Equal when two revisions say the same."""
        if material is None:
            return None
        said = orjson.dumps(
            [sorted(alert.areas), material.model_dump(mode="json")], option=orjson.OPT_SORT_KEYS
        )
        return blind(self.fingerprint_key, said.decode())

    def withdrawal(self, revision: Revision, message_format: str) -> Row:
        """Clear: it identifies nobody, and must still be there when the key is gone."""
        if message_format == "cap":
            body = sign(write(cancel_message(revision, self.originator)), self.signing_key)
        else:
            body = message(revision, None, None)
        return Row(withdrawal_variant(message_format), None, body.decode())

    def source(self, revision: Revision, material: Material, key: bytes) -> Row:
        """The whole content, sealed."""
        return _sealed(revision, SOURCE, material.model_dump(mode="json"), key)

    def form(self, revision: Revision, material: Material, variant: Variant, key: bytes) -> Row:
        """One form of the content, sealed as the text that is signed and sent."""
        if variant.format == "cap":
            said = appeal_message(revision, material, variant, self.originator)
            body = sign(write(said), self.signing_key)
        else:
            body = message(revision, material, variant)
        return _sealed(revision, variant.name, body.decode(), key)


def _sealed(revision: Revision, variant: str, value: Any, key: bytes) -> Row:
    alert_id = revision.alert.alert_id
    box = seal(key_name("alert", alert_id), key, value, body_context(alert_id, revision.number, variant))
    return Row(variant, box.model_dump_json(), None)


def body_context(alert_id: UUID, revision: int, variant: str) -> bytes:
    """What a sealed body is bound to."""
    return context(alert_stream(alert_id), alert_id, f"body.{revision}.{variant}")


def open_box(alert_id: UUID, revision: int, variant: str, box: str, key: bytes) -> Any:
    """The content of a sealed body: the text of a form, or the fields of a source. Raises VaultError."""
    return unseal(Sealed.model_validate_json(box), key, body_context(alert_id, revision, variant))


async def find_keys(vault: Vault, names: Sequence[str]) -> dict[str, bytes]:
    """The keys that are not destroyed. Raises KeysAwayError: that is no event's fault."""
    try:
        return await vault.find(names)
    except VaultError as error:
        raise KeysAwayError(str(error)) from error


async def open_appeal(vault: Vault, event: Recorded, appeal: Appeal) -> Material | None:
    """What an appeal shows, opened with the keys of its children and its case.

    A child whose key was destroyed is left out. None: nobody and nothing is left that could be shown.
    """
    boxes = {f"persons.{i}.portrait": person.portrait for i, person in enumerate(appeal.persons)}
    pictures = _pictures(appeal)
    boxes |= {place: link for place, (link, _) in pictures.items()}
    if appeal.texts is not None:
        boxes["texts"] = appeal.texts
    keys = await find_keys(vault, [box.key for box in boxes.values()])
    opened = {
        name: unseal(box, keys[box.key], context(event.stream, event.event_id, f"appeal.{name}"))
        for name, box in boxes.items()
        if box.key in keys
    }
    if "texts" in boxes and "texts" not in opened:
        return None
    persons = _persons(opened, len(appeal.persons))
    if appeal.persons and not persons:
        return None
    texts = {language: Text.model_validate(text) for language, text in opened.get("texts", {}).items()}
    media = [
        shown.model_copy(update={"url": f"/media/{opened[place]}{shown.url}"})
        for place, (_, shown) in pictures.items()
        if place in opened
    ]
    return Material(texts=texts or None, persons=tuple(persons), media=tuple(media))


def _pictures(appeal: Appeal) -> dict[str, tuple[Sealed, MediaShown]]:
    """Each picture by its place in the appeal: its sealed link, and how it is shown; of its address only the end."""
    found = {}
    for i, photo in enumerate(appeal.media):
        if photo.link is not None:
            shown = MediaShown(
                rel="photo", url=".jpg", type=photo.type, width=photo.width, height=photo.height
            )
            found[f"media.{i}.link"] = photo.link, shown
    for i, sheet in enumerate(appeal.renderings):
        shown = MediaShown(**sheet.model_dump(exclude={"link"}), url=".png")
        found[f"renderings.{i}.link"] = sheet.link, shown
    return found


def _persons(opened: Mapping[str, Any], count: int) -> Sequence[PersonShown]:
    names = [f"persons.{i}.portrait" for i in range(count)]
    return [PersonShown.model_validate(opened[name]) for name in names if name in opened]
