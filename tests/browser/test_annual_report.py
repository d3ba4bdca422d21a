"""The printed report in a browser: nothing serious for axe-core in any language, on any screen, and nothing breaks its policy."""

import pytest
from browser_ground import LARGE, SMALL, overflows, screenshot, serious
from projections_ground import History, brussels, child, follow, relay_all

from schemas import events as e
from services.projections.models.annual import Annual

REPORT = "/v1/reports/annual/2021?format=html"
TITLES = {
    "nl": "cijfers van 2021",
    "fr": "chiffres de 2021",
    "de": "Zahlen von 2021",
    "en": "figures of 2021",
}


@pytest.fixture(scope="module")
async def told(served):
    """Two years of some cases in three provinces, so that every chart has something to draw."""
    history = History(served.pool)
    places = (("3000", "24062"), ("4000", "62063"), ("1000", "21004"))
    for number in range(12):
        year = 2021 - number % 2
        when = brussels(year, number + 1, 3)
        kind = ("runaway", "undefined", "unaccompanied_minor")[number % 3]
        about = child(0, age=12 + number % 6).model_copy(update={"nationality": "MA"})
        case = await history.case(f"{year}-{number:04}", when, kind, children=[about])
        postal_code, municipality = places[number % 3]
        place = e.Place(postal_code=postal_code, municipality=municipality)
        await history.fact(case, e.DetailsCorrected(last_seen=place), when)
        await history.assess(case, number % 2 == 0, when)
        await history.release(case, "public", when)
        await history.close(case, brussels(year, 12, 30), "returned")
    await relay_all(served.settings)
    await follow(served.settings, Annual())


@pytest.mark.parametrize(
    ("language", "viewport"), [("nl", SMALL), ("fr", LARGE), ("de", SMALL), ("en", LARGE)]
)
async def test_everybody_can_read_the_report(told, visit, language, viewport):
    """Headings, tables, charts said in words, contrast; as wide as the screen; in print without what is for screens."""
    page = await visit(f"{REPORT}&language={language}", role="viewer", viewport=viewport)
    assert await page.locator("html").get_attribute("lang") == language
    assert TITLES[language] in await page.title()
    assert await page.get_by_role("img").count() >= 5
    assert await page.locator('[data-figure="new_cases.total"][data-year="2021"]').inner_text() == "6"
    assert not await serious(page)
    assert not await overflows(page)
    await screenshot(page, f"annual-report-{language}")
    await page.emulate_media(media="print")
    assert not await page.get_by_role("navigation").is_visible()
    assert not await serious(page)


async def test_the_style_is_the_one_that_the_policy_names(told, visit):
    """A page whose style were refused would look like one of 1993."""
    page = await visit(f"{REPORT}&language=en", role="operator")
    colour = await page.locator("header").evaluate("one => getComputedStyle(one).backgroundColor")
    assert colour == "rgb(20, 64, 107)"


async def test_the_keyboard_reaches_every_part(told, visit):
    """The first stop leads past the cover; each table that may be wider than the screen can be moved by keys."""
    page = await visit(f"{REPORT}&language=en", viewport=SMALL)
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.hash") == "#new_cases"
    await page.keyboard.press("Enter")
    assert await page.evaluate("location.hash") == "#new_cases"
    tables = await page.locator("table").count()
    assert await page.locator('[tabindex="0"]:has(table)').count() == tables > 10
