"""Figures for Prometheus. No personal data: labels are names of services, topics and states."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from schemas.events import CASE_EVENTS
from services.criteria import metrics as criteria
from services.eventlog.store import UNKNOWN_TYPES
from services.kernel.postgres import Pool, queries
from services.projections import metrics as projections
from services.web.watch import Watch

SERVICES_FILE = "ZOEKLICHT_SERVICES_FILE"

_SQL = queries("services.web")
Rows = dict[str, list[Any]]


def router(pool: Pool, watch: Watch) -> APIRouter:
    """`/metrics`."""
    routes = APIRouter(tags=["health"])

    @routes.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    async def metrics() -> Response:
        """The state of the system in figures, read when asked."""
        rows = {name: await pool.fetch(_SQL[name]) for name in _SQL}
        registry = CollectorRegistry(auto_describe=False)
        assessing = await criteria.families(pool, watch.settings.topic(CASE_EVENTS), watch.ends)
        projecting = await projections.families(pool, watch.ends)
        registry.register(_Found((*families(rows, watch), *assessing, *projecting)))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return routes


class _Found(Collector):
    """Metrics that are there already."""

    def __init__(self, found: tuple[Metric, ...]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        return self._found


def families(rows: Rows, watch: Watch) -> Iterator[Metric]:
    """Every metric from the rows of the named queries."""
    log = rows["log"][0]
    yield GaugeMetricFamily(
        "zoeklicht_events",
        "Number of the newest event in the store: how many there are, and the numbers of appends that were rolled back",
        value=log["events"],
    )
    yield GaugeMetricFamily(
        "zoeklicht_relay_lag_events", "Events that Kafka does not have yet", value=log["relay_lag"]
    )
    yield GaugeMetricFamily("zoeklicht_pages_open", "Pages nobody acknowledged", value=log["pages_open"])
    yield _gauge(
        "zoeklicht_deliveries",
        "Deliveries of the last 24 h by state; of those that are pending, all",
        ["state"],
        rows["deliveries"],
    )
    yield _gauge(
        "zoeklicht_service_ready",
        "1 when a process of the service is alive and ready",
        ["service"],
        [{"service": name, "value": int(ready)} for name, ready in sorted(watch.dependencies.items())],
    )
    yield _gauge(
        "zoeklicht_heartbeat_age_seconds",
        "Since the last heartbeat of a service",
        ["service"],
        rows["heartbeats"],
    )
    yield GaugeMetricFamily(
        "zoeklicht_live_viewers", "Open streams of the operations room's board", value=watch.viewers
    )
    yield from _consumers(rows["consumers"], watch)
    yield from _restarts()
    unknown = CounterMetricFamily(
        "zoeklicht_unknown_events", "Events of unknown types passed over while reading cases", labels=["type"]
    )
    for name, count in sorted(UNKNOWN_TYPES.items()):
        unknown.add_metric([name], count)
    yield unknown


def _consumers(found: list[Any], watch: Watch) -> Iterator[Metric]:
    progress = GaugeMetricFamily(
        "zoeklicht_consumer_next_offset",
        "The next offset a consumer works on",
        labels=["consumer", "topic", "partition"],
    )
    for row in found:
        progress.add_metric([row["consumer"], row["topic"], str(row["partition"])], row["next_offset"])
    yield progress
    behind = GaugeMetricFamily(
        "zoeklicht_consumer_lag_messages", "Messages a consumer is behind", labels=["consumer", "topic"]
    )
    for (name, topic), value in sorted(lags(found, watch).items()):
        behind.add_metric([name, topic], value)
    yield behind


def lags(found: Iterable[Any], watch: Watch) -> dict[tuple[str, str], int]:
    """(consumer, topic) → how many messages it is behind; `found`: the rows of the query `consumers`."""
    lag: dict[tuple[str, str], int] = {}
    for row in found:
        end = watch.ends.get((row["topic"], row["partition"]), row["next_offset"])
        key = row["consumer"], row["topic"]
        lag[key] = lag.get(key, 0) + max(0, end - row["next_offset"])
    return lag


def _restarts() -> Iterator[Metric]:
    """How often the supervisor started each process again; absent where another supervisor does that."""
    try:
        notes = json.loads(Path(os.environ[SERVICES_FILE]).read_text(encoding="utf-8"))
    except (KeyError, OSError, ValueError):
        return
    metric = CounterMetricFamily(
        "zoeklicht_service_restarts", "Restarts by the supervisor", labels=["service"]
    )
    for name, status in sorted(notes.items()):
        metric.add_metric([name], status["restarts"])
    yield metric


def _gauge(name: str, text: str, labels: list[str], rows: list[Any]) -> Metric:
    metric = GaugeMetricFamily(name, text, labels=labels)
    for row in rows:
        metric.add_metric([str(row[label]) for label in labels], float(row["value"]))
    return metric
