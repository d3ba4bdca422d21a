"""The facts of the annual report, each with the time it was recorded, so that a report can be asked as of any moment.

Only clear facts: a rebuild after every child's erasure gives the same report.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from schemas import events as e
from schemas.vocabulary import Audience, Direction, Mode
from services.eventlog.store import Recorded
from services.geography import municipality_of, province_of, region_of
from services.kernel.ids import read_id
from services.kernel.postgres import Connection, queries
from services.projections.regions import region_of_country

_SQL = queries("services.projections.models", "annual.sql")

Row = tuple[Any, ...]
Rows = dict[str, list[Row]]
"""Rows to write, by the name of the query that writes them."""


def facts(event: Recorded) -> Iterable[tuple[str, Row]]:
    """The rows that an event leaves, with the name of the query that writes each."""
    for found in _FACTS.get(type(event.data), ()):
        yield from found(event)


def _lifecycle(event: Recorded) -> Iterable[tuple[str, Row]]:
    data = event.data
    into = data.case_id if isinstance(data, e.CaseMerged) else None
    number = data.case_number if isinstance(data, e.CaseOpened) else None
    what = _WHAT[type(data)]
    yield "lifecycle", (*_key(event), event.time, what, into, number)
    yield "span", (*_key(event), event.time, what in {"opened", "reopened"})


def _nature(event: Recorded) -> Iterable[tuple[str, Row]]:
    data = event.data
    if not isinstance(data, e.CaseOpened | e.Reclassified | e.DetailsCorrected) or data.details is None:
        return
    kind = None if isinstance(data, e.DetailsCorrected) else data.kind.value
    subject = data.details.subject if isinstance(data.details, e.UndefinedDetails) else None
    yield "nature", (*_key(event), kind, subject, *_abduction(data.details))


def _abduction(details: e.Details) -> Row:
    if not isinstance(details, e.AbductionDetails):
        return (None,) * 6
    country, direction = details.country, details.direction
    region = country and region_of_country(country)
    towards = None if direction is None else direction is Direction.TO_BELGIUM
    return details.status, details.abducting_parent, country, region, towards, details.helped_return


def _place(event: Recorded) -> Iterable[tuple[str, Row]]:
    data = event.data
    if isinstance(data, e.CaseOpened | e.DetailsCorrected) and data.last_seen is not None:
        postal_code = data.last_seen.postal_code
        municipality = data.last_seen.municipality or (postal_code and municipality_of(postal_code))
        province = municipality and (province_of(municipality) or region_of(municipality))
        if province:
            yield "place", (*_key(event), province)


def _children(event: Recorded) -> Iterable[tuple[str, Row]]:
    data = event.data
    if isinstance(data, e.CaseOpened | e.ChildrenJoined):
        for child in data.children:
            yield "child", (*_key(event), child.index, child.child_id, *_told(child))
    elif isinstance(data, e.DetailsCorrected):
        for change in data.children:
            yield "child", (*_key(event), change.child, None, *_told(change))


def _told(child: e.ChildRecord | e.ChildCorrection) -> Row:
    return child.age_min, child.age_max, child.gender, child.nationality


def _outcomes(event: Recorded) -> Iterable[tuple[str, Row]]:
    data = event.data
    if isinstance(data, e.ChildLocated):
        yield "outcome", (*_key(event), data.child, data.outcome.value, data.at, True)
    elif isinstance(data, e.CaseClosed):
        for one in data.outcomes:
            yield "outcome", (*_key(event), one.child, one.outcome.value, event.time, False)


def _worry(event: Recorded) -> Iterable[tuple[str, Row]]:
    data = event.data
    if isinstance(data, e.AssessmentChanged) and data.worrying:
        case_id = read_id(event.subject)
        yield "worrying", (case_id, event.recorded_time)
        for reason in data.reasons:
            yield "reason", (case_id, reason, event.recorded_time)


def _campaign(event: Recorded) -> Iterable[tuple[str, Row]]:
    data = event.data
    if isinstance(data, e.CampaignReleased) and data.continues is None:
        kind = data.appeal.kind.value
        yield "campaign", (data.campaign_id, read_id(event.subject), kind, event.time, event.recorded_time)


def _ending(event: Recorded) -> Iterable[tuple[str, Row]]:
    if isinstance(event.data, e.CampaignEnded):
        yield "ending", (event.data.campaign_id, event.time, event.recorded_time)


def _alert(event: Recorded) -> Iterable[tuple[str, Row]]:
    data = event.data
    if isinstance(data, e.AlertIssued) and data.campaign_id is not None:
        displays = _array(data.to)
        yield (
            "alert",
            (data.alert_id, data.campaign_id, read_id(event.subject), event.recorded_time, displays),
        )


def _display(event: Recorded) -> Iterable[tuple[str, Row]]:
    data = event.data
    if isinstance(data, e.DeliveryDelivered) and data.audience is Audience.DISPLAY:
        dark = data.content == "withdrawn"
        yield "display", (data.alert_id, data.recipient, dark, data.at, event.recorded_time)


def _array(ids: Iterable[UUID]) -> str:
    """A PostgreSQL array written out: an array of arrays of different lengths cannot be sent."""
    return "{" + ",".join(map(str, ids)) + "}"


def _counter(event: Recorded) -> Iterable[tuple[str, Row]]:
    data = event.data
    count, interactions = 1, 0
    if isinstance(data, e.ReachReported):
        count, interactions = data.people, data.interactions
    elif isinstance(data, e.CallsCounted | e.PartnersEngaged | e.PartnersCounted):
        count = data.count
    name, case_id = data.TYPE.removesuffix(".v1"), _case(event.subject)
    times = event.time, event.recorded_time
    yield "counter", (event.stream, event.version, name, case_id, *times, count, interactions)


def _case(subject: str) -> UUID | None:
    """What is counted may belong to no case."""
    try:
        return read_id(subject)
    except ValueError:
        return None


def _key(event: Recorded) -> Row:
    return read_id(event.subject), event.version, event.recorded_time


_WHAT: dict[type[e.EventData], str] = {
    e.CaseOpened: "opened",
    e.CaseClosed: "closed",
    e.CaseReopened: "reopened",
    e.CaseMerged: "merged",
}
_FACTS: dict[type[e.EventData], tuple[Callable[[Recorded], Iterable[tuple[str, Row]]], ...]] = {
    e.CaseOpened: (_lifecycle, _nature, _place, _children),
    e.DetailsCorrected: (_nature, _place, _children),
    e.Reclassified: (_nature,),
    e.ChildrenJoined: (_children,),
    e.ChildLocated: (_outcomes,),
    e.CaseClosed: (_lifecycle, _outcomes),
    e.CaseReopened: (_lifecycle,),
    e.CaseMerged: (_lifecycle,),
    e.AssessmentChanged: (_worry,),
    e.CampaignReleased: (_campaign,),
    e.CampaignEnded: (_ending,),
    e.AlertIssued: (_alert,),
    e.DeliveryDelivered: (_display,),
    e.CallsCounted: (_counter,),
    e.ReachReported: (_counter,),
    e.AppActivated: (_counter,),
    e.PartnersEngaged: (_counter,),
    e.PartnersCounted: (_counter,),
    e.VolunteersCalledOut: (_counter,),
}
"""What each type of event leaves, each kind of fact by itself."""


class Annual:
    """Projection `annual`. An exercise is no disappearance: it leaves no trace here."""

    name = "annual"
    definition = 3
    tables = _SQL["tables"]
    topics = e.TOPICS
    types = frozenset(model.TYPE for model in _FACTS)

    async def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Writes facts; each has a key of its own, so that order between streams does not matter."""
        rows: Rows = defaultdict(list)
        for event in events:
            if event.cause.mode is Mode.ACTUAL:
                for query, row in facts(event):
                    rows[query].append(row)
        for query, found in rows.items():
            await connection.execute(_SQL[query], *(list(column) for column in zip(*found, strict=True)))


PROJECTION = Annual()
