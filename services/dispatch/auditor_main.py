"""The auditor as a process: independent of whoever it watches."""

from datetime import UTC, datetime, timedelta

import structlog

from services.dispatch.auditor import audit, counts, page_findings
from services.dispatch.healing import heal
from services.dispatch.publish import Publisher
from services.kernel.postgres import create_pool
from services.kernel.service import Runtime, run_service
from services.kernel.vault import Vault

EVERY_S = 60.0

log = structlog.get_logger()


async def serve(runtime: Runtime) -> None:
    """Audits at once and then every minute, until it is to stop. An error ends it: the supervisor restarts it."""
    settings = runtime.settings
    keys = await create_pool(settings.vault_url, size=1, application="zoeklicht-auditor-vault")
    try:
        await _watch(runtime, Publisher(runtime.pool, Vault(keys, settings.master_key_bytes), settings))
    finally:
        await keys.close()


async def _watch(runtime: Runtime, publisher: Publisher) -> None:
    linger = timedelta(seconds=runtime.settings.standby_linger_s)
    while not runtime.stop.is_set():
        findings = await audit(runtime.pool, linger=linger)
        runtime.progress = {"audited_at": datetime.now(UTC), "findings": counts(findings)}
        runtime.ready = True
        if findings:
            await page_findings(runtime.pool, await heal(publisher, findings))
        else:
            log.info("every promise holds")
        await runtime.pause(EVERY_S)


def main() -> int:
    """Runs the auditor until it is told to stop."""
    return run_service("auditor", serve)
