"""People of an organisation sign in with its own accounts: at the pages and, by token, at the API; nobody else does."""

import asyncio
import base64
import hmac
import json
import socket
import time
from dataclasses import replace

import aiohttp
import pytest
from identity_provider import AUDIENCE, CLIENT, SECRET, installed
from identity_provider import running as provider_running
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from web_ground import listening
from yarl import URL

from services.kernel.auth import person_of
from services.kernel.oidc import ExpiredError, OidcError
from services.kernel.oidc.provider import Provider
from services.kernel.principals import Role, issue_token
from services.kernel.problems import ForbiddenError
from services.kernel.settings import SettingsError, load_settings

WORDS = {"oidc_audience": AUDIENCE, "oidc_client_id": CLIENT, "oidc_client_secret": SECRET}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return installed(tmp_path_factory.mktemp("identity"))


@pytest.fixture
async def world(place, settings, pool):
    """The web service, and a provider that knows its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    async with provider_running(place, f"{base}/login/back") as provider:
        used = load_settings(
            **settings.model_dump()
            | WORDS
            | {"oidc_issuer": provider.issuer, "oidc_name_claim": "preferred_username"}
            | {"port": port, "public_url": base}
        )
        async with listening(used, pool, port=port) as web:
            yield provider, web, used


def cookies():
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


# ── pages ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_somebody_signs_in_with_the_organisations_account(world, pool):
    """From the page that was wanted to the provider and back to that page, under the name and role it gives."""
    provider, web, _ = world
    async with cookies() as browser:
        async with browser.get(f"{web.base}/login") as page:
            assert "/login/organisation" in await page.text()
        begin = f"{web.base}/login/organisation?next=/operations"
        back = await provider.sign_in(browser, begin, "coordinator:an")
        assert back.startswith(f"{web.base}/login/back?")
        async with browser.get(back, allow_redirects=False) as answer:
            page = await answer.text()
            assert answer.status == 200, page
            assert 'content="0;url=/operations"' in page
            assert "samesite=strict" in answer.headers.getall("Set-Cookie")[0].lower()
        async with browser.get(f"{web.base}/operations", allow_redirects=False) as answer:
            assert answer.status == 200
        async with browser.get(back, allow_redirects=False) as again:
            assert again.status in {401, 403}, "an address of this kind works once"
    row = await pool.fetchrow("select principal, role, action from kernel.audit")
    assert tuple(row) == ("an", "coordinator", "signed in with the organisation")


@pytest.mark.parametrize("login", ["partner:an", "nothing:an", "admin:"], ids=str)
async def test_without_a_role_of_ours_or_a_name_nobody_comes_in(world, login):
    """The provider knows them; that alone opens nothing. A partner is nobody who signs in."""
    provider, web, _ = world
    async with cookies() as browser:
        back = await provider.sign_in(browser, f"{web.base}/login/organisation", login)
        async with browser.get(back, allow_redirects=False) as answer:
            assert answer.status == 403
        async with browser.get(f"{web.base}/operations", allow_redirects=False) as answer:
            assert answer.status == 303


async def test_an_answer_that_another_browser_asked_for_is_refused(world):
    """A stolen or planted address signs nobody in: it belongs to the browser that began (login CSRF)."""
    provider, web, _ = world
    async with cookies() as attacker, cookies() as victim:
        back = await provider.sign_in(attacker, f"{web.base}/login/organisation", "admin:eve")
        for changed in (back, str(URL(back).update_query(state="x"))):
            async with victim.get(changed, allow_redirects=False) as answer:
                assert answer.status == 403
        other = await provider.sign_in(victim, f"{web.base}/login/organisation", "viewer:bo")
        async with victim.get(back, allow_redirects=False) as answer:
            assert answer.status == 403, "another flow is under way here"
        mixed = URL(back).update_query(state=URL(other).query["state"])
        async with victim.get(str(mixed), allow_redirects=False) as answer:
            assert answer.status == 401, "the code of one flow, the state of another: PKCE"
        wrong = URL(other).update_query(iss="https://evil.example")
        async with victim.get(str(wrong), allow_redirects=False) as answer:
            assert answer.status == 401


async def test_one_comes_back_to_this_site_and_to_no_other(world):
    """`next` is an address of ours or the first page."""
    provider, web, _ = world
    async with cookies() as browser:
        begin = URL(f"{web.base}/login/organisation").with_query(next="https://evil.example/x")
        back = await provider.sign_in(browser, str(begin), "viewer:bo")
        async with browser.get(back, allow_redirects=False) as answer:
            assert 'content="0;url=/"' in await answer.text()


# ── API ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_access_token_opens_the_api_also_after_the_keys_changed(world, monkeypatch):
    """By the provider's signature alone; new keys are fetched when a token names one that is not known yet."""
    provider, web, _ = world
    monkeypatch.setattr("services.kernel.oidc.provider._ASK_AGAIN_S", 0.0)

    async def calls(token):
        async with web.client.get("/v1/cases", headers={"Authorization": f"Bearer {token}"}) as answer:
            return answer.status

    old = await provider.machine_token()
    assert await calls(old) == 200
    await provider.rotate()
    assert await calls(await provider.machine_token()) == 200
    assert await calls(old) == 401, "its key is gone"
    assert await calls("a.b.c") == 401
    assert await calls("zl_a.b.c.d") == 401


async def test_known_keys_do_while_the_provider_is_away_and_local_tokens_always(world, pool):
    """Nobody on the line is locked out by somebody else's server."""
    provider, web, _ = world
    token = await provider.machine_token()
    headers = {"Authorization": f"Bearer {token}"}
    async with web.client.get("/v1/cases", headers=headers) as answer:
        assert answer.status == 200
    provider.process.kill()
    async with web.client.get("/v1/cases", headers=headers) as answer:
        assert answer.status == 200
    async with pool.acquire() as connection:
        local = await issue_token(connection, "an", Role.OPERATOR)
    async with web.client.get("/v1/cases", headers={"Authorization": f"Bearer {local}"}) as answer:
        assert answer.status == 200
    async with web.client.get("/login/organisation", allow_redirects=False) as answer:
        assert answer.status in {303, 401}


# ── forged tokens: a provider whose key the test holds ──────────────────────────────────────────────────────

KEY = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig", "alg": "ES256"})
IN_2100 = 4_102_444_800
NOW, DAY = int(time.time()), 86_400
"""When this file was read: its tests may run much later, so whatever is valid is so for days."""
GOOD = {
    "iss": "http://127.0.0.1:1",
    "aud": AUDIENCE,
    "sub": "an",
    "iat": NOW,
    "exp": NOW + 10 * DAY,
    "roles": ["operator"],
}


def provider(keys=(KEY,)):
    made = Provider(GOOD["iss"], AUDIENCE, CLIENT, SECRET)
    made._keys = KeySet.import_key_set({"keys": [key.as_dict(private=False) for key in keys]})
    made._asked_at = time.monotonic()
    return made


def signed(claims, key=KEY, **header):
    return jwt.encode(
        {"alg": "ES256", "kid": "k1", "typ": "at+jwt", **header}, claims, key, [header.get("alg", "ES256")]
    )


def with_secret(secret):
    """HS256 with bytes that everybody knows; a library refuses to make this."""
    head = unsigned({"alg": "HS256", "kid": "k1"}).rstrip(".")
    code = hmac.digest(secret, head.encode(), "sha256")
    return f"{head}.{base64.urlsafe_b64encode(code).decode().rstrip('=')}"


def unsigned(header):
    parts = (json.dumps(one).encode() for one in ({"typ": "JWT", **header}, GOOD))
    return ".".join(base64.urlsafe_b64encode(one).decode().rstrip("=") for one in parts) + "."


async def test_a_token_that_is_right_is_believed():
    """Name and role as its claims say."""
    assert person_of(await provider().access(signed(GOOD)), provider()).role == "operator"
    listed = GOOD | {"aud": ["other", AUDIENCE], "roles": "case_manager"}
    assert person_of(await provider().access(signed(listed)), provider()).role == "case_manager"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": CLIENT},
        {"aud": ["other"]},
        {"aud": None},
        {"iss": "http://127.0.0.1:2"},
        {"iss": None},
        {"exp": None},
        {"exp": "never"},
        {"iat": None},
        {"iat": IN_2100},
        {"nbf": IN_2100},
        {"sub": None},
        {"nonce": "of a page"},
    ],
    ids=str,
)
async def test_a_token_with_a_wrong_claim_is_refused(claims):
    """Signed by the right key, but for somebody else, from somebody else, or for another time."""
    said = {name: value for name, value in (GOOD | claims).items() if value is not None}
    with pytest.raises(OidcError):
        await provider().access(signed(said))


async def test_algorithms_cannot_be_confused():
    """No signature, the public key as a shared secret, another key under the right name, a key in the token itself."""
    public = json.dumps(KEY.as_dict(private=False)).encode()
    other = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig", "alg": "ES256"})
    symmetric = with_secret(public)
    pem = with_secret(KEY.as_pem(private=False))
    brought = signed(GOOD, other, jwk=other.as_dict(private=False))
    cut = signed(GOOD).rpartition(".")[0] + "."
    for token in (
        unsigned({"alg": "none"}),
        unsigned({"alg": "ES256"}),
        symmetric,
        pem,
        brought,
        cut,
        signed(GOOD, other),
    ):
        with pytest.raises(OidcError):
            await provider().access(token)
    with pytest.raises(OidcError):
        await provider().access(signed(GOOD)[:-6] + "AAAAAA")


async def test_a_token_that_is_over_is_told_from_one_that_never_was():
    """So that the audit may name its owner; not when anything else about it is wrong."""
    over = {"exp": NOW - 3600, **GOOD, "iat": NOW - 7200} | {"exp": NOW - 3600}
    with pytest.raises(ExpiredError) as caught:
        await provider().access(signed(over))
    assert caught.value.claims["sub"] == "an"
    with pytest.raises(OidcError) as caught:
        await provider().access(signed(over | {"aud": "other"}))
    assert not isinstance(caught.value, ExpiredError)


@pytest.mark.parametrize("nonce", ["other", None], ids=str)
async def test_an_id_token_answers_the_question_of_one_page(nonce):
    """Another nonce, or none, is somebody else's sign-in."""
    said = GOOD | {"aud": CLIENT, "nonce": nonce}
    with pytest.raises(OidcError):
        await provider().identity(signed({k: v for k, v in said.items() if v}), "mine")
    assert await provider().identity(signed(GOOD | {"aud": CLIENT, "nonce": "mine"}), "mine")
    with pytest.raises(OidcError):
        await provider().identity(signed(GOOD | {"aud": CLIENT, "nonce": "mine", "azp": "other"}), "mine")


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"roles": ["viewer", "admin"]}, "admin"),
        ({"roles": ["magistrate_liaison"]}, "magistrate_liaison"),
        ({"roles": ["partner"]}, None),
        ({"roles": []}, None),
        ({"roles": None}, None),
        ({"roles": [{"name": "admin"}, 7]}, None),
        ({"roles": {"admin": True}}, "admin"),
        ({"roles": "admin viewer"}, None),
        ({"sub": "line\nbreak"}, None),
        ({"sub": ""}, None),
        ({"sub": 7}, None),
        ({"sub": "x" * 201}, None),
    ],
    ids=str,
)
def test_roles_are_taken_by_their_exact_names(claims, role):
    """The strongest of several; nothing that only resembles one; a name that is one line."""
    if role is None:
        with pytest.raises(ForbiddenError):
            person_of(GOOD | claims, provider())
    else:
        assert person_of(GOOD | claims, provider()).role == role


async def test_a_provider_that_is_away_is_not_asked_at_every_call():
    """A flood of foreign tokens does not become a flood of questions, nor a queue of waits."""
    away, asked = replace(provider(), _keys=None, _asked_at=float("-inf")), []
    address = away.address

    async def counted(name):
        asked.append(name)
        return await address(name)

    away.address = counted
    done = await asyncio.gather(*(away.access(signed(GOOD)) for _ in range(50)), return_exceptions=True)
    assert all(isinstance(one, OidcError) for one in done)
    assert asked == ["jwks_uri"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"oidc_issuer": "http://id.example"}, "write https://"),
        ({"oidc_issuer": "https://id.example?x=1"}, "write https://"),
        ({"oidc_client_secret": None}, "needs"),
        ({"oidc_audience": CLIENT}, "must not be"),
    ],
    ids=str,
)
def test_a_wrong_setting_stops_the_start(settings, changes, says):
    """With what to write instead."""
    with pytest.raises(SettingsError, match=says):
        load_settings(**settings.model_dump() | WORDS | {"oidc_issuer": "https://id.example"} | changes)
