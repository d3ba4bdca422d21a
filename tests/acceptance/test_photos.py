"""The whole way of a photo: from an operator's upload to every partner's screen, and off it."""

import io
from datetime import UTC, datetime

import aiohttp
from installation import CASE, register, release
from PIL import Image

NOA = {
    "given_name": "Noa",
    "family_name": "Voorbeeldkind",
    "age_estimate": {"min": 8, "max": 10},
    "gender": "boy",
}


def photo(colour: str) -> io.BytesIO:
    exif = Image.Exif()
    exif[0x010E] = "Verzonnenstraat 1"
    out = io.BytesIO()
    Image.new("RGB", (900, 1200), colour).save(out, "JPEG", exif=exif)
    return io.BytesIO(out.getvalue())


async def upload(site, case_id: str, index: int, colour: str) -> str:
    form = aiohttp.FormData()
    form.add_field("file", photo(colour), filename="lou.jpg", content_type="image/jpeg")
    path = f"{site.url}/v1/cases/{case_id}/children/{index}/photos"
    headers = {"Authorization": f"Bearer {site.tokens['operator']}"}
    async with site.session.post(path, data=form, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
        return (await answer.json())["media_id"]


async def fetch(site, url: str) -> tuple[int, bytes]:
    """As a stranger who was told the address: without any token."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.read()


def pictures(body: dict) -> dict[tuple[str, str | None], str]:
    return {(one["rel"], one.get("language")): one["url"] for one in body["media"] if one["rel"] != "photo"}


def photos(body: dict) -> list[str]:
    return [one["url"] for one in body["media"] if one["rel"] == "photo"]


async def revision(server, partner, alert: str, number: int) -> dict:
    await server.until(lambda: any(a.revision == number for a in partner.of(alert)))
    return next(a for a in partner.of(alert) if a.revision == number).body["data"]


async def test_a_photo_is_shown_from_its_update_until_its_child_is_found(shared):
    """Upload, update, revision 2 has it, everybody can fetch it; the child is found and it is gone, then the rest."""
    site, server = shared
    await register(site, server, {"by-reference": {"content": "link"}})
    case = await site.post("/v1/cases", {**CASE, "children": [*CASE["children"], NOA]})
    lou, noa = [
        await upload(site, case["case_id"], n, colour) for n, colour in enumerate(("#884422", "#224488"))
    ]
    campaign = await release(site, case["case_id"])
    display, linked = server.partners["display-00"], server.partners["by-reference"]
    await server.until(lambda: display.arrivals and display.arrivals[-1].type == "alert.issued")
    alert = display.arrivals[-1].alert_id
    assert (await revision(server, display, alert, 1))["media"] == []

    change = {"media": [lou, noa], "reason": "foto's van de ouders"}
    await site.post(f"/v1/campaigns/{campaign}/update", change, "coordinator")
    second = await revision(server, display, alert, 2)
    assert [(m["rel"], m["type"], m["width"], m["height"]) for m in second["media"][:2]] == [
        ("photo", "image/jpeg", 900, 1200)
    ] * 2
    assert set(pictures(second)) == {(rel, x) for rel in ("screen", "poster") for x in ("nl", "fr")}
    for one in second["media"]:
        status, content = await fetch(site, one["url"])
        assert status == 200
        assert b"Verzonnenstraat" not in content
        with Image.open(io.BytesIO(content)) as image:
            assert (image.get_format_mimetype(), image.size) == (one["type"], (one["width"], one["height"]))
    assert "media" not in await revision(server, linked, alert, 2)
    path = f"/v1/partner/alerts/{alert}"
    head = (await site.call("GET", path, token=linked.token, expect=200))[1]["data"]
    assert photos(head) == photos(second)
    assert (await fetch(site, f"{site.url}/media/{'A' * 32}.jpg"))[0] == 404

    found = {
        "type": "child_located",
        "child": 0,
        "outcome": "found_safe",
        "at": datetime.now(UTC).isoformat(),
    }
    await site.post(f"/v1/cases/{case['case_id']}/events", found)
    gone, stays = photos(second)
    assert [(await fetch(site, url))[0] for url in (gone, stays)] == [410, 200]
    third = await revision(server, display, alert, 3)
    assert photos(third) == [stays]
    assert pictures(third) == pictures(second)

    await site.post(f"/v1/campaigns/{campaign}/end", {"reason": "other"}, "coordinator")
    assert {(await fetch(site, one["url"]))[0] for one in second["media"]} == {410}
    await server.until(lambda: alert not in display.shows and alert not in linked.shows)
    assert "media" not in display.of(alert)[-1].body["data"]
    assert (await site.call("GET", path, token=linked.token))[0] == 410
    closing = {"type": "closed", "outcomes": [{"child": 1, "outcome": "returned"}]}
    await site.post(f"/v1/cases/{case['case_id']}/events", closing)
    server.partners.pop("by-reference")
    await site.call("PATCH", f"/v1/partners/{linked.partner_id}", "admin", {"paused": True}, expect=200)
