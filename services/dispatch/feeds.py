"""What the public may read: live public appeals as CAP, and for 48 h that they are over. No more, no longer."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from services.cap import read
from services.dispatch.bodies import KeysAwayError, find_keys, open_box
from services.dispatch.desk import DispatchDeps
from services.dispatch.domain import CAP_FULL
from services.dispatch.feed_documents import Entry
from services.kernel.conditional import entity_tag
from services.kernel.postgres import queries
from services.kernel.problems import NotFoundError, UnavailableError
from services.kernel.vault import key_name

OVER_FOR = timedelta(hours=48)
"""How long a withdrawn alert stays, without identity, so that whoever reads seldom learns that it is over."""
FORM = 1
"""To be raised when the documents look different for the same alerts: tags follow from what is shown."""

_SQL = queries("services.dispatch", "feeds.sql")
Rows = Sequence[Mapping[str, Any]]


async def shown(deps: DispatchDeps, alert_id: UUID | None = None) -> Rows:
    """What may be shown now, sealed as it is kept: one query, and all that a tag needs."""
    rows: Rows = await deps.pool.fetch(_SQL["shown"], alert_id, CAP_FULL.name, OVER_FOR)
    return rows


async def shown_one(deps: DispatchDeps, alert_id: UUID) -> Rows:
    """The same of one alert. Raises NotFoundError: the public learns of no other alert that it exists."""
    rows = await shown(deps, alert_id)
    if not rows:
        raise _unknown()
    return rows


def tag_of(deps: DispatchDeps, document: str, rows: Rows) -> str:
    """The tag of a document about these alerts: bodies are frozen, so the same revisions are the same bytes."""
    revisions = [f"{row['alert_id']}.{row['head_revision']}.{row['variant']}" for row in rows]
    return entity_tag(FORM, document, deps.settings.base_url, deps.settings.cap_sender_name, *revisions)


async def opened(deps: DispatchDeps, rows: Rows) -> list[tuple[Mapping[str, Any], bytes]]:
    """The frozen bytes of each; one whose key was destroyed is left out. Raises UnavailableError without the vault."""
    names = [key_name("alert", row["alert_id"]) for row in rows if row["box"] is not None]
    try:
        keys = await find_keys(deps.vault, names) if names else {}
    except KeysAwayError as error:
        raise UnavailableError("vault", "the keys are away; try again in a few seconds") from error
    found = []
    for row in rows:
        key = keys.get(key_name("alert", row["alert_id"]))
        if row["clear"] is not None:
            found.append((row, row["clear"].encode()))
        elif key is not None:
            text = open_box(row["alert_id"], row["head_revision"], row["variant"], row["box"], key)
            found.append((row, text.encode()))
    return found


async def document(deps: DispatchDeps, rows: Rows) -> bytes:
    """One alert's CAP message, as it was signed. Raises NotFoundError once its key is destroyed."""
    for _, body in await opened(deps, rows):
        return body
    raise _unknown()


def entries(found: Sequence[tuple[Mapping[str, Any], bytes]]) -> list[Entry]:
    """What feeds say of each: nothing but what its message says."""
    return [Entry(row["alert_id"], row["issued_at"], row["revised_at"], read(body)) for row, body in found]


def _unknown() -> NotFoundError:
    return NotFoundError("alert", "no such alert is public now; /feeds/cap.atom lists those that are")
