"""Whether what the relay sent arrives. A consumer that Kafka gives nothing looks like one that there is nothing for."""

from services.kernel.postgres import AWAY, Pool, queries

_SQL = queries("services.eventlog")


async def is_overdue(pool: Pool, consumer: str) -> bool:
    """Whether the relay has sent a case event that is newer than all that came to `consumer`.

    So it is for some milliseconds with every event, and for longer only where something is stuck. False while the
    database is away: then nobody can tell.
    """
    try:
        return bool(await pool.fetchval(_SQL["overdue"], consumer))
    except AWAY:
        return False
