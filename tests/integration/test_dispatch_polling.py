"""A partner that no push ever reaches: it asks for its signed state, and shows and forgets what it should all the same."""

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from dispatch_ground import Ground, add_recipient
from dispatch_http import PARTNER, Client, become_active, client_of
from sender_ground import free_port, sending, until

from services.dispatch.campaigns import campaign_alert
from services.dispatch.lanes import page_late_withdrawals
from services.dispatch.sender import Sender
from services.kernel import signing


@pytest.fixture
def fast(settings):
    return settings.model_copy(update={"delivery_timeout_s": 1.0, "lease_s": 4.0})


@pytest.fixture
def ground(pool, vault, fast):
    return Ground(pool, vault, fast)


@pytest.fixture
async def call(pool, vault, fast):
    async with client_of(pool, vault, fast) as client:
        yield client


@dataclass
class Poller:
    """Screens that do nothing but ask. `shown`: alert → (revision, names, until)."""

    call: Client
    partner: dict[str, Any]
    shown: dict[str, tuple[int, list[str], datetime]] = field(default_factory=dict)
    generated: str = ""

    async def poll(self, *, tamper: bool = False) -> None:
        answer = await self.call("GET", "/v1/partner/state", token=self.partner["token"])
        body = answer.body.replace(b'"revision":1', b'"revision":7') if tamper else answer.body
        try:
            secret = signing.parse_secret(self.partner["secret"])
            signing.verify([secret], answer.headers, body, int(time.time()))
        except signing.SignatureError:
            return
        state = json.loads(body)
        if state["generated_at"] <= self.generated:
            return  # an older digest that was held back
        self.generated = state["generated_at"]
        listed = {one["alert_id"]: one for one in state["alerts"]}
        for gone in set(self.shown) - set(listed):
            revision, _, _ = self.shown.pop(gone)
            await self._say(gone, revision, "removed")
        for alert, one in listed.items():
            await self._show(alert, one)

    async def _show(self, alert: str, one: dict[str, Any]) -> None:
        revision, names, _ = self.shown.get(alert, (0, [], None))
        if one["revision"] > revision:
            answer = await self.call("GET", f"/v1/partner/alerts/{alert}", token=self.partner["token"])
            if answer.status != 200:
                return
            data = answer.json["data"]
            revision, names = data["revision"], [person["name"] for person in data["persons"]]
            await self._say(alert, revision, "displayed")
        self.shown[alert] = revision, names, datetime.fromisoformat(one["display_until"])

    async def _say(self, alert: str, revision: int, state: str) -> None:
        body = {"alert_id": alert, "revision": revision, "state": state, "at": datetime.now(UTC).isoformat()}
        answer = await self.call("POST", "/v1/receipts", body, token=self.partner["token"])
        assert answer.status in {200, 201}

    def lit(self, now: datetime | None = None) -> dict[str, int]:
        now = now or datetime.now(UTC)
        return {alert: revision for alert, (revision, _, end) in self.shown.items() if end > now}


async def poller(call, pool, **changes):
    """A partner that answered one ping, and whose receiver has been away ever since."""
    url = f"http://127.0.0.1:{free_port()}/hook"
    partner = (await call("POST", "/v1/partners", {**PARTNER, "url": url, **changes})).json
    await become_active(pool, partner)
    return Poller(call, partner)


@pytest.mark.parametrize("content", ["full", "link"])
async def test_partner_that_only_polls_converges(call, ground, vault, fast, content):
    """Every push fails; each poll brings it to what holds: shown, replaced, dark; and its receipts are believed."""
    pool = ground.pool
    screens = await poller(call, pool, content=content)
    await add_recipient(pool)
    async with sending(Sender(pool, vault, fast)):
        await screens.poll()
        assert screens.lit() == {}
        await ground.release()
        await ground.replay()
        alert = str(campaign_alert(ground.campaign))

        async def failed():
            return await pool.fetchval(
                "select count(*) > 0 from dispatch.attempt where error_class = 'connect'"
            )

        await until(failed)
        await screens.poll()
        assert screens.lit() == {alert: 1}
        await ground.update()
        await ground.replay()
        await screens.poll()
        assert screens.lit() == {alert: 2}
        await ground.end()
        await screens.poll()  # the store stopped it; its withdrawal is not even planned
        assert screens.lit() == {}
        await ground.replay()
    rows = await ground.deliveries(content="withdrawn", state="pending")
    assert len(rows) == 2
    states = [r["state"] for r in await pool.fetch("select state from dispatch.receipt order by recorded_at")]
    assert states == ["displayed", "displayed", "removed"]


async def test_removal_that_a_poll_led_to_spares_the_telephone_call(call, ground, pool):
    """The push of the withdrawal never arrives; the receipt says that the screens are dark: nobody is paged."""
    screens = await poller(call, pool)
    await ground.release()
    await ground.replay()
    await screens.poll()
    await ground.end()
    await ground.replay()
    listed = (await call("GET", "/v1/may-still-show")).json["items"]
    assert [one["reason"] for one in listed] == ["unanswered"]
    await screens.poll()
    assert (await call("GET", "/v1/may-still-show")).json["items"] == []
    await pool.execute("update dispatch.delivery set created_at = created_at - interval '6 minutes'")
    await page_late_withdrawals(pool)
    assert await pool.fetchval("select count(*) from kernel.page where matter like 'may-still-show%'") == 0


async def test_partner_that_cannot_ask_any_more_goes_dark_by_itself(call, ground, pool):
    """Without another poll the last lease ends after half an hour at most; each poll begins a new one."""
    screens = await poller(call, pool)
    await ground.release()
    await ground.replay()
    await screens.poll()
    [(_, _, first)] = screens.shown.values()
    assert screens.lit(datetime.now(UTC) + timedelta(seconds=1790))
    assert screens.lit(datetime.now(UTC) + timedelta(seconds=1801)) == {}
    await screens.poll()
    [(_, _, second)] = screens.shown.values()
    assert second > first


async def test_digest_that_was_changed_on_its_way_is_not_believed(call, ground, pool):
    """The signature covers what is listed: a forged digest neither lights nor darkens anything."""
    screens = await poller(call, pool)
    await ground.release()
    await ground.replay()
    await screens.poll(tamper=True)
    assert screens.lit() == {}
    await screens.poll()
    assert list(screens.lit().values()) == [1]


async def test_many_alerts_come_and_go(call, ground, pool):
    """Several at once: those that end are gone at the next poll, the others stay with the newest revision."""
    screens = await poller(call, pool)
    campaigns = []
    for _ in range(3):
        ground.campaign, ground.case = uuid4(), uuid4()
        campaigns.append((ground.campaign, ground.case))
        await ground.release()
    await ground.replay()
    await screens.poll()
    assert len(screens.lit()) == 3
    ground.campaign, ground.case = campaigns[0]
    await ground.end()
    ground.campaign, ground.case = campaigns[1]
    await ground.update()
    await ground.replay()
    await screens.poll()
    assert screens.lit() == {
        str(campaign_alert(campaigns[1][0])): 2,
        str(campaign_alert(campaigns[2][0])): 1,
    }
