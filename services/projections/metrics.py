"""Figures of the read models for Prometheus: how far each version is behind, what stands still, what is being built."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.kernel.postgres import Pool
from services.projections.status import Status, status
from services.projections.store import Partition

_LABELS = ["projection", "version"]


async def families(pool: Pool, ends: Mapping[Partition, int]) -> list[Metric]:
    """Every figure of every version. `ends`: where each (full topic name, partition) ends."""
    states = await status(pool, ends)
    unknown = CounterMetricFamily(
        "zoeklicht_projection_unknown_events", "Events of types it does not know", labels=[*_LABELS, "type"]
    )
    for one in states:
        for name, count in one.unknown.items():
            unknown.add_metric([*_labels(one), name], count)
    return [*(_gauge(states, *told) for told in _TOLD), unknown]


_TOLD: tuple[tuple[str, str, Callable[[Status], float | None]], ...] = (
    ("live", "1 for the version that readers see", lambda one: one.live),
    (
        "lag_messages",
        "Events not yet taken in; nothing of one that this software cannot go on with",
        lambda one: one.lag,
    ),
    ("stopped", "1 when an event stopped it", lambda one: one.stopped is not None),
    (
        "head_still_seconds",
        "Since it moved on in Kafka; with a lag: it stands",
        lambda one: _since(one.moved_at),
    ),
    ("build_events", "Events of the store to read before it is built", lambda one: one.total),
    ("build_read_events", "Events of the store that it has read", lambda one: one.read),
)


def _gauge(states: list[Status], name: str, text: str, value: Callable[[Status], float | None]) -> Metric:
    metric = GaugeMetricFamily(f"zoeklicht_projection_{name}", text, labels=_LABELS)
    for one in states:
        if (found := value(one)) is not None:
            metric.add_metric(_labels(one), float(found))
    return metric


def _since(moved_at: datetime | None) -> float | None:
    return None if moved_at is None else time.time() - moved_at.timestamp()


def _labels(one: Status) -> list[str]:
    return [one.name, str(one.version)]
