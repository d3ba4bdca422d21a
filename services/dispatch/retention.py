"""What is deleted after its time: deliveries, their attempts, receipts and frozen bodies of alerts that are long over.

The row of an alert with its highest revision and whether it is withdrawn, and those of its revisions, stay for ever: a
replay of the whole log, or a late partner, then still finds that nothing may be lit. What happened is in the event
store.
"""

from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog

from services.kernel.postgres import AWAY, Connection, Pool, in_transaction, queries
from services.kernel.service import Runtime

EVERY_S = 3600.0
ALERTS_AT_ONCE = 20
ATTEMPTS_AT_ONCE = 1000

_SQL = queries("services.dispatch", "retention.sql")
log = structlog.get_logger()


async def purge(pool: Pool, keep: timedelta) -> tuple[int, int]:
    """Deletes what ended longer ago than `keep`, in small transactions; returns how many alerts and single attempts.

    Nothing that still waits is touched, however old: a withdrawal that a partner never took is tried for ever.
    """
    alerts = attempts = 0
    while rows := await pool.fetch(_SQL["over"], keep, ALERTS_AT_ONCE):
        for row in rows:
            alerts += await in_transaction(pool, partial(_forget, row["alert_id"]))
    while gone := await pool.fetchval(_SQL["old_attempts"], keep, ATTEMPTS_AT_ONCE):
        attempts += gone
    return alerts, attempts


async def _forget(alert_id: UUID, connection: Connection) -> int:
    await connection.fetch(_SQL["lock"], alert_id)
    if await connection.fetchval(_SQL["waits"], alert_id):
        return 0  # somebody asked for it to be sent again: another time
    for name in ("attempts", "receipts", "deliveries", "lanes", "bodies"):
        await connection.execute(_SQL[f"forget_{name}"], alert_id)
    return 1


async def run_retention(runtime: Runtime) -> None:
    """Purges every hour until the service is to stop."""
    keep = timedelta(days=runtime.settings.keep_deliveries_days)
    while not runtime.stop.is_set():
        try:
            alerts, attempts = await purge(runtime.pool, keep)
        except AWAY as error:
            log.warning("nothing purged; trying again later", error_class=type(error).__name__)
        else:
            if alerts or attempts:
                log.info("purged", alerts=alerts, attempts=attempts)
        await runtime.pause(EVERY_S)
