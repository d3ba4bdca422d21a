"""Signing in and out in a browser: a cookie that no script reads, no form from elsewhere, four languages."""

import aiohttp
import pytest
from browser_ground import SMALL, overflows, screenshot, serious, serving, token_of

from services.kernel import sessions
from services.kernel.principals import Role, fingerprint, issue_token, revoke_tokens
from services.kernel.site.languages import words_of

SIGN_IN = {"nl": "Aanmelden", "fr": "Se connecter", "de": "Anmelden", "en": "Sign in"}


async def test_one_signs_in_arrives_where_one_wanted_to_go_and_signs_out(visit, served):
    """By keyboard alone; the cookie is HttpOnly and Strict, and worth nothing after signing out."""
    page = await visit("/operations", role=None)
    assert "/login?next=%2Foperations" in page.url
    await page.locator("#token:focus").wait_for()
    await page.keyboard.type(token_of(Role.OPERATOR))
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/operations")
    (cookie,) = await page.context.cookies()
    assert cookie["name"] == "zoeklicht"
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert await page.evaluate("document.cookie") == ""
    await page.get_by_role("button", name="Sign out").press("Enter")
    await page.wait_for_url("**/login")
    assert not await page.context.cookies()
    assert await sessions.person_of(served.pool, cookie["value"]) is None


@pytest.mark.parametrize("language", SIGN_IN)
async def test_a_wrong_token_is_refused_in_the_readers_language(visit, language):
    """The refusal is announced, belongs to the field, and repeats nothing; axe finds nothing serious."""
    said = words_of(("services.kernel.site",))[language]
    page = await visit("/login", role=None, language=language, viewport=SMALL)
    assert await page.locator("html").get_attribute("lang") == language
    await page.get_by_label(said["token"]).fill("zl_wrong")
    visit.complaints.clear()
    await page.get_by_role("button", name=SIGN_IN[language]).click()
    await page.get_by_role("alert").wait_for()
    visit.complaints.clear()  # Chromium logs the 401
    assert "zl_wrong" not in await page.content()
    assert not await serious(page)
    assert not await overflows(page)
    await screenshot(page, f"login-{language}")


async def test_the_language_one_chooses_stays(visit):
    """The choice wins over what the browser says, on the next page too."""
    page = await visit("/operations", language="en")
    await page.get_by_role("link", name="DE", exact=True).click()
    await page.goto("/operations")
    assert await page.locator("html").get_attribute("lang") == "de"


async def test_a_form_on_another_site_signs_nobody_in_or_out(served):
    """Neither a login from elsewhere nor a logout without the session's CSRF token is taken."""
    async with served.pool.acquire() as connection:
        cookie = await sessions.begin(connection, "o", "operator", fingerprint(token_of(Role.OPERATOR)))
    jar = {"zoeklicht": cookie}
    async with aiohttp.ClientSession(served.base, cookies=jar) as browser:
        body = {"token": token_of(Role.OPERATOR)}
        for headers in ({"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}):
            async with browser.post("/login", data=body, headers=headers, allow_redirects=False) as answer:
                assert answer.status == 403
        for form in ({}, {"csrf": "guessed"}):
            async with browser.post("/logout", data=form, allow_redirects=False) as answer:
                assert answer.status == 403
        assert await sessions.person_of(served.pool, cookie) is not None
        form = {"csrf": sessions.csrf_token(cookie)}
        async with browser.post("/logout", data=form, allow_redirects=False) as answer:
            assert answer.status == 303
    assert await sessions.person_of(served.pool, cookie) is None


async def test_a_session_reads_the_api_and_writes_only_with_its_csrf_token(served):
    """GET by cookie; a POST by cookie is refused before anything is looked at, unless our own page sends it."""
    async with served.pool.acquire() as connection:
        cookie = await sessions.begin(connection, "a", "admin", fingerprint(token_of(Role.ADMIN)))
    async with aiohttp.ClientSession(served.base, cookies={"zoeklicht": cookie}) as browser:
        async with browser.get("/v1/cases") as answer:
            assert answer.status == 200
        async with browser.post("/v1/calls", json={}) as answer:
            assert answer.status == 403
            assert (await answer.json())["rule"] == "csrf"
        async with browser.post(
            "/v1/calls", json={}, headers={"X-CSRF-Token": sessions.csrf_token(cookie)}
        ) as answer:
            assert answer.status == 422  # let in, and the body is looked at


async def test_who_is_no_longer_let_in_by_token_is_out_of_the_browser_too(served):
    """Revoking a token ends the sessions that were begun with it; so does the end of a shift."""
    async with served.pool.acquire() as connection:
        token = await issue_token(connection, "leaver", Role.OPERATOR)
        cookie = await sessions.begin(connection, "leaver", "operator", fingerprint(token))
        old = await sessions.begin(connection, "sleeper", "operator")
        await connection.execute(
            "update kernel.session set expires_at = clock_timestamp() where principal = 'sleeper'"
        )
        assert await sessions.person_of(connection, cookie) is not None
        await revoke_tokens(connection, "leaver")
    assert await sessions.person_of(served.pool, cookie) is None
    assert await sessions.person_of(served.pool, old) is None


@pytest.mark.parametrize(
    "elsewhere", ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example"]
)
async def test_nobody_is_sent_elsewhere_after_signing_in(served, elsewhere):
    """`next` is an address of this site, or one arrives at the first page."""
    async with aiohttp.ClientSession(served.base) as browser:
        body = {"token": token_of(Role.VIEWER), "next": elsewhere}
        async with browser.post("/login", data=body, allow_redirects=False) as answer:
            assert answer.status == 303
            assert answer.headers["Location"] == "/"


async def test_a_partners_token_opens_no_page(served):
    """It is for a machine and its own alerts."""
    async with served.pool.acquire() as connection:
        token = await issue_token(connection, "00000000-0000-0000-0000-000000000001", Role.PARTNER)
    async with (
        aiohttp.ClientSession(served.base) as browser,
        browser.post("/login", data={"token": token}, allow_redirects=False) as answer,
    ):
        assert answer.status == 401
        assert "Set-Cookie" not in answer.headers


async def test_over_https_the_cookie_never_travels_in_clear_and_belongs_to_this_host(shared_settings):
    """Secure, and with the prefix by which browsers take it from nobody else."""
    secure = shared_settings.model_copy(update={"public_url": "https://alerts.example"})
    async with (
        serving(secure) as site,
        site.client.post("/login", data={"token": token_of(Role.VIEWER)}, allow_redirects=False) as answer,
    ):
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-zoeklicht=")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
