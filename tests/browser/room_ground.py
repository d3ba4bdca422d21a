"""An operations room with something in it: invented cases, alerts and figures, put into the store and projected for real."""

import asyncio
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from projections_ground import SEALED, History, assessed, child, connected, live
from sender_ground import Alert, Ground

from schemas import events as e
from schemas.vocabulary import CaseKind, Mode
from services.criteria.store import FORMAT
from services.eventlog.producer import producer
from services.eventlog.relay import Relay
from services.eventlog.store import assessment_stream, case_stream
from services.kernel.topic_identity import topic_identity
from services.kernel.vault import Vault
from services.projections import store
from services.projections.registry import PROJECTIONS
from services.projections.stream import Follower, Watch
from services.web.watch import SERVICES

PLACES = {
    "11002": "2000", "24062": "3000", "21004": "1000", "44021": "9000", "62063": "4000", "92094": "5000",
    "71072": "3500", "31005": "8000", "52011": "6000", "81001": "6700", "25112": "1300", "63023": "4700",
}  # fmt: skip
"""A municipality with its postcode in each judicial arrondissement."""
NAMES = (
    "Stadslijn Noord", "Tram & Bus Zuid", "Gare Centrale Écrans", "Winkelring", "Supermarkt De Linde",
    "Panneaux Meuse", "Metro Hoofdstad", "Apotheek-Netz Ost", "Bibliotheken aan Zee", "Cinéma Lumière",
    "Autosnelweg A-borden", "Krantenkiosk", "Station Leie", "Pharmacie du Parc", "Markthalle Eupen", "Zwembaden Kempen",
    "Réseau Wallon", "Ziekenhuisschermen", "Luchthaven Oost", "Tankstations E-weg", "Centre Sportif", "Scholennet",
    "Postpunten", "Bankautomaten", "Galerie du Roi", "Parkings Plus", "Ferry & Haven", "Théâtre National", "Treinborden",
    "Bushokjes West", "Digitale Zuilen",
)  # fmt: skip
"""31 display partners, all invented."""
CRITERIA = (
    "under_13",
    "medication_dependent",
    "out_of_character",
    "life_threatening_situation",
    "dangerous_company_or_crime",
)


@dataclass
class Room:
    """Puts cases, alerts and figures where the real services put them."""

    pool: Any
    settings: Any
    vault: Vault
    chance: random.Random = field(default_factory=lambda: random.Random(116_000))
    partners: list[UUID] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.history = History(self.pool)
        self.ground = Ground(self.pool, self.vault, self.settings)

    async def case(
        self,
        number: str,
        minutes_ago: float = 5,
        *,
        place: str = "24062",
        kind: str = "runaway",
        reasons: tuple[str, ...] = (),
        overdue: bool = False,
        exercise: bool = False,
    ) -> UUID:
        """An open case; worrying when there are reasons."""
        case_id, at = uuid4(), datetime.now(UTC) - timedelta(minutes=minutes_ago)
        opened = e.CaseOpened(
            case_number=number,
            kind=CaseKind(kind),
            reported_by=SEALED,
            last_seen=e.Place(postal_code=PLACES[place], municipality=place),
            children=(child(),),
            details=e.NoDetails(),
        )
        history = History(self.pool, Mode.EXERCISE) if exercise else self.history
        await history.put(case_stream(case_id), case_id, opened, at)
        if reasons:
            await self._assess(history, case_id, reasons, overdue, at)
        return case_id

    async def _assess(
        self, history: History, case_id: UUID, reasons: Any, overdue: bool, at: datetime
    ) -> None:
        found = assessed(worrying=True).model_copy(
            update={
                "reasons": tuple(f"criterion:{one}" for one in reasons),
                "medication_overdue": (0,) if overdue else (),
                "open_questions": (e.OpenQuestion(criterion="out_of_character", child=0),),
            }
        )
        await self.pool.execute(
            "insert into criteria.case_state (case_id, format, version, state, assessment, assessment_version, rules)"
            " values ($1, $2, 1, '{}', $3, 1, 'MD-2002-02-20')",
            case_id,
            FORMAT,
            found.model_dump_json(),
        )
        await history.put(assessment_stream(case_id), case_id, found, at)

    async def register(self, count: int = len(NAMES)) -> list[UUID]:
        """Display partners with invented names."""
        for name in NAMES[:count]:
            partner = await self.ground.recipient("http://127.0.0.1:9/hook")
            await self.pool.execute(
                "update dispatch.recipient set name = $2, contact = '+32 2 555 01 16' where recipient_id = $1",
                partner,
                name,
            )
            self.partners.append(partner)
        return self.partners

    async def alert(self, areas: list[str], case_id: UUID, *, kind: str = "public", hours: int = 6) -> Alert:
        """An alert planned for every partner: a delivery waits for each."""
        alert = await self.ground.alert(self.partners, timedelta(hours=hours), kind)
        await self.pool.execute(
            "update dispatch.alert set areas = $2, case_id = $3 where alert_id = $1",
            alert.alert_id,
            areas,
            case_id,
        )
        return alert

    async def delivered(
        self, alert: Alert, partners: list[UUID], *, state: str = "delivered", attempts: int = 1
    ) -> None:
        """What the sender notes about the newest revision."""
        await self.pool.execute(
            "update dispatch.delivery set state = $4, attempts = $5, finished_at = case when $4 <> 'pending'"
            " then clock_timestamp() end where alert_id = $1 and revision = $2 and recipient_id = any($3::uuid[])",
            alert.alert_id,
            alert.revision,
            partners,
            state,
            attempts,
        )

    async def receipt(
        self, alert: Alert, partners: list[UUID], state: str = "displayed", screens: int = 12
    ) -> None:
        """What partners say about their screens."""
        await self.pool.executemany(
            "insert into dispatch.receipt (alert_id, recipient_id, revision, state, screens, at)"
            " values ($1, $2, $3, $4, $5, clock_timestamp())",
            [(alert.alert_id, one, alert.revision, state, screens) for one in partners],
        )

    async def busy(self) -> None:
        """A busy evening: cases everywhere, three campaigns, one that went dark and a partner that does not answer."""
        places, kinds = list(PLACES), [kind.value for kind in CaseKind]
        ids = [
            await self.case(
                f"2026-{400 + n}",
                7 + 41 * n,
                place=places[n % len(places)],
                kind=kinds[n % 3],
                reasons=tuple(self.chance.sample(CRITERIA, 1 + n % 2)),
                overdue=n == 3,
            )
            for n in range(14)
        ]
        for n in range(38):
            place = self.chance.choice(places)
            await self.case(f"2026-{340 + n}", 60 + 190 * n, place=place, kind=kinds[n % 5])
        await self.case("OEF-2026-7", 12, place="44021", reasons=("under_13",), exercise=True)
        await self.figures()
        await self.register()
        child_alert = await self.alert(
            ["arrondissement:antwerpen", "arrondissement:limburg"], ids[0], kind="child_alert"
        )
        p = self.partners
        await self.delivered(child_alert, p[:27])
        await self.receipt(child_alert, p[:22])
        await self.delivered(child_alert, p[27:29], state="pending", attempts=3)
        await self.delivered(child_alert, p[29:30], state="held", attempts=1)
        public = await self.alert(["arrondissement:leuven", "arrondissement:brussel"], ids[1])
        await self.delivered(public, p)
        await self.receipt(public, p[:29])
        await self.receipt(public, p[29:30], "rejected")
        vignette = await self.alert(["arrondissement:namur"], ids[5], kind="vignette", hours=48)
        await self.pool.execute(
            "delete from dispatch.delivery where alert_id = $1 and recipient_id <> all($2::uuid[])",
            vignette.alert_id,
            p[:4],
        )
        await self.delivered(vignette, p[:4])
        await self.went_dark(ids[2])
        await self.pool.execute(
            "insert into kernel.page (matter, text) values ('renewal:x', 'A partner was not reached for 10 minutes')"
        )

    async def went_dark(self, case_id: UUID) -> Alert:
        """An alert that was withdrawn: two partners have not confirmed."""
        alert = await self.alert(["BE"], case_id)
        await self.delivered(alert, self.partners)
        await self.receipt(alert, self.partners)
        await self.ground.revise(alert, "withdrawn")
        await self.delivered(alert, self.partners[:30])
        await self.receipt(alert, self.partners[:29], "removed")
        await self.delivered(alert, self.partners[30:], state="pending", attempts=4)
        return alert

    async def figures(self) -> None:
        """A month of calls and reach."""
        now = datetime.now(UTC)
        for days in range(30):
            at = now - timedelta(days=days)
            await self.history.count(e.CallsCounted(count=self.chance.randint(28, 64)), at)
            if days % 4 == 1:
                people = self.chance.randint(200_000, 900_000)
                await self.history.count(e.ReachReported(people=people, interactions=people // 15), at)


async def beat(pool) -> None:
    """Every service is alive and ready, for a while."""
    for service in SERVICES:
        await pool.execute(
            "insert into kernel.heartbeat (service, instance, ready, progress) values ($1, 'x', true, '{}')"
            " on conflict (service, instance) do update set beat_at = clock_timestamp()",
            service,
        )


@asynccontextmanager
async def projecting(settings):
    """Relay and projections at work, as their services run them."""
    stop = asyncio.Event()
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    sender = producer(settings)
    await sender.start()
    relay = Relay(connection, sender, settings)
    await relay.begin(await topic_identity(settings, e.TOPICS))

    async def follow(projection) -> None:
        async with connected(settings) as own:
            version = await live(own, projection)
            assert await store.take_lock(own, version)
            await Follower(settings, own, version).run(stop, Watch())

    tasks = [asyncio.create_task(relay.run(stop)), *(asyncio.create_task(follow(one)) for one in PROJECTIONS)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)
        await sender.stop()
        await connection.close()
