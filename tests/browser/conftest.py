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
