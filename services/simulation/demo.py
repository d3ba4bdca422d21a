"""`zoeklicht run --demo`: an invented case from the first call to the last dark display, measured at the receivers."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.live import Live

from services.simulation import board
from services.simulation.api import Api, SimulationError
from services.simulation.board import Phase
from services.simulation.cast import everyone
from services.simulation.receivers import Behaviour, Field, Receiver
from services.simulation.register import open_field, register, remembered_port

MEMORY = "demo.json"
STEP_WITHIN_S = 30.0
LIT_WITHIN_S = 60.0
"""One partner does not answer its first message: it is up after the timeout and a second try."""
DARK_WITHIN_S = 60.0
ON_SHOW_S = 3.0
RECEIPTS_WITHIN_S = 6.0
_LOOK_S = 0.1

console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the scenario plays."""

    api: Api
    field: Field

    def of(self, audience: str) -> list[Receiver]:
        """The receivers of an audience."""
        return [one for one in self.field.receivers.values() if one.audience == audience]


async def play(access_file: Path, stop: asyncio.Event) -> None:
    """Plays the scenario and keeps the partners up until `stop`. Raises SimulationError when a step fails."""
    memory = access_file.with_name(MEMORY)
    field = await open_field(everyone(), remembered_port(memory))
    try:
        async with Api(access_file) as api:
            await _scenario(Stage(api, field), memory, access_file)
        await stop.wait()
    finally:
        await field.__aexit__()


async def _scenario(stage: Stage, memory: Path, access_file: Path) -> None:
    say = console.print
    displays, volunteers = stage.of("display"), stage.of("mobile_team")
    say("\n[bold]The demonstration[/]: everything and everybody in it is invented")
    await register(stage.api, stage.field, memory)
    say(f"  {len(displays)} display partners, {len(volunteers)} mobile volunteers and the Unit are active")
    case_id = await _open_case(stage)
    await _standbys(stage, case_id)
    campaign_id = await _request(stage, case_id)
    lit = await _release(stage, campaign_id)
    await asyncio.sleep(ON_SHOW_S)
    dark = await _end(stage, campaign_id, lit)
    await _close(stage, case_id)
    await _summary(stage, case_id, lit, dark, access_file)


async def _open_case(stage: Stage) -> str:
    now = datetime.now(UTC)
    opened = await stage.api.call(
        "operator",
        "POST",
        "/v1/cases",
        {
            "kind": "runaway",
            "reported_by": "parent",
            "disappeared_at": (now - timedelta(hours=3)).isoformat(),
            "last_seen": {"postal_code": "3000", "place": "station"},
            "children": [
                {
                    "given_name": "Lou",
                    "family_name": "Voorbeeld",
                    "date_of_birth": (now - timedelta(days=14 * 365 + 100)).date().isoformat(),
                    "gender": "girl",
                    "nationality": "BE",
                    "description": "1 m 60, brown hair, red coat",
                }
            ],
            "circumstances": [
                {
                    "criterion": "medication_dependent",
                    "value": "yes",
                    "child": 0,
                    "note": "insulin",
                    "next_due": (now + timedelta(hours=2)).isoformat(),
                }
            ],
        },
    )
    console.print(f"  case {opened['case_number']} is open: a child of 14 who depends on medication")
    return str(opened["case_id"])


async def _standbys(stage: Stage, case_id: str) -> None:
    began = time.monotonic()
    path = f"/v1/cases/{case_id}"

    async def worrying() -> bool:
        case = await stage.api.call("operator", "GET", path)
        return bool((case.get("assessment") or {}).get("worrying"))

    await _until("the case is flagged as worrying", worrying)
    console.print(f"  [bold]worrying[/] after {time.monotonic() - began:.2f} s: medication_dependent")
    told = [*stage.of("mobile_team"), *stage.of("missing_persons_unit")]

    async def all_told() -> bool:
        return all(_first(one, "standby", began) for one in told)

    await _until("the standby alerts arrive", all_told)
    last = max(_first(one, "standby", began) or 0.0 for one in told)
    console.print(
        f"  {len(told)} standby alerts have arrived after {last - began:.2f} s, without an identity"
    )


async def _request(stage: Stage, case_id: str) -> str:
    now = datetime.now(UTC).isoformat()
    parties = {
        "police": "Insp. Voorbeeld",
        "public_prosecutor": "Subst. Exemple",
        "child_focus": "Case manager",
        "parents": "Parent",
    }
    campaign = await stage.api.call(
        "operator",
        "POST",
        f"/v1/cases/{case_id}/campaigns",
        {
            "kind": "public",
            "areas": ["BE"],
            "consents": [
                {"party": party, "given_by": name, "reference": "demo", "decision": "given", "at": now}
                for party, name in parties.items()
            ],
        },
    )
    console.print("  a public campaign is requested by the operator, with four consents")
    return str(campaign["campaign_id"])


async def _release(stage: Stage, campaign_id: str) -> Phase:
    await stage.api.call("coordinator", "POST", f"/v1/campaigns/{campaign_id}/release", {})
    began = time.monotonic()
    console.print("\n[bold]released by the coordinator[/]: the fan-out")
    displays = stage.of("display")
    # An answer may be slower than the first partners, so what counts is the kind: it is the only public alert.
    alert_id = await _alert_of(displays, began - STEP_WITHIN_S)
    phase = Phase(
        "on display", began, {one.number: _lit(one, alert_id) for one in displays}, alert_id, displays
    )
    await _watch(phase, _lit, LIT_WITHIN_S)
    return phase


async def _end(stage: Stage, campaign_id: str, lit: Phase) -> Phase:
    await stage.api.call("coordinator", "POST", f"/v1/campaigns/{campaign_id}/end", {"reason": "child_found"})
    console.print("\n[bold]the child is found[/]: the campaign is ended, everything goes dark")
    phase = Phase("withdrawn", time.monotonic(), {}, lit.alert_id, lit.displays)
    await _watch(phase, _dark, DARK_WITHIN_S)
    return phase


async def _alert_of(displays: Sequence[Receiver], since: float) -> str:
    found: list[str] = []

    async def arrived() -> bool:
        for one in displays:
            found.extend(
                s.alert_id
                for s in one.history
                if s.kind == "public" and s.arrived > since and s.type == "alert.issued"
            )
        return bool(found)

    await _until("the first display is lit", arrived)
    return found[0]


def _first(one: Receiver, kind: str, since: float) -> float | None:
    moments = [s.at for s in one.history if s.accepted and s.kind == kind and s.at >= since]
    return min(moments, default=None)


def _lit(one: Receiver, alert_id: str) -> float | None:
    return one.accepted_at(alert_id, "alert.issued", "alert.updated")


def _dark(one: Receiver, alert_id: str) -> float | None:
    return one.accepted_at(alert_id, "alert.withdrawn")


async def _watch(phase: Phase, measure: Callable[[Receiver, str], float | None], within_s: float) -> None:
    """Shows who is there already until all are; a terminal sees a table, a file sees lines."""
    deadline = time.monotonic() + within_s
    with Live(console=console, auto_refresh=False) if console.is_terminal else _Plain() as live:
        while True:
            phase.times = {one.number: measure(one, phase.alert_id) for one in phase.displays}
            live.update(board.table(phase), refresh=True)
            if None not in phase.times.values() or time.monotonic() > deadline:
                break
            await asyncio.sleep(_LOOK_S)
    console.print(board.sentence(phase))


class _Plain:
    """Shows nothing in between."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, *_: Any, **__: Any) -> None:
        """Nothing to draw on."""


async def _close(stage: Stage, case_id: str) -> None:
    await stage.api.call(
        "operator",
        "POST",
        f"/v1/cases/{case_id}/events",
        {"type": "closed", "outcomes": [{"child": 0, "outcome": "found_safe"}]},
    )
    console.print("  the case is closed: found safe")


async def _summary(stage: Stage, case_id: str, lit: Phase, dark: Phase, access_file: Path) -> None:
    unconfirmed = await _unconfirmed(stage, case_id, lit)
    console.print()
    console.print(
        board.both(lit, dark, unconfirmed) if console.is_terminal else board.lines(lit, dark, unconfirmed)
    )
    everybody = stage.field.receivers.values()
    repeats = sum(len(one.repeats) for one in everybody)
    violations = sum(len(one.violations) for one in everybody)
    console.print(f"  sent again after an answer: {repeats}; older revisions after newer ones: {violations}")
    for one in unconfirmed:
        console.print(
            f"  [bold yellow]may still show the child[/]: {one.name} ({one.behaviour}) has not confirmed the removal"
        )
    base, year = stage.api.base_url, datetime.now(UTC).year
    console.print(f"\n  report     {base}/v1/reports/annual/{year}")
    console.print(f"  API docs   {base}/docs")
    console.print(f"  access     {access_file}")
    console.print(f"  receivers  http://127.0.0.1:{stage.field.port}/sim/log")
    console.print("the demonstration is over; the system stays up until Ctrl-C")


async def _unconfirmed(stage: Stage, case_id: str, lit: Phase) -> list[Receiver]:
    """Who has not confirmed the removal, as the system knows it from the receipts."""
    by_id = {one.partner_id: one for one in lit.displays}
    missing: list[Receiver] = []

    async def all_but_stubborn() -> bool:
        case = await stage.api.call("coordinator", "GET", f"/v1/cases/{case_id}")
        shown = [one for one in case["displays"] if one["alert_id"] == lit.alert_id]
        missing[:] = [
            by_id[one["recipient"]]
            for one in shown
            if one["recipient"] in by_id and one["state"] != "removed"
        ]
        return all(one.behaviour is Behaviour.STUBBORN for one in missing)

    with suppress(SimulationError):  # whoever is missing then is named
        await _until("the receipts", all_but_stubborn, RECEIPTS_WITHIN_S)
    return missing


async def _until(what: str, holds: Callable[[], Any], within_s: float = STEP_WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not await holds():
        if time.monotonic() > deadline:
            raise SimulationError(
                f"waited {within_s:.0f} s in vain until {what}; see the logs of the services"
            )
        await asyncio.sleep(_LOOK_S)
