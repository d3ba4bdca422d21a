"""A sign of life for whoever watches from outside: when it ends, they call us."""

import asyncio

import aiohttp

ATTEMPTS = 3
"""One lost request wakes nobody."""
_PAUSE_S = 2.0
_TIMEOUT = aiohttp.ClientTimeout(total=10)


async def sign_of_life(url: str) -> bool:
    """Asks for the address; whether it answered 2xx, at the third attempt at the latest."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE_S)
            try:
                async with session.get(url, allow_redirects=False) as answer:
                    if answer.ok and answer.status < 300:  # noqa: PLR2004 - a redirect leads somewhere else
                        return True
            except (aiohttp.ClientError, TimeoutError, OSError):
                continue
    return False
