"""Who is calling: by a token, a session of a browser or an account elsewhere; and what a route demands."""

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.kernel import sessions
from services.kernel.audit import note_call, note_refusal
from services.kernel.oidc import ExpiredError, OidcError
from services.kernel.postgres import Pool
from services.kernel.principals import EVERYONE_INSIDE, STAFF, Principal, Role, fingerprint
from services.kernel.problems import ForbiddenError, TooManyError, UnauthorizedError

_bearer = HTTPBearer(auto_error=False, description="A token of this installation, or of a partner")
_BY_POWER = (
    Role.ADMIN,
    Role.COORDINATOR,
    Role.CASE_MANAGER,
    Role.OPERATOR,
    Role.MAGISTRATE_LIAISON,
    Role.VIEWER,
)
_NAME = re.compile(r"^[^\x00-\x1f\x7f]{1,200}$")
_DOTS_OF_A_JWT = 2


class Naming(Protocol):
    """Where the tokens of a provider say who somebody is, and what for."""

    role_claim: str
    name_claim: str


async def identify(pool: Pool, token: str) -> Principal | None:
    """Whose token it is; None when unknown, expired or revoked."""
    known = await _known(pool, token)
    return known[0] if known and known[1] else None


async def _known(pool: Pool, token: str) -> tuple[Principal, bool] | None:
    """Whose token it is or was, and whether it is valid."""
    row = await pool.fetchrow(
        "select principal, role, revoked_at is null and (expires_at is null or expires_at > clock_timestamp())"
        " as valid from kernel.token where digest = $1",
        fingerprint(token),
    )
    return (Principal(row["principal"], Role(row["role"])), row["valid"]) if row else None


async def _behind(request: Request, token: str) -> tuple[Principal, bool] | None:
    """The same for a token of this installation or of the identity provider that it trusts."""
    provider = getattr(request.app.state, "oidc", None)
    if provider is None or token.count(".") != _DOTS_OF_A_JWT:
        return await _known(request.app.state.auth_pool, token)
    try:
        return person_of(await provider.access(token), provider), True
    except ExpiredError as error:
        return person_of(error.claims, provider), False
    except OidcError as error:
        raise UnauthorizedError("token", str(error), headers={"WWW-Authenticate": "Bearer"}) from None


def person_of(claims: Mapping[str, Any], provider: Naming) -> Principal:
    """Whom verified claims of the provider are about, in the first of their roles. Raises ForbiddenError."""
    name, said = claims.get(provider.name_claim), claims.get(provider.role_claim)
    roles = {said} if isinstance(said, str) else {one for one in said or () if isinstance(one, str)}
    for role in _BY_POWER:
        if role.value in roles and isinstance(name, str) and _NAME.match(name):
            return Principal(name, role)
    raise ForbiddenError(
        "role",
        f"your organisation gives you no role here: its claim '{provider.role_claim}' must hold one of"
        f" {', '.join(_BY_POWER)}, and '{provider.name_claim}' your name",
    )


async def signed_in(request: Request) -> Principal | None:
    """Who is signed in with the browser that asks. Raises ForbiddenError when another site's page may have sent this."""
    cookie = sessions.cookie_of(request)
    row = cookie and await sessions.person_of(request.app.state.auth_pool, cookie)
    if not cookie or not row:
        return None
    if not await sessions.is_ours(request, cookie):
        raise ForbiddenError(
            "csrf", "load the page again and send it from there, or send a token as 'Bearer'"
        )
    return Principal(row["principal"], Role(row["role"]))


def _in_measure(request: Request, caller: Principal) -> None:
    """Raises TooManyError for too many calls. Staff is never kept from acting: the line works, whatever happens."""
    limiter = getattr(request.app.state, "limiter", None)
    acting = caller.role in STAFF and request.method not in sessions.SAFE_METHODS
    if limiter is None or acting or getattr(request.state, "principal", None) is not None:
        return
    _not_yet(limiter.take(f"{caller.role}:{caller.name}"))


def anybody_in_measure(request: Request) -> None:
    """A dependency of calls without a token: each address has as many as a caller. Raises TooManyError."""
    limiter = getattr(request.app.state, "limiter", None)
    if limiter is not None:
        _not_yet(limiter.take(f"address:{request.client.host if request.client else ''}"))


def _not_yet(wait: float) -> None:
    if wait:
        raise TooManyError(
            "too-many-calls",
            "wait as many seconds as Retry-After says, and call less often",
            headers={"Retry-After": str(math.ceil(wait))},
        )


async def caller_now(request: Request) -> Principal | None:
    """Who is behind a request that is still being answered, as of now; None when they are let in no more."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer":
        return await signed_in(request)
    try:
        caller, valid = await _behind(request, token) or (None, False)
    except (UnauthorizedError, ForbiddenError):
        return None
    return caller if valid else None


def require(*roles: Role) -> Callable[..., Awaitable[Principal]]:
    """A dependency that lets only these roles in, by token or by session: 401 for nobody, 403 for others.

    What a person calls for that changes something is in the audit before it is worked on, and so is a known caller who
    is refused. That holds for every route, since every route demands its roles here.
    """

    async def principal(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Principal:
        pool = request.app.state.auth_pool
        call, path = f"{request.method} {request.scope['route'].path}", request.path_params
        if credentials is None:
            caller, valid = await signed_in(request), True
        else:
            caller, valid = await _behind(request, credentials.credentials) or (None, False)
        if caller is None or not valid:
            if caller is not None:
                await note_refusal(pool, caller.name, caller.role, f"an old token: {call}", path)
            raise UnauthorizedError(
                "token",
                "send a valid token as 'Authorization: Bearer …'",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if caller.role not in roles:
            await note_refusal(pool, caller.name, caller.role, call, path)
            allowed = ", ".join(roles)
            raise ForbiddenError("role", f"this call is for: {allowed}; ask one of them")
        _in_measure(request, caller)
        if caller.role in EVERYONE_INSIDE and request.method not in sessions.SAFE_METHODS:
            await note_call(pool, caller.name, caller.role, call, path)
        request.state.principal = caller
        return caller

    principal.roles = roles  # type: ignore[attr-defined]  # a test reads what each route demands
    return principal
