"""The ceiling: a bare aiohttp client that posts the same bytes as often, and stores nothing. `bare.py URL COUNT SIZE`."""

import asyncio
import json
import sys
import time

import aiohttp

AT_ONCE = 93
"""What 31 partners may have in flight at a cap of 4, less the slot for withdrawals."""


async def main(url: str, count: int, body: bytes) -> None:
    """Posts, and prints seconds and its own CPU seconds."""
    left = iter(range(count))

    async def worker(session: aiohttp.ClientSession) -> None:
        for _ in left:
            async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
                await answer.read()

    began, cpu = time.monotonic(), time.process_time()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(worker(session) for _ in range(AT_ONCE)))
    print(json.dumps({"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), b"x" * int(sys.argv[3])))
