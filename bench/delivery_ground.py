"""What the delivery bench stands on: a PostgreSQL, tables full of deliveries, sender processes, a sink."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil

ROOT = Path(__file__).parents[1]
from services.cli.database import migrate_all
from services.dispatch.secret_boxes import PURPOSE
from services.kernel.embedded import EmbeddedPostgres
from services.kernel.postgres import create_pool
from services.kernel.settings import Settings, load_settings
from services.kernel.signing import new_secret
from services.kernel.vault import Vault, context, derive, key_name, ring_of, seal

MASTER_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
BODY = '{"type": "alert.issued", "data": {"texts": "' + "x" * 1500 + '"}}'

_RECIPIENT = (
    "insert into dispatch.recipient (recipient_id, name, url, format, content, areas, languages, contact, audience,"
    " exercise, state, secret) values ($1, $2, $3, 'json', 'full', '{BE}', '{nl}', 'desk', 'display', false, 'active', $4)"
)
_ALERT = (
    "insert into dispatch.alert (alert_id, kind, case_id, campaign_id, mode, areas, head_revision, issued_at)"
    " values ($1, 'public', gen_random_uuid(), gen_random_uuid(), 'actual', '{BE}', 1, clock_timestamp())"
)
_REVISION = "insert into dispatch.alert_revision (alert_id, revision, content) values ($1, 1, 'issued')"
_LANES = (
    "insert into dispatch.lane (recipient_id, alert_id, due_at, failures) select r, $1,"
    " clock_timestamp() + random() * make_interval(secs => $3), $4 from unnest($2::uuid[]) r"
)
_DELIVERIES = (
    "insert into dispatch.delivery (delivery_id, recipient_id, alert_id, revision, content, variant, state)"
    " select gen_random_uuid(), r, $1, 1, 'issued', 'json', 'pending' from unnest($2::uuid[]) r"
)


class Bench:
    """Databases of its own on an embedded PostgreSQL with the settings of an installation."""

    def __init__(self, pool: Any, vault: Vault, settings: Settings, folder: Path) -> None:
        self.pool, self.vault, self.settings, self.folder = pool, vault, settings, folder

    async def recipients(self, count: int, url: str) -> list[UUID]:
        """Active partners at one address."""
        key = derive(self.settings.master_key_bytes, PURPOSE)
        rows = []
        for _ in range(count):
            recipient = uuid4()
            secret = seal("partner-secrets", key, new_secret(), str(recipient).encode()).model_dump_json()
            rows.append((recipient, f"Partner {recipient.hex[:8]}", url, secret))
        await self.pool.executemany(_RECIPIENT, rows)
        return [row[0] for row in rows]

    async def fill(
        self, recipients: Sequence[UUID], alerts: int, within_s: float = 0, failures: int = 0
    ) -> None:
        """Deliveries that are due within so many seconds."""
        for _ in range(alerts):
            alert_id = uuid4()
            name = key_name("alert", alert_id)
            key = (await self.vault.ensure([name]))[name]
            place = context(f"alert-{alert_id}", alert_id, "body.1.json")
            box = seal(name, key, BODY, place).model_dump_json()
            async with self.pool.acquire() as connection, connection.transaction():
                for statement in (_ALERT, _REVISION):
                    await connection.execute(statement, alert_id)
                insert = (
                    "insert into dispatch.body (alert_id, revision, variant, box) values ($1, 1, 'json', $2)"
                )
                await connection.execute(insert, alert_id, box)
                await connection.execute(_LANES, alert_id, list(recipients), within_s, failures)
                await connection.execute(_DELIVERIES, alert_id, list(recipients))

    def database_cpu(self) -> float:
        """CPU seconds so far of the server's processes that still are."""
        server = int((self.folder / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])
        times = [one.cpu_times() for one in psutil.Process(server).children()]
        return sum(each.user + each.system for each in times)

    async def pending(self) -> int:
        """How many deliveries wait."""
        return int(await self.pool.fetchval("select count(*) from dispatch.delivery where state = 'pending'"))

    async def until_done(self, most_s: float = 3600) -> float:
        """Waits until nothing waits; returns the seconds."""
        began = time.monotonic()
        while True:
            asked = time.monotonic()
            if not await self.pending():
                return time.monotonic() - began
            if time.monotonic() - began > most_s:
                raise TimeoutError("deliveries are left: see whether the senders run")
            # Counting many takes from the senders what is to be measured.
            await asyncio.sleep(min(1.0, max(0.1, 30 * (time.monotonic() - asked))))

    async def claim_ms(self, times: int = 9) -> float:
        """The median time of a claim that is rolled back."""
        found = []
        for _ in range(times):
            async with self.pool.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                began = time.monotonic()
                await connection.fetch("select * from dispatch.claim('bench', interval '30 s', 96, 128)")
                found.append(1000 * (time.monotonic() - began))
                await transaction.rollback()
        return sorted(found)[times // 2]

    @asynccontextmanager
    async def senders(self, count: int = 1) -> AsyncIterator[list[psutil.Process]]:
        """Sender processes as the supervisor starts them."""
        environment = os.environ | {
            "DATABASE_URL": self.settings.database_url.get_secret_value(),
            "ZOEKLICHT_VAULT_DATABASE_URL": self.settings.vault_url,
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "ZOEKLICHT_MASTER_KEY": MASTER_KEY,
            "ZOEKLICHT_ALLOW_LOOPBACK_PARTNERS": "true",
            "ZOEKLICHT_LOG_LEVEL": "warning",
        }
        command = [sys.executable, "-m", "services.cli.service", "sender"]
        running = [
            await asyncio.create_subprocess_exec(*command, env=environment, cwd=ROOT) for _ in range(count)
        ]
        try:
            yield [psutil.Process(one.pid) for one in running]
        finally:
            for one in running:
                one.terminate()
            await asyncio.gather(*(one.wait() for one in running))


@asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[Bench]:
    """Everything, started and ended."""
    server = EmbeddedPostgres(folder / "postgres", log_file=folder / "postgres.log")
    await asyncio.to_thread(server.start)
    try:
        settings = load_settings(
            database_url=server.dsn("zoeklicht"),
            kafka_bootstrap_servers="127.0.0.1:1",
            master_key=MASTER_KEY,
            allow_loopback_partners=True,
        )
        await migrate_all(settings)
        pool = await create_pool(settings.database_url.get_secret_value(), size=4, application="bench")
        keys = await create_pool(settings.vault_url, size=2, application="bench-vault")
        yield Bench(pool, Vault(keys, ring_of(settings)), settings, folder)
        await pool.close()
        await keys.close()
    finally:
        await asyncio.to_thread(server.stop)


@asynccontextmanager
async def sink(port: int = 0) -> AsyncIterator[str]:
    """A receiver in a process of its own; gives its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "bench" / "sink.py"), str(port), stdout=asyncio.subprocess.PIPE
    )
    try:
        line = (await process.stdout.readline()).decode().strip() if process.stdout else ""
        yield f"http://127.0.0.1:{line}/hook"
    finally:
        process.terminate()
        await process.wait()
