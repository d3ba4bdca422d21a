"""Reference receiver in Python >= 3.11 and nothing else: copy this file, and let your screens follow `Displays.shown`.

    ZOEKLICHT_SECRET=whsec_… ZOEKLICHT_TOKEN=… python receiver.py 8080 displays.json

`POST` takes messages, `GET` tells what is on display. During a rotation ZOEKLICHT_SECRET is both secrets with a space.
"""

import base64
import hashlib
import hmac
import json
import math
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOLERANCE_S, MOST_BYTES, TICK_S, RETRY_S, TRIES = 300, 1024 * 1024, 0.25, 5, 5000


def authentic(keys: Sequence[bytes], headers: Any, body: bytes, now: float) -> bool:
    """Whether a message is who it says it is from, at most five minutes off; `body` as it came, not parsed."""
    stamp = headers.get("webhook-timestamp") or ""
    if not (stamp.isascii() and stamp.isdigit()) or abs(now - int(stamp)) > TOLERANCE_S:
        return False
    signed = f"{headers.get('webhook-id')}.{stamp}.".encode() + body
    given = (headers.get("webhook-signature") or "").encode().split(b" ")
    macs = [b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in keys]
    return any([hmac.compare_digest(mac, one) for mac in macs for one in given])  # noqa: C419 - always compares all


class Displays:
    """What may be shown, and the receipts that are due. `state` is plain JSON, to be kept across restarts."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.state = state or {"alerts": {}, "receipts": []}

    def take(self, message: Mapping[str, Any], stamp: int, now: float) -> bool:
        """Works on an authentic message; False when it is not news. `stamp` is its signed webhook-timestamp."""
        kind, data, alerts, news = message["type"], message["data"], self.state["alerts"], False
        if kind == "display.renewed":
            for one in data["alerts"]:
                known = alerts.get(one["alert_id"], {"revision": 0})
                if known["revision"] == one["revision"] and known["data"]:
                    known["until"], news = max(known["until"], _end(stamp, known["data"] | one)), True
        elif kind in ("alert.issued", "alert.updated", "alert.withdrawn"):
            known = alerts.get(data["alert_id"], {"revision": 0, "told": None})
            if news := data["revision"] > known["revision"]:
                kept = None if kind == "alert.withdrawn" else data  # who was found is forgotten
                known |= {"revision": data["revision"], "data": kept, "until": _end(stamp, data)}
                alerts[data["alert_id"]] = known | {"url": data.get("receipts_url")}
        self.refresh(now)  # any other type, such as ping, is acknowledged and changes nothing
        return news

    def refresh(self, now: float) -> bool:
        """Notes a receipt for each change, also for a lease that has run out; whether there was one."""
        shown, changed = self.shown(now), False
        for alert_id, one in self.state["alerts"].items():
            told = [one["revision"], "displayed" if alert_id in shown else "removed"]
            if told != one["told"]:
                one["told"], changed, at = told, True, datetime.fromtimestamp(now, UTC).isoformat()
                receipt = {"alert_id": alert_id, "revision": told[0], "state": told[1], "at": at}
                self.state["receipts"] += [{"url": one["url"], "body": receipt, "due": 0, "left": TRIES}]
        return changed

    def shown(self, now: float) -> dict[str, Any]:
        """What the screens show now, by alert; whatever is not in it is dark."""
        return {key: one for key, one in self.state["alerts"].items() if one["data"] and now < one["until"]}


def _end(stamp: int, data: Mapping[str, Any]) -> float:
    """When it goes dark by itself: its lease counts from the signed time, not from its arrival."""
    end = data.get("expires_at")
    lease = float(data.get("display_for_s") or math.inf)
    return min(datetime.fromisoformat(end).timestamp() if end else math.inf, stamp + lease)


class Receiver(BaseHTTPRequestHandler):
    """One request. What all requests share is in the class."""

    keys = [base64.b64decode(one.removeprefix("whsec_")) for one in os.getenv("ZOEKLICHT_SECRET", "").split()]
    file, displays, lock = Path(), Displays(), threading.Lock()

    @classmethod
    def save(cls) -> None:
        """Replaces the file as a whole: what was acknowledged survives a crash."""
        cls.file.with_suffix(".new").write_text(json.dumps(cls.displays.state))
        cls.file.with_suffix(".new").replace(cls.file)

    @classmethod
    def confirm(cls) -> None:
        """Sends receipts until they are taken; one that fails waits and lets the others go on."""
        while True:
            time.sleep(TICK_S)
            with cls.lock:
                if cls.displays.refresh(now := time.time()):
                    cls.save()
            for one in [r for r in cls.displays.state["receipts"] if r["due"] < now]:
                one["due"], one["left"] = time.time() + RETRY_S, one["left"] - 1
                if not one["url"] or not one["left"] or _post(one["url"], one["body"]):
                    with cls.lock:
                        cls.displays.state["receipts"].remove(one)
                        cls.save()

    def do_POST(self) -> None:
        """A message: 401 when it is not authentic, else 200, news or not."""
        body = self.rfile.read(min(int(self.headers.get("content-length") or 0), MOST_BYTES))
        if not authentic(self.keys, self.headers, body, time.time()):
            return self._answer(401, "not authentic: wrong secret, clock, or bytes")
        with self.lock:
            self.displays.take(json.loads(body), int(self.headers["webhook-timestamp"]), time.time())
            self.save()
        return self._answer(200)

    def do_GET(self) -> None:
        """What is on display."""
        with self.lock:
            alerts = [one["data"] for one in self.displays.shown(time.time()).values()]
        return self._answer(200, json.dumps({"alerts": alerts}, ensure_ascii=False, indent=1))

    def _answer(self, status: int, text: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


def _post(url: str, receipt: Mapping[str, Any]) -> bool:
    headers = {"Authorization": f"Bearer {os.environ['ZOEKLICHT_TOKEN']}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(receipt).encode(), headers)  # noqa: S310 - from a signed body
    try:
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
    except OSError as error:  # what is refused stays refused; anything else is tried again
        return isinstance(error, urllib.error.HTTPError) and error.code in {400, 401, 403, 404, 410, 413, 422}
    return True


if __name__ == "__main__":
    Receiver.file = Path(sys.argv[2])
    Receiver.displays = Displays(json.loads(Receiver.file.read_text()) if Receiver.file.exists() else None)
    threading.Thread(target=Receiver.confirm, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
