"""Registering simulated partners, and finding them again after a restart: the same partners, not 31 more."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.simulation.api import Api, SimulationError, keep_private
from services.simulation.receivers import Field, Receiver

_AT_ONCE = 8
_ACTIVE_WITHIN_S = 30.0
_LOOK_S = 0.2


def remembered_port(memory: Path) -> int:
    """The port of the last time; 0 when there was none."""
    return int(_read(memory).get("port", 0))


def _read(memory: Path) -> dict[str, Any]:
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


async def open_field(receivers: Sequence[Receiver], port: int) -> Field:
    """A listening field: on this port, or on any other when it is taken meanwhile."""
    try:
        return await Field(receivers, port).__aenter__()
    except OSError:
        return await Field(receivers, 0).__aenter__()


async def register(api: Api, field: Field, memory: Path) -> None:
    """Registers those who are new, tells the system where the others listen now, and waits until all are active.

    What only the registration tells (secrets, tokens) is kept in `memory`, readable by its owner alone.
    """
    known = _read(memory)
    there = {one["partner_id"] for one in await api.all_of("admin", "/v1/partners")}
    entries = {
        number: entry for number, entry in known.get("partners", {}).items() if entry["partner_id"] in there
    }
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(receiver: Receiver) -> None:
        async with turn:
            entry = entries.get(str(receiver.number))
            if entry is None:
                entries[str(receiver.number)] = await _introduce(api, field, receiver)
            else:
                receiver.know(entry["partner_id"], entry["secret"], entry["token"])
                if known["port"] != field.port:
                    await api.call(
                        "admin", "PATCH", f"/v1/partners/{entry['partner_id']}", {"url": field.url(receiver)}
                    )

    await asyncio.gather(*(one(receiver) for receiver in field.receivers.values()))
    keep_private(memory, {"port": field.port, "partners": entries})
    await _until_active(api, field)


async def _introduce(api: Api, field: Field, receiver: Receiver) -> dict[str, str]:
    answer = await api.call(
        "admin",
        "POST",
        "/v1/partners",
        {
            "name": receiver.name,
            "url": field.url(receiver),
            "areas": list(receiver.areas),
            "languages": list(receiver.languages),
            "contact": "simulated: nobody to call",
            "audience": receiver.audience,
        },
    )
    entry = {name: answer[name] for name in ("partner_id", "secret", "token")}
    receiver.know(**entry)
    return entry


async def _until_active(api: Api, field: Field) -> None:
    wanted = {receiver.partner_id for receiver in field.receivers.values()}
    deadline = asyncio.get_running_loop().time() + _ACTIVE_WITHIN_S
    while True:
        partners = await api.all_of("admin", "/v1/partners")
        waiting = wanted - {one["partner_id"] for one in partners if one["state"] == "active"}
        if not waiting:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise SimulationError(
                f"{len(waiting)} of {len(wanted)} partners did not become active within {_ACTIVE_WITHIN_S:.0f} s:"
                " is the sender running?"
            )
        await asyncio.sleep(_LOOK_S)
