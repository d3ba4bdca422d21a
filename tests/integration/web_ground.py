"""The web service as it runs, for tests that speak to it over HTTP."""

import asyncio
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace

import aiohttp

from services.kernel.service import Runtime
from services.web import main as web


async def until(condition, seconds=15.0):
    """Waits for what happens in the background."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - the world outside sets no event
            await asyncio.sleep(0.02)


@asynccontextmanager
async def listening(settings, pool, runtime_settings=None, port=0):
    """The web service as it runs, on this port or a free one."""
    with web._socket(settings.model_copy(update={"port": port})) as probe:
        port = probe.getsockname()[1]
    used = (runtime_settings or settings).model_copy(update={"port": port})
    runtime = Runtime("web", used, pool)
    serving = asyncio.create_task(web._serve(runtime))
    base = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession(base) as client:

        async def answers():
            if serving.done():
                serving.result()
            with suppress(aiohttp.ClientError):
                async with client.get("/healthz"):
                    return True
            return False

        await until(answers)
        try:
            yield SimpleNamespace(client=client, base=base, port=port, runtime=runtime)
        finally:
            runtime.stop.set()
            await asyncio.wait_for(serving, 10)
