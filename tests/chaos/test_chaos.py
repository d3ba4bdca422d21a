"""Real processes under every harm that is likely in a year, within minutes: nothing lost, nothing relit, in order."""

import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from random import Random

import pytest
from oracle import figures, judge, unsettled
from storm import (
    HARMS,
    Harm,
    Storm,
    report_of_who_lost_its_lane,
    update_what_waits,
    withdraw_between_claim_and_send,
)
from story import stories
from world import World, faketime, until

_names = (f"chaos{number}" for number in itertools.count(1))
SETTLE_S, SETTLE_WEAK_S = 180.0, 6.0
IN_CI_MIN = 3.0


def world(servers, seed: int, weak: Mapping[str, str] | None = None) -> World:
    return World(servers, next(_names), Random(seed), weak)


async def stormed(
    storm: Storm, seconds: float, harms: Sequence[Harm], settle_s: float = SETTLE_S
) -> list[str]:
    """Lets it blow and says what is broken."""
    await storm.blow(seconds, harms)

    async def rests() -> bool:
        return not await unsettled(storm)

    try:
        await until(rests, settle_s, "every display shows what the store says")
    except AssertionError:
        storm.violations |= set(await unsettled(storm))
    return await judge(storm)


@pytest.mark.timeout(0)
async def test_nothing_is_lost_relit_or_out_of_order(own_servers, capsys):
    """Kills, stalls, clock steps, restarts of both servers, bad networks and bad partners: every promise holds."""
    minutes, seed = (
        float(os.environ.get("CHAOS_MINUTES", IN_CI_MIN)),
        int(os.environ.get("CHAOS_SEED", "116000")),
    )
    async with world(own_servers, seed) as town:
        storm = Storm(town, Random(seed))
        broken = await stormed(storm, 60 * minutes, HARMS)
        with capsys.disabled():
            clock = "" if faketime() else "; no clock was stepped: libfaketime is not installed"
            sys.stdout.write(f" seed {seed}: {figures(storm)}{clock} ")
        assert broken == [], await stories(storm, broken)


@pytest.mark.parametrize(
    ("weak", "ambush", "signs"),
    [
        ({"sender": "look"}, withdraw_between_claim_and_send, ("begun too late",)),
        ({"sender": "fence"}, report_of_who_lost_its_lane, ("two at once",)),
        ({"dispatch": "supersede"}, update_what_waits, ("overtaken",)),
    ],
    ids=["last look", "fence", "superseding"],
)
@pytest.mark.timeout(900)
async def test_storm_notices_a_guard_that_is_off(own_servers, weak, ambush, signs):
    """Without the last look, the fence or superseding the same storm, the same judge: promises are seen broken."""
    async with world(own_servers, 7, weak) as town:
        broken = await stormed(Storm(town, Random(7)), 0, [ambush] * 2, SETTLE_WEAK_S)
        assert any(one.startswith(sign) for one in broken for sign in signs), broken


@pytest.mark.long
@pytest.mark.parametrize(
    "weak", [{"sender": "look"}, {"sender": "fence"}, {"dispatch": "supersede"}], ids=str
)
@pytest.mark.timeout(900)
async def test_whole_storm_notices_a_guard_that_is_off(own_servers, weak):
    """The same with every harm and another seed: broken, whatever else happens."""
    async with world(own_servers, 8, weak) as town:
        assert await stormed(Storm(town, Random(8)), 120, HARMS, SETTLE_WEAK_S)
