"""Chaos: servers of its own, since they are stopped and killed."""

import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from world import Servers


@pytest.fixture(scope="session")
async def own_servers() -> AsyncIterator[Servers]:
    """A PostgreSQL and a Kafka that belong to these tests alone."""
    with tempfile.TemporaryDirectory(prefix="zoeklicht-chaos-", ignore_cleanup_errors=True) as folder:
        servers = Servers(Path(folder))
        await servers.start()
        try:
            yield servers
        finally:
            await servers.stop()
