"""The board of the operations room: gathered once for all viewers, by asking each service what it shows of itself."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import asyncpg
import orjson

from services.criteria.board import Standing, standing
from services.dispatch import board as alerts
from services.geography import AreaError, arrondissement_of, arrondissements
from services.kernel.clock import Clock, SystemClock
from services.kernel.paging import open_pages
from services.kernel.postgres import Pool, queries
from services.kernel.principals import STAFF, Principal
from services.kernel.settings import Settings
from services.projections import overview
from services.web.last_values import LastValues
from services.web.metrics import lags
from services.web.places import place_of
from services.web.watch import Watch

LOOK_S = 0.25
"""How often to look for news while somebody watches: what happened is on a screen well within a second."""
IDLE_S = 30.0
"""Nobody watched for so long: nothing is looked at until somebody comes."""
WORRYING, OTHERS, PAGES = 120, 60, 20
"""How many cases and pages the board holds; the list of cases has them all."""
_ANSWER_WITHIN_S = 5.0
_STALE_S = 10.0
"""A part of the board that is older than it should be by so long is called old."""

_SQL = queries("services.web", "board.sql")
_CONSUMERS = queries("services.web")["consumers"]
Values = dict[str, Any]


class Audience(StrEnum):
    """Who looks at a board: viewers see no partner's name and no page."""

    STAFF = "staff"
    VIEWER = "viewer"


def audience_of(caller: Principal) -> Audience:
    """Which board somebody sees."""
    return Audience.STAFF if caller.role in STAFF else Audience.VIEWER


@dataclass(slots=True)
class _Section:
    """A part of the board: how it is gathered, and how long it stays fresh when nothing is known to have moved."""

    gather: Callable[[], Awaitable[Mapping[Audience, Values]]]
    every_s: float
    at_most_every_s: float = 0.0
    follows_projections: bool = False
    gathered_at: float = float("-inf")
    moved: int = -1
    values: Mapping[Audience, Values] | None = None

    @property
    def name(self) -> str:
        return self.gather.__name__.strip("_")

    def stale(self, now: float) -> bool:
        return now - self.gathered_at > self.every_s + _STALE_S

    def due(self, now: float, moved: int) -> bool:
        age = now - self.gathered_at
        news = self.follows_projections and moved != self.moved
        return age >= self.every_s or (news and age >= self.at_most_every_s)


class Board:
    """What everybody in the operations room sees. `run` keeps it up to date while somebody watches."""

    def __init__(self, settings: Settings, pool: Pool, watch: Watch, clock: Clock | None = None) -> None:
        self._settings = settings
        self._pool = pool
        self.watch = watch
        self._clock = clock or SystemClock()
        self._wanted_at = float("-inf")
        self._wanted = asyncio.Event()
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")
        self.views = {audience: LastValues() for audience in Audience}
        self._sections = (
            _Section(self._cases, every_s=10, follows_projections=True),
            _Section(self._alerts, every_s=LOOK_S / 2),
            _Section(self._still_showing, every_s=1),
            _Section(self._health, every_s=1),
            _Section(self._pages, every_s=1),
            _Section(self._trends, every_s=60, at_most_every_s=2, follows_projections=True),
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Looks again and again until asked to stop; then every stream ends."""
        try:
            while not stop.is_set():
                await self._until_wanted(stop)
                await self._look()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_S)
        finally:
            for view in self.views.values():
                view.close()

    async def _until_wanted(self, stop: asyncio.Event) -> None:
        while time.monotonic() - self._wanted_at > IDLE_S and not stop.is_set():
            self._wanted.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), 1)

    def want(self) -> None:
        """Somebody watches."""
        self._wanted_at = time.monotonic()
        self._wanted.set()

    async def seen_by(self, caller: Principal) -> LastValues:
        """The board for somebody, not older than two looks."""
        self.want()
        if time.monotonic() - self._looked_at > 2 * LOOK_S:
            await self._look()
        return self.views[audience_of(caller)]

    async def _look(self) -> None:
        async with self._looking:
            moved = -1
            with suppress(*_AWAY):
                async with asyncio.timeout(_ANSWER_WITHIN_S):
                    moved = await overview.moved(self._pool)
            for section in self._sections:
                if section.due(time.monotonic(), moved):
                    # What cannot be asked now keeps its last values; the board says that they are old.
                    with suppress(*_AWAY):
                        async with asyncio.timeout(_ANSWER_WITHIN_S):
                            section.values = await section.gather()
                        section.gathered_at, section.moved = time.monotonic(), moved
            self._publish()
            self._looked_at = time.monotonic()

    def _publish(self) -> None:
        stale = sorted(one.name for one in self._sections if one.stale(time.monotonic()))
        for audience, view in self.views.items():
            state: Values = {"services": self.watch.dependencies, "stale": stale}
            for section in self._sections:
                state |= section.values[audience] if section.values else {}
            view.publish({key: orjson.dumps(value, default=str) for key, value in state.items()})

    async def _cases(self) -> Mapping[Audience, Values]:
        worrying = await overview.open_cases(self._pool, worrying=True, limit=WORRYING)
        others = await overview.open_cases(self._pool, worrying=False, limit=OTHERS)
        assessed = await standing(self._pool, [row["case_id"] for row in (*worrying, *others)])
        values: Values = {
            f"case/{row['case_id']}": _case(row, assessed.get(row["case_id"])) for row in (*worrying, *others)
        }
        values["cases"] = {
            "worrying": [row["case_id"] for row in worrying],
            "others": [row["case_id"] for row in others],
        }
        values |= _places(await overview.open_places(self._pool))
        return _for_everybody(values)

    async def _alerts(self) -> Mapping[Audience, Values]:
        found = await alerts.fanned(self._pool)
        values: Values = {"alerts": [one.facts["alert_id"] for one in found]}
        values["campaigns"] = _campaigns(found)
        names: dict[Any, str] = {}
        for one in found:
            alert_id = one.facts["alert_id"]
            values[f"alert/{alert_id}"] = {
                **{name: one.facts[name] for name in _ALERT},
                "revision": one.facts["head_revision"],
                "over": one.over,
                "arrondissements": sorted(_touched(one.facts["areas"])),
                "recipients": [seat.recipient_id for seat in one.seats],
            }
            for seat in one.seats:
                names[seat.recipient_id] = seat.name
                values[f"seat/{alert_id}/{seat.recipient_id}"] = {name: getattr(seat, name) for name in _SEAT}
        return {
            Audience.STAFF: values | {f"partner/{one}": {"name": name} for one, name in names.items()},
            Audience.VIEWER: values,
        }

    async def _still_showing(self) -> Mapping[Audience, Values]:
        rows = await alerts.still_showing(self._pool, self._settings)
        items = [{name: row[name] for name in _STILL} for row in rows]
        return {Audience.STAFF: {"still_showing": items}, Audience.VIEWER: {}}

    async def _health(self) -> Mapping[Audience, Values]:
        backlog = dict(await self._pool.fetchrow(_SQL["backlog"]))
        behind: Counter[str] = Counter()
        for (consumer, _topic), lag in lags(await self._pool.fetch(_CONSUMERS), self.watch).items():
            behind[consumer] += lag
        return _for_everybody({"backlog": backlog, "lags": dict(sorted(behind.items()))})

    async def _pages(self) -> Mapping[Audience, Values]:
        found = await open_pages(self._pool, 0, PAGES)
        items = [{name: getattr(page, name) for name in _PAGE} for page in found]
        return {Audience.STAFF: {"pages": items}, Audience.VIEWER: {}}

    async def _trends(self) -> Mapping[Audience, Values]:
        days = await overview.trends(self._pool, self._settings.zone, self._clock.now())
        return _for_everybody({"trends": days})


_AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
_ALERT = ("alert_id", "kind", "mode", "case_id", "campaign_id", "issued_at", "expires_at", "dark_at")
_SEAT = ("step", "audience", "revision", "attempts", "screens", "since", "again_at")
_STILL = (
    "alert_id",
    "recipient_id",
    "name",
    "contact",
    "since",
    "attempts",
    "reason",
    "dark_by",
    "lease_over",
)
_PAGE = ("page_id", "matter", "text", "opened_at", "acknowledged_by")


def _for_everybody(values: Values) -> Mapping[Audience, Values]:
    return dict.fromkeys(Audience, values)


def _case(row: Mapping[str, Any], assessed: Standing | None) -> Values:
    found = assessed or Standing((), 0, 0)
    return {
        "number": row["case_number"],
        "kind": row["kind"],
        "worrying": row["worrying"],
        "opened_at": row["opened_at"],
        "mode": row["mode"],
        "postal_code": row["postal_code"],
        "place": place_of(row["municipality"]),
        "reasons": found.reasons,
        "overdue": found.overdue,
        "questions": found.questions,
    }


def _places(rows: Any) -> Values:
    """Open and worrying cases in all, and by judicial arrondissement."""
    where: dict[str, Counter[str]] = {}
    everywhere: Counter[str] = Counter(open=0, worrying=0)
    for row in rows:
        counted = Counter(open=row["open"], worrying=row["worrying"])
        everywhere.update(counted)
        slug = arrondissement_of(row["municipality"]) if row["municipality"] else None
        where.setdefault(slug or "unknown", Counter()).update(counted)
    return {"totals": everywhere, "places": where}


def _campaigns(found: list[alerts.Fanned]) -> dict[str, dict[str, int]]:
    """How many lit campaigns of each kind each arrondissement has; exercises are none."""
    where: dict[str, dict[str, int]] = {}
    for one in found:
        if one.over or one.facts["kind"] == "standby" or one.facts["mode"] != "actual":
            continue
        for slug in sorted(_touched(one.facts["areas"])):
            kinds = where.setdefault(slug, {})
            kinds[one.facts["kind"]] = kinds.get(one.facts["kind"], 0) + 1
    return dict(sorted(where.items()))


def _touched(areas: list[str]) -> set[str]:
    touched: set[str] = set()
    for area in areas:
        with suppress(AreaError):  # an area that is no more: the alert stays on the board, if not on the map
            touched |= arrondissements(area)
    return touched
