"""The one public listener: health by dependency, figures, documentation, and an access log that keeps secrets."""

import asyncio
import json
import re
from contextlib import AsyncExitStack

import pytest
from sender_ground import Ground
from web_ground import listening, until

from services.kernel.postgres import queries
from services.kernel.principals import Role, adopt_token
from services.web import main as web
from services.web import pages
from services.web.app import compose
from services.web.board import Board
from services.web.watch import SERVICES, Watch

TOKEN = "zl_test"


async def beat(pool, service, ready=True):
    await pool.execute(
        "insert into kernel.heartbeat (service, instance, ready, progress) values ($1, 'x', $2, '{}')"
        " on conflict (service, instance) do update set ready = $2, beat_at = clock_timestamp()",
        service,
        ready,
    )


async def test_ready_means_every_dependency_and_the_body_names_the_missing_one(settings_with_kafka, pool):
    """503 while one service is not ready, its name in the body; 200 when all are."""
    async with listening(settings_with_kafka, pool) as site:

        async def ready():
            async with site.client.get("/readyz") as answer:
                body = await answer.json()
                assert (answer.status == 200) == body["ready"]
                return body["dependencies"]

        for service in SERVICES:
            await beat(pool, service, ready=service != "sender")

        async def only_the_sender_is_missing():
            for service in SERVICES:
                await beat(pool, service, ready=service != "sender")
            return [name for name, up in (await ready()).items() if not up] == ["sender"]

        await until(only_the_sender_is_missing)

        async def all_ready():
            for service in SERVICES:
                await beat(pool, service)
            return all((await ready()).values())

        await until(all_ready)
        async with site.client.get("/healthz") as answer:
            assert answer.status == 200


async def test_without_kafka_nothing_is_ready_but_the_process_lives(settings, pool):
    """Kafka is away: `/readyz` says so, `/healthz` stays 200, since a restart would not help."""
    async with listening(settings, pool) as site:

        async def alive():
            async with site.client.get("/healthz") as answer:
                return answer.status == 200

        await until(alive)
        async with site.client.get("/readyz") as answer:
            assert answer.status == 503
            assert (await answer.json())["dependencies"]["kafka"] is False


async def test_a_hanging_database_ends_liveness(settings, pool):
    """No answer for too long: not alive, whatever was true before."""
    watch = Watch(settings, pool)
    assert watch.alive is False
    looking = asyncio.create_task(watch._watch_database())
    try:

        async def alive():
            return watch.alive

        await until(alive)
    finally:
        looking.cancel()
    watch.database_at -= 7
    assert watch.alive is False
    assert watch.dependencies["database"] is False


async def test_scrape_reads_little_however_much_is_stored(settings, pool):
    """The newest event's number is told, and a scrape reads what Kafka does not have yet, not every event."""
    await pool.execute(
        "insert into eventlog.events (epoch, stream, version, event_id, type, topic, subject, time, correlation_id, actor,"
        " origin, mode, data) select 1, 'case-1', n, gen_random_uuid(), 't', 'case-events', '1', now(), 'c', 'a', 'live',"
        " 'actual', '{}' from generate_series(1, 5000) n"
    )
    await pool.execute(
        "insert into eventlog.relay_checkpoint (epoch, transaction_id, position, cluster_id, topic_ids)"
        " select epoch, transaction_id, position - 3, 'c', '{}' from eventlog.events order by position desc limit 1"
    )
    await pool.execute("analyze eventlog.events")
    async with listening(settings, pool) as site, site.client.get("/metrics") as answer:
        text = await answer.text()
    assert "zoeklicht_events 5000.0" in text
    assert "zoeklicht_relay_lag_events 3.0" in text
    log = queries("services.web")["log"]
    [plan] = json.loads(await pool.fetchval(f"explain (analyze, format json) {log}"))
    read = [node for node in nodes(plan["Plan"]) if node.get("Relation Name") == "events"]
    assert read
    assert sum(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in read) <= 4


def nodes(plan):
    """A node of a query's plan and all below it."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


async def test_metrics_tell_figures_and_no_names(settings, pool):
    """Prometheus reads them; the supervisor's notes are in it where there are some."""
    await beat(pool, "relay")
    await pool.execute("insert into kernel.page (matter, text) values ('m', 'Lou Voorbeeld is missing')")
    await pool.execute(
        "insert into kernel.consumer_progress values ('criteria', 'case-events', 3, 41, clock_timestamp())"
    )
    async with listening(settings, pool) as site, site.client.get("/metrics") as answer:
        text = await answer.text()
        assert answer.content_type == "text/plain"
    assert "zoeklicht_events 0.0" in text
    assert "zoeklicht_pages_open 1.0" in text
    assert (
        'zoeklicht_consumer_next_offset{consumer="criteria",partition="3",topic="case-events"} 41.0' in text
    )
    assert 'zoeklicht_heartbeat_age_seconds{service="relay"}' in text
    assert 'zoeklicht_projection_live{projection="case_list",version="1"} 1.0' in text
    assert "zoeklicht_criteria_parked_cases 0.0" in text
    assert "Voorbeeld" not in text


async def test_metrics_count_what_waits_and_the_last_day_not_all_years(settings, pool, vault):
    """An old delivery counts only while it waits: it is read with every scrape."""
    ground = Ground(pool, vault, settings)
    alert = await ground.alert([await ground.recipient("http://127.0.0.1:1/hook")])
    await ground.revise(alert, "updated")
    await ground.revise(alert, "withdrawn")
    age = "update dispatch.delivery set created_at = created_at - interval '2 days' where revision = any($1)"
    await pool.execute(age, [1, 3])
    async with listening(settings, pool) as site, site.client.get("/metrics") as answer:
        text = await answer.text()
    assert 'zoeklicht_deliveries{state="pending"} 1.0' in text
    assert 'zoeklicht_deliveries{state="superseded"} 1.0' in text


async def test_metrics_show_the_supervisors_restarts(settings, pool, tmp_path, monkeypatch):
    """Restarts come from the supervisor's notes."""
    notes = tmp_path / "services.json"
    notes.write_text(json.dumps({"sender": {"restarts": 2}}))
    monkeypatch.setenv("ZOEKLICHT_SERVICES_FILE", str(notes))
    async with listening(settings, pool) as site, site.client.get("/metrics") as answer:
        assert 'zoeklicht_service_restarts_total{service="sender"} 2.0' in await answer.text()


async def test_the_documentation_needs_nothing_from_elsewhere(settings, pool):
    """One page without script, font or picture; every documented call is on it; problems are documented."""
    async with listening(settings, pool) as site:
        async with site.client.get("/docs") as answer:
            page = await answer.text()
            policy = answer.headers["content-security-policy"]
        async with site.client.get("/openapi.json") as answer:
            document = await answer.json()
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"<(script|link|img|iframe)|(src|href)=[\"'](https?:)?//|@import|url\(", page)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert f"{method.upper()} {path}" in page
            assert operation["tags"]
    assert "/v1/cases" in document["paths"]
    assert "/v1/partners" in document["paths"]
    problems = document["paths"]["/v1/cases"]["post"]["responses"]
    assert "application/problem+json" in problems["401"]["content"]
    assert "application/problem+json" in problems["422"]["content"]


async def test_no_two_services_answer_the_same_call(settings, pool):
    """A route that another service also has would silently win or lose."""
    async with AsyncExitStack() as stack:
        watch = Watch(settings, pool)
        routers = await web._routers(settings, stack, Board(settings, pool, watch), pages.site())
        app = compose(settings, routers, auth_pool=pool, watch_pool=pool, watch=watch)
        calls = [
            (method, re.sub(r"{[^}]*}", "{}", path))
            for path, operations in app.openapi()["paths"].items()
            for method in operations
        ]
    assert len(calls) == len(set(calls))
    assert len(calls) > 30


async def test_the_access_log_keeps_query_strings_to_itself(settings, pool, capsys):
    """Method, path, status and time; never what somebody searched for."""
    async with pool.acquire() as connection:
        await adopt_token(connection, TOKEN, "viewer", Role.VIEWER)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        listening(settings, pool) as site,
        site.client.get("/v1/cases?q=verborgen", headers=headers) as answer,
    ):
        assert answer.status == 200
    lines = [line for line in capsys.readouterr().out.splitlines() if "/v1/cases" in line]
    assert lines
    assert "verborgen" not in "".join(lines)


async def test_head_answers_as_get_does_without_the_body(settings, pool, capsys):
    """Monitors and readers of feeds ask for headers alone."""
    async with listening(settings, pool) as site:
        for path in ("/healthz", "/feeds/alerts.json", "/nowhere"):
            async with site.client.get(path) as got, site.client.head(path) as asked:
                assert (asked.status, asked.headers.get("etag")) == (got.status, got.headers.get("etag"))
                assert asked.headers["content-type"] == got.headers["content-type"]
                assert await asked.read() == b""
    assert re.search(r"method=HEAD route=/feeds/alerts.json", capsys.readouterr().out)


async def test_a_taken_port_says_what_to_set(settings):
    """The process ends with a message, not with a stack of the server."""
    with web._socket(settings.model_copy(update={"port": 0})) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(web.ListenError, match="set ZOEKLICHT_PORT"),
            web._socket(settings.model_copy(update={"port": port})),
        ):
            pass
