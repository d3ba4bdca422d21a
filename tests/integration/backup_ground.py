"""What tests of backups stand on: an installation that commands find, and an empty place to bring it back to."""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
from dispatch_ground import add_recipient
from erasure_ground import TABLES
from intake_ground import NOA
from pydantic import SecretStr

from schemas.commands import CallOut
from services.cli import backup as backups
from services.cli import restore as restores
from services.intake.handlers.steps import IntakeDeps
from services.intake.policy import load_policy
from services.kernel.postgres import create_pool, in_transaction
from services.kernel.principals import Principal, Role
from services.kernel.settings import Settings
from services.kernel.vault import Vault, ring_of
from services.volunteers import callouts
from services.volunteers.desk import Ask

KAFKA_IS_AWAY = "127.0.0.1:1"
_numbers = itertools.count(1)


@asynccontextmanager
async def empty(settings: Settings) -> AsyncIterator[Settings]:
    """The same installation on databases in which nothing was ever made, and on topics of its own."""
    parts = urlsplit(settings.database_url.get_secret_value())
    name = f"{parts.path[1:]}_again_{next(_numbers)}"
    names = name, f"{name}_vault"
    server = urlunsplit(parts._replace(path="/postgres"))
    await _each(server, 'create database "{}" template "template0" strategy file_copy', names)
    urls = [urlunsplit(parts._replace(path=f"/{one}")) for one in names]
    try:
        yield settings.model_copy(
            update={
                "database_url": SecretStr(urls[0]),
                "vault_database_url": SecretStr(urls[1]),
                "topic_prefix": f"{settings.topic_prefix}again-",
            }
        )
    finally:
        await _each(server, 'drop database if exists "{}" with (force)', names)


async def _each(server: str, statement: str, names: tuple[str, ...]) -> None:
    connection = await asyncpg.connect(server)
    try:
        for name in names:
            await connection.execute(statement.format(name))
    finally:
        await connection.close()


class Machine:
    """Commands on an installation, as somebody at its machine gives them."""

    def __init__(self, folder: Path, setenv: Callable[[str, str], None]) -> None:
        self.folder, self._setenv = folder, setenv

    def at(self, settings: Settings) -> None:
        """Whose environment the next commands have."""
        self._setenv("DATABASE_URL", settings.database_url.get_secret_value())
        self._setenv("ZOEKLICHT_VAULT_DATABASE_URL", settings.vault_url)
        self._setenv("ZOEKLICHT_MASTER_KEY", settings.master_key.get_secret_value())
        if settings.kafka_bootstrap_servers != KAFKA_IS_AWAY:
            self._setenv("KAFKA_BOOTSTRAP_SERVERS", settings.kafka_bootstrap_servers)
        self._setenv("ZOEKLICHT_TOPIC_PREFIX", settings.topic_prefix)

    async def backup(self, settings: Settings, name: str = "main") -> Path:
        self.at(settings)
        file = self.folder / f"{name}.backup"
        await backups.backup(self.folder, file, "keys" if name.startswith("keys") else "main")
        return file

    async def restore(
        self, settings: Settings, file: Path | None, keys: Path | None = None, **how: Any
    ) -> None:
        self.at(settings)
        await restores.restore(self.folder, restores.Wish(file, keys, **how))


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[IntakeDeps]:
    """An installation, with pools of its own."""
    pool = await create_pool(settings.database_url.get_secret_value(), size=10, application="test-again")
    keys = await create_pool(settings.vault_url, size=4, application="test-again-vault")
    try:
        yield IntakeDeps(pool, Vault(keys, ring_of(settings)), settings, load_policy())
    finally:
        await keys.close()
        await pool.close()


CHANGED = {
    "eventlog.epoch", "kernel.audit", "kernel.audit_head", "kernel.heartbeat", "kernel.session",
    "kernel.consumer_progress",
}  # fmt: skip
"""What a restore itself changes."""


async def rows_of(pool, table):
    return [row["t"] for row in await pool.fetch(f"select t::text from {table} t order by 1")]


async def everything(pool):
    names = sorted(row["name"] for row in await pool.fetch(TABLES))
    return {name: await rows_of(pool, name) for name in names if name not in CHANGED}


async def close(site, case):
    got = await site.api.fact(case, "closed", outcomes=[{"child": 0, "outcome": "found_safe"}])
    assert got.status == 201, got.body


async def erased(site, case):
    await site.approved(case_id=case)
    await site.carried_out()
    return await site.child_of(case)


async def named(deps, *children):
    """Which of these children anybody can name."""
    return sorted(await deps.vault.find([f"child:{one}" for one in children]))


async def shown(site):
    """A case that is lit at a display which never heard of it yet, one that is asked for, and people called out."""
    await add_recipient(site.pool)
    case, quiet = await site.api.opened(), await site.api.opened(children=[NOA])
    lit = await site.api.released(case, "public")
    asked = await site.api.requested(quiet)
    await site.dispatched()
    ask = Ask(Principal("an", Role.COORDINATOR), "c")
    wish = CallOut(people=2, postal_code="3000")
    await in_transaction(site.pool, lambda c: callouts.call_out(site.helpers, ask, c, UUID(case), wish))
    return case, lit, asked


async def pending(pool):
    rows = await pool.fetch("select content, revision from dispatch.delivery where state = 'pending'")
    return [(row["content"], row["revision"]) for row in rows]
