"""How each check of the list is made: it returns what was seen, and raises FailedError for what was seen wrong."""

import asyncio
import secrets
import time
from dataclasses import replace
from math import ceil

from schemas.vocabulary import ReceiptState
from services.kernel.signing import SigningKeys, headers
from services.partnerkit import messages
from services.partnerkit.errors import FailedError
from services.partnerkit.trial import Trial

STALE_S = 600
GRACE_S = 2.0
"""How long after its end a lease may still be seen: clocks are read in whole seconds."""


async def ping(trial: Trial) -> str:
    """Somebody answers."""
    began = time.monotonic()
    await trial.send(messages.ping())
    return f"answered after {(time.monotonic() - began) * 1000:.0f} ms"


# ── signature ───────────────────────────────────────────────────────────────────────────────────────────────


async def unsigned(trial: Trial) -> str:
    """Nothing is believed without all three headers."""
    alert = trial.exercise()
    body = alert.issued(1)
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        head = trial.signed(body)
        del head[name]
        await trial.refused(f"a message without {name}", body, head)
    await trial.refused("a message without any of the three", body, {})
    await trial.witness.stays(alert.alert_id, None, trial.pace.quiet_s)
    return "refused"


async def forged(trial: Trial) -> str:
    """Another secret is not believed."""
    alert = trial.exercise()
    body = alert.issued(1)
    wrong = SigningKeys([secrets.token_bytes(24)], trial.keys.private)
    head = headers(wrong, "msg_forged", int(time.time()), body)
    # Without v1a: a receiver that checks the public key of this kit would rightly believe it.
    head["webhook-signature"] = head["webhook-signature"].split(" ")[0]
    await trial.refused("a message signed with another secret", body, head)
    await trial.witness.stays(alert.alert_id, None, trial.pace.quiet_s)
    return "refused"


async def tampered(trial: Trial) -> str:
    """Body, id and time cannot be changed."""
    alert = trial.exercise()
    body = alert.issued(1)
    head = trial.signed(body)
    later = str(int(head["webhook-timestamp"]) + 1)
    await trial.refused("a body with one more byte", body + b" ", head)
    await trial.refused("a message with another webhook-id", body, head | {"webhook-id": "msg_other"})
    await trial.refused("a message with another webhook-timestamp", body, head | {"webhook-timestamp": later})
    await trial.witness.stays(alert.alert_id, None, trial.pace.quiet_s)
    return "refused"


async def stale(trial: Trial) -> str:
    """Neither the past nor the future is believed."""
    alert = trial.exercise()
    body = alert.issued(1)
    await trial.refused("a message signed 10 minutes ago", body, trial.signed(body, age_s=STALE_S))
    await trial.refused("a message signed in 10 minutes", body, trial.signed(body, age_s=-STALE_S))
    await trial.witness.stays(alert.alert_id, None, trial.pace.quiet_s)
    return "refused"


async def raw_bytes(trial: Trial) -> str:
    """JSON may be spelled as it likes."""
    await trial.send(messages.respelled(messages.ping()))
    return "taken"


async def rotation(trial: Trial) -> str:
    """One signature that fits is enough."""
    body = messages.ping()
    rotating = replace(trial.keys, secrets=[secrets.token_bytes(24), *trial.keys.secrets])
    head = headers(rotating, "msg_rotation", int(time.time()), body)
    head["webhook-signature"] = "v9,bm90aGluZw== " + head["webhook-signature"]
    await trial.taken(body, head)
    return "taken by the second v1 of the header"


# ── what is on display ──────────────────────────────────────────────────────────────────────────────────────


async def displayed(trial: Trial) -> str:
    """An alert is shown."""
    alert = trial.exercise()
    await trial.send(alert.issued(1))
    took = await trial.witness.until(alert.alert_id, 1, trial.pace.patience_s)
    return f"on display after {took:.2f} s"


async def receipts(trial: Trial) -> str:
    """What the screens do is told."""
    alert, patience = trial.exercise(), trial.pace.patience_s
    before = len(trial.witness.faults)
    await trial.send(alert.issued(1))
    try:
        await trial.witness.receipt(alert.alert_id, 1, ReceiptState.DISPLAYED, patience)
        await trial.send(alert.withdrawn(2))
        await trial.witness.receipt(alert.alert_id, 2, ReceiptState.REMOVED, patience)
    finally:
        if trial.witness.faults[before:]:
            raise FailedError(trial.witness.faults[-1])
    return "displayed and removed, each with its revision"


async def replay(trial: Trial) -> str:
    """Twice the same is once."""
    alert = trial.exercise()
    body = alert.issued(1)
    head = trial.signed(body)
    await trial.taken(body, head)
    await trial.witness.until(alert.alert_id, 1, trial.pace.patience_s)
    await trial.taken(body, head)
    await trial.send(body, message_id=head["webhook-id"])
    await trial.witness.stays(alert.alert_id, 1, trial.pace.quiet_s)
    return "taken again, nothing changes"


async def update(trial: Trial) -> str:
    """The newer one replaces."""
    alert = trial.exercise()
    await trial.send(alert.issued(1))
    await trial.send(alert.issued(2))
    took = await trial.witness.until(alert.alert_id, 2, trial.pace.patience_s)
    return f"replaced after {took:.2f} s"


async def old_revision(trial: Trial) -> str:
    """The older one does not come back."""
    alert = trial.exercise()
    await trial.send(alert.issued(1))
    await trial.send(alert.issued(4))
    await trial.witness.until(alert.alert_id, 4, trial.pace.patience_s)
    await trial.send(alert.issued(3))
    await trial.witness.stays(alert.alert_id, 4, trial.pace.quiet_s)
    return "revision 3 after 4 taken and not shown"


async def withdrawal(trial: Trial) -> str:
    """The end is dark."""
    alert = trial.exercise()
    await trial.send(alert.issued(1))
    await trial.witness.until(alert.alert_id, 1, trial.pace.patience_s)
    await trial.send(alert.withdrawn(2))
    took = await trial.witness.until(alert.alert_id, None, trial.pace.patience_s)
    return f"dark after {took:.2f} s"


async def relight(trial: Trial) -> str:
    """What comes after the end changes nothing."""
    alert = trial.exercise()
    await trial.send(alert.issued(1))
    await trial.witness.until(alert.alert_id, 1, trial.pace.patience_s)
    await trial.send(alert.withdrawn(3))
    await trial.witness.until(alert.alert_id, None, trial.pace.patience_s)
    await trial.send(alert.issued(2))
    await trial.send(alert.issued(3))
    await trial.witness.stays(alert.alert_id, None, trial.pace.quiet_s)
    await trial.send(alert.renewed(1, 600))
    await trial.send(alert.renewed(3, 600))
    await trial.witness.stays(alert.alert_id, None, trial.pace.quiet_s)
    return "late revisions and late renewals taken, still dark"


async def overtaken(trial: Trial) -> str:
    """The end may come first."""
    alert = trial.exercise()
    await trial.send(alert.withdrawn(2))
    await trial.send(alert.issued(1))
    await trial.witness.stays(alert.alert_id, None, trial.pace.quiet_s)
    return "a withdrawal before its alert: never shown"


# ── lease ───────────────────────────────────────────────────────────────────────────────────────────────────


async def lease(trial: Trial) -> str:
    """Without news it goes dark."""
    alert, age_s, lease_s = trial.exercise(), 60, trial.pace.lease_s
    end = int(time.time()) + lease_s
    await trial.send(alert.issued(1, age_s + lease_s), age_s=age_s)
    await trial.witness.until(alert.alert_id, 1, trial.pace.patience_s)
    await trial.witness.stays(alert.alert_id, 1, end - 1 - time.time())
    left = end - time.time() + GRACE_S
    await trial.witness.until(alert.alert_id, None, left)
    return f"dark by itself {time.time() - end:+.1f} s from its end, counted from webhook-timestamp"


async def renewal(trial: Trial) -> str:
    """With news it stays."""
    alert, lease_s = trial.exercise(), trial.pace.lease_s
    end = int(time.time()) + lease_s
    await trial.send(alert.issued(1, lease_s))
    await trial.witness.until(alert.alert_id, 1, trial.pace.patience_s)
    await trial.send(alert.renewed(1, 600))
    await trial.witness.stays(alert.alert_id, 1, end + GRACE_S - time.time())
    return f"still on display {GRACE_S:.0f} s after its first lease"


# ── timing ──────────────────────────────────────────────────────────────────────────────────────────────────


async def timing(trial: Trial) -> str:
    """It does not keep the sender waiting."""
    alert, took = trial.exercise(), []
    for revision in range(1, trial.pace.samples + 1):
        began = time.monotonic()
        await trial.send(alert.issued(revision))
        took.append(time.monotonic() - began)
    took.sort()
    p50, p99 = (took[ceil(len(took) * share) - 1] * 1000 for share in (0.5, 0.99))
    return f"{len(took)} answers: p50 {p50:.0f} ms, p99 {p99:.0f} ms; the sender gives up after {trial.timeout_s:.0f} s"


async def restart(trial: Trial) -> str:
    """What was seen before a restart is known after it."""
    lit, ended, patience = trial.exercise(), trial.exercise(), trial.pace.patience_s
    await trial.send(lit.issued(2))
    await trial.send(ended.withdrawn(3))
    await trial.witness.until(lit.alert_id, 2, patience)
    process = await asyncio.create_subprocess_shell(str(trial.restart))
    if await process.wait():
        raise FailedError(f"--restart ended with {process.returncode}")
    await _back(trial, patience)
    await trial.witness.until(lit.alert_id, 2, patience)
    await trial.send(lit.issued(1))
    await trial.send(ended.issued(2))
    await trial.witness.stays(lit.alert_id, 2, trial.pace.quiet_s)
    await trial.witness.stays(ended.alert_id, None, trial.pace.quiet_s)
    return "old revisions are still old, what was on display still is"


async def _back(trial: Trial, within_s: float) -> None:
    end = time.monotonic() + within_s
    while True:
        try:
            return await trial.send(messages.ping())
        except FailedError:
            if time.monotonic() > end:
                raise
        await asyncio.sleep(0.1)
