"""Pages in a real Chromium, served by the web service as it runs, on a real installation.

`visit` is all that a test of pages needs: `page = await visit("/operations", role="viewer", language="fr")`. Whoever
visits is signed in, and a page that breaks its own policy or logs an error fails the test that visited it.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
sys.path.insert(0, str(Path(__file__).parent))

from browser_ground import Visits, chromium, launched, serving
from room_ground import Room, beat, projecting
from web_ground import until

from services.kernel.postgres import create_pool
from services.kernel.vault import Vault, ring_of


@pytest.fixture(scope="session")
async def browser():
    """The system's Chromium; without it every test that needs one is skipped."""
    path = chromium()
    if path is None:
        pytest.skip("skipped: install chromium")
    async with launched(path) as running:
        yield running


@pytest.fixture(scope="module")
async def served(shared_settings):
    """The web service of an installation of this module: `base`, `pool`, `settings`, `tokens` by role, `runtime`."""
    async with serving(shared_settings) as site:
        yield site


@pytest.fixture
async def visit(browser, served):
    """Opens pages as somebody; see `Visits`."""
    visits = Visits(browser, served)
    yield visits
    await visits.end()


@pytest.fixture(scope="module")
async def room(served):
    """The same installation with a busy evening in it, relay and projections at work."""
    keys = await create_pool(served.settings.vault_url, size=2, application="browser-test-vault")
    furnished = Room(served.pool, served.settings, Vault(keys, ring_of(served.settings)))
    await furnished.busy()
    async with projecting(served.settings):

        async def projected():
            await beat(served.pool)
            return await served.pool.fetchval(
                "select (select count(*) from projections.case_list where case_number is not null) = 53"
                " and (select count(*) from projections.case_list where worrying) = 15"
                " and (select count(*) from projections.annual_counter) > 30"
            )

        await until(projected, 60)
        yield furnished
    await keys.close()
