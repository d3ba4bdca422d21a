"""The auditor as a process: independent of whoever it watches."""

from datetime import UTC, datetime

import structlog

from services.dispatch.auditor import audit, counts, page_findings
from services.kernel.service import Runtime, run_service

EVERY_S = 60.0

log = structlog.get_logger()


async def serve(runtime: Runtime) -> None:
    """Audits at once and then every minute, until it is to stop. An error ends it: the supervisor restarts it."""
    while not runtime.stop.is_set():
        findings = await audit(runtime.pool)
        runtime.progress = {"audited_at": datetime.now(UTC), "findings": counts(findings)}
        runtime.ready = True
        if findings:
            await page_findings(runtime.pool, findings)
        else:
            log.info("every promise holds")
        await runtime.pause(EVERY_S)


def main() -> int:
    """Runs the auditor until it is told to stop."""
    return run_service("auditor", serve)
