"""Signing in to the pages with the organisation's account: the authorization code flow with PKCE.

Sources: OpenID Connect Core 1.0 §3.1, RFC 7636 (PKCE), RFC 9207 (`iss` in the answer), RFC 9700 (best practice).
"""

import base64
import hashlib
import hmac
import secrets
import time
from html import escape
from urllib.parse import urlencode

import orjson
import structlog
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from services.kernel import sessions
from services.kernel.audit import note
from services.kernel.auth import person_of
from services.kernel.oidc import OidcError
from services.kernel.oidc.provider import Provider
from services.kernel.problems import ForbiddenError, UnauthorizedError
from services.kernel.site.api import HOME, inside
from services.kernel.vault import VaultError, derive
from services.kernel.vault.sealing import seal_bytes, unseal_bytes

BEGIN, BACK = "/login/organisation", "/login/back"
_COOKIE = "zoeklicht-login"
_LASTS_S = 600
_PURPOSE = b"login"
log = structlog.get_logger()


def router(provider: Provider, public_url: str, master: bytes) -> APIRouter:
    """The two routes of the flow. `public_url` is where browsers reach us: the provider sends them back there."""
    routes = APIRouter(include_in_schema=False)
    back = public_url.rstrip("/") + BACK
    secret = derive(master, "login")

    @routes.get(BEGIN)
    async def begin(request: Request, next: str = HOME) -> Response:  # noqa: A002 - the name in the address
        kept = {
            "state": secrets.token_urlsafe(24),
            "nonce": secrets.token_urlsafe(24),
            "verifier": secrets.token_urlsafe(48),
            "next": inside(next),
            "until": time.time() + _LASTS_S,
        }
        challenge = base64.urlsafe_b64encode(hashlib.sha256(str(kept["verifier"]).encode()).digest())
        question = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": back,
            "scope": "openid profile",
            "state": kept["state"],
            "nonce": kept["nonce"],
            "code_challenge": challenge.decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        try:
            address = await provider.address("authorization_endpoint")
        except OidcError as error:
            raise UnauthorizedError("provider", str(error)) from None
        answer = RedirectResponse(f"{address}?{urlencode(question)}", 303)
        box = base64.urlsafe_b64encode(seal_bytes(secret, orjson.dumps(kept), _PURPOSE)).decode()
        # Lax, not strict: the provider's page sends the browser back, and the cookie must come along.
        answer.set_cookie(
            _COOKIE,
            box,
            max_age=_LASTS_S,
            path="/login",
            secure=sessions.is_secure(request),
            httponly=True,
            samesite="lax",
        )
        return answer

    @routes.get(BACK)
    async def come_back(
        request: Request, state: str = "", code: str = "", iss: str | None = None, error: str | None = None
    ) -> Response:
        kept = _opened(secret, request.cookies.get(_COOKIE, ""))
        if kept is None or not hmac.compare_digest(str(kept["state"]).encode(), state.encode()):
            raise ForbiddenError(
                "login", "this sign-in did not begin in this browser, or took too long: begin again"
            )
        if error is not None or (iss is not None and iss != provider.issuer):
            raise UnauthorizedError("login", "your organisation did not sign you in: begin again at /login")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "code_verifier": kept["verifier"],
        }
        try:
            claims = await provider.identity((await provider.redeem(form))["id_token"], kept["nonce"])
        except (OidcError, KeyError) as failure:
            log.warning("sign-in failed", error_class=type(failure).__name__)
            raise UnauthorizedError("login", "your organisation did not sign you in: begin again") from None
        caller = person_of(claims, provider)
        pool = request.app.state.auth_pool
        async with pool.acquire() as connection, connection.transaction():
            cookie = await sessions.begin(connection, caller.name, caller.role.value)
            await note(connection, caller.name, caller.role, "signed in with the organisation", ())
        # Not a redirect: that would still come from the provider's site, and a strict cookie would stay behind.
        target = escape(str(kept["next"]), quote=True)
        answer = HTMLResponse(
            "<!doctype html><meta charset=utf-8><title>zoeklicht</title>"
            f'<meta http-equiv="refresh" content="0;url={target}"><a href="{target}">→</a>',
            headers={"Content-Security-Policy": "default-src 'none'", "Cache-Control": "no-store"},
        )
        sessions.hand_out(request, answer, cookie)
        answer.delete_cookie(_COOKIE, path="/login")
        return answer

    return routes


def _opened(secret: bytes, box: str) -> dict[str, str] | None:
    """What was kept in the browser when the flow began; None when that is not ours or too long ago."""
    try:
        kept: dict[str, str] = orjson.loads(unseal_bytes(base64.urlsafe_b64decode(box), secret, _PURPOSE))
    except (VaultError, ValueError):
        return None
    return kept if float(kept["until"]) > time.time() else None
