"""What a receiver must do, in the order in which the kit looks, and what to do when it does not."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from services.partnerkit import checks
from services.partnerkit.trial import Trial


@dataclass(frozen=True, slots=True)
class Check:
    """`run` returns what was seen and raises FailedError; `remedy` says what to do then."""

    name: str
    says: str
    remedy: str
    run: Callable[[Trial], Awaitable[str]]


CHECKS: Sequence[Check] = (
    Check(
        "ping",
        "answers a signed ping with 2xx",
        "verify the signature with the secret you were given, over id.timestamp.body, and answer 2xx",
        checks.ping,
    ),
    Check(
        "unsigned",
        "refuses a message without signature headers",
        "answer 401 when webhook-id, webhook-timestamp or webhook-signature is missing",
        checks.unsigned,
    ),
    Check(
        "forged",
        "refuses a message signed with another secret",
        "compare HMAC-SHA256 of id.timestamp.body with each v1 signature; answer 401 when none fits",
        checks.forged,
    ),
    Check(
        "tampered",
        "refuses a body, id or time that was changed",
        "sign over the raw bytes as they came, and over both headers, not over parsed JSON",
        checks.tampered,
    ),
    Check(
        "stale",
        "refuses a message signed 10 minutes ago or ahead",
        "refuse a webhook-timestamp more than 5 minutes from your clock, either way; keep your clock by NTP",
        checks.stale,
    ),
    Check(
        "raw-bytes",
        "takes any spelling of JSON that is rightly signed",
        "verify the raw bytes before any parsing; a body written anew has other bytes",
        checks.raw_bytes,
    ),
    Check(
        "rotation",
        "takes a message when any one of several signatures fits",
        "split webhook-signature at spaces, skip versions you do not know, accept when any v1 fits",
        checks.rotation,
    ),
    Check(
        "displayed",
        "shows an alert",
        "show what arrived and send the receipt `displayed` to data.receipts_url, or give --state-url",
        checks.displayed,
    ),
    Check(
        "receipts",
        "confirms with receipts",
        "POST {alert_id, revision, state, at} to data.receipts_url with your token, `at` with an offset",
        checks.receipts,
    ),
    Check(
        "replay",
        "takes the same message again and changes nothing",
        "answer 2xx to a revision you have seen, and do nothing else",
        checks.replay,
    ),
    Check(
        "update",
        "replaces a revision by a higher one",
        "show the highest revision of an alert instead of the earlier one",
        checks.update,
    ),
    Check(
        "old-revision",
        "does not show a lower revision after a higher one",
        "keep the highest revision seen of each alert; answer 2xx to lower ones and ignore them",
        checks.old_revision,
    ),
    Check(
        "withdrawal",
        "goes dark on a withdrawal",
        "take the alert from every screen, delete its content, send the receipt `removed`",
        checks.withdrawal,
    ),
    Check(
        "relight",
        "stays dark after a withdrawal, whatever comes late",
        "keep the revision of a withdrawn alert for ever, its content never; renew only what is shown",
        checks.relight,
    ),
    Check(
        "overtaken",
        "stays dark when the withdrawal came before the alert",
        "note the revision of a withdrawal even when you do not know its alert",
        checks.overtaken,
    ),
    Check(
        "lease-end",
        "goes dark by itself when the lease ends",
        "show until webhook-timestamp + display_for_s, no longer; then send `removed` for the revision shown",
        checks.lease,
    ),
    Check(
        "renewal",
        "goes on showing what display.renewed names",
        "on display.renewed show each alert it names with your revision until webhook-timestamp + display_for_s",
        checks.renewal,
    ),
    Check(
        "timing",
        "answers in time",
        "answer as soon as the message is stored; switch screens and send receipts afterwards",
        checks.timing,
    ),
)
RESTART = Check(
    "restart",
    "remembers revisions across a restart",
    "write revision, content and lease of each alert to disk before you answer 2xx, and read them at start",
    checks.restart,
)
"""Only made when the kit is told how to restart the receiver."""
