"""`zoeklicht partner-kit URL`: the whole trial of one receiver."""

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import aiohttp
from rich.console import Console

from services.dispatch.outcomes import HTTP_OK
from services.kernel.signing import new_secret, public_text
from services.partnerkit import messages
from services.partnerkit.checklist import CHECKS, RESTART, Check
from services.partnerkit.errors import FailedError, KitError
from services.partnerkit.report import Finding, Report
from services.partnerkit.trial import Pace, Trial, cap_key_of, keys_of
from services.partnerkit.witness import Witness

_ASK_S = 1.0
err = Console(highlight=False, soft_wrap=True, stderr=True)


MessageFormat = Literal["json", "cap"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is tested and how. `secret` None: one is made and told, and the kit waits until the receiver knows it."""

    url: str
    secret: str | None = None
    token: str | None = None
    state_url: str | None = None
    listen: str = "127.0.0.1:0"
    receipts_url: str | None = None
    restart: str | None = None
    timeout_s: float = 10.0
    wait_s: float = 300.0
    pace: Pace = field(default_factory=Pace)
    messages: MessageFormat = "json"


async def try_out(
    wish: Wish, secret: str, show: Callable[[int, Check], None] = lambda _number, _check: None
) -> Report:
    """Makes every check, one after the other. Raises KitError when nobody answers at the address."""
    keys = keys_of(secret)
    async with aiohttp.ClientSession(trust_env=False) as session:
        witness = Witness(session, wish.token, wish.state_url, wish.receipts_url)
        await witness.listen(wish.listen)
        cap_key = cap_key_of(secret) if wish.messages == "cap" else None
        trial = Trial(
            wish.url, keys, session, witness, wish.timeout_s, wish.pace, wish.restart, cap_key=cap_key
        )
        checks = [*CHECKS, *([RESTART] if wish.restart else [])]
        try:
            await _somebody(trial, wish)
            findings = [await _one(trial, number, check, show) for number, check in enumerate(checks, 1)]
        finally:
            await witness.close()
    return Report(wish.url, public_text(keys.private), findings)


async def _one(trial: Trial, number: int, check: Check, show: Callable[[int, Check], None]) -> Finding:
    show(number, check)
    try:
        return Finding.of(number, check, passed=True, seen=await check.run(trial))
    except FailedError as error:
        return Finding.of(number, check, passed=False, seen=str(error))
    finally:
        await trial.leave_dark()


async def _somebody(trial: Trial, wish: Wish) -> None:
    """Waits for the receiver: with an agreed secret, for any answer; else until it has learnt the new one."""
    deadline = time.monotonic() + (trial.pace.patience_s if wish.secret else wish.wait_s)
    while True:
        try:
            body = messages.ping()
            status = await trial.post(body, trial.signed(body))
            if wish.secret or status in HTTP_OK:
                return
            what = f"answered {status} to a ping signed with the new secret"
        except FailedError as error:
            what = str(error)
        if time.monotonic() > deadline:
            raise KitError(f"{trial.url}: {what}; start your receiver with the secret, or mend the address")
        await asyncio.sleep(_ASK_S)


async def run(wish: Wish, form: Literal["table", "json"]) -> int:
    """Tests, prints the report on standard output, and returns the exit code: 1 when a check failed."""
    secret = wish.secret or new_secret()
    if wish.secret is None:
        err.print(f"No --secret: start your receiver with ZOEKLICHT_SECRET={secret}")
        err.print(f"The kit waits up to {wish.wait_s:.0f} s until it takes a ping.")
    if wish.messages == "cap":
        err.print(
            f"The XML signatures of this kit are of this certificate:\n{cap_key_of(secret).pem.decode()}"
        )
    with err.status("testing") as status:
        report = await try_out(
            wish, secret, lambda number, one: status.update(f"{number} of {len(CHECKS)}: it {one.says}")
        )
    if form == "json":
        sys.stdout.write(report.as_json() + "\n")
    else:
        report.show(Console(highlight=False))
    return 0 if report.passed else 1
