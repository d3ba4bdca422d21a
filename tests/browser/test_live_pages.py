"""Pages that keep themselves up to date: news appears, survives breaks, and comes by asking where streams do not get through."""

import asyncio

import pytest
from browser_ground import SLOW_MACHINE_MS, Visits, serving
from playwright.async_api import expect
from room_ground import Room
from test_operations import shown

from services.kernel.postgres import create_pool
from services.kernel.vault import Vault, ring_of
from services.web import live_api

NAME = "2026-999"


async def case_on(page, number):
    await page.locator(".case", has_text=number).wait_for()


async def test_a_new_worrying_case_appears_by_itself_and_is_read_out_once(visit, room):
    """From the event store over Kafka and the projection to the screen, without a reload; a reader hears of it."""
    page = await shown(await visit("/operations"))
    assert await page.locator("#announcer").inner_text() == ""
    await room.case("2026-991", reasons=("under_13",), place="24062")
    await case_on(page, "2026-991")
    await expect(page.locator("#announcer")).to_contain_text("2026-991", timeout=SLOW_MACHINE_MS)
    assert await page.locator("#announcer").get_attribute("role") == "status"


async def test_many_news_are_read_out_as_few(visit, room):
    """Ten cases at once do not shout ten times."""
    page = await shown(await visit("/operations"))
    await page.evaluate(
        "() => { window.said = []; new MutationObserver(() => said.push(announcer.textContent))"
        ".observe(document.getElementById('announcer'), { childList: true }) }"
    )
    for n in range(10):
        await room.case(f"2026-98{n}", reasons=("under_13",))
    for n in range(10):
        await case_on(page, f"2026-98{n}")
    await expect(page.locator("#announcer")).to_contain_text("2026-98", timeout=SLOW_MACHINE_MS)
    said = await page.evaluate("said")
    assert len(said) <= 3
    assert all(text.count("2026-98") <= 3 for text in said)


async def test_each_partners_tile_follows_the_alert(visit, room):
    """Waiting, received, shown; then going dark, told, dark: each step is on its tile."""
    case_id = await room.case("2026-971", reasons=("under_13",))
    page = await shown(await visit("/operations/alerts"))
    alert = await room.alert(["arrondissement:eupen"], case_id)
    card = page.locator(f"[data-key='{alert.alert_id}']")
    one = room.partners[:1]
    tile = card.locator(f".tile[data-key='{one[0]}']")
    await tile.filter(has_text="waiting").wait_for()
    await room.delivered(alert, one)
    await tile.filter(has_text="received").wait_for()
    await room.receipt(alert, one, screens=7)
    await tile.filter(has_text="screens: 7").wait_for()
    assert "1 of 31 show it" in await card.inner_text()
    await room.ground.revise(alert, "withdrawn")
    await tile.filter(has_text="going dark").wait_for()
    await room.delivered(alert, one)
    await tile.filter(has_text="told to go dark").wait_for()
    await room.receipt(alert, one, "removed")
    await tile.filter(has_text="dark").wait_for()
    assert "1 of 31 dark" in await card.inner_text()


async def test_where_streams_do_not_get_through_the_page_asks(visit, room):
    """It says so, and news still comes by itself."""
    page = await visit("/login", role="coordinator")
    await page.context.route(
        lambda url: url.partition("?")[0].endswith("/v1/live"), lambda route: route.abort()
    )
    await page.goto("/operations")
    await shown(page)
    await page.get_by_text("Asking every few seconds").wait_for()
    await room.case("2026-961", reasons=("under_13",))
    await case_on(page, "2026-961")
    visit.complaints.clear()  # Chromium says that the stream was refused


async def test_who_may_not_watch_any_more_is_told_and_sees_nothing_new(visit, served, room, monkeypatch):
    """The end of a session ends the stream of that browser; a link leads to signing in and back."""
    monkeypatch.setattr(live_api, "HEARTBEAT_S", 0.2)
    page = await shown(await visit("/operations"))
    await served.pool.execute("delete from kernel.session")
    link = page.locator("#banner").get_by_role("link", name="Sign in")
    await link.wait_for()
    assert (await link.get_attribute("href")) == "/login?next=%2Foperations"


@pytest.fixture
async def own_room(shared_settings):
    keys = await create_pool(shared_settings.vault_url, size=2, application="browser-test-vault")
    pool = await create_pool(
        shared_settings.database_url.get_secret_value(), size=2, application="browser-test"
    )
    yield Room(pool, shared_settings, Vault(keys, ring_of(shared_settings)))
    await pool.close()
    await keys.close()


async def test_after_a_break_of_the_server_the_page_goes_on_by_itself(browser, room, own_room):
    """While it is away the page says since when; what happened meanwhile is there when it is back."""
    async with serving(room.settings) as first:
        visit = Visits(browser, first)
        page = await shown(await visit("/operations"))
    await page.get_by_role("alert").get_by_text("No connection since").wait_for()
    await own_room.case(NAME, reasons=("under_13",))
    async with serving(room.settings, port=first.port):
        await page.get_by_text("Live", exact=True).wait_for()
        await case_on(page, NAME)
        await asyncio.wait_for(page.locator("#banner:empty").wait_for(state="attached"), 30)
        visit.complaints.clear()  # Chromium says that nobody answered
        await visit.end()
