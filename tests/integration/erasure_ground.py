"""What tests of erasure stand on: an installation with people, a planner, and whoever tries every key on every box."""

import base64
import io
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

import aiohttp
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from dispatch_ground import Ground
from intake_ground import Api, Got
from PIL import Image

from services.dispatch import erasing as dispatch
from services.intake import erasing as intake
from services.intake.handlers.steps import IntakeDeps
from services.kernel.erasure import do_parts
from services.kernel.vault import derive
from services.volunteers import erasing as volunteers
from services.volunteers.desk import VolunteerDeps

WHY = {"reason": "request_of_family", "reference": "AVG-2026/14"}
DERIVED = ("attempts", "idempotency", "fingerprint", "case-ref", "blind-index", "volunteer-index")
JPEG = b"\xff\xd8\xff"
TABLES = (
    "select quote_ident(table_schema) || '.' || quote_ident(table_name) as name from information_schema.tables"
    " where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')"
)
BASE64 = re.compile(rb"[A-Za-z0-9+/]{40,}={0,2}")
HEX = re.compile(rb"(?:[0-9a-f]{2}){29,}")


class Installation:
    """Intake behind HTTP, and the parts of the services in this process."""

    def __init__(self, api: Api, deps: IntakeDeps) -> None:
        self.api, self.deps, self.pool, self.vault = api, deps, deps.pool, deps.vault
        self.ground = Ground(deps.pool, deps.vault, deps.settings)
        self.helpers = VolunteerDeps(deps.pool, deps.vault, deps.settings)

    async def asked(self, who: str = "coordinator", **what: str) -> Got:
        return await self.api.post("/v1/erasures", WHY | what, who)

    async def approved(self, who: str = "admin", **what: str) -> str:
        """An erasure that two people decided."""
        got = await self.asked(**what)
        assert got.status == 201, got.body
        agreed = await self.agreed(got.body["erasure_id"], who)
        assert agreed.status == 200, agreed.body
        return got.body["erasure_id"]

    async def agreed(self, erasure: str, who: str = "admin") -> Got:
        return await self.api.post(f"/v1/erasures/{erasure}/approve", {}, who)

    async def withdrawn(self, erasure: str, who: str) -> Got:
        return await self.api.post(f"/v1/erasures/{erasure}/withdraw", {}, who)

    async def dispatched(self) -> None:
        """What is in the log is planned."""
        await self.ground.replay()

    @property
    def parts(self) -> list[tuple[str, Callable[[Any], Awaitable[Any]]]]:
        return [
            ("intake", partial(intake.erase, self.deps)),
            ("dispatch", partial(dispatch.erase, self.pool, self.vault)),
            ("volunteers", partial(volunteers.erase, self.helpers)),
        ]

    async def carried_out(self) -> None:
        """Every service does its part, and intake notes that it is done."""
        for name, work in self.parts:
            await do_parts(self.pool, name, work)
        await dispatch.confirm(self.pool)
        await intake.run_erasures(self.deps)

    async def erasure(self, erasure: str) -> Any:
        return (await self.api.get(f"/v1/erasures/{erasure}", "admin")).body

    async def certificate(self, erasure: str) -> Got:
        return await self.api.get(f"/v1/erasures/{erasure}/certificate", "admin")

    async def photo(self, case: str) -> str:
        picture = io.BytesIO()
        Image.new("RGB", (64, 64), "#884422").save(picture, "JPEG")
        form = aiohttp.FormData()
        form.add_field("file", picture.getvalue(), filename="x.jpg", content_type="image/jpeg")
        headers = {"Authorization": f"Bearer {self.api.tokens['operator']}"}
        path = f"{self.api.base}/v1/cases/{case}/children/0/photos"
        async with self.api.session.post(path, data=form, headers=headers) as answer:
            assert answer.status == 201
            return (await answer.json())["media_id"]

    async def child_of(self, case: str) -> str:
        return str(
            await self.pool.fetchval("select child_id from intake.case_child where case_id = $1", UUID(case))
        )

    async def opened(self) -> str:
        """Everything that any key which is left opens in any row of any table: without asking where a box belongs.

        AES-GCM is counter mode and a tag: leaving the tag aside needs no context, so no wrong guess of ours hides a box.
        """
        keys = [*(await self.vault.find(await self._names())).values()]
        keys += [derive(self.deps.settings.master_key_bytes, purpose) for purpose in DERIVED]
        boxes = await self._boxes()
        found = []
        for box in boxes:
            for key in keys:
                counter = modes.CTR(box[:12] + b"\x00\x00\x00\x02")
                content = Cipher(algorithms.AES(key), counter).decryptor().update(box[12:-16])
                if content.startswith(JPEG):
                    found.append("a photo")
                elif _is_text(content):
                    found.append(content.decode())
        return "\n".join(found)

    async def _names(self) -> list[str]:
        async with self.vault._pool.acquire() as connection:
            rows = await connection.fetch("select name from key where wrapped is not null")
        return [row["name"] for row in rows]

    async def _boxes(self) -> list[bytes]:
        found: set[bytes] = set()
        for table in await self.pool.fetch(TABLES):
            for row in await self.pool.fetch(f"select t::text as row from {table['name']} t"):
                text = row["row"].encode()
                found |= {_decoded(part) for part in BASE64.findall(text)}
                found |= {bytes.fromhex(part.decode()) for part in HEX.findall(text)}
        return sorted(box for box in found if len(box) > 28)


def _decoded(part: bytes) -> bytes:
    digits = part.rstrip(b"=")
    return base64.b64decode(digits[: len(digits) - (len(digits) % 4 == 1)] + b"==")


def _is_text(content: bytes) -> bool:
    try:
        return content.decode().isprintable()
    except UnicodeDecodeError:
        return False
