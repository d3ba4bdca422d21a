"""A mail server and a push server on loopback, people to be paged, and a pager whose steps the test takes."""

import asyncio
import email.policy
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes

from aiohttp import web
from aiosmtpd.smtp import SMTP

from schemas.duty import NewPerson
from services.kernel.paging import duty, page
from services.kernel.paging.pager import Pager
from services.kernel.postgres import in_transaction


@dataclass
class Mailbox:
    """What the mail server took; `refuse` answers 451 instead."""

    got: list = field(default_factory=list)
    refuse: bool = False

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - the name aiosmtpd calls
        if self.refuse:
            return "451 later"
        self.got.append(
            (envelope.rcpt_tos, message_from_bytes(envelope.content, policy=email.policy.default))
        )
        return "250 OK"

    def to(self, address):
        return [message for to, message in self.got if to == [address]]


@dataclass
class Push:
    """What the push server took."""

    url: str = ""
    got: list = field(default_factory=list)
    status: int = 200
    hangs_s: float = 0.0


@asynccontextmanager
async def mail_server():
    box = Mailbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(box, hostname="mail.test", loop=loop), "127.0.0.1", 0)
    try:
        yield box, f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def push_server():
    push = Push()

    async def take(request):
        await asyncio.sleep(push.hangs_s)
        if push.status == web.HTTPOk.status_code:
            push.got.append(await request.json() | {"to": request.match_info["name"]})
        return web.Response(status=push.status)

    app = web.Application()
    app.router.add_post("/{name}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    push.url = f"json://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield push
    finally:
        await runner.cleanup()


@dataclass
class Ground:
    pool: object
    settings: object

    def __post_init__(self):
        self.pager = Pager(self.pool, self.settings)

    async def person(self, name, *channels, language="nl", **more):
        new = NewPerson(
            name=name, language=language, channels=list(channels or [f"{name}@example.org"]), **more
        )
        return (
            await in_transaction(self.pool, lambda c: duty.add(c, self.settings.master_key_bytes, new))
        ).person_id

    async def page(self, matter="audit:head", text="do this", **more):
        await in_transaction(self.pool, lambda c: page(c, matter, text, **more))

    async def work(self):
        """What is due now is sent, and what that made due."""
        deadline = time.monotonic() + 30
        while await self.pager.step():
            assert time.monotonic() < deadline
            await self.pager.settle()

    async def later(self, minutes=5):
        """As if so much time had gone by."""
        past = f"- interval '{minutes} minutes'"
        await self.pool.execute(
            f"update kernel.notice set created_at = created_at {past}, due_at = due_at {past}"
        )
        await self.pool.execute(f"update kernel.notice set lease_until = lease_until {past}")
        await self.work()
