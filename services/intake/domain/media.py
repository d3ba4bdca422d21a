"""Which pictures an appeal shows, and the unguessable part of their addresses: one per campaign and picture."""

import base64
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from schemas.events import Appeal, Media
from schemas.vocabulary import CampaignKind, Language
from services.intake.domain.case import Case, Child
from services.intake.domain.drafts import Secret
from services.intake.domain.errors import ContentError
from services.kernel.vault import key_name

PHOTO = "photo"
SHEETS: Mapping[str, tuple[int, int]] = {"screen": (1080, 1920), "poster": (1654, 2339)}
"""Pictures that are drawn, with width and height in pixels: a portrait screen, and A4 at 200 dots per inch."""
DRAWN_TYPE = "image/png"
_DRAWN_FOR = frozenset({CampaignKind.PUBLIC, CampaignKind.CHILD_ALERT})
"""A vignette is discreet: nothing is drawn for a screen or a wall."""
_LINK_BYTES = 24


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo that is there."""

    media_id: UUID
    child_id: UUID
    type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Gallery:
    """What a decision may know of pictures.

    `photos`: those that were named. `links`: those that exist, by campaign and name. `seed`: random, for new links.
    """

    photos: Mapping[UUID, Photo] = field(default_factory=dict)
    links: Mapping[UUID, Mapping[str, str]] = field(default_factory=dict)
    seed: bytes = b""

    def link(self, campaign_id: UUID, name: str) -> str:
        """The link of a picture in a campaign: the one it has, else a new one."""
        known = self.links.get(campaign_id, {}).get(name)
        if known is not None:
            return known
        assert self.seed  # noqa: S101 - without a random seed a link could be guessed
        made = hashlib.blake2b(f"{campaign_id}|{name}".encode(), key=self.seed, digest_size=_LINK_BYTES)
        return base64.urlsafe_b64encode(made.digest()).decode()


def photo_name(media_id: UUID) -> str:
    """The name of a photo among the pictures of a campaign."""
    return f"{PHOTO}.{media_id}"


def sheet_name(rel: str, language: Language) -> str:
    """The name of a drawn picture among the pictures of a campaign."""
    return f"{rel}.{language.value}"


def named_photos(
    case: Case, people: Iterable[Child], media_ids: Iterable[UUID], gallery: Gallery
) -> list[Photo]:
    """The photos with these ids, each once. Raises ContentError unless each shows one of these people of the case."""
    shown = {child.child_id for child in people}
    missing = {child.child_id for child in case.missing}
    children = {child.child_id for child in case.children}
    found = []
    for index, media_id in enumerate(dict.fromkeys(media_ids)):
        photo = gallery.photos.get(media_id)
        if photo is None or photo.child_id not in children:
            raise ContentError(
                f"media.{index}",
                "no-such-photo",
                "there is no such photo of a child of this case: upload it first, or take the id from the case",
            )
        if photo.child_id not in missing:
            raise ContentError(
                f"media.{index}",
                "photo-of-found-child",
                "the photo shows a child that was found: leave it out",
            )
        if photo.child_id not in shown:
            raise ContentError(
                f"media.{index}",
                "photo-of-other-child",
                "this campaign was released for other children: request a campaign for this child",
            )
        found.append(photo)
    return found


def photo_fields(
    campaign_id: UUID, photos: Iterable[Photo | Media], gallery: Gallery
) -> list[dict[str, Any]]:
    """The photos as an appeal names them."""
    return [
        {
            "media_id": one.media_id,
            "child_id": one.child_id,
            "type": one.type,
            "width": one.width,
            "height": one.height,
            "link": Secret(
                key_name("child", one.child_id), gallery.link(campaign_id, photo_name(one.media_id))
            ),
        }
        for one in photos
    ]


def sheet_fields(
    campaign_id: UUID,
    case_id: UUID,
    kind: CampaignKind,
    languages: Sequence[Language],
    gallery: Gallery,
) -> list[dict[str, Any]]:
    """The pictures that are drawn of an appeal with photos."""
    if kind not in _DRAWN_FOR:
        return []
    return [
        {
            "rel": rel,
            "language": language,
            "type": DRAWN_TYPE,
            "width": width,
            "height": height,
            "link": Secret(key_name("case", case_id), gallery.link(campaign_id, sheet_name(rel, language))),
        }
        for rel, (width, height) in SHEETS.items()
        for language in languages
    ]


def pictures_of(appeal: Appeal) -> Collection[str]:
    """The names of the pictures that an appeal shows."""
    return {photo_name(one.media_id) for one in appeal.media} | {
        sheet_name(one.rel, one.language) for one in appeal.renderings
    }
