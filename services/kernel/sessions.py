"""Sessions of people in a browser: a cookie stands for the token, so that no page has to hold one.

The cookie is `HttpOnly` and `SameSite=Strict`; what changes something also needs the session's CSRF token, which only
our own pages know. (OWASP: Session Management, Cross-Site Request Forgery Prevention.)
"""

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Any

from fastapi import Request, Response

from services.kernel.postgres import Connection, Pool

LASTS = timedelta(hours=12)
"""A shift and its handover; then one signs in again."""
CSRF_FIELD = "csrf"
CSRF_HEADER = "x-csrf-token"
SAFE_METHODS = frozenset({"GET", "HEAD"})
_FORM = "application/x-www-form-urlencoded"


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()


async def begin(connection: Connection, principal: str, role: str, token: bytes | None = None) -> str:
    """A new session; returns the value of its cookie. `token`: the fingerprint of a token that must stay valid."""
    cookie = secrets.token_urlsafe(32)
    await connection.execute("delete from kernel.session where expires_at < clock_timestamp()")
    await connection.execute(
        "insert into kernel.session (digest, principal, role, token, expires_at)"
        " values ($1, $2, $3, $4, clock_timestamp() + $5::interval)",
        _digest(cookie),
        principal,
        role,
        token,
        LASTS,
    )
    return cookie


async def person_of(pool: Pool, cookie: str) -> Any:
    """`principal` and `role` of a session; None when it is unknown or over, or its token is."""
    return await pool.fetchrow(
        "select s.principal, s.role from kernel.session s left join kernel.token t on t.digest = s.token"
        " where s.digest = $1 and s.expires_at > clock_timestamp() and t.revoked_at is null"
        " and (t.expires_at is null or t.expires_at > clock_timestamp())",
        _digest(cookie),
    )


async def end(pool: Pool, cookie: str) -> None:
    """Nobody is behind this cookie any more."""
    await pool.execute("delete from kernel.session where digest = $1", _digest(cookie))


def csrf_token(cookie: str) -> str:
    """What a form or a script of our own pages sends along: it follows from the cookie, which no script can read."""
    return hashlib.sha256(b"csrf:" + cookie.encode()).hexdigest()


async def is_ours(request: Request, cookie: str) -> bool:
    """Whether one of our own pages made this request: it reads only, or carries the session's CSRF token."""
    if request.method in SAFE_METHODS:
        return True
    given = request.headers.get(CSRF_HEADER)
    if given is None and request.headers.get("content-type", "").startswith(_FORM):
        given = str((await request.form()).get(CSRF_FIELD, ""))
    return hmac.compare_digest((given or "").encode(), csrf_token(cookie).encode())


def cookie_of(request: Request) -> str | None:
    """The session's cookie of a request."""
    return request.cookies.get(_name(secure=is_secure(request)))


def hand_out(request: Request, response: Response, cookie: str) -> None:
    """Puts the session into the browser."""
    secure = is_secure(request)
    response.set_cookie(
        _name(secure=secure), cookie, path="/", secure=secure, httponly=True, samesite="strict"
    )


def take_back(request: Request, response: Response) -> None:
    """Takes the session out of the browser."""
    secure = is_secure(request)
    response.delete_cookie(_name(secure=secure), path="/", secure=secure, httponly=True, samesite="strict")


def _name(*, secure: bool) -> str:
    # With this prefix a browser takes it from this very host alone, over TLS (RFC 6265bis, 4.1.3.2).
    return "__Host-zoeklicht" if secure else "zoeklicht"


def is_secure(request: Request) -> bool:
    """Whether browsers reach us over TLS."""
    return bool(getattr(request.app.state, "secure_cookies", False))
