"""A receiver that answers 200 and does nothing else; prints its port."""

import asyncio
import sys

from aiohttp import web


async def accept(request: web.Request) -> web.Response:
    """Reads the body, as any receiver must."""
    await request.read()
    return web.Response()


async def main() -> None:
    """Listens until it is ended."""
    app = web.Application()
    app.router.add_post("/{tail:.*}", accept)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


asyncio.run(main())
