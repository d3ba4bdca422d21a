"""Ground for the dispatch tests: recipients, sealed appeals, facts in the store, and messages as Kafka gives them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson

from schemas.events import (
    Appeal,
    AssessmentChanged,
    CampaignEnded,
    CampaignReleased,
    CampaignUpdated,
    CriterionFinding,
    EventData,
    Person,
)
from schemas.vocabulary import CampaignKind, CaseKind, Criterion, EndReason, Finding, Mode, Origin
from services.dispatch.bodies import open_box
from services.dispatch.publish import Publisher
from services.dispatch.stream import Planner
from services.eventlog import wire
from services.eventlog.store import (
    Append,
    Cause,
    NewEvent,
    Stop,
    append,
    assessment_stream,
    campaign_stream,
    lock_streams,
)
from services.kernel.ids import new_id
from services.kernel.messages import Message
from services.kernel.settings import Settings
from services.kernel.vault import Vault, context, key_name, seal

NAME = "Lou Voorbeeld"
"""An invented name that must be found in no table."""
LEUVEN, GHENT = "24062", "44021"


async def add_recipient(pool: asyncpg.Pool, **changes: Any) -> UUID:
    """A recipient that is active from the start."""
    row = {
        "recipient_id": new_id(),
        "name": "Screens Ltd",
        "url": "http://127.0.0.1:9/hook",
        "format": "json",
        "content": "full",
        "areas": [LEUVEN],
        "languages": ["nl"],
        "contact": "ops",
        "audience": "display",
        "exercise": False,
        "state": "active",
        "secret": "{}",
        **changes,
    }
    names = ", ".join(row)
    marks = ", ".join(f"${i}" for i in range(1, len(row) + 1))
    await pool.execute(f"insert into dispatch.recipient ({names}) values ({marks})", *row.values())
    return row["recipient_id"]


@dataclass
class Ground:
    """An installation with a planner; facts are appended as intake and criteria would."""

    pool: asyncpg.Pool
    vault: Vault
    settings: Settings
    case: UUID = field(default_factory=uuid4)
    campaign: UUID = field(default_factory=uuid4)
    child: UUID = field(default_factory=uuid4)
    mode: Mode = Mode.ACTUAL
    origin: Origin = Origin.LIVE
    offsets: Any = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.publisher = Publisher(self.pool, self.vault, self.settings)
        self.planner = Planner(self.publisher, self.settings)

    async def put(
        self, stream: str, data: EventData, *, stop: bool = False, event_id: UUID | None = None
    ) -> UUID:
        """Appends one event, with its stop row when it darkens a campaign."""
        event_id = event_id or new_id()
        cause = Cause("tester", "c-1", origin=self.origin, mode=self.mode)
        one = Append(stream, str(self.case), [NewEvent(data, event_id)], cause)
        async with self.pool.acquire() as connection, connection.transaction():
            await lock_streams(connection, [stream])
            version = await connection.fetchval(
                "select coalesce(max(version), 0) + 1 from eventlog.events where stream = $1", stream
            )
            stops = [Stop("campaign", self.campaign, self.case, version, event_id, self.mode)] if stop else []
            await append(connection, [one], stops)
        return event_id

    async def appeal(self, event_id: UUID, **changes: Any) -> Appeal:
        """An appeal, sealed for one event as intake seals it."""
        stream = campaign_stream(self.campaign)
        child, case = key_name("child", self.child), key_name("case", self.case)
        keys = await self.vault.ensure([child, case])
        portrait = {"name": NAME, "age": 12, "gender": "girl", "description": "red coat"}
        texts = {
            lang: {"headline": f"Missing ({lang})", "body": f"{NAME} is missing"} for lang in ("nl", "fr")
        }
        return Appeal(
            kind=changes.pop("kind", CampaignKind.PUBLIC),
            areas=changes.pop("areas", (LEUVEN,)),
            persons=(
                Person(
                    child=0,
                    child_id=self.child,
                    portrait=seal(
                        child, keys[child], portrait, context(stream, event_id, "appeal.persons.0.portrait")
                    ),
                ),
            ),
            texts=seal(case, keys[case], texts, context(stream, event_id, "appeal.texts")),
            **changes,
        )

    async def release(self, **changes: Any) -> UUID:
        event_id = new_id()
        data = CampaignReleased(campaign_id=self.campaign, appeal=await self.appeal(event_id, **changes))
        return await self.put(campaign_stream(self.campaign), data, event_id=event_id)

    async def update(self, **changes: Any) -> UUID:
        event_id = new_id()
        data = CampaignUpdated(campaign_id=self.campaign, appeal=await self.appeal(event_id, **changes))
        return await self.put(campaign_stream(self.campaign), data, event_id=event_id)

    async def end(self) -> UUID:
        data = CampaignEnded(campaign_id=self.campaign, reason=EndReason.CHILD_FOUND)
        return await self.put(campaign_stream(self.campaign), data, stop=True)

    async def assess(
        self,
        episode: int,
        *,
        worrying: bool = True,
        case_open: bool = True,
        criteria: Sequence[Criterion] = (Criterion.UNDER_13,),
        case_version: int = 1,
        municipality: str | None = LEUVEN,
        reasons: Sequence[str] | None = None,
    ) -> UUID:
        data = AssessmentChanged(
            case_number="2026-0001",
            kind=CaseKind.RUNAWAY,
            municipality=municipality,
            case_version=case_version,
            case_open=case_open,
            rules="MD-2002-02-20",
            worrying=worrying,
            episode=episode,
            criteria=tuple(CriterionFinding(criterion=c, child=0, value=Finding.YES) for c in criteria),
            reasons=tuple(f"criterion:{c}" for c in criteria) if reasons is None else tuple(reasons),
            changes=("worrying",),
        )
        return await self.put(assessment_stream(self.case), data)

    async def messages(self) -> list[Message]:
        """Every case event of the store, as messages in the order of the log."""
        rows = await self.pool.fetch(
            "select * from eventlog.events where topic = 'case-events' order by position"
        )
        return [
            Message(
                "case-events",
                0,
                row["position"],
                row["subject"].encode(),
                row["data"].encode(),
                tuple(wire.headers(row)),
            )
            for row in rows
        ]

    async def replay(self) -> None:
        """The whole topic again, from its start."""
        await self.planner.apply(await self.messages())

    async def deliveries(self, **where: Any) -> list[dict[str, Any]]:
        rows = await self.pool.fetch("select * from dispatch.delivery order by revision, recipient_id")
        return [dict(row) for row in rows if all(row[name] == value for name, value in where.items())]

    async def revisions(self) -> list[tuple[int, str]]:
        rows = await self.pool.fetch(
            "select revision, content from dispatch.alert_revision order by alert_id, revision"
        )
        return [(row["revision"], row["content"]) for row in rows]

    async def body(self, delivery: dict[str, Any]) -> dict[str, Any]:
        """What a delivery says."""
        row = await self.pool.fetchrow(
            "select * from dispatch.body where alert_id = $1 and revision = $2 and variant = $3",
            delivery["alert_id"],
            delivery["revision"],
            delivery["variant"],
        )
        if row["clear"]:
            return orjson.loads(row["clear"])
        name = key_name("alert", row["alert_id"])
        key = (await self.vault.find([name]))[name]
        return orjson.loads(open_box(row["alert_id"], row["revision"], row["variant"], row["box"], key))


async def snapshot(pool: asyncpg.Pool) -> dict[str, list[Any]]:
    """Everything that dispatch holds and has said."""
    tables = ("alert", "alert_revision", "body", "lane", "delivery", "standby", "stream_seen", "parked")
    found = {name: await pool.fetch(f"select * from dispatch.{name} t order by t::text") for name in tables}
    found["events"] = await pool.fetch(
        "select * from eventlog.events where stream like 'alert-%' order by position"
    )
    return found


def in_future(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)
