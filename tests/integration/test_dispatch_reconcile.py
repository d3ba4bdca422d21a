"""What a partner shows follows what it is: areas that shrink, a pause, its end; also when a process dies in between."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from dispatch_ground import GHENT, LEUVEN, NAME, Ground, add_recipient
from dispatch_http import PARTNER, become_active, client_of

from schemas.commands import ChangePartner
from services.dispatch import auditor
from services.dispatch.desk import DispatchDeps
from services.dispatch.partners import change
from services.dispatch.reconcile import reconcile_all
from services.kernel.postgres import in_transaction
from services.kernel.vault import VaultError


@pytest.fixture
def ground(pool, vault, settings):
    return Ground(pool, vault, settings)


@pytest.fixture
async def call(pool, vault, settings):
    async with client_of(pool, vault, settings) as client:
        yield client


@dataclass
class Lit:
    """An active partner with an alert, beside another one."""

    ground: Ground
    partner: dict[str, Any]
    other: UUID

    @property
    def path(self) -> str:
        return f"/v1/partners/{self.partner['partner_id']}"

    async def had(self) -> list[str]:
        rows = await self.ground.deliveries(recipient_id=UUID(self.partner["partner_id"]))
        return [row["content"] for row in rows]

    async def others(self) -> list[str]:
        return [row["content"] for row in await self.ground.deliveries(recipient_id=self.other)]


@pytest.fixture
async def lit(call, ground):
    partner = (await call("POST", "/v1/partners", PARTNER)).json
    await become_active(ground.pool, partner)
    other = await add_recipient(ground.pool)
    await ground.release()
    await ground.replay()
    return Lit(ground, partner, other)


async def test_pause_takes_back_what_is_lit_and_its_end_shows_it_again(call, lit):
    """A withdrawal for this partner alone, at once; after the end of the pause and its ping the alert comes again."""
    assert (await call("PATCH", lit.path, {"paused": True})).json["state"] == "paused"
    assert await lit.had() == ["issued", "withdrawn"]
    assert (await call("PATCH", lit.path, {"paused": False})).json["state"] == "unverified"
    assert await lit.had() == ["issued", "withdrawn"]
    await become_active(lit.ground.pool, lit.partner)
    assert await reconcile_all(lit.ground.publisher)
    assert await lit.had() == ["issued", "withdrawn", "updated"]
    newest = (await lit.ground.deliveries(recipient_id=UUID(lit.partner["partner_id"])))[-1]
    assert newest["state"] == "pending"
    assert (await lit.ground.body(newest))["data"]["persons"][0]["name"] == NAME
    assert await reconcile_all(lit.ground.publisher)
    assert await lit.had() == ["issued", "withdrawn", "updated"]
    assert await lit.others() == ["issued"]
    assert await auditor.audit(lit.ground.pool, timedelta(minutes=15)) == []


async def test_end_of_a_pause_lights_nothing_that_ended_meanwhile(call, lit):
    """What the store stopped during the pause stays dark, also before its withdrawal is planned."""
    await call("PATCH", lit.path, {"paused": True})
    await call("PATCH", lit.path, {"paused": False})
    await lit.ground.end()
    await become_active(lit.ground.pool, lit.partner)
    await reconcile_all(lit.ground.publisher)
    assert await lit.had() == ["issued", "withdrawn"]


async def test_areas_that_shrink_and_grow_again_show_the_alert_again(call, lit):
    """The withdrawal of its own is followed by the alert, although no campaign changed."""
    await call("PATCH", lit.path, {"areas": [GHENT]})
    await call("PATCH", lit.path, {"areas": [LEUVEN]})
    assert await lit.had() == ["issued", "withdrawn", "updated"]
    assert await lit.others() == ["issued"]


@pytest.mark.parametrize("body", [{"areas": [GHENT]}, {"paused": True}])
async def test_crash_after_the_change_leaves_a_to_do(lit, pool, vault, settings, body):
    """The change commits with the to-do, so another process takes the alert back when this one dies right after it."""
    deps, one = DispatchDeps(pool, vault, settings), UUID(lit.partner["partner_id"])
    await reconcile_all(lit.ground.publisher)
    await in_transaction(pool, lambda c: change(deps, c, one, ChangePartner.model_validate(body)))
    assert await lit.had() == ["issued"]
    assert await reconcile_all(lit.ground.publisher)
    assert await lit.had() == ["issued", "withdrawn"]
    assert await pool.fetchval("select count(*) from dispatch.recipient where reconcile_at is not null") == 0


async def test_vault_that_is_away_leaves_the_to_do_and_the_answer(call, lit, vault, monkeypatch):
    """The change is answered; the to-do stays until the keys are there again."""

    async def away(_names):
        raise VaultError("away")

    with monkeypatch.context() as patch:
        patch.setattr(vault, "find", away)
        patch.setattr("services.dispatch.partners._prepare", lambda *_: _nothing())
        assert (await call("PATCH", lit.path, {"paused": True})).status == 200
        assert not await reconcile_all(lit.ground.publisher)
        assert await lit.had() == ["issued"]
    assert await reconcile_all(lit.ground.publisher)
    assert await lit.had() == ["issued", "withdrawn"]


async def _nothing():
    pass


async def test_change_that_is_not_followed_is_found(lit, pool, vault, settings):
    """A paused partner that goes on showing an alert is a broken promise that the auditor tells a person."""
    deps, one = DispatchDeps(pool, vault, settings), UUID(lit.partner["partner_id"])
    await in_transaction(pool, lambda c: change(deps, c, one, ChangePartner(paused=True)))
    assert await auditor.audit(pool, timedelta(minutes=15)) == []
    await pool.execute("update dispatch.recipient set reconcile_at = reconcile_at - interval '3 minutes'")
    [finding] = await auditor.audit(pool, timedelta(minutes=15))
    assert (finding.rule, finding.recipient_id) == ("unreconciled", one)
    assert await reconcile_all(lit.ground.publisher)
    assert await auditor.audit(pool, timedelta(minutes=15)) == []
