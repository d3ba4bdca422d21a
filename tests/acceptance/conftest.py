"""One installation for the tests that only look, one of its own for each test that breaks things."""

import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from installation import HELPERS, Installation, displays, register
from partners import PartnerServer


@pytest.fixture
async def partners() -> AsyncIterator[PartnerServer]:
    server = PartnerServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def fresh() -> AsyncIterator[Installation]:
    """An installation that a test may break."""
    with tempfile.TemporaryDirectory(prefix="zoeklicht-site-") as folder:
        site = Installation(Path(folder) / "data")
        await site.start("--allow-loopback-partners")
        yield site
        await site.stop()


@pytest.fixture(scope="session")
async def shared() -> AsyncIterator[tuple[Installation, PartnerServer]]:
    """An installation with 31 displays, the Missing Persons Unit and the mobile team, for tests that break nothing."""
    with tempfile.TemporaryDirectory(prefix="zoeklicht-site-") as folder:
        server = PartnerServer()
        await server.start()
        site = Installation(Path(folder) / "data")
        await site.start("--allow-loopback-partners")
        await register(site, server, displays() | HELPERS)
        yield site, server
        await site.stop()
        await server.stop()
