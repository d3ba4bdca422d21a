"""Figures of criteria for Prometheus: how far behind, whether it moves, what stands still, what was done."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.criteria.handlers import CONSUMER
from services.kernel.postgres import Pool, queries
from services.kernel.service import STALE

_SQL = queries("services.criteria")
_DONE = {
    "events": "Events of cases that were read",
    "assessed": "Assessments that were appended",
    "parked": "Messages that were set aside",
    "skipped": "Events of a type that the process does not know",
    "timers": "Times that the clock alone looked at a case",
}


async def families(pool: Pool, topic: str, ends: Mapping[tuple[str, int], int]) -> list[Metric]:
    """Every figure of criteria. `topic` is what it reads, `ends` where each (topic, partition) ends."""
    heads = {row["partition"]: row for row in await pool.fetch(_SQL["heads"], CONSUMER, topic)}
    at_end = {partition: end for (name, partition), end in ends.items() if name == topic}
    workers = await pool.fetch(_SQL["workers"], CONSUMER, STALE)
    return [
        *_heads(heads, at_end),
        *_standing(await pool.fetchrow(_SQL["standing"])),
        *_done({row["instance"]: json.loads(row["progress"]) for row in workers}),
    ]


def _heads(heads: Mapping[int, Any], ends: Mapping[int, int]) -> Iterator[Metric]:
    lag = GaugeMetricFamily(
        "zoeklicht_criteria_lag_messages", "Messages that criteria is behind", labels=["partition"]
    )
    still = GaugeMetricFamily(
        "zoeklicht_criteria_head_still_seconds",
        "Since criteria moved on in a partition; with a lag: it stands",
        labels=["partition"],
    )
    for partition in sorted({*heads, *ends}):
        row = heads.get(partition)
        # A place beyond the end is of an earlier topic: nothing of this one was seen.
        seen = row["next_offset"] if row else 0
        end = ends.get(partition, seen)
        lag.add_metric([str(partition)], end - seen if seen <= end else end)
        if row:
            still.add_metric([str(partition)], float(row["still_s"]))
    yield lag
    yield still


def _standing(row: Any) -> Iterator[Metric]:
    texts = {
        "parked_cases": "Cases in quarantine: a person must judge them",
        "parked_messages": "Messages of cases in quarantine, and of none",
        "parked_oldest_seconds": "Since the oldest of them was set aside",
        "timers": "Cases that wait for a moment",
        "timer_overdue_seconds": "How late the clock is with the longest overdue of them",
    }
    for name, text in texts.items():
        yield GaugeMetricFamily(f"zoeklicht_criteria_{name}", text, value=float(row[name]))
    acting = GaugeMetricFamily("zoeklicht_criteria_rules", "1: the rules that act", labels=["version"])
    if row["rules"]:
        acting.add_metric([row["rules"]], 1)
    yield acting


def _done(workers: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    """Counted by each process since its start; Prometheus knows that a counter may begin again."""
    for name, text in _DONE.items():
        counter = CounterMetricFamily(f"zoeklicht_criteria_{name}", text, labels=["instance"])
        for instance, progress in sorted(workers.items()):
            counter.add_metric([instance], progress.get(name, 0))
        yield counter
    partitions = GaugeMetricFamily(
        "zoeklicht_criteria_partitions", "Partitions that a worker holds", labels=["instance"]
    )
    for instance, progress in sorted(workers.items()):
        partitions.add_metric([instance], progress.get("partitions", 0))
    yield partitions
