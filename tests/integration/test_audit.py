"""The audit: who looked and who called, in one unbroken line, and the log of events under it."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from intake_ground import LOU, NOA, SECRETS, running

from services.cli import audit as commands
from services.eventlog.witness import Witnessed, witness
from services.intake.handlers.steps import IntakeDeps
from services.intake.policy import load_policy
from services.kernel.audit import note
from services.kernel.audit.chain import Chain
from services.kernel.audit.trail import every_entry, head
from services.kernel.principals import Role, issue_token, revoke_tokens

SEARCH = {name: LOU[name] for name in ("given_name", "family_name", "date_of_birth")}


@pytest.fixture
async def api(settings, pool, vault):
    async with running(IntakeDeps(pool, vault, settings, load_policy())) as found:
        yield found


async def findings(pool, **known):
    """What a verifier says of the audit and of the events."""
    chain, witnessed = Chain(), Witnessed()
    async for entry in every_entry(pool):
        chain.add(entry)
        witnessed.add(entry)
    return [*chain.findings(await head(pool), **known), *[one async for one in witnessed.findings(pool)]]


async def witnessed_all(pool):
    """Witnesses until no event is left: one transaction anywhere on the server holds the readers of the log back."""
    events, seen = await pool.fetchval("select count(*) from eventlog.events"), []
    while True:
        said = await pool.fetch("select subjects from kernel.audit where action = 'events.witnessed'")
        seen = [
            int(one.split(":")[1]) for row in said for one in row["subjects"] if one.startswith("events:")
        ]
        if sum(seen) == events:
            return
        await witness(pool)
        await asyncio.sleep(0.02)


async def by_force(pool, table, sql):
    """What somebody with the rights of an owner can do."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(f"alter table {table} disable trigger all")
        await connection.execute(sql)
        await connection.execute(f"alter table {table} enable trigger all")


# ── what is written down ────────────────────────────────────────────────────────────────────────────────────


async def test_whoever_looks_at_an_identity_is_written_down(api, capfd):
    """Reads and searches of staff: who, when, which case and children, and never a value; only admins read it."""
    case = await api.opened(children=[LOU, NOA])
    children = [f"child:{child['child_id']}" for child in (await api.case(case, "viewer"))["children"]]
    await api.get(f"/v1/cases/{case}")
    await api.get(f"/v1/cases/{case}/events", "coordinator")
    await api.get(f"/v1/cases/{uuid4()}")
    await api.post("/v1/children:search", SEARCH)
    await api.post("/v1/children:search", SEARCH | {"given_name": "Niemand"}, "coordinator")
    got = await api.get("/v1/audit", "admin")
    looks = [
        (one["principal"], one["role"], one["action"], one["subjects"])
        for one in got.body["items"]
        if not one["action"].startswith("called")
    ]
    whole = sorted([f"case:{case}", *children])
    assert looks == [
        ("coordinator", "coordinator", "child.searched", []),
        ("operator", "operator", "child.searched", sorted([f"case:{case}", children[0]])),
        ("coordinator", "coordinator", "history.read", whole),
        ("operator", "operator", "case.read", whole),
    ]
    assert all(
        datetime.fromisoformat(one["at"]).tzinfo and one["correlation_id"] for one in got.body["items"]
    )
    written = json.dumps(got.body) + "".join(capfd.readouterr())
    assert not [secret for secret in (*SECRETS, "Niemand") if secret in written]

    async def found(query):
        body = (await api.get(f"/v1/audit?{query}", "admin")).body
        return [one["action"] for one in body["items"]], body["next_cursor"]

    assert await found(f"subject={children[1]}") == (["history.read", "case.read"], None)
    mine = ["child.searched", "called POST /v1/children:search", "case.read", "called POST /v1/cases"]
    assert await found("principal=operator") == (mine, None)
    first, cursor = await found("principal=operator&limit=3")
    assert (len(first), await found(f"principal=operator&limit=3&cursor={cursor}")) == (3, (mine[3:], None))
    for who in ("operator", "coordinator", "viewer"):
        assert (await api.get("/v1/audit", who)).status == 403
    assert (await api.get("/v1/audit?subject=Lou", "admin")).status == 422


async def test_every_call_that_changes_something_is_written_down_before_it_is_worked_on(api):
    """The route and the ids in its path, also when the call then fails; nothing of a body or a typed path."""
    campaign = await api.requested(case := await api.opened())
    assert (await api.post(f"/v1/campaigns/{campaign}/release", {}, "operator")).status == 403
    await api.post(f"/v1/cases/{uuid4()}/events", {"type": "note_added", "text": "Lou"})
    rows = await api.pool.fetch("select action, subjects from kernel.audit order by audit_id")
    assert [row["action"] for row in rows] == [
        "called POST /v1/cases",
        "called POST /v1/cases/{case_id}/campaigns",
        "called POST /v1/campaigns/{campaign_id}/release",
        "called POST /v1/cases/{case_id}/events",
    ]
    assert rows[1]["subjects"] == [f"case:{case}"]
    assert rows[2]["subjects"] == [f"campaign:{campaign}"]


async def test_whoever_is_refused_is_written_down_once_a_minute(api):
    """A role that may not, and tokens that were revoked or are over; strangers leave no entry, so none can flood it."""
    campaign = await api.requested(await api.opened())
    before = await api.pool.fetchval("select count(*) from kernel.audit")
    async with api.pool.acquire() as connection:
        api.tokens["old"] = await issue_token(
            connection, "old", Role.ADMIN, expires_at=datetime.now(UTC) - timedelta(hours=1)
        )
        await revoke_tokens(connection, "coordinator")
    for _ in range(3):
        assert (await api.post(f"/v1/campaigns/{campaign}/end", {"reason": "found"}, "viewer")).status == 403
        assert (await api.get("/v1/audit", "old")).status == 401
        assert (await api.get(f"/v1/cases/{uuid4()}", "zl_a-stranger")).status == 401
        assert (await api.get("/v1/audit", "coordinator")).status == 401
    rows = await api.pool.fetch(
        "select principal, action, subjects from kernel.audit order by audit_id offset $1", before
    )
    assert [tuple(row) for row in rows] == [
        ("viewer", "refused POST /v1/campaigns/{campaign_id}/end", [f"campaign:{campaign}"]),
        ("old", "refused an old token: GET /v1/audit", []),
        ("coordinator", "refused an old token: GET /v1/audit", []),
    ]


# ── the chain ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_entries_of_many_at_once_form_one_line(pool):
    """Concurrent writers, some of whom fail: numbers without gaps, every digest on the one before."""

    async def write(number):
        async with pool.acquire() as connection, connection.transaction():
            await note(connection, f"p{number}", "operator", "case.read", [f"case:{uuid4()}", "child:é|:1"])
            if number % 3 == 0:
                raise ZeroDivisionError

    done = await asyncio.gather(*(write(number) for number in range(30)), return_exceptions=True)
    assert [type(one) for one in done].count(ZeroDivisionError) == 10
    assert (await head(pool))[0] == 20
    assert await findings(pool) == []


@pytest.mark.parametrize(
    ("harm", "finding"),
    [
        ("update kernel.audit set principal = 'somebody' where audit_id = 2", "entry 2 of "),
        ("delete from kernel.audit where audit_id = 2", "entries 2 to 2 are missing"),
        ("delete from kernel.audit where audit_id = 3", "the end was cut off"),
    ],
)
async def test_an_entry_that_is_changed_or_removed_is_found(pool, harm, finding):
    """The table refuses; whoever forces it breaks the chain."""
    for _ in range(3):
        await note(pool, "an", "operator", "case.read", [f"case:{uuid4()}"])
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await pool.execute(harm)
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await pool.execute("truncate kernel.audit")
    await by_force(pool, "kernel.audit", harm)
    [found] = await findings(pool)
    assert found.startswith(finding)


async def test_a_chain_that_is_written_anew_lacks_the_digest_kept_elsewhere(pool):
    """The only way to hide something is to write everything after it anew: a kept digest tells."""
    await note(pool, "an", "operator", "case.read", [f"case:{uuid4()}"])
    _, kept = await head(pool)
    await by_force(
        pool,
        "kernel.audit",
        "update kernel.audit_head set number = 0, digest = sha256(''); delete from kernel.audit",
    )
    await note(pool, "an", "operator", "nothing.read", [])
    assert await findings(pool) == []
    [found] = await findings(pool, witnessed=kept)
    assert "kept elsewhere" in found


# ── the log under it ────────────────────────────────────────────────────────────────────────────────────────


async def test_events_are_witnessed_once_each(api):
    """Round for round what is new, also by several auditors at once; a quiet log writes no entry."""
    case = await api.opened()
    await asyncio.gather(*(witnessed_all(api.pool) for _ in range(3)))
    await api.fact(case, "note_added", text="x")
    await asyncio.gather(*(witnessed_all(api.pool) for _ in range(3)))
    before = await head(api.pool)
    assert await witness(api.pool) == 0
    assert await head(api.pool) == before
    assert await findings(api.pool) == []


async def test_an_event_that_commits_late_is_witnessed_too(api):
    """What began before and commits after is not overtaken: the entry waits until no older transaction is open."""
    early, late = await api.opened(), await api.opened()
    async with api.pool.acquire() as connection, connection.transaction():
        await connection.execute("select pg_current_xact_id()")
        await api.fact(late, "note_added", text="x")
        await witness(api.pool)
        await connection.execute(
            "insert into eventlog.events (epoch, stream, version, event_id, type, topic, subject, time,"
            " correlation_id, actor, origin, mode, data) select epoch, stream, 2, gen_random_uuid(), type, topic,"
            " subject, time, correlation_id, actor, origin, mode, data from eventlog.events where subject = $1",
            early,
        )
    await witnessed_all(api.pool)
    assert await findings(api.pool) == []


@pytest.mark.parametrize(
    "harm",
    [
        "update eventlog.events set actor = 'somebody' where version = 1",
        'update eventlog.events set data = data || \'{"kind": "undefined"}\' where version = 1',
        "update eventlog.events set time = time - interval '1 hour' where version = 1",
        "delete from eventlog.events where type = 'case.note_added.v1'",
    ],
)
async def test_an_event_that_is_changed_or_removed_is_found(api, harm):
    """Whatever is done by force to an event that was witnessed."""
    case = await api.opened()
    await api.fact(case, "note_added", text="x")
    await witnessed_all(api.pool)
    await by_force(api.pool, "eventlog.events", harm)
    [found] = await findings(api.pool)
    assert "are not what entry" in found


# ── export and command ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def place(settings, monkeypatch, tmp_path):
    """A folder whose installation is the test's own."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("ZOEKLICHT_VAULT_DATABASE_URL", settings.vault_url)
    monkeypatch.setenv("ZOEKLICHT_MASTER_KEY", settings.master_key.get_secret_value())
    return tmp_path


async def test_an_export_proves_itself_without_a_database(api, tmp_path, capsys):
    """The file of the API is checked by the command; a changed line, a cut and another file are found."""
    await api.opened()
    kept = (await api.get("/v1/audit/head", "admin")).body["digest"]
    headers = {"Authorization": f"Bearer {api.tokens['admin']}"}
    async with api.session.get(f"{api.base}/v1/audit/export", headers=headers) as answer:
        lines = (await answer.read()).splitlines(keepends=True)
    assert json.loads(lines[-1])["action"] == "audit.exported"
    file = tmp_path / "audit.ndjson"
    file.write_bytes(b"".join(lines))
    assert await commands.verify_file(file, kept) == 0
    assert capsys.readouterr().out == f"{len(lines)} entries are as they were written\n"
    file.write_bytes(b"".join(lines).replace(b'"operator"', b'"admin"', 1))
    assert await commands.verify_file(file, kept) == 1
    assert "was changed or slipped in" in capsys.readouterr().out
    assert await commands.verify_file(file, "00" * 32) == 1
    for content, kept_digest in ((b"{}\n", None), (b"name\n", None), (lines[0], "no digest")):
        file.write_bytes(content)
        with pytest.raises(commands.ExportError):
            await commands.verify_file(file, kept_digest)


async def test_the_command_proves_an_installation(place, pool):
    """As a process: 0 and a count while all is whole, 1 and what is broken after harm."""

    async def command(*words):
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "services.cli.main", "audit", *words, "--data", str(place)],
            env={**os.environ, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    await note(pool, "an", "operator", "case.read", [f"case:{uuid4()}"])
    number, digest = await head(pool)
    assert (await command("head")).stdout == f"{number} {digest.hex()}\n"
    good = await command("verify", "--kept", digest.hex())
    assert (good.returncode, good.stdout) == (
        0,
        "1 entries and 0 events that they witness are as they were written\n",
    )
    await by_force(pool, "kernel.audit", "update kernel.audit set role = 'admin'")
    bad = await command("verify")
    assert bad.returncode == 1
    assert bad.stdout.startswith("broken: entry 1 of ")
