"""The router of volunteers over HTTP, without a socket, and people who help."""

from contextlib import asynccontextmanager

from dispatch_http import Client
from fastapi import FastAPI

from services.kernel.auth import Role, issue_token
from services.kernel.http import harden
from services.volunteers.api import router
from services.volunteers.desk import VolunteerDeps

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
    harden(app, [routes])
    app.state.auth_pool = pool
    app.state.master_key = settings.master_key_bytes
    app.include_router(routes)
    tokens = {}
    async with pool.acquire() as connection:
        for role in (Role.ADMIN, Role.COORDINATOR, Role.OPERATOR, Role.VIEWER):
            tokens[role] = await issue_token(connection, role.value, role)
    yield Client(app, tokens)


def another(number, **more):
    """Somebody else."""
    return AN | {"given_name": f"An{number}", "channels": [f"sms:+3247{number:07}"]} | more
