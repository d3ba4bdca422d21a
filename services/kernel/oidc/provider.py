"""An OpenID provider as we see it: its addresses, its keys, and what a token of it says.

Sources: OpenID Connect Core 1.0 §3.1.3.7 (ID tokens), Discovery 1.0, RFC 9068 (access tokens as JWT), RFC 8725 (JWT
best practice: a fixed list of algorithms, an audience of one's own).
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote_plus, urlsplit

import aiohttp
import orjson
import structlog
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import KeySet

from services.kernel.oidc.errors import ExpiredError, OidcError
from services.kernel.settings import Settings

ALGORITHMS = ["ES256", "ES384", "PS256", "RS256", "EdDSA", "Ed25519"]
"""Signatures of a key pair alone: with `HS256` the public key would do to sign, with `none` nothing."""
LEEWAY_S = 30
_TIMEOUT = aiohttp.ClientTimeout(total=5)
_MOST_BYTES = 256 * 1024
_ASK_AGAIN_S = 30.0
_TRY_AGAIN_S = 5.0
log = structlog.get_logger()


def _from_elsewhere(url: str, issuer: str) -> bool:
    """Whether an address must not be asked: neither https, nor plain http to the issuer's own host on this machine."""
    parts = urlsplit(url)
    return parts.scheme != "https" and (parts.scheme, parts.hostname) != ("http", urlsplit(issuer).hostname)


@dataclass
class Provider:
    """The provider that `issuer` names. Keys are kept, so that tokens are checked while the provider is away."""

    issuer: str
    audience: str
    """Whom access tokens must be meant for."""
    client_id: str
    client_secret: str
    role_claim: str = "roles"
    name_claim: str = "sub"
    _document: Mapping[str, Any] = field(default_factory=dict)
    _keys: KeySet | None = None
    _asked_at: float = float("-inf")
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def address(self, name: str) -> str:
        """One of the provider's addresses, such as `authorization_endpoint`. Raises OidcError."""
        if not self._document:
            found = await _json(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self.issuer:
                raise OidcError("the provider calls itself otherwise: check ZOEKLICHT_OIDC_ISSUER")
            self._document = found
        url = str(self._document.get(name, ""))
        if _from_elsewhere(url, self.issuer):
            raise OidcError(f"the provider's {name} is not an https address")
        return url

    async def access(self, token: str) -> Mapping[str, Any]:
        """What an access token for our API says. Raises ExpiredError, OidcError."""
        claims = await self._verified(token, self.audience)
        if "nonce" in claims:
            raise OidcError("an ID token is for the page that asked for it, not for the API")
        return claims

    async def identity(self, token: str, nonce: str) -> Mapping[str, Any]:
        """What an ID token says that our page asked for with `nonce`. Raises OidcError."""
        claims = await self._verified(token, self.client_id)
        if claims.get("nonce") != nonce:
            raise OidcError("the ID token answers another question: sign in again")
        if claims.get("azp", self.client_id) != self.client_id:
            raise OidcError("the ID token is meant for another application")
        return claims

    async def redeem(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        """Exchanges a code for tokens. Raises OidcError."""
        # Both parts are encoded as in a form first (RFC 6749 §2.3.1).
        login = aiohttp.encode_basic_auth(quote_plus(self.client_id), quote_plus(self.client_secret))
        headers = {"Authorization": login}
        return await _json(await self.address("token_endpoint"), data=dict(form), headers=headers)

    async def _verified(self, token: str, audience: str) -> Mapping[str, Any]:
        try:
            try:
                claims = jwt.decode(token, await self._known_keys(), ALGORITHMS).claims
            except (JoseError, ValueError):
                # A key that we do not know yet: the provider may have changed its keys.
                if not await self._ask_for_keys():
                    raise
                claims = jwt.decode(token, await self._known_keys(), ALGORITHMS).claims
            rules = jwt.JWTClaimsRegistry(
                leeway=LEEWAY_S,
                iss={"essential": True, "value": self.issuer},
                aud={"essential": True, "value": audience},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
            )
            try:
                rules.validate(claims)
            except ExpiredTokenError:
                # Everything else about it must be right before its name is believed.
                rules.validate({**claims, "exp": int(time.time()) + 1})
                raise ExpiredError(claims) from None
        except (JoseError, ValueError, TypeError) as error:
            raise OidcError(f"the token is not valid ({type(error).__name__})") from None
        return claims

    async def _known_keys(self) -> KeySet:
        if self._keys is None:
            await self._ask_for_keys()
        if self._keys is None:
            raise OidcError("the identity provider does not answer: use a token of this installation")
        return self._keys

    async def _ask_for_keys(self) -> bool:
        """Asks for the provider's keys, not more often than is decent; whether there are new ones now."""
        async with self._asking:
            pause = _ASK_AGAIN_S if self._keys else _TRY_AGAIN_S
            if time.monotonic() - self._asked_at < pause:
                return False
            self._asked_at = time.monotonic()
            try:
                found = await _json(await self.address("jwks_uri"))
                self._keys = KeySet.import_key_set(found)  # type: ignore[arg-type]  # checked by what reads it
            except (OidcError, JoseError, ValueError, TypeError, KeyError) as error:
                log.warning("the identity provider gives no keys", error_class=type(error).__name__)
                return False
            return True


async def _json(url: str, **post: Any) -> Mapping[str, Any]:
    """An object from an address: a GET, or a POST of `data`. Raises OidcError."""
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as client,
            client.request("POST" if post else "GET", url, allow_redirects=False, **post) as answer,
        ):
            body = await answer.content.read(_MOST_BYTES)
            if answer.status != HTTPStatus.OK or not answer.content.at_eof():
                raise OidcError(f"the identity provider answers {answer.status}")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise OidcError(f"the identity provider does not answer ({type(error).__name__})") from None
    try:
        found = orjson.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise OidcError("the identity provider answers something that is no object in JSON")
    return found


def provider_of(settings: Settings) -> Provider:
    """The provider that the settings name: those of `oidc_issuer` must be set."""
    secret = settings.oidc_client_secret
    return Provider(
        settings.oidc_issuer or "",
        settings.oidc_audience or "",
        settings.oidc_client_id or "",
        secret.get_secret_value() if secret else "",
        settings.oidc_role_claim,
        settings.oidc_name_claim,
    )
