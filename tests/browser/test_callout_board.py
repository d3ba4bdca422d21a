"""The coordinator's board in a real browser: who was asked, what they say as they say it, where they are."""

import io

import pytest
from browser_ground import overflows, screenshot, serious
from PIL import Image
from playwright.async_api import expect
from volunteers_ground import another, ground_of

from schemas.commands import PlacePoster
from services.kernel.postgres import create_pool
from services.kernel.vault import Vault, ring_of
from services.volunteers import callouts


@pytest.fixture
async def ground(served):
    keys = await create_pool(served.settings.vault_url, size=2)
    try:
        vault = Vault(keys, ring_of(served.settings))
        async with ground_of(served.pool, vault, served.settings) as found:
            yield found
    finally:
        await keys.close()


async def test_a_coordinator_sees_answers_as_they_come(visit, ground):
    """From the list to the board; an answer, and what still hangs, appear without loading anything again."""
    people = await ground.people(
        another(1, lat=50.95, lon=4.7, car=True), another(2, lat=50.9, lon=4.9), another(3, lat=51.2, lon=4.4)
    )
    callout = await ground.call_out(await ground.case(), people=1, cars=1, lat=50.9, lon=4.7)
    await ground.work()
    page = await visit("/callouts")
    assert await page.get_by_role("link", name="Call-outs").get_attribute("aria-current") == "page"
    await page.locator("main a").first.click()
    await expect(page.locator("#sum")).to_have_text("0 of 1 are coming; 2 have still to answer")
    await expect(page.get_by_role("row", name="An1 Helpmans")).to_contain_text("for: car")
    await expect(page.locator("#dots .waiting")).to_have_count(2)
    await ground.says(callout, people[0])
    await expect(page.get_by_role("row", name="An1 Helpmans")).to_contain_text("yes, I am coming")
    await expect(page.locator("#dots .yes")).to_have_count(1)
    await expect(page.locator("#sum")).to_have_text("1 of 1 are coming; 0 have still to answer")
    wish = PlacePoster(place="library <b>", at="2026-03-02T20:00:00+01:00", volunteer_id=people[0])
    picture = io.BytesIO()
    Image.new("RGB", (320, 240), "#884422").save(picture, "JPEG")
    await ground.act(callout, callouts.place, wish, picture.getvalue())
    await expect(page.locator("#posters")).to_contain_text("library <b>")
    proof = await page.get_by_role("link", name="photo: library <b>").get_attribute("href")
    answer = await page.request.get(proof)
    assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
    assert not await serious(page)
    assert not await overflows(page)
    await screenshot(page, "callout-board")


async def test_the_board_says_when_it_is_old(visit, ground):
    """Nobody decides by numbers that stand still unnoticed."""
    callout = await ground.call_out(await ground.case(), people=1, lat=50.9, lon=4.7)
    page = await visit(f"/callouts/{callout}", language="nl")
    await expect(page.locator("#sum")).to_contain_text("van 1 komen")
    await page.context.set_offline(True)
    await expect(page.locator("#stale")).to_be_visible()
    await expect(page.locator("#stale")).to_contain_text("Geen verbinding")
    await page.context.set_offline(False)
    await expect(page.locator("#stale")).to_be_hidden()
    visit.complaints.clear()  # Chromium logs what it could not fetch
