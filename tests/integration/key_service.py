"""A key service on loopback with the `transit` engine's calls that are used: it really encrypts, and has versions."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "s.token-of-this-installation"


class KeyService:
    """One key, `zoeklicht`, with every version it had; tests may make it slow, or take the token away."""

    def __init__(self) -> None:
        self.versions = [AESGCM.generate_key(256)]
        self.oldest = 1
        self.token = TOKEN
        self.pause_s = 0.0
        self.calls: list[str] = []
        self.url = ""

    def rotate(self) -> None:
        self.versions.append(AESGCM.generate_key(256))

    async def handle(self, request: web.Request) -> web.Response:
        what = request.match_info["what"]
        self.calls.append(what)
        await asyncio.sleep(self.pause_s)
        if request.headers.get("X-Vault-Token") != self.token:
            return web.json_response({"errors": ["permission denied"]}, status=403)
        items = (await request.json())["batch_input"]
        results = [(self._encrypted if what == "encrypt" else self._decrypted)(item) for item in items]
        failed = any("error" in one for one in results)
        return web.json_response({"data": {"batch_results": results}}, status=400 if failed else 200)

    def _encrypted(self, item: dict[str, str]) -> dict[str, str]:
        nonce, version = os.urandom(12), len(self.versions)
        box = nonce + AESGCM(self.versions[-1]).encrypt(
            nonce, base64.b64decode(item["plaintext"]), base64.b64decode(item["associated_data"])
        )
        return {"ciphertext": f"vault:v{version}:{base64.b64encode(box).decode()}"}

    def _decrypted(self, item: dict[str, str]) -> dict[str, str]:
        try:
            _, version, text = item["ciphertext"].split(":")
            number, box = int(version[1:]), base64.b64decode(text)
            if number < self.oldest:
                return {"error": "ciphertext version is disallowed by policy (too old)"}
            plain = AESGCM(self.versions[number - 1]).decrypt(
                box[:12], box[12:], base64.b64decode(item["associated_data"])
            )
        except (ValueError, IndexError, InvalidTag):
            return {"error": "cipher: message authentication failed"}
        return {"plaintext": base64.b64encode(plain).decode()}


@asynccontextmanager
async def key_service() -> AsyncIterator[KeyService]:
    service, app = KeyService(), web.Application()
    app.router.add_post("/v1/transit/{what:encrypt|decrypt}/zoeklicht", service.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/transit/zoeklicht"
    try:
        yield service
    finally:
        await runner.cleanup()
