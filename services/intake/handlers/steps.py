"""What every step of intake has in common: load, decide, seal, append, in one transaction under the lock of its case."""

from asyncio import Future
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from secrets import token_bytes
from typing import Any
from uuid import UUID

import asyncpg

from schemas.vocabulary import Mode
from services.eventlog.store import (
    Cause,
    VersionConflictError,
    lock_streams,
)
from services.intake import store
from services.intake.domain.appeal import Known
from services.intake.domain.drafts import Draft
from services.intake.domain.errors import IntakeError
from services.intake.domain.media import Gallery
from services.intake.domain.policy import Policy
from services.intake.problems import problem
from services.intake.store import Committed, File
from services.kernel.idempotency import Idempotency
from services.kernel.postgres import Connection, Pool, in_transaction
from services.kernel.principals import Principal
from services.kernel.problems import ConflictError, NotFoundError, PreconditionFailedError
from services.kernel.settings import Settings
from services.kernel.vault import KeyDestroyedError, Vault

ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class IntakeDeps:
    """What intake works with."""

    pool: Pool
    vault: Vault
    settings: Settings
    policy: Policy
    sheets: dict[UUID, tuple[int, dict[str, Future[bytes]]]] = field(default_factory=dict, compare=False)
    """Drawn pictures by campaign, with the version they were drawn from; never more than a few."""

    @property
    def secret(self) -> bytes:
        """The key of the blind index."""
        return store.fingerprint_key(self.settings.master_key_bytes)


@dataclass(frozen=True, slots=True)
class Ask:
    """Who asks, and how: the version the caller saw, the key that makes a repeat harmless."""

    principal: Principal
    correlation_id: str
    traceparent: str | None = None
    idempotency: Idempotency | None = None
    if_match: int | None = None

    def cause(self, mode: Mode) -> Cause:
        """Why the events are appended."""
        return Cause(self.principal.name, self.correlation_id, traceparent=self.traceparent, mode=mode)


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a body; `version` of the body becomes the ETag."""

    status: int
    body: dict[str, Any]


Work = Callable[[Connection], Awaitable[Answer]]


async def execute(deps: IntakeDeps, ask: Ask, locks: Iterable[str], work: Work) -> Answer:
    """Runs `work` in one transaction under these locks, with the caller's idempotency key.

    Everything is read and decided under the lock of the case, so that of two commands the second sees what the first
    appended. Raises a Problem for whatever is refused, AnsweredBefore for a repeat.
    """
    names = list(locks)

    async def once(connection: Connection) -> Answer:
        if ask.idempotency:
            await ask.idempotency.claim(connection)
        await lock_streams(connection, names)
        answer = await work(connection)
        if ask.idempotency:
            await ask.idempotency.remember(connection, answer.status, answer.body)
        return answer

    if ask.idempotency:
        await ask.idempotency.replay(deps.pool)
    for _ in range(ATTEMPTS):
        try:
            return await in_transaction(deps.pool, once)
        except (VersionConflictError, asyncpg.UniqueViolationError):
            continue
        except IntakeError as error:
            raise problem(error) from error
        except KeyDestroyedError as error:
            raise ConflictError("erased", "this identity is erased and takes no new data") from error
    raise ConflictError("busy", "others keep changing this case: try again", headers={"Retry-After": "1"})


# ── reading for a decision ──────────────────────────────────────────────────────────────────────────────────


async def load(connection: Connection, case_id: UUID) -> File:
    """The file of a case. Raises NotFoundError."""
    file = (await store.load_files(connection, [case_id]))[case_id]
    if not file.case.version:
        raise NotFoundError("no-such-case", "there is no case with this id: take it from the list of cases")
    return file


async def known_of(
    connection: Connection,
    deps: IntakeDeps,
    files: Iterable[File],
    principal: Principal,
    media: Sequence[UUID] = (),
) -> Known:
    """What was said in clear, opened for a decision; and the photos with these ids."""
    children = {c.child_id: c.identity for file in files for c in file.case.children}
    texts = {c.campaign_id: c.texts for file in files for c in file.campaigns.values() if c.texts}
    links = {c.campaign_id: c.links for file in files for c in file.campaigns.values() if c.links}
    sealed = [*children.values(), *texts.values(), *(at for one in links.values() for at in one.values())]
    names = {at.sealed.key for at in sealed}
    keys = await deps.vault.find(sorted(names)) if names else {}
    return Known(
        now=await store.database_now(connection),
        zone=deps.settings.zone,
        policy=deps.policy,
        actor=principal.name,
        role=principal.role,
        identities={child: at.opened(keys) for child, at in children.items()},
        texts={campaign: at.opened(keys) or {} for campaign, at in texts.items()},
        gallery=Gallery(
            photos=await store.photos(connection, media) if media else {},
            links={
                campaign: {name: link for name, at in one.items() if (link := at.opened(keys)) is not None}
                for campaign, one in links.items()
            },
            seed=token_bytes(32),
        ),
    )


def check_match(file: File, stream: str, if_match: int | None) -> None:
    """Raises PreconditionFailedError when the stream is not at the version that the caller saw."""
    version = file.versions[stream]
    if if_match is None or if_match == version:
        return
    since = [event for event in file.events if event.stream == stream and event.version > max(if_match, 0)]
    raise PreconditionFailedError(
        "stale-version",
        "somebody was faster: look at what changed, and send it again with the current version",
        current_version=version,
        changed=[
            {
                "version": event.version,
                "event_id": str(event.event_id),
                "type": event.type,
                "by": event.cause.actor,
                "recorded_at": event.recorded_time.isoformat(),
            }
            for event in since
        ],
    )


async def commit(
    connection: Connection, deps: IntakeDeps, files: list[File], drafts: list[Draft], cause: Cause
) -> Committed:
    """Seals and appends what was decided."""
    return await store.commit(
        connection,
        vault=deps.vault,
        secret=deps.secret,
        policy=deps.policy,
        files=files,
        drafts=drafts,
        cause=cause,
    )
