"""The router of volunteers over HTTP, without a socket, people who help, and call-outs whose steps the test takes."""

import asyncio
import dataclasses
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import orjson
from dispatch_http import Client
from fastapi import FastAPI
from pydantic import SecretStr

from schemas.base import Sealed
from schemas.commands import CallOut, ChangeVolunteer, NewVolunteer
from schemas.events import CaseClosed, CaseOpened, NoDetails, Place
from schemas.vocabulary import CaseKind, Mode, Reply
from services.eventlog.store import Append, Cause, NewEvent, Stop, append, lock_streams
from services.kernel.http import harden
from services.kernel.ids import new_id
from services.kernel.postgres import in_transaction
from services.kernel.principals import Principal, Role, issue_token
from services.kernel.site import Site
from services.simulation.text_provider import TextProvider
from services.volunteers import callouts, pages, roster, views
from services.volunteers.api import router
from services.volunteers.callouts import Work
from services.volunteers.desk import Ask, VolunteerDeps
from services.volunteers.domain.callout import Said
from services.volunteers.gateways import Gateways
from services.volunteers.sender import Sender
from services.volunteers.waves import ask_more

AN = {
    "given_name": "Anneleen",
    "family_name": "Helpmans",
    "team": "mobile",
    "languages": ["nl", "fr"],
    "postal_code": "3000",
    "channels": ["sms:+32470000001", "anneleen@example.org"],
    "consent": True,
}


@asynccontextmanager
async def client_of(pool, vault, settings):
    """A client of an application that holds the routers of volunteers alone."""
    app = FastAPI()
    routes = router(VolunteerDeps(pool, vault, settings))
    of_pages = pages.router(VolunteerDeps(pool, vault, settings), Site(("services.volunteers",)))
    harden(app, [routes, of_pages])
    app.state.auth_pool = pool
    app.state.master_key = settings.master_key_bytes
    app.include_router(routes)
    app.include_router(of_pages)
    tokens = {}
    async with pool.acquire() as connection:
        for role in (Role.ADMIN, Role.COORDINATOR, Role.OPERATOR, Role.VIEWER):
            tokens[role] = await issue_token(connection, role.value, role)
    yield SignedClient(app, tokens)


class SignedClient(Client):
    """Sends what a provider signed, too."""

    async def signed(self, path, body, provider, secret=""):
        headers = dataclasses.replace(provider, secret=secret or provider.secret).signed(orjson.dumps(body))
        return await self("POST", path, body, token="none", headers=headers)

    async def press(self, path, cookie="", **form):
        """A button of a page, in a browser with this cookie."""
        headers = {"cookie": f"volunteer={cookie}"} if cookie else {}
        return await self("POST", path, raw=urlencode(form).encode(), token="none", headers=headers)

    async def upload(self, path, photo, **form):
        """The button of a form with a file; None is what a browser sends when nobody chose one."""
        parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in form.items()]
        named = b'name="photo"; filename="%s"\r\nContent-Type: image/jpeg\r\n\r\n' % (
            b"" if photo is None else b"p.jpg"
        )
        parts.append(named + (photo or b""))
        body = (
            b"".join(b"--cut\r\nContent-Disposition: form-data; " + one + b"\r\n" for one in parts)
            + b"--cut--\r\n"
        )
        headers = {"content-type": "multipart/form-data; boundary=cut"}
        return await self("POST", path, raw=body, token="none", headers=headers)

    async def look(self, path, language=""):
        headers = {"accept-language": language} if language else {}
        return await self("GET", path, token="none", headers=headers)


def another(number, **more):
    """Somebody else."""
    return AN | {"given_name": f"An{number}", "channels": [f"sms:+3247{number:07}"]} | more


def opened(*, exercise=False, municipality="24062"):
    """A case, as intake opens it."""
    case_id = new_id()
    data = CaseOpened(
        case_number="2026-000001",
        kind=CaseKind.RUNAWAY,
        reported_by=Sealed(key=f"case:{case_id}", box="AAAA"),
        last_seen=Place(postal_code="3000", municipality=municipality),
        children=(),
        details=NoDetails(),
    )
    mode = Mode.EXERCISE if exercise else Mode.ACTUAL
    return case_id, data, Cause("operator", str(case_id), mode=mode)


async def add_events(pool, stream, subject, cause, *events, stops=()):
    async def work(connection):
        await lock_streams(connection, [stream])
        await append(connection, [Append(stream, subject, [NewEvent(e) for e in events], cause)], stops)

    await in_transaction(pool, work)


class Ground:
    """An installation whose volunteers are live, a provider on loopback, and steps that the test takes."""

    def __init__(self, pool, vault, settings, provider, gateways):
        self.pool, self.vault, self.settings, self.provider = pool, vault, settings, provider
        self.deps = VolunteerDeps(pool, vault, settings)
        self.sender = Sender(self.deps, gateways)
        self.ask = Ask(Principal("coordinator one", Role.COORDINATOR), "c1")

    async def people(self, *profiles):
        """Registered, in order; their numbers."""
        found = []
        for profile in profiles:
            new = NewVolunteer.model_validate(profile)
            found.append(
                await in_transaction(
                    self.pool, lambda c, one=new: roster.register(self.deps, self.ask, c, one)
                )
            )
        return found

    async def case(self, **more):
        case_id, data, cause = opened(**more)
        await add_events(self.pool, f"case-{case_id}", str(case_id), cause, data)
        return case_id

    async def close(self, case_id):
        """As intake closes it: the event, and the stop beside it."""
        stop = Stop("case", case_id, case_id, 2, new_id(), Mode.ACTUAL)
        cause = Cause("operator", str(case_id))
        await add_events(
            self.pool, f"case-{case_id}", str(case_id), cause, CaseClosed(outcomes=()), stops=[stop]
        )

    async def call_out(self, case_id, **need):
        wish = CallOut.model_validate({"people": 1, "postal_code": "3000"} | need)
        done = await in_transaction(
            self.pool, lambda c: callouts.call_out(self.deps, self.ask, c, case_id, wish)
        )
        return done.state.callout_id

    def act(self, callout_id, command, *arguments):
        """A command on a call-out."""
        return in_transaction(
            self.pool, lambda c: command(Work(self.deps, c, callout_id, self.ask.cause), *arguments)
        )

    async def says(self, callout_id, who, reply="yes", **more):
        return await self.act(callout_id, callouts.answer, who, Said(Reply(reply), **more))

    async def work(self):
        """Whatever is due now is done, and what that made due."""
        recording = asyncio.create_task(self.sender.recorder.run())
        try:
            async with asyncio.timeout(60):
                while await ask_more(self.deps) + await self._sent():
                    pass
        finally:
            recording.cancel()

    async def _sent(self):
        begun = await self.sender.step()
        while self.sender._tasks:
            await asyncio.wait(self.sender._tasks)
        return begun

    async def send(self):
        """What is due is sent, and nothing else happens."""
        recording = asyncio.create_task(self.sender.recorder.run())
        await self._sent()
        recording.cancel()

    async def later(self, seconds=3600):
        """As if so much time had gone by."""
        past = f"- interval '{seconds} seconds'"
        await self.pool.execute(
            f"update volunteers.lane set due_at = due_at {past}, lease_until = lease_until {past}"
        )
        await self.pool.execute(f"update volunteers.callout set wave_due_at = wave_due_at {past}")

    async def change(self, who, **what):
        """As the person or an administrator changes a profile."""
        wish = ChangeVolunteer.model_validate(what)
        await in_transaction(self.pool, lambda c: roster.change(self.deps, self.ask, c, who, wish))

    async def board(self, callout_id):
        return await views.board(self.deps, callout_id)

    async def replies(self, callout_id):
        board = await self.board(callout_id)
        return {one["name"]: one["asked"]["reply"] for one in board["people"] if one["asked"]}


@asynccontextmanager
async def ground_of(pool, vault, settings, **provider):
    async with TextProvider(**provider) as texts:
        live = settings.model_copy(
            update={
                "volunteer_channels": "live",
                "sms_url": SecretStr(texts.url),
                "sms_signing_key": SecretStr(texts.secret),
            }
        )
        async with Gateways(live) as gateways:
            yield Ground(pool, vault, live, texts, gateways)


KM = 1 / 111.2
"""Degrees of latitude."""


def at_km(number, km, **more):
    """Somebody who lives so many kilometres north of the meeting place."""
    return another(
        number, lat=50.9 + km * KM, lon=4.7, channels=[phone(number), f"an{number}@example.org"], **more
    )


def phone(number):
    return f"sms:+3247{number:07}"


def texts(ground, number):
    return ground.provider.texts(phone(number).removeprefix("sms:"))


HERE = {"lat": 50.9, "lon": 4.7}


async def waves_alone(ground):
    """A wave is decided, and no sender is there."""
    assert await ask_more(ground.deps)
