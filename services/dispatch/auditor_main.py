"""The auditor as a process: independent of whoever it watches. It also carries the pages to people."""

from datetime import UTC, datetime, timedelta

import structlog

from services.dispatch.auditor import audit, counts, page_findings
from services.dispatch.emergency.writing import keep_writing
from services.dispatch.healing import heal
from services.dispatch.publish import Publisher
from services.eventlog.witness import witness
from services.kernel.audit.trail import head
from services.kernel.paging import all_clear, page
from services.kernel.paging.dead_man import sign_of_life
from services.kernel.paging.pager import Pager
from services.kernel.postgres import Connection, create_pool, in_transaction
from services.kernel.service import Runtime, run_service
from services.kernel.vault import Vault, ring_of

EVERY_S = 60.0
AUDIT_WITHIN_S = 900.0
"""A large installation has much to look at."""
_DEAD_MAN = "dead-man:url"

log = structlog.get_logger()


async def serve(runtime: Runtime) -> None:
    """Audits at once and then every minute, until it is to stop. An error ends it: the supervisor restarts it."""
    settings = runtime.settings
    keys = await create_pool(settings.vault_url, size=1, keep=0, application="zoeklicht-auditor-vault")
    try:
        publisher = Publisher(runtime.pool, Vault(keys, ring_of(settings)), settings)
        async with runtime.loops() as tasks:
            tasks.create_task(Pager(runtime.pool, settings).run(runtime.stop, runtime.works.doing))
            tasks.create_task(keep_writing(runtime))
            tasks.create_task(_watch(runtime, publisher))
            tasks.create_task(_witness(runtime))
    finally:
        await keys.close()


async def _watch(runtime: Runtime, publisher: Publisher) -> None:
    linger = timedelta(seconds=runtime.settings.standby_linger_s)
    while not runtime.stop.is_set():
        with runtime.works.doing("the audit", AUDIT_WITHIN_S):
            findings = await audit(runtime.pool, linger)
        runtime.progress = {"audited_at": datetime.now(UTC), "findings": counts(findings)}
        runtime.ready = True
        left = await heal(publisher, findings)
        await page_findings(runtime.pool, left)
        if not left:
            log.info("every promise holds", healed=len(findings))
            await _tell_outside(runtime)
        await runtime.pause(EVERY_S)


async def _witness(runtime: Runtime) -> None:
    """Chains what was committed into the audit, and tells the log its newest digest: a place of its own."""
    while not runtime.stop.is_set():
        if await witness(runtime.pool):
            number, digest = await head(runtime.pool)
            log.info("audit", entries=number, digest=digest.hex())
        await runtime.pause(EVERY_S)


async def _tell_outside(runtime: Runtime) -> None:
    url = runtime.settings.dead_man_url
    if url is None:
        return
    reached = await sign_of_life(url.get_secret_value())

    async def work(connection: Connection) -> None:
        if reached:
            await all_clear(connection, [_DEAD_MAN])
        else:
            await page(
                connection,
                _DEAD_MAN,
                "the address in ZOEKLICHT_DEAD_MAN_URL does not answer 2xx: whoever watches this installation from"
                " outside will soon call. Every promise holds; check the address and the way out",
                lasting=True,
            )

    await in_transaction(runtime.pool, work)


def main() -> int:
    """Runs the auditor until it is told to stop."""
    return run_service("auditor", serve)
