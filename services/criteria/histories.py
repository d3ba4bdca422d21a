"""Reads the histories of cases from the event store, to be looked at: one, or all of them in pages."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from uuid import UUID

from services.criteria import store
from services.criteria.errors import UnreadableHistoryError
from services.eventlog.store import Recorded, case_stream, read_case, read_streams
from services.kernel.postgres import Connection, Pool

CASES_A_PAGE = 200


async def history(source: Pool | Connection, case_id: UUID, at: datetime | None = None) -> list[Recorded]:
    """The events of a case's own stream, as known at a moment; of an unknown type: with nothing in them.

    Raises UnreadableHistoryError when one of them cannot be read.
    """
    try:
        events = await read_case(source, case_id, at)
    except ValueError as error:
        raise UnreadableHistoryError(case_id, type(error).__name__) from None
    return [event for event in events if event.stream == case_stream(case_id)]


async def histories(source: Pool | Connection) -> AsyncIterator[dict[UUID, Sequence[Recorded] | None]]:
    """Every case that criteria knows, page by page, with its events; None: they cannot be read."""
    after: UUID | None = None
    while cases := await store.known_cases(source, after, CASES_A_PAGE):
        yield await _page(source, cases)
        after = cases[-1]


async def _page(source: Pool | Connection, cases: Sequence[UUID]) -> dict[UUID, Sequence[Recorded] | None]:
    try:
        streams = await read_streams(source, [case_stream(case_id) for case_id in cases])
    except ValueError:  # one of them cannot be read: find out which
        return {case_id: await _or_none(source, case_id) for case_id in cases}
    return {case_id: streams.get(case_stream(case_id), []) for case_id in cases}


async def _or_none(source: Pool | Connection, case_id: UUID) -> Sequence[Recorded] | None:
    try:
        return await history(source, case_id)
    except UnreadableHistoryError:
        return None
