"""Who a child is stays sealed wherever the system writes: every row of every table, every record of Kafka, every log."""

import asyncio
import base64
import re
from datetime import UTC, datetime

import aiohttp
import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from installation import CASE, register, release
from test_photos import upload

from services.cli.place import Place

NAME, FAMILY, BORN, PHONE = "Xanthippina", "Quastelmoor", "2011-11-23", "0470 99 12 98"
PLANTED = (NAME, FAMILY, BORN, PHONE, PHONE.replace(" ", ""), "Zwanebloemkaai", "Brigadier Ypsilonne")
ENCODED, BYTES = (
    re.compile(rb"(?:[A-Za-z0-9+/_-]{4}){3,}(?:[A-Za-z0-9+/_-]{2,3})?"),
    re.compile(rb"(?:[0-9a-f]{2}){6,}"),
)
READ_WITHIN_S = 180.0
CHILD = {"given_name": NAME, "family_name": FAMILY, "date_of_birth": BORN, "description": f"belt {PHONE}"}


def found_in(content: bytes) -> list[str]:
    """What was planted in these bytes: as it is, in capitals, in base64, or in hexadecimal digits."""
    decoded = [content]
    decoded += [base64.b64decode(part + b"=" * (-len(part) % 4), b"-_") for part in ENCODED.findall(content)]
    decoded += [bytes.fromhex(digits.decode()) for digits in BYTES.findall(content)]
    whole = b"\n".join(decoded).lower()
    return [word for word in PLANTED if word.lower().encode() in whole]


async def rows(url: str) -> list[tuple[str, bytes]]:
    """Every row of every table, as text, with its table: what is compressed on disk is open here."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "select quote_ident(table_schema) || '.' || quote_ident(table_name) as name from information_schema.tables"
            " where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')"
        )
        return [
            (table["name"], row["row"].encode())
            for table in tables
            for row in await connection.fetch(f"select t::text as row from {table['name']} t")
        ]
    finally:
        await connection.close()


async def records(servers: str) -> list[tuple[str, bytes]]:
    """Every record of every topic: key, headers, and value."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        topics = [name for name in await admin.list_topics() if not name.startswith("__")]
        described = await admin.describe_topics(topics)
    finally:
        await admin.close()
    places = [TopicPartition(one["topic"], n["partition"]) for one in described for n in one["partitions"]]
    # From the beginning by setting: a consumer that begins at the end goes there in the background, at times after a seek.
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[tuple[str, bytes]] = []
        async with asyncio.timeout(READ_WITHIN_S):
            while any([await consumer.position(place) < end for place, end in ends.items()]):
                for place, batch in (await consumer.getmany(timeout_ms=200)).items():
                    for record in batch:
                        parts = [record.key or b"", record.value or b"", *(v for _, v in record.headers)]
                        found.append((place.topic, b"\n".join(parts)))
        return found
    finally:
        await consumer.stop()


def test_the_search_itself_finds_what_is_written():
    """In clear, in capitals, in base64 wherever it begins with a group of four, in a bytea's digits."""
    for word in PLANTED:
        said = f"abc {word}".encode()
        for form in (said, said.upper(), base64.b64encode(said), base64.urlsafe_b64encode(said)):
            assert word in found_in(b'{"x":"' + form + b'"}'), form
        assert word in found_in(b"\\x" + said.hex().encode())
    assert found_in(b"Xanthippe") == []


async def forget(site, case: str) -> None:
    """Two people decide, and every process does its part."""
    why = {"case_id": case, "reason": "request_of_family", "reference": "AVG-2026/14"}
    asked = await site.post("/v1/erasures", why, "coordinator")
    path = f"/v1/erasures/{asked['erasure_id']}"
    await site.post(f"{path}/approve", {}, "admin")
    await site.eventually(path, lambda found: found["executed_at"] and not found["waits_for"], "admin")
    shown = await site.get(f"/v1/cases/{case}")
    assert shown["children"][0].get("erased") is True


async def test_a_child_is_named_in_no_table_no_topic_and_no_log(fresh, partners):
    """A whole life of a case, with photo, notes, wrong requests and a partner that says no: nothing is written down."""
    site = fresh
    await register(
        site,
        partners,
        {"wall": {}, "link": {"content": "link"}, "team": {"audience": "mobile_team"}, "no": {}},
    )
    partners.partners["no"].answer = 500
    case = await site.post(
        "/v1/cases",
        CASE
        | {
            "reported_by": f"{NAME} {PHONE}",
            "children": [CHILD],
            "last_seen": {"postal_code": "3000", "place": "Zwanebloemkaai"},
            "circumstances": [{"criterion": "medication_dependent", "value": "yes", "note": PHONE}],
        },
    )
    path = f"/v1/cases/{case['case_id']}"
    now = datetime.now(UTC).isoformat()
    for fact in (
        {"type": "note_added", "text": f"{NAME} {FAMILY} {BORN} {PHONE}"},
        {"type": "sighting_reported", "at": now, "place": "Zwanebloemkaai", "note": NAME},
        {"type": "police_informed", "at": now, "reference": "Brigadier Ypsilonne"},
        {"type": "worrying_overridden", "worrying": True, "reason": NAME},
    ):
        await site.post(f"{path}/events", fact, headers={"Idempotency-Key": f"k-{fact['type']}"})
    media = await upload(site, case["case_id"], 0, "#884422")
    campaign = await release(site, case["case_id"])
    await partners.until(lambda: partners.partners["wall"].arrivals)
    texts = {"nl": {"headline": NAME, "body": f"{FAMILY} {PHONE}"}}
    await site.post(
        f"/v1/campaigns/{campaign}/update",
        {"texts": texts, "media": [media], "reason": NAME},
        "coordinator",
        headers={"Idempotency-Key": "k-update"},
    )
    await partners.until(lambda: partners.partners["wall"].arrivals[-1].revision == 2)
    async with aiohttp.ClientSession() as stranger:
        for one in partners.partners["wall"].arrivals[-1].body["data"]["media"]:
            async with stranger.get(one["url"]) as answer:
                assert answer.status == 200
    said = {"given_name": NAME, "family_name": FAMILY, "date_of_birth": BORN}
    assert (await site.call("POST", "/v1/children:search", body=said))[1]["items"]
    for method, wrong, body in (
        ("GET", f"/v1/cases?q={NAME}&{FAMILY}={BORN}", None),
        ("GET", f"/v1/cases/{NAME}", None),
        ("GET", f"/{NAME}/{PHONE}", None),
        ("POST", "/v1/cases", {NAME: FAMILY}),
        ("POST", f"{path}/events", {"type": NAME}),
        ("POST", "/v1/children:search", said | {"date_of_birth": f"{BORN}x"}),
    ):
        answer = await site.call(
            method, wrong, body=body, headers={"X-Correlation-ID": NAME, "traceparent": NAME}
        )
        # An unknown field is named to whoever sent it.
        assert set(found_in(repr(answer[1:]).encode())) <= {NAME for one in body or () if one == NAME}, wrong
    await site.get(path)
    end = {"type": "closed", "outcomes": [{"child": 0, "outcome": "found_safe"}]}
    await site.post(f"{path}/events", end)
    await partners.until(lambda: not any(p.shows for p in partners.partners.values()))
    await forget(site, case["case_id"])
    running = Place(site.folder).running()
    written = await rows(running.database_url)
    assert {"eventlog.events", "dispatch.alert", "kernel.audit"} <= {table for table, _ in written}
    written += (told := await records(running.kafka_bootstrap_servers))
    assert any(case["case_id"].encode() in content for _, content in told)
    written += [(log.name, log.read_bytes()) for log in site.folder.rglob("*.log")]
    async with aiohttp.ClientSession() as stranger, stranger.get(f"{site.url}/metrics") as answer:
        written.append(("metrics", await answer.read()))
    assert [(where, what) for where, content in written if (what := found_in(content))] == []
