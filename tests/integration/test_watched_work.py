"""The last net: whatever hangs in a service ends its process, which the supervisor starts again."""

import asyncio

import pytest

from services.criteria import main as criteria
from services.dispatch import auditor_main, reconcile, sender_main, standby, stops
from services.dispatch import main as dispatch
from services.dispatch.pings import Pings
from services.dispatch.recorder import Recorder
from services.dispatch.renewals import Renewals
from services.dispatch.sender import Sender
from services.eventlog import main as relay
from services.eventlog.relay import Relay
from services.intake import main as intake
from services.kernel.paging.pager import Pager
from services.kernel.service import Runtime
from services.kernel.watchdog import WorkWatch
from services.projections import main as projections
from services.volunteers import main as volunteers


class Hasty(WorkWatch):
    """Gives everything a moment, and keeps what it would have said at the end of the process."""

    def __init__(self):
        self.ends = set()
        super().__init__(0.02, 3, self.ends.add)

    def doing(self, what, within_s=0.2):
        return super().doing(what, min(within_s, 0.2))


async def hangs(*_more, **_named):
    await asyncio.Event().wait()


async def yes():
    return True


async def ends_with(runtime, serve, text):
    """Runs the service until its watch says so."""
    serving = asyncio.create_task(serve(runtime))
    watching = asyncio.create_task(runtime.works.run(yes))
    try:
        async with asyncio.timeout(60):
            while f"{text} did not end, while the database answered" not in runtime.works.ends:
                assert not serving.done(), serving.exception()
                await asyncio.sleep(0.02)
    finally:
        for task in (serving, watching):
            task.cancel()
        await asyncio.gather(serving, watching, return_exceptions=True)


def name(one):
    return one[1] if isinstance(one, tuple) else getattr(one, "__module__", one)


@pytest.mark.parametrize(
    ("serve", "hanging", "text"),
    [
        (intake._main, (intake, "run_due"), "the timers"),
        (sender_main.serve, (Sender, "step"), "a claim"),
        (sender_main.serve, (Renewals, "step"), "renewals"),
        (sender_main.serve, (Pings, "step"), "handshakes"),
        (sender_main.serve, (sender_main, "sweep"), "a sweep"),
        (sender_main.serve, (sender_main, "page_late_withdrawals"), "late withdrawals"),
        (dispatch.serve, (stops, "darken"), "going dark"),
        (dispatch.serve, (standby, "withdraw_calm"), "the standbys"),
        (dispatch.serve, (reconcile, "reconcile_all"), "reconciling"),
        (auditor_main.serve, (auditor_main, "audit"), "the audit"),
        (auditor_main.serve, (Pager, "step"), "paging"),
        (volunteers.serve, (volunteers.Sender, "step"), "a claim"),
        (volunteers.serve, (volunteers, "ask_more"), "asking more"),
        (volunteers.serve, (volunteers, "end_with_cases"), "ends of cases"),
        (projections.run_all, (projections.Crew, "look"), "looking for versions"),
    ],
    ids=name,
)
async def test_every_work_of_a_service_is_watched(settings, pool, serve, hanging, text):
    """The work hangs for ever, as nothing should: the watch names it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*hanging, hangs)
        await ends_with(Runtime("hanging", settings, pool, works=Hasty()), serve, text)


@pytest.mark.parametrize(
    ("serve", "hanging", "text"),
    [
        (relay._main, (Relay, "begin"), "the beginning"),
        (relay._main, (Relay, "step"), "a batch"),
        (criteria.serve, (criteria.Assessor, "fire_timers"), "the timers"),
    ],
    ids=name,
)
async def test_every_work_beside_kafka_is_watched(settings_with_kafka, pool, serve, hanging, text):
    """The same for what begins with Kafka alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*hanging, hangs)
        await ends_with(Runtime("hanging", settings_with_kafka, pool, works=Hasty()), serve, text)


async def test_a_sender_whose_results_are_not_written_any_more_ends(settings, pool, monkeypatch):
    """It would claim, send, and never say so: its process ends, and the next one does."""

    async def dies(_self):
        raise RuntimeError("of its own")

    monkeypatch.setattr(Recorder, "run", dies)
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(sender_main.serve(Runtime("sender", settings, pool)), 60)
    assert "of its own" in str(caught.value.exceptions)
