"""What the tests of pages stand on: Chromium, a signed-in page, axe-core and screenshots."""

import os
import shutil
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

from playwright.async_api import Browser, Page, async_playwright
from web_ground import listening

from services.kernel import sessions
from services.kernel.postgres import create_pool
from services.kernel.principals import Role, adopt_token, fingerprint

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
LARGE = {"width": 1920, "height": 1080}
SMALL = {"width": 390, "height": 844}
SLOW_MACHINE_MS = 30_000
INSIDE = (Role.VIEWER, Role.OPERATOR, Role.COORDINATOR, Role.ADMIN)
_AXE = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


def chromium() -> str | None:
    """Where the system's Chromium is."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@asynccontextmanager
async def launched(path: str):
    """Chromium without a window. Its sandbox wants another account than root's."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=path, args=[*sandbox, "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        await browser.close()


def token_of(role: Role) -> str:
    """The token of the one person of each role."""
    return f"zl_test_{role.value}"


@asynccontextmanager
async def serving(settings, port=None):
    """The web service, and one person of each role."""
    pool = await create_pool(settings.database_url.get_secret_value(), size=5, application="browser-test")
    try:
        async with pool.acquire() as connection:
            for role in INSIDE:
                await adopt_token(connection, token_of(role), f"{role.value} one", role)
        async with listening(settings, pool, port=port or 0) as site:
            yield SimpleNamespace(
                **vars(site), pool=pool, settings=settings, tokens={r.value: token_of(r) for r in INSIDE}
            )
    finally:
        await pool.close()


class Visits:
    """Pages that are open. Whatever one of them complains about fails the test at its end."""

    def __init__(self, browser: Browser, served: SimpleNamespace) -> None:
        self._browser = browser
        self._served = served
        self._contexts = []
        self.complaints: list[str] = []

    async def __call__(
        self,
        path: str,
        *,
        role: str | None = "coordinator",
        language: str = "en",
        viewport: dict[str, int] = LARGE,
        **more: object,
    ) -> Page:
        """A page in a browser of its own, signed in as `role` (None: nobody). `more` goes to `new_context`."""
        context = await self._browser.new_context(
            base_url=self._served.base, viewport=viewport, locale=language, **more
        )
        context.set_default_timeout(SLOW_MACHINE_MS)
        self._contexts.append(context)
        if role is not None:
            await context.add_cookies([await self._signed_in(role)])
        page = await context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await page.goto(path)
        return page

    async def _signed_in(self, role: str) -> dict[str, str]:
        token = self._served.tokens[role]
        async with self._served.pool.acquire() as connection:
            cookie = await sessions.begin(connection, f"{role} one", role, fingerprint(token))
        return {"name": "zoeklicht", "value": cookie, "url": self._served.base}

    def _heard(self, message) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    async def end(self) -> None:
        """Closes all pages. A page that logged an error, or broke the policy, fails the test."""
        for context in self._contexts:
            await context.close()
        assert not self.complaints, self.complaints


async def serious(page: Page) -> list[str]:
    """What axe-core finds serious or critical: rule and place of each."""
    # Through the debugger, which the page's own policy does not bind.
    found = await page.evaluate(
        _AXE + "\naxe.run({resultTypes: ['violations']}).then(found => found.violations)"
    )
    return [
        f"{one['id']}: {node['html'][:200]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


async def screenshot(page: Page, name: str, *, whole: bool = False) -> Path:
    """Kept in build/screenshots, to be looked at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    await page.screenshot(path=path, full_page=whole)
    return path


async def overflows(page: Page) -> bool:
    """Whether one must scroll sideways."""
    return await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
