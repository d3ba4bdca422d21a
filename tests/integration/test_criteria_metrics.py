"""What Prometheus is told of criteria, from the tables alone."""

from datetime import timedelta

import pytest
from criteria_ground import RULEBOOK, T0, case_id, opened
from criteria_log import messages, tell

from schemas.events import CircumstanceReported
from schemas.vocabulary import Answer, Criterion
from services.criteria.handlers import Assessor
from services.criteria.metrics import families
from services.kernel.clock import SystemClock

A, B = case_id(1), case_id(2)
TOPIC = "case-events"


async def samples(pool, ends):
    """Every sample by its name and labels."""
    found = await families(pool, TOPIC, ends)
    return {(s.name, *s.labels.values()): s.value for family in found for s in family.samples}


@pytest.fixture
async def assessor(pool):
    assessor = Assessor(pool, RULEBOOK, SystemClock())
    await assessor.begin()
    return assessor


async def test_lag_and_movement_of_each_partition(pool, assessor):
    """A partition is behind by what its end is ahead, a never read one by all of it; a new topic begins at nothing."""
    await tell(pool, A, opened())
    await assessor.apply(await messages(pool))
    ends = {(TOPIC, 0): 5, (TOPIC, 1): 3, ("other", 0): 99}
    found = await samples(pool, ends)
    assert (found["zoeklicht_criteria_lag_messages", "0"], found["zoeklicht_criteria_lag_messages", "1"]) == (
        4,
        3,
    )
    assert 0 <= found["zoeklicht_criteria_head_still_seconds", "0"] < 60
    await pool.execute("update kernel.consumer_progress set moved_at = moved_at - interval '1 hour'")
    assert (await samples(pool, ends))["zoeklicht_criteria_head_still_seconds", "0"] > 3000
    assert (await samples(pool, {(TOPIC, 0): 0}))["zoeklicht_criteria_lag_messages", "0"] == 0


async def test_what_stands_still(pool, assessor):
    """Cases in quarantine and timers that nobody fires are figures, as are the rules that act."""
    due = T0 + timedelta(hours=1)
    said = CircumstanceReported(
        criterion=Criterion.MEDICATION_DEPENDENT, value=Answer.YES, child=0, next_due=due
    )
    await tell(pool, A, opened(), said)
    await tell(pool, B, opened())
    batch = await messages(pool)
    await assessor.apply([m._replace(value=b"{") if m.key == str(B).encode() else m for m in batch])
    await pool.execute("insert into criteria.timer values ($1, $2) on conflict do nothing", A, due)
    await pool.execute("update criteria.parked set parked_at = parked_at - interval '1 hour'")
    found = await samples(pool, {})
    assert (found["zoeklicht_criteria_parked_cases",], found["zoeklicht_criteria_parked_messages",]) == (1, 1)
    assert found["zoeklicht_criteria_parked_oldest_seconds",] > 3000
    assert found["zoeklicht_criteria_timers",] == 1
    assert found["zoeklicht_criteria_timer_overdue_seconds",] > 3600
    assert found["zoeklicht_criteria_rules", "MD-2002-02-20"] == 1


async def test_what_each_living_worker_did(pool):
    """Counters are per process; a worker whose heartbeat is old is not counted."""
    for instance, age in (("here:1", 0), ("here:2", 3600)):
        await pool.execute(
            "insert into kernel.heartbeat (service, instance, ready, progress, beat_at) values ('criteria', $1, true,"
            """ '{"events": 7, "assessed": 3, "partitions": 4}', clock_timestamp() - $2 * interval '1 second')""",
            instance,
            age,
        )
    found = await samples(pool, {})
    assert found["zoeklicht_criteria_events_total", "here:1"] == 7
    assert found["zoeklicht_criteria_assessed_total", "here:1"] == 3
    assert found["zoeklicht_criteria_parked_total", "here:1"] == 0
    assert found["zoeklicht_criteria_partitions", "here:1"] == 4
    assert not any("here:2" in key for key in found)
