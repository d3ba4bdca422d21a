"""The operations room's pages: readable by everybody, in every language, on every screen, by keyboard alone."""

import re

import pytest
from browser_ground import LARGE, SMALL, overflows, screenshot, serious
from playwright.async_api import expect
from room_ground import beat

from services.kernel.site import LANGUAGES
from services.kernel.site.languages import words_of

PAGES = ("/operations", "/operations/alerts", "/operations/cases", "/operations/system")
TWICE_AS_LARGE = {"width": LARGE["width"] // 2, "height": LARGE["height"] // 2}
NARROWEST = {"width": 320, "height": 640}
"""What 400 % makes of 1280 pixels (WCAG 2.2, 1.4.10)."""


async def shown(page):
    """The page has the board."""
    await page.locator("html[data-shown*='-']").wait_for()
    return page


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_room_speaks_the_readers_language(visit, served, room, language):
    """What the server writes and what scripts write, by day and by night."""
    await beat(served.pool)
    scheme = "dark" if language in {"nl", "de"} else "light"
    page = await shown(await visit("/operations", language=language, color_scheme=scheme))
    words = words_of(("services.kernel.site", "services.web"))[language]
    assert await page.locator("html").get_attribute("lang") == language
    assert await page.get_by_role("button", name=words["sign_out"]).is_visible()
    assert words["alert_vignette"] in await page.locator(".alert").nth(1).inner_text()
    assert words["reason_under_13"] in await page.locator("#worrying").inner_text()
    assert not await overflows(page)
    await screenshot(page, f"operations-{language}-{scheme}")


@pytest.mark.parametrize(
    ("language", "scheme"), [*((language, "light") for language in LANGUAGES), ("nl", "dark")]
)
async def test_axe_finds_nothing_serious_on_any_page(visit, served, room, language, scheme):
    """Names, roles, contrast: every page by day in each language, the room by night too."""
    await beat(served.pool)
    page = await visit(PAGES[0], language=language, color_scheme=scheme)
    for path in PAGES if scheme == "light" else PAGES[:1]:
        await page.goto(path)
        await shown(page)
        if path == "/operations/cases":
            await page.get_by_role("rowheader").nth(50).wait_for()
        assert not await serious(page), path
        await screenshot(page, f"{path.strip('/').replace('/', '-')}-{language}-{scheme}")


async def test_the_room_shows_worrying_cases_all_others_alerts_and_who_may_still_show(visit, served, room):
    """Everything that the operations room is for, at a glance."""
    await beat(served.pool)
    page = await shown(await visit("/operations"))
    worrying = page.locator("#worrying .case")
    assert await worrying.count() == 15
    assert "Medication overdue" in await worrying.first.inner_text()
    assert await page.locator("#others .case").count() == 38
    assert "Exercise" in await page.locator(".case", has_text="OEF-2026-7").text_content()
    alerts = page.locator(".alert")
    assert await alerts.count() == 4
    assert "Child Alert" in await alerts.first.inner_text()
    assert "22 of 31 show it" in await alerts.first.inner_text()
    assert await alerts.first.locator(".tile").count() == 31
    assert await page.locator("#still li").count() == 2
    assert "+32 2 555 01 16" in await page.locator("#still").inner_text()
    assert await page.locator(".area[data-kind='child_alert']").count() == 2
    assert await page.locator(".area[data-kind='vignette']").count() == 1
    assert re.search(
        r"Leuven.*\d+ open, \d+ worrying, 1 campaigns", await page.locator("#map-text").inner_text()
    )
    assert await page.locator("#charts svg .column").count() == 30 * 4
    assert "All parts work" in await page.locator("#health").inner_text()


async def test_a_state_is_a_shape_and_a_word_and_not_only_a_colour(visit, room):
    """Each step of a tile has a shape of its own and says its name."""
    page = await shown(await visit("/operations/alerts"))
    tiles = await page.locator(".tile").evaluate_all(
        "tiles => tiles.map(one => [one.querySelector('use').getAttribute('href'), one.querySelector('.step-word').textContent])"
    )
    pairs = {tuple(pair) for pair in tiles}
    assert len(pairs) >= 7
    assert len({shape for shape, _ in pairs}) == len({word for _, word in pairs}) == len(pairs)


async def test_nobody_scrolls_sideways_on_a_telephone_or_at_200_percent(visit, room):
    """Two hundred percent of a large screen, a telephone, and the narrowest that guidelines name."""
    page = await visit(PAGES[0])
    for path in PAGES:
        await page.goto(path)
        await shown(page)
        for viewport in (TWICE_AS_LARGE, SMALL, NARROWEST):
            await page.set_viewport_size(viewport)
            assert not await overflows(page), (path, viewport)
    await page.set_viewport_size(SMALL)
    await page.goto(PAGES[0])
    await shown(page)
    await screenshot(page, "operations-telephone")


async def test_the_keyboard_alone_leads_everywhere(visit, room):
    """Skip to the content, go to another page, search there, open the table of figures; the focus is always to be seen."""
    page = await shown(await visit("/operations"))
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "content"
    seen = []
    for _ in range(12):
        await page.keyboard.press("Tab")
        seen.append(
            await page.evaluate(
                "(e => [e.tagName, e.id || e.getAttribute('aria-labelledby') || '', getComputedStyle(e).outlineStyle])"
                "(document.activeElement)"
            )
        )
    assert {"worrying-title", "others-title"} <= {name for _, name, _ in seen}
    assert "SUMMARY" in {tag for tag, _, _ in seen}
    assert all(outline != "none" for tag, _, outline in seen if tag != "BODY"), seen
    await page.get_by_role("link", name="All cases").first.press("Enter")
    await page.wait_for_url("**/operations/cases")
    await shown(page)
    await page.get_by_label("Case number or postcode").press_sequentially("2026-41")
    await page.keyboard.press("Enter")
    await expect(page.locator("#rows tr")).to_have_count(4)


async def test_printed_it_is_paper(visit, room):
    """Light, without navigation and buttons, nothing cut off that one could scroll on a screen."""
    page = await shown(await visit("/operations", color_scheme="dark"))
    await page.emulate_media(media="print")
    assert not await page.get_by_role("button", name="Sign out").is_visible()
    assert await page.evaluate("getComputedStyle(document.querySelector('.scroll')).maxHeight") == "none"
    ground = await page.evaluate("getComputedStyle(document.querySelector('.at-cases')).backgroundColor")
    assert ground == "rgb(255, 255, 255)"


async def test_who_wants_no_motion_gets_none(visit, room):
    """Nothing that appears is animated."""
    page = await shown(await visit("/operations", reduced_motion="reduce"))
    names = await page.locator(".news").evaluate_all(
        "all => all.map(one => getComputedStyle(one).animationName)"
    )
    assert set(names) == {"none"}


async def test_nothing_that_somebody_typed_runs_in_the_page(visit, served, room):
    """A partner's name is text, a script that gets in is stopped by the policy, and nothing is asked of other hosts."""
    partner = room.partners[5]
    name = await served.pool.fetchval("select name from dispatch.recipient where recipient_id = $1", partner)
    evil = "<img src=x onerror='document.title=1'>"
    rename = "update dispatch.recipient set name = $2 where recipient_id = $1"
    await served.pool.execute(rename, partner, evil)
    try:
        page = await shown(await visit("/operations/alerts"))
        await page.get_by_text(evil).first.wait_for()
        assert await page.title() != "1"
        hosts = await page.evaluate(
            "performance.getEntriesByType('resource').map(one => new URL(one.name).origin)"
        )
        assert set(hosts) == {served.base}
        assert not visit.complaints
        ran = await page.evaluate(
            "() => { const one = document.createElement('script'); try { one.textContent = 'window.ran = 1' } catch {}"
            " document.body.append(one); const link = document.createElement('a'); return window.ran ?? null }"
        )
        assert ran is None
        visit.complaints.clear()  # Chromium says that it stopped it
    finally:
        await served.pool.execute(rename, partner, name)


async def test_a_viewer_sees_how_far_alerts_are_but_no_partners_name(visit, served, room):
    """Numbers instead of names; neither contacts nor pages to people on duty."""
    page = await shown(await visit("/operations", role="viewer"))
    assert "Partner 1" in await page.locator(".tile").first.inner_text()
    assert await page.locator("#still").is_hidden()
    content = await page.content()
    assert "Stadslijn" not in content
    assert "555 01 16" not in content
    await page.goto("/operations/system")
    await shown(page)
    assert await page.locator("#pages").count() == 0
