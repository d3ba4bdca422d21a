"""A child is forgotten by itself when its last case was closed as long ago as the policy says; and by command."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
from erasure_ground import Installation
from intake_ground import CASE, LOU, NOA, running

from services.cli import erase
from services.intake import main, retention
from services.intake.domain.policy import Policy
from services.intake.handlers.steps import IntakeDeps
from services.intake.importer import import_lines
from services.intake.policy import load_policy
from services.kernel.problems import ForbiddenError
from services.kernel.service import Runtime

YOUNG = {"given_name": "Mika", "family_name": "Voorbeeld", "date_of_birth": "2012-02-02"}


@pytest.fixture
async def site(settings, pool, vault, monkeypatch):
    """An installation, and an environment that names its servers for commands."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("ZOEKLICHT_VAULT_DATABASE_URL", settings.vault_url)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", settings.kafka_bootstrap_servers)
    monkeypatch.setenv("ZOEKLICHT_MASTER_KEY", settings.master_key.get_secret_value())
    monkeypatch.setattr(erase, "console", erase.Console(highlight=False, soft_wrap=True, width=200))
    deps = IntakeDeps(pool, vault, settings, load_policy())
    async with running(deps) as api:
        yield Installation(api, deps)


async def closed_before(site, ref: str, days: int, child: dict[str, str]) -> None:
    """A case of the past that was closed so many days ago."""
    end = datetime.now(UTC) - timedelta(days=days)
    begin = end - timedelta(days=3)
    seen = {"given_name", "family_name", "date_of_birth"}
    data = {
        "kind": "runaway",
        "reported_by": "parent",
        "disappeared_at": begin.isoformat(),
        "last_seen": {"postal_code": "3000"},
        "children": [{key: value for key, value in child.items() if key in seen}],
    }
    over = {"outcomes": [{"child": 0, "outcome": "found_safe"}]}
    lines = [
        {"ref": ref, "type": "case.opened", "at": begin.isoformat(), "data": data},
        {"ref": ref, "type": "case.closed", "at": end.isoformat(), "data": over},
    ]
    result = await import_lines(site.deps, [json.dumps(line) for line in lines])
    assert not result.bad


async def forgotten(site) -> list[str]:
    """The case numbers of whose children the key is gone."""
    rows = await site.pool.fetch(
        "select case_number, child_id from intake.case_child join intake.case_open using (case_id) order by 1"
    )
    kept = await site.vault.find([f"child:{row['child_id']}" for row in rows])
    return [row["case_number"] for row in rows if f"child:{row['child_id']}" not in kept]


async def ready(runtime) -> bool:
    return runtime.ready


async def until(condition, within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.05)


async def test_a_child_is_forgotten_a_year_after_its_last_case(site):
    """Not before; not while a later case is young or open; each once, by the policy, with a certificate."""
    await closed_before(
        site, "old", 400, {"given_name": "Ida", "family_name": "V", "date_of_birth": "2010-01-01"}
    )
    await closed_before(site, "young", 330, YOUNG)
    await closed_before(site, "lou-1", 800, LOU)
    await closed_before(site, "lou-2", 20, LOU)
    noa = NOA | {"date_of_birth": "2011-05-05"}
    await closed_before(site, "noa", 800, noa)
    await site.api.post("/v1/cases", CASE | {"children": [noa | {"age_estimate": None}], "circumstances": []})
    [one] = await retention.due(site.deps)
    assert one.cases == 1
    assert await retention.erase_due(site.deps) == 1
    await site.carried_out()
    [gone] = await forgotten(site)
    assert (
        await site.pool.fetchval(
            "select child_id from intake.case_child join intake.case_open using (case_id)"
            " where case_number = $1",
            gone,
        )
        == one.child_id
    )
    assert await retention.due(site.deps) == []
    assert await retention.erase_due(site.deps) == 0
    [erasure] = (await site.api.get("/v1/erasures", "admin")).body["items"]
    assert (erasure["state"], erasure["approved_by"], erasure["reason"]) == (
        "completed",
        "policy",
        "time_is_over",
    )


async def test_an_installation_may_keep_longer_or_until_somebody_asks(site):
    """The months are data of the policy; a person of the name 'policy' approves nothing of their own."""
    await closed_before(site, "old", 400, YOUNG)
    for months, found in ((13, 1), (14, 0), (0, 0)):
        data = site.deps.policy.model_dump() | {"retention": {"months": months}}
        policy = Policy.model_validate(data)
        kept = IntakeDeps(site.pool, site.vault, site.deps.settings, policy)
        assert len(await retention.due(kept)) == found
    await site.pool.execute("update kernel.token set principal = 'policy' where principal = 'admin'")
    got = await site.asked("admin", child_id=str((await retention.due(site.deps))[0].child_id))
    assert (await site.agreed(got.body["erasure_id"])).body["rule"] == "four-eyes"


async def test_the_process_forgets_by_itself_but_not_at_once(site, monkeypatch):
    """After a start there is time to look at what is due; from then on it is asked for, approved and done."""
    await closed_before(site, "old", 400, YOUNG)
    runtime = Runtime("intake", site.deps.settings, site.pool)
    assert retention.EVERY_S >= 3600
    process = asyncio.create_task(main._main(runtime))
    await until(partial(ready, runtime))
    runtime.stop.set()
    await process
    assert (await site.api.get("/v1/erasures", "admin")).body["items"] == []
    monkeypatch.setattr(retention, "EVERY_S", 0.0)
    runtime = Runtime("intake", site.deps.settings, site.pool)
    process = asyncio.create_task(main._main(runtime))
    await until(lambda: forgotten(site))
    runtime.stop.set()
    await process


async def test_the_command_shows_who_is_due_before_it_erases(site, tmp_path, capsys):
    """A dry run touches nothing; the same without it does."""
    await erase.due(tmp_path, dry_run=True)
    assert "nobody is due" in capsys.readouterr().out
    await closed_before(site, "old", 400, YOUNG)
    await erase.due(tmp_path, dry_run=True)
    shown = capsys.readouterr().out
    assert "1 are due" in shown
    assert "Mika" not in shown
    assert await forgotten(site) == []
    await erase.due(tmp_path, dry_run=False)
    assert "1 of 1 erased" in capsys.readouterr().out
    assert len(await forgotten(site)) == 1


async def test_two_people_erase_by_command(site, tmp_path, capsys):
    """The account at this machine asks; it may not approve, a colleague's token does; then the certificate is printed."""
    case = await site.api.opened()
    with pytest.raises(erase.EraseError, match="no name fits in"):
        await erase.request(tmp_path, None, UUID(case), None, "request_of_family", "Lou Voorbeeld")
    await erase.request(tmp_path, None, UUID(case), None, "request_of_family", "AVG-2026/14")
    said = capsys.readouterr().out
    assert case in said
    erasure = UUID(re.search(r"asked for erasure ([0-9a-f-]{36})", said)[1])
    with pytest.raises(ForbiddenError, match="ask a colleague"):
        await erase.approve(tmp_path, None, erasure)
    with pytest.raises(erase.EraseError, match="may not erase"):
        await erase.approve(tmp_path, site.api.tokens["operator"], erasure)
    with pytest.raises(erase.EraseError, match="nothing is certified"):
        await erase.certificate(tmp_path, erasure)
    assert await forgotten(site) == []
    await erase.approve(tmp_path, site.api.tokens["coordinator"], erasure)
    said = capsys.readouterr().out
    assert '"approved_by": "coordinator"' in said
    assert '"complete": true' in said
    assert len(await forgotten(site)) == 1
    assert await erase.certificate(tmp_path, erasure) == 0
    assert "Voorbeeld" not in said + capsys.readouterr().out
