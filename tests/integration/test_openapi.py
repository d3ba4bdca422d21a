"""Whatever the OpenAPI document allows, or forbids, may be sent: it is answered, and never by an error of ours."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from intake_ground import CASE, consent
from schemathesis import GenerationMode
from structlog.testing import capture_logs
from web_ground import listening

from services.kernel.principals import Role, adopt_token

# The web service runs in this process too, and may draw a number while Hypothesis makes a request in its thread.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Do not use the `random` module inside strategies:hypothesis.errors.HypothesisDeprecationWarning"
)
TOKEN, COLLEAGUE = "zl_contract", "zl_colleague"
TIMES = st.datetimes(datetime(1990, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - as Hypothesis wants
schemathesis.openapi.format(
    "date-time", st.one_of(TIMES.map(datetime.isoformat), st.just("0001-01-01T00:00:00+14:00"))
)
schemathesis.openapi.format("uuid", st.uuids().map(str))
NOT_HERE = {"/v1/live", "/readyz"}
"""A stream of events is no answer that ends; this web service alone is not ready."""


PARTNERS = ("/v1/receipts", "/v1/partner/")
"""What only a partner's own token opens."""


@dataclass
class Site:
    """Where, and what is there: one of everything that a path names."""

    base: str
    known: dict[str, str]
    partner_token: str
    bodies: dict[str, dict[str, Any]]

    def token(self, path: str) -> str:
        return self.partner_token if path.startswith(PARTNERS) else TOKEN


async def made(base: str, path: str) -> Site:
    """A new one of everything for each operation; the campaign is released where the path is about a released one."""
    async with aiohttp.ClientSession(base) as client:

        async def post(path: str, body: Any, token: str = TOKEN) -> dict[str, Any]:
            headers = {"Authorization": f"Bearer {token}"}
            async with client.post(path, json=body, headers=headers) as answer:
                assert answer.status < 300, await answer.text()
                return await answer.json()

        case = await post("/v1/cases", CASE)
        consents = [consent("police"), consent("child_focus")]
        wish = {"kind": "vignette", "areas": ["24062"], "consents": consents}
        campaign = await post(f"/v1/cases/{case['case_id']}/campaigns", wish)
        if path.endswith(("/update", "/extend", "/end")):
            await post(f"/v1/campaigns/{campaign['campaign_id']}/release", {}, COLLEAGUE)
        new = {
            "name": "a",
            "url": "http://127.0.0.1:9/",
            "areas": ["BE"],
            "languages": ["nl"],
            "contact": "x",
        }
        partner = await post("/v1/partners", new)
    ids = {"case_id": case["case_id"], "campaign_id": campaign["campaign_id"]}
    ids |= {"partner_id": partner["partner_id"], "index": "0", "year": "2021"}
    right = {"/v1/cases": CASE, "/v1/cases/{case_id}/campaigns": wish, "/v1/partners": new}
    right["/v1/campaigns/{campaign_id}/consents"] = consents[0]
    return Site(base, ids, partner["token"], right)


def tried(operation: Any, site: Site, examples: int, found: list[str]) -> Counter[int]:
    """Sends generated requests of one operation; `found` gets what is wrong, the counter how it was answered."""
    statuses: Counter[int] = Counter()

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=operation.as_strategy(), real=st.sampled_from([True, True, True, False]), pick=st.integers(0, 99)
    )
    def send(case: Any, real: bool, pick: int) -> None:
        right = site.bodies.get(operation.path)
        if real and right and isinstance(case.body, dict) and case.body:
            # One generated value in a body that is right: rules between fields refuse nearly all others.
            name = sorted(case.body)[pick % len(case.body)]
            case.body = right | {name: case.body[name]}
        if real:
            case.path_parameters = {k: site.known.get(k, v) for k, v in (case.path_parameters or {}).items()}
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {site.token(operation.path)}"}
        answer = case.call(timeout=20)
        statuses[answer.status_code] += 1
        kind = answer.headers.get("content-type", [""])[0]
        if answer.status_code >= 500 or (answer.status_code >= 400 and kind != "application/problem+json"):
            found.append(f"{answer.status_code} {kind} {case.as_curl_command()} {answer.text[:300]}")

    with suppress(Unsatisfiable):  # where nothing wrong can be made of it
        send()
    return statuses


def operations(base: str) -> list[Any]:
    """Every operation of the document."""
    schema = schemathesis.openapi.from_url(f"{base}/openapi.json")
    schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    found = [one.ok() for one in schema.get_all_operations()]
    return [operation for operation in found if operation.path not in NOT_HERE]


async def contract(settings, pool, examples: int) -> dict[str, Counter[int]]:
    async with pool.acquire() as connection:
        await adopt_token(connection, TOKEN, "contract", Role.ADMIN)
        await adopt_token(connection, COLLEAGUE, "colleague", Role.COORDINATOR)
    found: list[str] = []
    answered: dict[str, Counter[int]] = {}
    # A traceback in colours takes longer than a request may.
    async with listening(settings, pool) as web:
        with capture_logs():
            for operation in await asyncio.to_thread(operations, web.base):
                label = f"{operation.method.upper()} {operation.path}"
                site = await made(web.base, operation.path)
                answered[label] = await asyncio.to_thread(tried, operation, site, examples, found)
    assert not found, "\n".join(found[:10])
    assert len(answered) > 30
    return answered


async def test_no_request_gets_an_error_of_ours(settings, pool):
    """A few requests for each operation, right and wrong ones: no 5xx, and every refusal is a problem document."""
    answered = await contract(settings, pool, 6)
    done = sum(counts[status] for counts in answered.values() for status in (200, 201))
    assert done > 40, "requests that are right get through, or nothing was tried"


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_no_request_of_many_gets_an_error_of_ours(settings, pool):
    """The same with hundreds of requests for each operation."""
    await contract(settings, pool, 300)
