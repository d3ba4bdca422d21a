"""`zoeklicht partner-sim`: simulated display partners for a running system."""

import asyncio
import signal
from pathlib import Path

from rich.console import Console

from services.simulation.api import Api, SimulationError
from services.simulation.cast import displays
from services.simulation.receivers import Field
from services.simulation.register import open_field, register, remembered_port

MEMORY = "partner-sim.json"
console = Console(highlight=False, soft_wrap=True)


async def simulate(access_file: Path, count: int, port: int) -> None:
    """Runs `count` partners until SIGINT or SIGTERM. Raises SimulationError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    memory = access_file.with_name(MEMORY)
    field = await _listen(count, port, remembered_port(memory))
    try:
        async with Api(access_file) as api:
            await register(api, field, memory)
        console.print(f"{count} partners are active; what they saw: http://127.0.0.1:{field.port}/sim/log")
        await stop.wait()
    finally:
        await field.__aexit__()


async def _listen(count: int, port: int, remembered: int) -> Field:
    if not port:
        return await open_field(displays(count), remembered)
    try:
        return await Field(displays(count), port).__aenter__()
    except OSError as error:
        raise SimulationError(
            f"cannot listen on 127.0.0.1:{port} ({error.strerror}); choose another --port"
        ) from error
