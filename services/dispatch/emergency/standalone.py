"""Sends the withdrawals of an emergency pack from any computer: needs this file, Python 3.9 or newer, and `age`.

    python3 zoeklicht-emergency-send.py FOLDER-OR-PACK --identity KEY

Imports nothing but Python itself, on purpose: it lies beside the packs, for the day on which nothing of this software
can be installed. `age` (or `rage`) opens the pack; where there is neither, open it elsewhere and name the opened file.
The report is the one that `zoeklicht emergency-report` takes in.
"""

# ruff: noqa: T201 - prints, having nothing else
from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import http.client
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit
from uuid import UUID, uuid5

NAMESPACE = UUID("6f0c2a38-1f0e-5b1a-9a53-7c1f2f6a1160")
CONTENT_TYPES = {"json": "application/json", "cap": "application/cap+xml"}
PAUSES_S = (1.0, 3.0, 10.0)
AT_ONCE = 64
MOST_ANSWER = 64 * 1024

# ── Ed25519, as RFC 8032 section 5.1 describes it ────────────────────────────────────────────────────────────

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
Point = tuple[int, int, int, int]
"""Extended coordinates: X, Y, Z, T."""


def _base() -> Point:
    y = 4 * pow(5, _P - 2, _P) % _P
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    x = _P - x if x % 2 else x
    return (x, y, 1, x * y % _P)


def _add(one: Point, other: Point) -> Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(number: int, point: Point) -> Point:
    total: Point = (0, 1, 1, 0)
    while number:
        if number & 1:
            total = _add(total, point)
        point = _add(point, point)
        number >>= 1
    return total


def _encoded(point: Point) -> bytes:
    inverse = pow(point[2], _P - 2, _P)
    x, y = point[0] * inverse % _P, point[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _number(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % _ORDER


def ed25519(private: bytes, message: bytes) -> bytes:
    """The signature of a message by a private key of 32 bytes."""
    digest, base = hashlib.sha512(private).digest(), _base()
    secret = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    public = _encoded(_times(secret, base))
    nonce = _number(digest[32:], message)
    commitment = _encoded(_times(nonce, base))
    challenge = _number(commitment, public, message)
    return commitment + ((nonce + challenge * secret) % _ORDER).to_bytes(32, "little")


# ── sending ──────────────────────────────────────────────────────────────────────────────────────────────────


def fail(text: str) -> NoReturn:
    """Says what to do, and ends."""
    print(text, file=sys.stderr)
    raise SystemExit(1)


def opened(path: Path, identity: Path | None) -> dict[str, Any]:
    """The pack: the newest of a folder; opened by age, or already."""
    if path.is_dir():
        found = sorted(path.glob("zoeklicht-emergency-*.age"))
        if not found:
            fail(f"{path} holds no pack: name another folder")
        path = found[-1]
    raw = path.read_bytes()
    if raw.startswith(b"age-encryption.org/"):
        if identity is None:
            fail("name the private key with --identity")
        tool = shutil.which("age") or shutil.which("rage")
        if tool is None:
            fail(
                "neither age nor rage is installed: see https://age-encryption.org, or run"
                f" `age -d -i KEY {path.name} > pack.json` elsewhere and give pack.json"
            )
        done = subprocess.run(  # noqa: S603 - the tool that was just found, and two files that a person named
            [tool, "-d", "-i", str(identity), str(path)], capture_output=True, check=False
        )
        if done.returncode:
            fail("the pack does not open: wrong key, or a damaged file; try an older pack")
        raw = done.stdout
    pack: dict[str, Any] = json.loads(raw)
    if pack.get("version") != 1:
        fail("the pack was written by another version: use the command that lies beside it")
    return pack


def headers_of(partner: dict[str, Any], message_id: str, body: bytes) -> dict[str, str]:
    """Standard Webhooks: `v1` by each live secret, and `v1a`."""
    now = str(int(time.time()))
    signed = f"{message_id}.{now}.".encode() + body
    signatures = [
        "v1," + base64.b64encode(hmac.new(bytes.fromhex(one), signed, hashlib.sha256).digest()).decode()
        for one in partner["secrets"]
    ]
    signatures.append("v1a," + base64.b64encode(ed25519(bytes.fromhex(partner["private"]), signed)).decode())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": now,
        "webhook-signature": " ".join(signatures),
        "Content-Type": CONTENT_TYPES[partner["format"]],
        "User-Agent": "zoeklicht-emergency",
    }


def post(pack: dict[str, Any], partner: dict[str, Any], body: bytes, headers: dict[str, str]) -> int:
    """The status. Only to hosts that were reviewed, by https, and nowhere else: no redirect is followed."""
    url = urlsplit(partner["url"])
    loopback = pack["allow_loopback_partners"] and url.hostname in ("localhost", "127.0.0.1", "::1")
    place = f"{url.hostname}:{url.port or (443 if url.scheme == 'https' else 80)}"
    if not loopback and (url.scheme != "https" or place not in pack["partner_hosts"]):
        raise ValueError("this address was not reviewed")
    timeout = pack["delivery_timeout_s"]
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        context = ssl.create_default_context()
        if pack.get("partner_ca"):
            context.load_verify_locations(cadata=pack["partner_ca"])
        connection = http.client.HTTPSConnection(
            url.hostname or "", url.port, timeout=timeout, context=context
        )
    else:
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout)
    try:
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        connection.request("POST", path, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def until_taken(pack: dict[str, Any], alert: dict[str, Any], partner: dict[str, Any]) -> dict[str, Any]:
    """Tries four times in all; the line of the report."""
    body = alert["bodies"][partner["format"]].encode()
    name = f"delivery|{alert['alert_id']}|{partner['recipient_id']}|{alert['revision']}"
    line: dict[str, Any] = {}
    for pause in (*PAUSES_S, None):
        status, error_class = None, None
        try:
            headers = headers_of(partner, f"msg_{uuid5(NAMESPACE, name).hex}", body)
            status = post(pack, partner, body, headers)
        except (OSError, ValueError, http.client.HTTPException) as error:
            error_class = type(error).__name__
        line = {
            "alert_id": alert["alert_id"],
            "recipient_id": partner["recipient_id"],
            "revision": alert["revision"],
            "at": datetime.now(timezone.utc).isoformat(),  # noqa: UP017 - as Python 3.9 has it
            "status": status,
            "error_class": error_class,
        }
        if dark(line) or pause is None:
            break
        time.sleep(pause)
    return line


def dark(line: dict[str, Any]) -> bool:
    """Whether a partner took the withdrawal."""
    return line["status"] is not None and line["status"] // 100 == 2  # noqa: PLR2004 - 2xx


def send(pack: dict[str, Any], todo: list[Any], report: Path) -> list[dict[str, Any]]:
    """To all partners at once, to each one after the other; every end is on disk before the next begins."""
    by_partner: dict[str, list[Any]] = {}
    for alert, partner in todo:
        by_partner.setdefault(partner["recipient_id"], []).append((alert, partner))
    ends: list[dict[str, Any]] = []
    turn = threading.Lock()
    with report.open("a", encoding="utf-8") as file:

        def errand(mine: list[Any]) -> None:
            for alert, partner in mine:
                line = until_taken(pack, alert, partner)
                with turn:
                    ends.append(line)
                    file.write(json.dumps(line) + "\n")
                    file.flush()
                    os.fsync(file.fileno())

        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(errand, by_partner.values()))
    return ends


def confirmed(question: str) -> bool:
    """Whether a person says yes; nobody there is a no."""
    try:
        return input(question).strip().lower() == "y"
    except EOFError:
        return False


def main() -> int:
    """Shows what it will send, asks, sends, and says whom to call; 1 when somebody did not answer."""
    parser = argparse.ArgumentParser(
        description="Send the withdrawals of an emergency pack to every partner."
    )
    parser.add_argument(
        "pack", type=Path, help="a pack, a folder of packs (then the newest), or an opened pack"
    )
    parser.add_argument("--identity", type=Path, help="the private key that opens it")
    parser.add_argument("--alert", action="append", default=[], help="only this alert; may be repeated")
    parser.add_argument("--report", type=Path, default=Path("emergency-report.ndjson"))
    parser.add_argument("--yes", action="store_true", help="send without asking")
    wanted = parser.parse_args()
    pack = opened(wanted.pack, wanted.identity)
    partners = {one["recipient_id"]: one for one in pack["partners"]}
    only = {str(UUID(one)) for one in wanted.alert}
    todo = [
        (alert, partners[one])
        for alert in pack["alerts"]
        if not only or alert["alert_id"] in only
        for one in alert["to"]
        if one in partners and partners[one]["format"] in alert["bodies"]
    ]
    print(f"{pack['installation']}, written {pack['made_at']}")
    for alert in pack["alerts"]:
        count = sum(one["alert_id"] == alert["alert_id"] for one, _ in todo)
        if count:
            since = alert["issued_at"]
            print(f"alert {alert['alert_id']} ({alert['kind']}), shown since {since}: to {count} partners")
    if not todo:
        print("nothing is shown: there is nothing to send")
        return 0
    if not wanted.yes and not confirmed(f"Send {len(todo)} withdrawals now? [y/N] "):
        print("nothing was sent")
        return 1
    ends = send(pack, todo, wanted.report)
    silent = [line for line in ends if not dark(line)]
    print(f"{len(ends) - len(silent)} of {len(ends)} withdrawals were taken")
    for line in silent:
        partner = partners[line["recipient_id"]]
        why = line["status"] or line["error_class"]
        print(f"CALL {partner['name']}: {partner['contact']} (alert {line['alert_id']}, answer {why})")
    if silent:
        print("give the same command again to try once more: it is harmless")
    print(f"when the system is back, first: zoeklicht emergency-report {wanted.report}")
    return 1 if silent else 0


if __name__ == "__main__":
    raise SystemExit(main())
