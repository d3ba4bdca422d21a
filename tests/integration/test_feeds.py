"""CAP bodies and public feeds: what partners and the public read of an alert, from its release until 48 h after its end."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from dispatch_ground import NAME, Ground, add_recipient, in_future
from dispatch_http import PARTNER, Client, become_active, client_of
from fastapi import FastAPI
from lxml import etree

from schemas.vocabulary import CampaignKind, Mode
from services.cap import Verdict, read, verify
from services.dispatch import feeds_api
from services.dispatch.bodies import open_box
from services.dispatch.campaigns import campaign_alert
from services.dispatch.cap_key import signing_key
from services.dispatch.desk import DispatchDeps
from services.dispatch.stops import AT_START, darken
from services.kernel.vault import key_name

FEEDS = ("/feeds/cap.atom", "/feeds/alerts.json")
ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture
def ground(pool, vault, settings):
    return Ground(pool, vault, settings)


@pytest.fixture
async def call(pool, vault, settings):
    async with client_of(pool, vault, settings) as client:
        yield client


async def frozen(ground, delivery) -> bytes:
    """The bytes of a delivery, as the sender opens them."""
    row = await ground.pool.fetchrow(
        "select * from dispatch.body where alert_id = $1 and revision = $2 and variant = $3",
        *(delivery[name] for name in ("alert_id", "revision", "variant")),
    )
    if row["clear"]:
        return row["clear"].encode()
    name = key_name("alert", row["alert_id"])
    key = (await ground.vault.find([name]))[name]
    return open_box(row["alert_id"], row["revision"], row["variant"], row["box"], key).encode()


async def sent(ground, recipient=None) -> list[bytes]:
    """What was planned for a recipient, in order of revisions."""
    where = {"recipient_id": recipient} if recipient else {}
    return [await frozen(ground, one) for one in await ground.deliveries(**where)]


def path_of(ground) -> str:
    return f"/alerts/{campaign_alert(ground.campaign)}.cap.xml"


def atom_states(body: bytes) -> list[set[str]]:
    feed = etree.fromstring(body)
    return [
        {one.get("term") for one in entry.findall(f"{ATOM}category")}
        for entry in feed.findall(f"{ATOM}entry")
    ]


async def test_partner_gets_alert_update_and_cancel_that_refer_to_all_before(ground, pool, settings):
    """Signed, valid, each naming every earlier message exactly; the Cancel and only it identifies nobody."""
    recipient = await add_recipient(pool, format="cap", languages=["fr"])
    await ground.release()
    await ground.update(areas=("24062", "arrondissement:leuven"))
    await ground.update(areas=("24062",))
    await ground.replay()
    await ground.end()
    await ground.replay()
    bodies = await sent(ground, recipient)
    messages = [read(body) for body in bodies]
    assert [one.msg_type for one in messages] == ["Alert", "Update", "Update", "Cancel"]
    key = signing_key(settings)
    assert {verify(body, certificate=key.certificate) for body in bodies} == {Verdict.VALID}
    for n, one in enumerate(messages):
        earlier = [(m.sender, m.identifier, m.sent) for m in messages[:n]]
        assert [(r.sender, r.identifier, r.sent) for r in one.references] == earlier
    assert [NAME.encode() in body for body in bodies] == [True, True, True, False]
    assert (messages[3].infos, messages[3].scope, messages[3].status) == ((), "Public", "Actual")
    assert len({one.identifier for one in messages}) == 4


async def test_message_says_what_is_needed_to_recognise_and_to_call(ground, pool, settings):
    """One info per language of the campaign, whatever the partner's; area, lease, contact, codes, all validity in order."""
    await add_recipient(pool, format="cap", languages=["fr"])
    expires = in_future(3600)
    await ground.release(areas=("24062", "arrondissement:leuven", "postal:3000"), expires_at=expires)
    await ground.replay()
    [body] = await sent(ground)
    message = read(body)
    dutch, french = message.infos
    assert [dutch.language, french.language] == ["nl-BE", "fr-BE"]
    assert (dutch.headline, french.headline) == ("Missing (nl)", "Missing (fr)")
    assert dutch.description == f"{NAME} is missing\n{NAME} · meisje · 12 jaar · red coat"
    assert "fille · 12 ans" in french.description
    assert (dutch.event, dutch.categories, dutch.contact) == ("Vermist kind", ("Rescue", "Safety"), "116 000")
    assert (dutch.urgency, dutch.severity, dutch.certainty) == ("Immediate", "Severe", "Observed")
    assert dutch.expires == expires.replace(microsecond=0)
    assert dutch.effective == message.sent
    assert (dutch.parameter("display_for_s"), dutch.parameter("revision")) == (
        str(settings.display_for_s),
        "1",
    )
    assert dutch.web == f"{settings.base_url}{path_of(ground)}"
    leuven, arrondissement, postal = dutch.areas
    assert [(one.name, one.value) for one in leuven.geocodes] == [
        ("REFNIS", "24062"),
        ("ISO3166-2", "BE-VBR"),
    ]
    assert (leuven.area_desc, french.areas[0].area_desc) == ("Leuven", "Louvain")
    assert [(one.name, one.value) for one in postal.geocodes] == [("postal", "3000"), ("REFNIS", "24062")]
    assert len(arrondissement.polygons[0]) > 20
    assert NAME not in message.identifier + message.sender + str(message.incidents)


async def test_same_identifier_always_means_the_same_bytes(ground, pool):
    """Partners of other languages and the public read one message: an identifier never names two texts."""
    for languages in (["nl"], ["fr", "en"]):
        await add_recipient(pool, format="cap", languages=languages)
    await ground.release()
    await ground.replay()
    first, second = await sent(ground)
    assert first == second


async def test_link_leads_to_the_whole_message_and_holds_no_identity(call, ground, pool):
    """A CAP partner with links gets an address, and there, with its token, the signed whole, until it is over."""
    partner = (await call("POST", "/v1/partners", {**PARTNER, "format": "cap", "content": "link"})).json
    await become_active(pool, partner)
    await ground.release()
    await ground.replay()
    [body] = await sent(ground)
    assert NAME.encode() not in body
    link = read(body)
    url = f"/v1/partner/alerts/{campaign_alert(ground.campaign)}"
    assert link.infos[0].web.endswith(url)
    answer = await call("GET", url, token=partner["token"])
    assert (answer.status, answer.headers["content-type"]) == (200, "application/cap+xml")
    whole = read(answer.body)
    assert NAME in whole.infos[0].description
    assert whole.identifier != link.identifier
    await ground.end()
    await ground.replay()
    assert (await call("GET", url, token=partner["token"])).status == 410
    cancel = read((await sent(ground))[-1])
    assert {one.identifier for one in cancel.references} == {whole.identifier, link.identifier}


async def test_partner_that_comes_later_gets_the_same_message_as_the_others(call, ground, pool):
    """The form that exists is used; one that is made later has the moment of its revision, so that references fit."""
    await ground.release()
    await ground.replay()
    for content in ("full", "link"):
        body = {**PARTNER, "format": "cap", "content": content, "url": f"http://127.0.0.1:9/{content}"}
        await become_active(pool, (await call("POST", "/v1/partners", body)).json)
    await ground.update(areas=("24062", "postal:3000"))
    await ground.replay()
    messages = [read(body) for body in await sent(ground)]
    alerts = {(one.identifier, one.sent) for one in messages if one.msg_type == "Alert"}
    assert len(alerts) == 2
    for update in messages:
        if update.msg_type == "Update":
            assert {(one.identifier, one.sent) for one in update.references} == alerts


async def test_every_form_of_a_revision_has_the_revision_s_own_moment(call, ground, pool):
    """To the microsecond, whenever the form is made: else references name messages that do not exist."""
    await add_recipient(pool)
    for act in (ground.release, lambda: ground.update(areas=("24062", "postal:3000"))):
        await act()
        await ground.replay()
    moments = [
        row["created_at"]
        for row in await pool.fetch("select * from dispatch.alert_revision order by revision")
    ]
    bodies = [await ground.body(one) for one in await ground.deliveries()]
    assert [datetime.fromisoformat(body["timestamp"]) for body in bodies] == moments
    await pool.execute("update dispatch.alert_revision set created_at = created_at - interval '1 hour'")
    partner = (await call("POST", "/v1/partners", {**PARTNER, "format": "cap", "content": "link"})).json
    await become_active(pool, partner)
    [late] = await sent(ground, UUID(partner["partner_id"]))
    assert read(late).sent == (moments[1] - timedelta(hours=1)).replace(microsecond=0)


async def test_standby_is_restricted_and_says_who_may_see_it(ground, pool):
    """The Unit is told the case, the team the area; neither says who, and the feeds know of nothing."""
    unit = await add_recipient(pool, format="cap", audience="missing_persons_unit")
    team = await add_recipient(pool, format="cap", audience="mobile_team")
    await ground.assess(1)
    await ground.replay()
    (told,), (called,) = [[read(one) for one in await sent(ground, who)] for who in (unit, team)]
    assert (told.scope, called.scope) == ("Restricted", "Restricted")
    assert told.restriction != called.restriction
    assert told.identifier != called.identifier
    assert told.infos[0].parameter("case_number") == "2026-0001"
    assert told.infos[0].parameter("criterion") == "under_13"
    assert called.infos[0].parameter("case_number") is None
    assert [info.language for info in called.infos] == ["nl-BE", "fr-BE", "de-BE", "en"]


# ── feeds ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_feeds_show_the_newest_revision_and_then_the_cancel_for_48_hours(call, ground, pool, settings):
    """Empty, Alert, Update, Cancel without identity, and nothing again; the CAP document goes the same way."""
    assert [
        len(atom_states((await call("GET", FEEDS[0])).body)),
        (await call("GET", path_of(ground))).status,
    ] == [0, 404]
    for act, kind, state in (
        (ground.release, "Alert", "active"),
        (lambda: ground.update(areas=("24062", "postal:3000")), "Update", "active"),
        (ground.end, "Cancel", "over"),
    ):
        await act()
        await ground.replay()
        atom, feed, cap = [await call("GET", path) for path in (*FEEDS, path_of(ground))]
        assert [atom.status, feed.status, cap.status] == [200, 200, 200]
        assert atom_states(atom.body) == [{kind, state}]
        [item] = feed.json["items"]
        assert item["tags"] == [kind, state]
        assert item["url"] == f"{settings.base_url}{path_of(ground)}"
        assert (read(cap.body).msg_type, cap.headers["content-type"]) == (kind, "application/cap+xml")
        assert verify(cap.body, certificate=signing_key(settings).certificate) is Verdict.VALID
        for answer in (atom, feed, cap):
            assert (NAME.encode() in answer.body) is (state == "active")
    move = "update dispatch.alert_revision set created_at = created_at - $1::interval"
    await pool.execute(move, timedelta(hours=47, minutes=50))
    assert (await call("GET", path_of(ground))).status == 200
    await pool.execute(move, timedelta(minutes=11))
    gone = await call("GET", path_of(ground))
    assert (gone.status, gone.json["rule"]) == (404, "alert")
    assert atom_states((await call("GET", FEEDS[0])).body) == []
    assert (await call("GET", FEEDS[1])).json["items"] == []


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        (CampaignKind.PUBLIC, Mode.ACTUAL),
        (CampaignKind.CHILD_ALERT, Mode.ACTUAL),
        (CampaignKind.VIGNETTE, Mode.ACTUAL),
        (CampaignKind.PUBLIC, Mode.EXERCISE),
    ],
)
async def test_only_actual_public_alerts_are_public(call, ground, pool, kind, mode):
    """Vignettes and exercises never appear, not even as a Cancel; their ids are as unknown as any other."""
    expected = int(mode is Mode.ACTUAL and kind is not CampaignKind.VIGNETTE)
    await add_recipient(pool, format="cap", exercise=mode is Mode.EXERCISE)
    ground.mode = mode
    await ground.release(kind=kind)
    await ground.assess(1)
    for _ in range(2):
        await ground.replay()
        assert len((await call("GET", FEEDS[1])).json["items"]) == expected
        assert len(atom_states((await call("GET", FEEDS[0])).body)) == expected
        assert (await call("GET", path_of(ground))).status == (200 if expected else 404)
        await ground.end()
    if mode is Mode.EXERCISE:
        assert {read(body).status for body in await sent(ground)} == {"Exercise"}


async def test_other_ids_are_404(call):
    """An unknown id, and what is no id at all."""
    for name in (str(uuid4()), "x", "../secret"):
        answer = await call("GET", f"/alerts/{name}.cap.xml")
        assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_what_is_stopped_or_expired_is_dark_before_its_withdrawal_is_written(call, ground, pool):
    """The feeds ask the store's stops and the clock themselves; the withdrawal then appears as a Cancel."""
    await ground.release(expires_at=in_future(3600))
    await ground.replay()
    await pool.execute("update dispatch.alert set expires_at = clock_timestamp()")
    assert ((await call("GET", FEEDS[1])).json["items"], (await call("GET", path_of(ground))).status) == (
        [],
        404,
    )
    await pool.execute("update dispatch.alert set expires_at = null")
    assert (await call("GET", path_of(ground))).status == 200
    await ground.end()
    assert ((await call("GET", FEEDS[1])).json["items"], (await call("GET", path_of(ground))).status) == (
        [],
        404,
    )
    assert await darken(ground.publisher, AT_START) == 1
    assert (await call("GET", FEEDS[1])).json["items"][0]["tags"] == ["Cancel", "over"]


async def test_destroyed_key_takes_the_alert_out_at_once(call, ground):
    """Whatever else still says so: without its key nothing can be shown, and the tag is another one."""
    await ground.release()
    await ground.replay()
    before = await call("GET", FEEDS[1])
    await ground.vault.destroy([key_name("alert", campaign_alert(ground.campaign))])
    after = await call("GET", FEEDS[1])
    assert (after.json["items"], (await call("GET", path_of(ground))).status) == ([], 404)
    assert after.headers["etag"] != before.headers["etag"]


async def test_who_has_it_already_is_told_so_cheaply(call, ground):
    """A strong tag that changes with every revision and only then; 304 without a body; never kept without asking."""
    seen = {path: [] for path in (*FEEDS, "cap")}
    for act in (ground.release, lambda: ground.update(areas=("24062", "postal:3000")), ground.end):
        await act()
        await ground.replay()
        for name, tags in seen.items():
            path = path_of(ground) if name == "cap" else name
            first, again = [await call("GET", path) for _ in range(2)]
            tag = first.headers["etag"]
            assert tag.startswith('"')
            assert (first.body, first.headers["etag"]) == (again.body, again.headers["etag"])
            assert first.headers["cache-control"] == "no-cache"
            for known in (tag, f'W/{tag}, "x"', "*"):
                answer = await call("GET", path, if_none_match=known)
                assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
            for other in tags:
                assert (await call("GET", path, if_none_match=other)).status == 200
            tags.append(tag)
    assert all(len(set(tags)) == 3 for tags in seen.values())
    assert len({tag for tags in seen.values() for tag in tags}) == 9


@dataclass
class OneQuery:
    """A pool that can do nothing but fetch, and counts."""

    pool: asyncpg.Pool
    asked: int = 0

    async def fetch(self, *query):
        self.asked += 1
        return await self.pool.fetch(*query)


async def test_feed_is_one_query(call, ground, pool, settings):
    """Who knows everything already costs one question to the database and none to the vault."""
    await ground.release()
    await ground.replay()
    counting, app = OneQuery(pool), FastAPI()
    app.include_router(feeds_api.router(DispatchDeps(counting, None, settings)))
    for path in (*FEEDS, path_of(ground)):
        tag = (await call("GET", path)).headers["etag"]
        counting.asked = 0
        assert (await Client(app, {})("GET", path, if_none_match=tag)).status == 304
        assert counting.asked == 1


async def test_feeds_have_what_their_standards_ask_for(call, ground, settings):
    """RFC 4287: id, title, updated, author, self link, and per entry id, title, updated; JSON Feed 1.1 likewise."""
    await ground.release()
    await ground.replay()
    feed = etree.fromstring((await call("GET", FEEDS[0])).body)
    for parent in (feed, feed.find(f"{ATOM}entry")):
        for name in ("id", "title", "updated"):
            assert len(parent.findall(f"{ATOM}{name}")) == 1
            assert parent.findtext(f"{ATOM}{name}")
    assert feed.findtext(f"{ATOM}author/{ATOM}name")
    link = feed.find(f"{ATOM}link")
    assert (link.get("rel"), link.get("href")) == ("self", f"{settings.base_url}/feeds/cap.atom")
    answer = await call("GET", FEEDS[1])
    document = orjson.loads(answer.body)
    assert answer.headers["content-type"] == "application/feed+json"
    assert document["version"] == "https://jsonfeed.org/version/1.1"
    [item] = document["items"]
    assert item["id"].startswith("urn:uuid:")
    assert item["language"] == "nl-BE"
    assert set(item["_cap"]["texts"]) == {"nl-BE", "fr-BE"}


async def test_certificate_of_the_signatures_is_public(call, settings):
    """Whoever reads the feeds can check them."""
    assert (await call("GET", "/feeds/certificate.pem")).body == signing_key(settings).pem
