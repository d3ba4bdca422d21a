"""What proves that a poster hangs: a picture, sealed with the key of its call-out and gone with it."""

import hashlib
from collections.abc import Sequence
from uuid import UUID

from fastapi.responses import Response

from services.kernel.audit import note
from services.kernel.pictures import TYPE
from services.kernel.postgres import Connection, Pool, queries
from services.kernel.principals import Principal
from services.kernel.problems import GoneError, InvalidError, NotFoundError
from services.kernel.vault import context, key_name, seal_bytes, unseal_bytes
from services.volunteers.desk import VolunteerDeps

MOST = 1000
"""Of one call-out: who has a link puts up no more."""
_HEADERS = {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'",
    "X-Robots-Tag": "noindex",
}

_SQL = queries("services.volunteers", "photos.sql")


async def keep(
    deps: VolunteerDeps, connection: Connection, callout_id: UUID, poster_id: UUID, picture: bytes
) -> str:
    """Keeps a picture that was cleaned; returns the SHA-256 of what is kept. Raises InvalidError, KeyDestroyedError."""
    name = key_name("callout", callout_id)
    key = (await deps.vault.ensure([name]))[name]
    box = seal_bytes(key, picture, _bound_to(callout_id, poster_id))
    if not await connection.fetchval(_SQL["keep"], poster_id, callout_id, box, MOST):
        raise InvalidError("too-many-photos", f"a call-out has at most {MOST} photos: note it without one")
    return hashlib.sha256(box).hexdigest()


async def shown(deps: VolunteerDeps, callout_id: UUID, poster_id: UUID, who: Principal) -> Response:
    """The picture for whoever leads, which is noted. Raises NotFoundError; GoneError when it is erased."""
    subjects = [f"callout:{callout_id}", f"poster:{poster_id}"]
    await note(deps.pool, who.name, who.role, "poster.photo.read", subjects)
    box = await deps.pool.fetchval(_SQL["photo"], poster_id, callout_id)
    if box is None:
        raise NotFoundError("photo", "no photo was taken of this, or it is erased")
    name = key_name("callout", callout_id)
    key = (await deps.vault.find([name])).get(name)
    if key is None:
        raise GoneError("photo-erased", "the photo is erased")
    return Response(
        unseal_bytes(box, key, _bound_to(callout_id, poster_id)), headers=_HEADERS, media_type=TYPE
    )


async def forget(pool: Pool, callout_ids: Sequence[UUID]) -> None:
    """Those of these call-outs; without their key they were unreadable already."""
    await pool.execute(_SQL["forget"], list(callout_ids))


def _bound_to(callout_id: UUID, poster_id: UUID) -> bytes:
    return context(f"callout-{callout_id}", poster_id, "photo")
