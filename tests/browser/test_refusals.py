"""Whoever asks for a page and does not get it reads why, and what to do, in their language; programs read the problem."""

import pytest
from browser_ground import SMALL, overflows, screenshot, serious

from services.kernel.site.languages import LANGUAGES, words_of


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_refusal_is_a_page_that_says_what_to_do(visit, language):
    """Not this person's page, no page at all, no page to be posted to: the status stays, the way out is there."""
    said = words_of(("services.kernel.site",))[language]
    page = await visit("/operations", role="viewer", language=language, viewport=SMALL)
    for path, status, sort in (
        ("/callouts", 403, "forbidden"),
        ("/nowhere", 404, "missing"),
        ("/logout", 405, "other"),
    ):
        answer = await page.goto(path)
        assert answer.status == status
        assert await page.locator("html").get_attribute("lang") == language
        assert await page.get_by_role("heading", level=1).inner_text() == said[f"refusal_{sort}"]
        assert await page.get_by_text(said[f"refusal_{sort}_advice"]).is_visible()
        assert await page.get_by_role("link", name=said["to_the_start"]).get_attribute("href") == "/"
        assert str(status) in await page.locator("code").first.inner_text()
        assert not await serious(page)
        assert not await overflows(page)
        await screenshot(page, f"refusal-{sort}-{language}")
    visit.complaints.clear()  # Chromium logs each refusal


async def test_programs_get_the_problem(served):
    """Only who prefers HTML, and asks for a page, gets one; the API answers as it always does."""
    for path, accept in (("/nowhere", "*/*"), ("/v1/nowhere", "text/html"), ("/nowhere", "application/json")):
        async with served.client.get(path, headers={"Accept": accept}) as answer:
            assert (answer.status, answer.content_type) == (404, "application/problem+json")
