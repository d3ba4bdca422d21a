"""What happens in a storm: traffic without a break, and one harm after the other. The same seed, the same plan."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
from facts import Facts
from oracle import overtaken
from proxy import Net
from receivers import Mood, Receiver
from story import scene
from world import LEASE_S, SENDERS, Service, World, until

CLAIM_LOCK = 116002
"""What every claim takes: whoever holds it decides when claims begin."""
WITHOUT_WAITING = (
    "update dispatch.breaker set probe_at = clock_timestamp() where is_open",
    "update dispatch.lane set due_at = clock_timestamp() where due_at > clock_timestamp() and reassert_at is null",
)
PROBE_NOW = "update dispatch.breaker set probe_at = clock_timestamp() where is_open and recipient_id = $1"
SLOW_S = 120.0
"""What happens at once happens within this time on a machine that is slow and busy."""
DARK_WITHOUT_KAFKA_S = 60.0
Harm = Callable[["Storm"], Awaitable[None]]


@dataclass
class Campaign:
    """One campaign, what the test knows of it. `ended_at`: seconds since 1970 when its end was surely committed.

    `spoken_for`: a harm does with it what it wants, and the traffic leaves it alone.
    """

    facts: Facts
    expires_at: datetime | None = None
    ended_at: float | None = None
    spoken_for: bool = False
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One fact after the other: intake refuses an update of what has ended, so the store never holds one."""


@dataclass
class Storm:
    world: World
    chance: Random
    campaigns: list[Campaign] = field(default_factory=list)
    violations: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    log: list[tuple[float, str]] = field(default_factory=list)
    """When, in seconds since 1970, which harm began and ended."""
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    async def blow(self, seconds: float, harms: Sequence[Harm], pause_s: float = 0.3) -> None:
        """Traffic for so long, and until each harm was done once; the seed decides on the order."""
        began, some = time.monotonic(), len(harms)
        beside = [asyncio.create_task(self._traffic()), asyncio.create_task(self._watch())]
        try:
            for harm in self._plan(harms):
                if time.monotonic() - began > seconds and len(self.done) >= some:
                    break
                self.log.append((time.time(), f"{harm.__name__} begins"))
                await harm(self)
                self.log.append((time.time(), f"{harm.__name__} is over"))
                self.done.append(harm.__name__)
                await asyncio.sleep(self.chance.uniform(0, pause_s))
        except AssertionError as error:
            error.add_note(await scene(self))
            raise
        finally:
            self._over.set()
            await asyncio.gather(*beside)
        await self.calm()

    def _plan(self, harms: Sequence[Harm]) -> Iterator[Harm]:
        while True:
            yield from self.chance.sample(list(harms), len(harms))

    async def calm(self) -> None:
        """Everybody well again; whatever waits for a partner is tried at once, so that nobody waits for a minute."""
        for service in self.world.services.values():
            service.send(signal.SIGCONT)
        for receiver in self.world.receivers.all:
            await self.cure(receiver)
        for statement in WITHOUT_WAITING:
            await self.world.insist(lambda statement=statement: self.world.pool.execute(statement))

    async def cure(self, receiver: Receiver) -> None:
        receiver.mood = Mood.WELL
        await receiver.link.become(Net.FINE)

    # ── traffic ─────────────────────────────────────────────────────────────────────────────────────────────

    async def _traffic(self) -> None:
        while not self._over.is_set():
            luck = self.chance.random()
            lit = [c for c in self.campaigns if not c.spoken_for]
            if luck < 0.45 or not lit:
                expires = timedelta(seconds=self.chance.uniform(1.5, 5)) if luck < 0.06 else None
                await self.issue(expires, spoken_for=False)
            elif luck < 0.7:
                await self.update(self.chance.choice(lit))
            else:
                await self.end(self.chance.choice(lit))
            await asyncio.sleep(self.chance.uniform(0.05, 0.5))

    async def _watch(self) -> None:
        while not self._over.is_set():
            self.violations |= set(await self.world.insist(lambda: overtaken(self.world.pool)))
            await asyncio.sleep(0.2)

    async def issue(self, expires_in: timedelta | None = None, *, spoken_for: bool = True) -> Campaign:
        campaign = Campaign(self.world.facts(), spoken_for=spoken_for)
        if expires_in is not None:
            campaign.expires_at = datetime.now(UTC) + expires_in
        more = {"expires_at": campaign.expires_at} if campaign.expires_at else {}
        await self.world.insist(lambda: campaign.facts.release(**more))
        self.campaigns.append(campaign)
        return campaign

    async def update(self, campaign: Campaign) -> None:
        more = {"expires_at": campaign.expires_at} if campaign.expires_at else {}
        async with campaign.turn:
            if campaign.ended_at is None:
                await self.world.insist(lambda: campaign.facts.update(**more))

    async def end(self, campaign: Campaign) -> None:
        campaign.spoken_for = True
        async with campaign.turn:
            if campaign.ended_at is None:
                await self.world.insist(campaign.facts.end)
                campaign.ended_at = time.time()

    # ── what a harm needs ───────────────────────────────────────────────────────────────────────────────────

    async def reached(self, receiver: Receiver, holds: Callable[[], Awaitable[Any]], what: str) -> Any:
        """Until something has come to a partner; whatever its breaker remembers of earlier harms does not delay it."""

        async def found() -> Any:
            await self.world.pool.execute(PROBE_NOW, receiver.recipient_id)
            return await holds()

        return await until(found, SLOW_S, what)

    async def published(self, campaign: Campaign, revision: int = 1) -> UUID:
        """The alert of a campaign, once it has that revision."""

        async def found() -> Any:
            return await self.world.pool.fetchval(
                "select alert_id from dispatch.alert where campaign_id = $1 and head_revision >= $2",
                campaign.facts.campaign,
                revision,
            )

        return await until(found, SLOW_S, "a revision is published")

    @asynccontextmanager
    async def claims_held(self) -> Any:
        """No sender claims while this lasts."""
        connection = await asyncpg.connect(self.world.settings.database_url.get_secret_value())
        try:
            await connection.execute("select pg_advisory_lock($1)", CLAIM_LOCK)
            yield
        finally:
            connection.terminate()

    async def hold_keys(self) -> Any:
        """No sender gets the key of a body until this connection ends: it stands between its claim and its last look."""
        connection = await asyncpg.connect(self.world.settings.vault_url)
        await connection.execute("begin; lock table key in access exclusive mode")
        return connection

    def some(self, count: int) -> list[Receiver]:
        return self.chance.sample(self.world.receivers.all, count)


# ── harms ───────────────────────────────────────────────────────────────────────────────────────────────────


async def kill_a_sender(storm: Storm) -> None:
    """Kill -9 of whichever."""
    storm.world.services[storm.chance.choice(SENDERS)].send(signal.SIGKILL)


async def kill_the_planner(storm: Storm) -> None:
    """Kill -9 of dispatch."""
    storm.world.services["dispatch"].send(signal.SIGKILL)


async def kill_the_relay(storm: Storm) -> None:
    """Kill -9 of the relay."""
    storm.world.services["relay"].send(signal.SIGKILL)


async def stall_senders(storm: Storm) -> None:
    """SIGSTOP of two of three, for less or for more than a lease."""
    stopped = [storm.world.services[name] for name in storm.chance.sample(SENDERS, 2)]
    for service in stopped:
        service.send(signal.SIGSTOP)
    await asyncio.sleep(storm.chance.choice((0.4, LEASE_S + 0.8)))
    for service in stopped:
        service.send(signal.SIGCONT)


async def step_a_clock(storm: Storm) -> None:
    """The clock of the first sender jumps by hours, to and fro."""
    storm.world.clock_file.write_text(
        f"{storm.chance.choice(('+', '-'))}{storm.chance.randint(600, 90_000)}\n"
    )


async def restart_postgres(storm: Storm) -> None:
    """PostgreSQL ends all sessions and comes back."""
    await asyncio.to_thread(storm.world.servers.postgres.stop)
    await asyncio.to_thread(storm.world.servers.postgres.start)


async def restart_the_broker(storm: Storm) -> None:
    """Kafka is away; what ends meanwhile goes dark all the same, and what is released meanwhile comes afterwards."""
    campaign = await storm.issue()
    alert_id = await storm.published(campaign)
    await asyncio.to_thread(storm.world.servers.kafka.stop)
    try:
        await storm.end(campaign)
        await storm.issue()

        async def withdrawn() -> bool:
            row = "select withdrawn from dispatch.alert where alert_id = $1"
            return bool(await storm.world.pool.fetchval(row, alert_id))

        try:
            await until(withdrawn, DARK_WITHOUT_KAFKA_S, "withdrawn while Kafka is away")
        except AssertionError as error:
            storm.violations.add(f"dark waits for Kafka: {error}\n{await scene(storm)}")
    finally:
        await asyncio.to_thread(storm.world.servers.kafka.start)


async def upset_partners(storm: Storm) -> None:
    """A third of the partners hang, break, flap, or are behind a bad network for a while."""
    moods = (Mood.HANGS, Mood.BROKEN, Mood.BUSY, Mood.FLAPS)
    nets = (Net.CUT, Net.SLOW, Net.SWALLOWS, Net.LOSES_ANSWERS)
    upset = storm.some(len(storm.world.receivers.all) // 3)
    for receiver in upset:
        await storm.cure(receiver)
        if storm.chance.random() < 0.5:
            receiver.mood = storm.chance.choice(moods)
        else:
            await receiver.link.become(storm.chance.choice(nets))
    await asyncio.sleep(storm.chance.uniform(0.5, 2.5))
    for receiver in upset:
        if storm.chance.random() < 0.7:
            await storm.cure(receiver)


async def withdraw_between_claim_and_send(storm: Storm) -> None:
    """Every sender that has claimed is stopped before its last look; the alerts end; they go on, late."""
    async with storm.claims_held():
        await storm.published(await storm.issue(spoken_for=False))
        keys = await storm.hold_keys()
        since = await storm.world.insist(lambda: storm.world.pool.fetchval("select clock_timestamp()"))
    try:
        # Keys are held: whoever claims cannot send.
        await until(lambda: storm.world.claims_since(since), SLOW_S, "an alert is claimed")
        await asyncio.sleep(0.1)  # for the others to claim their share
        claims = await storm.world.insist(lambda: storm.world.claims_since(since))
        stopped = {name: storm.world.services[name] for name, _ in claims}.values()
        for service in stopped:
            service.send(signal.SIGSTOP)
    finally:
        keys.terminate()
    claimed = {campaign for _, campaign in claims}
    for campaign in storm.campaigns:
        if campaign.facts.campaign in claimed and campaign.ended_at is None:
            await storm.end(campaign)
    await asyncio.sleep(storm.chance.choice((1.3, LEASE_S + 0.7)))
    for service in stopped:
        service.send(signal.SIGCONT)


async def late_bytes(storm: Storm) -> None:
    """A request is on its way while its sender is stopped; something newer overtakes it; then it arrives after all.

    Its sender goes on and reports it, or dies and nobody ever does.
    """
    naive = storm.chance.choice([r for r in storm.world.receivers.all if not r.conforming])
    newer, dies = storm.chance.choice((storm.end, storm.update)), storm.chance.random() < 0.5
    await storm.cure(naive)
    async with storm.claims_held():
        campaign = await storm.issue()
        alert_id = await storm.published(campaign)
        naive.link.hold(str(alert_id))
    try:

        async def caught() -> bool:
            return naive.link.caught.is_set()

        await storm.reached(naive, caught, "the first request is on its way")
        stopped = await storm.world.insist(lambda: storm.world.claimants(alert_id, naive.recipient_id))
        for service in stopped:
            service.send(signal.SIGSTOP)
        if not stopped:  # a slow machine: its sender has given up already
            campaign.spoken_for = False
            return
        await newer(campaign)

        async def overtaken_by_it() -> bool:
            return any(a.alert_id == str(alert_id) and a.revision > 1 for a in naive.arrivals)

        await storm.reached(naive, overtaken_by_it, "the newer arrives though an older request is on its way")
    finally:
        naive.link.let_go()

    async def arrived() -> bool:
        return any(a.alert_id == str(alert_id) and a.revision == 1 for a in naive.arrivals)

    await until(arrived, SLOW_S, "the late request arrives")
    for service in stopped:
        service.send(signal.SIGKILL if dies else signal.SIGCONT)
    campaign.spoken_for = campaign.ended_at is not None


async def report_of_who_lost_its_lane(storm: Storm) -> None:
    """A sender is stopped past its lease; another takes its lane and is stopped too; the first goes on and reports."""
    [receiver] = storm.some(1)
    await storm.cure(receiver)
    async with storm.claims_held():
        campaign = await storm.issue()
        alert_id = await storm.published(campaign)
        receiver.link.hold(str(alert_id), every=True)
    stopped: list[Service] = []
    try:

        async def claimed() -> list[Service]:
            found = await storm.world.claimants(alert_id, receiver.recipient_id)
            return [service for service in found if service not in stopped]

        for taken in ("taken", "taken over"):
            others = await storm.reached(receiver, claimed, f"the lane is {taken}")
            for service in others:
                service.send(signal.SIGSTOP)
            stopped += others
        stopped[0].send(signal.SIGCONT)
        # Time for it to report, and for whoever is left to believe it, while the lease of the second lasts.
        await asyncio.sleep(LEASE_S * 0.6)
    finally:
        for service in stopped:
            service.send(signal.SIGCONT)
        receiver.link.let_go()
    campaign.spoken_for = False


async def update_what_waits(storm: Storm) -> None:
    """A partner is away while an alert is updated: what waits for it gives way."""
    [receiver] = storm.some(1)
    await receiver.link.become(Net.CUT)
    campaign = await storm.issue()
    await storm.published(campaign)
    await storm.update(campaign)
    await storm.published(campaign, 2)
    storm.violations |= set(await storm.world.insist(lambda: overtaken(storm.world.pool)))
    campaign.spoken_for = False
    await storm.cure(receiver)


AMBUSHES: tuple[Harm, ...] = (
    withdraw_between_claim_and_send,
    late_bytes,
    late_bytes,
    report_of_who_lost_its_lane,
    update_what_waits,
)
HARMS: tuple[Harm, ...] = (
    *AMBUSHES,
    kill_a_sender,
    kill_a_sender,
    kill_the_planner,
    kill_the_relay,
    stall_senders,
    step_a_clock,
    step_a_clock,
    restart_postgres,
    restart_the_broker,
    upset_partners,
    upset_partners,
    upset_partners,
)
