"""Photos over HTTP on a real PostgreSQL: taken in clean, kept sealed, shown for exactly as long as an appeal shows them."""

import asyncio
import io
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from intake_ground import LOU, NOA, NOW, Api, in_time, running
from PIL import Image, ImageCms, PngImagePlugin

from services.intake.handlers.steps import IntakeDeps
from services.intake.policy import load_policy
from services.kernel.pictures import MAX_BYTES
from services.kernel.vault import key_name

GPS, SECRET = b"Verzonnen-GPS-spoor", b"PK\x03\x04 verzonnen aanhangsel"
PNG = b"\x89PNG\r\n\x1a\n"


def jpeg(size: tuple[int, int] = (640, 480), colour: str = "#884422", **more: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "JPEG", **more)
    return out.getvalue()


def png(size: tuple[int, int] = (60, 80), mode: str = "RGBA", **more: Any) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, "PNG", **more)
    return out.getvalue()


def tell_tale() -> bytes:
    """A photo lying on its side that says in five ways where it was taken, and carries an archive behind its end."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, GPS.decode()
    exif.get_ifd(0x8825)[2] = (50.0, 52.0, 46.0)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.new("RGB", (640, 480), "white")
    image.paste((200, 0, 0), (0, 0, 320, 480))
    out = io.BytesIO()
    image.save(out, "JPEG", exif=exif, comment=GPS, icc_profile=profile, xmp=GPS, quality=95)
    return out.getvalue() + SECRET


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that says it has so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    return PNG + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")


class Site(Api):
    """A running intake that takes photos and shows pictures."""

    async def upload(
        self,
        case: str,
        content: bytes,
        index: Any = 0,
        who: str = "operator",
        name: str = "x.jpg",
        **headers: str,
    ) -> Any:
        form = aiohttp.FormData()
        form.add_field("file", io.BytesIO(content), filename=name, content_type="image/jpeg")
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        if who:
            headers["Authorization"] = f"Bearer {self.tokens[who]}"
        path = f"{self.base}/v1/cases/{case}/children/{index}/photos"
        async with self.session.post(path, data=form, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None), answer.headers

    async def photo(self, case: str, index: int = 0, content: bytes | None = None) -> str:
        status, body, _ = await self.upload(case, content or jpeg(), index)
        assert status == 201, body
        return body["media_id"]

    async def fetch(self, path: str, **headers: str) -> tuple[int, bytes, Any]:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        async with self.session.get(self.base + path, headers=named) as answer:
            return answer.status, await answer.read(), answer.headers

    async def first_line(self, path: str, headers: dict[str, str]) -> str:
        """What is answered to the head of a POST, while its body is still on its way."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(self.base.rpartition(":")[2]))
        lines = [f"POST {path} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        try:
            return (await asyncio.wait_for(reader.readline(), 10)).decode()
        finally:
            writer.close()

    async def status(self, path: str) -> int:
        return (await self.fetch(path))[0]

    async def addresses(self, case: str) -> dict[str, str]:
        """The addresses in the newest appeal, by what is there: what dispatch puts into bodies."""
        events = (await self.get(f"/v1/cases/{case}/events")).body["items"]
        appeal = next(e["data"]["appeal"] for e in reversed(events) if "appeal" in e["data"])
        found = {one["media_id"]: f"/media/{one['link']}.jpg" for one in appeal.get("media", ())}
        sheets = appeal.get("renderings", ())
        return found | {f"{s['rel']}.{s['language']}": f"/media/{s['link']}.png" for s in sheets}


@pytest.fixture
def deps(settings, pool, vault) -> IntakeDeps:
    return IntakeDeps(pool, vault, settings, load_policy())


@pytest.fixture
async def site(deps) -> AsyncIterator[Site]:
    async with running(deps) as api:
        yield Site(api.base, api.session, api.tokens, api.pool)


# ── taken in ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_photo_keeps_its_pixels_and_nothing_else(site):
    """Turned upright; EXIF, GPS, comment, profile, XMP and what hangs behind the end are gone from what is shown."""
    case = await site.opened()
    media = await site.photo(case, content=tell_tale())
    path = f"/v1/cases/{case}/children/0/photos/{media}"
    status, content, headers = await site.fetch(path, Authorization=f"Bearer {site.tokens['operator']}")
    assert (status, headers["Content-Type"], headers["Cache-Control"]) == (
        200,
        "image/jpeg",
        "private, no-store",
    )
    assert GPS not in content
    assert SECRET not in content
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (480, 640)
        assert not image.getexif()
        assert not {"exif", "icc_profile", "comment", "xmp", "photoshop"} & image.info.keys()
        red, *_ = image.getpixel((240, 100))
        assert red > 150
        assert image.getpixel((240, 600)) == (255, 255, 255)


async def test_a_png_is_taken_too_and_large_ones_become_smaller(site):
    """Transparency becomes white; the longest side has 2048 pixels at most."""
    case = await site.opened()
    status, body, headers = await site.upload(case, png((3000, 1500)), name="foto.png")
    assert (status, body["width"], body["height"]) == (201, 2048, 1024)
    assert headers["ETag"] == f'"{body["version"]}"'
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", GPS.decode(), zip=True)
    await site.photo(case, content=png(pnginfo=text))
    seen = (await site.case(case))["children"][0]["photos"]
    assert [(one["width"], one["height"]) for one in seen] == [(2048, 1024), (60, 80)]


async def test_what_is_no_whole_picture_is_refused(site):
    """422 with a rule and what to do; nothing is kept."""
    case = await site.opened()
    refused = [
        ("empty", b"", "picture-type"),
        ("gif", b"GIF89a" + bytes(200), "picture-type"),
        ("svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "picture-type"),
        ("behind a pdf", b"%PDF-1.7\n" + jpeg(), "picture-type"),
        ("cut", jpeg()[:900], "picture-damaged"),
        ("zeroed", jpeg()[:20] + bytes(300), "picture-damaged"),
        ("broken png", PNG + b"\x00\x00\x00\x0dIHDR" + bytes(40), "picture-damaged"),
        ("cut png", png((900, 900), "RGB")[:-60], "picture-damaged"),
        ("over our limit", bomb(9_000, 7_000), "picture-pixels"),
        ("bomb", bomb(60_000, 60_000), "picture-pixels"),
    ]
    for name, content, rule in refused:
        status, body, headers = await site.upload(case, content)
        assert (status, body["rule"]) == (422, rule), name
        assert headers["Content-Type"] == "application/problem+json"
        assert body["errors"][0]["field"] == "file"
    assert await site.pool.fetchval("select count(*) from intake.photo") == 0


async def test_the_limit_of_uploads_is_theirs_alone(site):
    """10 MiB for a photo, refused before it is read; every other call keeps its 64 KiB, whatever its type."""
    case = await site.opened()
    status, body, _ = await site.upload(case, jpeg() + bytes(MAX_BYTES))
    assert (status, body["rule"]) == (413, "picture-size")
    path = f"/v1/cases/{case}/children/0/photos"
    head = {
        "Content-Type": "multipart/form-data; boundary=b",
        "Authorization": f"Bearer {site.tokens['operator']}",
    }
    # Declared and never sent: only the declaration can have been refused.
    assert " 413 " in await site.first_line(path, {**head, "Content-Length": str(50 * MAX_BYTES)})

    async def endless() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        for _ in range(200):
            yield bytes(256 * 1024)

    async with site.session.post(site.base + path, data=endless(), headers=head) as answer:
        assert (answer.status, (await answer.json(content_type=None))["rule"]) == (413, "body-size")
    for other in (f"/v1/cases/{case}/events", "/v1/cases", path + "/more"):
        async with site.session.post(site.base + other, data=bytes(70_000), headers=head) as answer:
            assert answer.status == 413


async def test_who_may_not_add_photos_is_refused_before_the_body_is_read(site):
    """401 and 403 come while the body is still on its way."""
    case = await site.opened()
    head = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": "5000000"}
    path = f"/v1/cases/{case}/children/0/photos"
    assert " 401 " in await site.first_line(path, head)
    viewer = {"Authorization": f"Bearer {site.tokens['viewer']}"}
    assert " 403 " in await site.first_line(path, head | viewer)


async def test_the_wrapping_and_the_place_must_be_right(site):
    """No multipart 415, broken multipart 400, no file 422, no such case or child 404, closed case 409."""
    case = await site.opened()
    path = f"/v1/cases/{case}/children/0/photos"
    got = await site.call("POST", path, jpeg(), **{"Content-Type": "image/jpeg"})
    assert (got.status, got.body["rule"]) == (415, "multipart")
    got = await site.call(
        "POST", path, b"no boundary here", **{"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert (got.status, got.body["rule"]) == (400, "multipart")
    field = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n'
    got = await site.call("POST", path, field, **{"Content-Type": "multipart/form-data; boundary=b"})
    assert (got.status, got.body["rule"]) == (422, "file")
    assert (await site.upload(str(uuid4()), jpeg()))[0] == 404
    assert (await site.upload(case, jpeg(), index=1))[1]["rule"] == "no-such-child"
    assert (await site.upload(case, jpeg(), index=-1))[1]["rule"] == "no-such-child"
    await site.fact(case, "closed", outcomes=[{"child": 0, "outcome": "returned"}])
    status, body, _ = await site.upload(case, jpeg())
    assert (status, body["rule"]) == (409, "case-closed")


async def test_a_repeat_with_the_same_key_is_one_photo(site):
    """Every client draws another boundary: the same file is the same upload. Another file with the key is refused."""
    case = await site.opened()
    first = await site.upload(case, jpeg(), Idempotency_Key="once")
    again = await site.upload(case, jpeg(), Idempotency_Key="once")
    assert (again[0], again[1]) == (first[0], first[1])
    assert again[2]["Idempotency-Replayed"] == "true"
    other = await site.upload(case, jpeg(colour="#112233"), Idempotency_Key="once")
    assert (other[0], other[1]["rule"]) == (422, "idempotency-key")
    assert await site.pool.fetchval("select count(*) from intake.photo") == 1
    stale = await site.upload(case, jpeg(), If_Match='"1"')
    assert (stale[0], stale[1]["rule"]) == (412, "stale-version")


async def test_a_photo_is_sealed_and_its_event_holds_nothing_of_it(site, vault):
    """No byte of the picture is in the table or the log; the event names the sealed bytes; the key's end is its end."""
    case = await site.opened()
    media = await site.photo(case)
    row = await site.pool.fetchrow("select *, encode(sha256(box), 'hex') as sha from intake.photo")
    assert b"\xff\xd8\xff" not in row["box"][:100]
    assert b"JFIF" not in row["box"]
    event = (await site.get(f"/v1/cases/{case}/events")).body["items"][-1]
    assert event["type"] == "case.photo_added.v1"
    child = str(row["child_id"])
    assert event["data"] == {
        "media_id": media, "child": 0, "child_id": child, "type": "image/jpeg", "width": 640, "height": 480,
        "size": len(row["box"]), "sha256": row["sha"],
    }  # fmt: skip
    await vault.destroy([key_name("child", row["child_id"])])
    path = f"/v1/cases/{case}/children/0/photos/{media}"
    got = await site.get(path)
    assert (got.status, got.body["rule"]) == (410, "erased")
    status, body, _ = await site.upload(case, jpeg())
    assert (status, body["rule"]) == (409, "erased")


async def test_only_staff_see_a_photo_that_is_not_public_and_looking_is_noted(site):
    """A viewer gets 403, another child's path 404; each look is in the audit."""
    case = await site.opened(children=[LOU, NOA])
    media = await site.photo(case)
    path = f"/v1/cases/{case}/children/0/photos/{media}"
    assert (await site.get(path, "viewer")).status == 403
    assert (await site.get(path.replace("/0/", "/1/"))).status == 404
    assert (await site.get(f"/v1/cases/{case}/children/0/photos/{uuid4()}")).status == 404
    audit = (await site.get(f"/v1/audit?subject=photo:{media}", "admin")).body["items"]
    assert {one["action"] for one in audit} == {"photo.read"}


# ── shown ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_picture_is_public_from_the_release_to_the_end(site):
    """404 before the release, 200 with no-cache and ETag while it lasts, 304 unchanged, 410 from the end on."""
    case = await site.opened()
    media = await site.photo(case)
    campaign = await site.requested(case, "public", media=[media])
    before = await site.addresses(case)
    assert [await site.status(path) for path in before.values()] == [404] * len(before)
    got = await site.post(f"/v1/campaigns/{campaign}/release", {}, "coordinator")
    assert got.status == 200
    shown = await site.addresses(case)
    assert shown == before
    assert set(shown) == {media} | {
        f"{r}.{x}" for r in ("screen", "poster") for x in ("nl", "fr", "de", "en")
    }
    for name, size in ((media, (640, 480)), ("screen.nl", (1080, 1920)), ("poster.fr", (1654, 2339))):
        status, content, headers = await site.fetch(shown[name])
        assert (status, headers["Cache-Control"]) == (200, "no-cache")
        with Image.open(io.BytesIO(content)) as image:
            assert image.size == size
            assert image.get_format_mimetype() == headers["Content-Type"]
        assert (await site.fetch(shown[name], If_None_Match=headers["ETag"]))[:2] == (304, b"")
    async with site.session.head(site.base + shown[media]) as answer:
        assert answer.status == 200
    assert await site.status("/media/guessed.jpg") == 404
    await site.post(f"/v1/campaigns/{campaign}/end", {"reason": "other"}, "coordinator")
    assert {await site.status(path) for path in shown.values()} == {410}


async def test_a_picture_ends_with_its_campaign_even_when_the_timer_is_late(site):
    """Past its expiry a campaign shows nothing, also before the timer has ended it."""
    case = await site.opened()
    media = await site.photo(case)

    async def shown(end: datetime) -> str:
        await site.released(case, "public", media=[media], expires_at=end.isoformat())
        path: str = (await site.addresses(case))[media]
        assert await site.status(path) == 200
        return path

    path, end = await in_time(shown)
    while (status := await site.status(path)) == 200:
        assert datetime.now(UTC) < end + timedelta(seconds=60)
    assert status == 410
    assert (await site.case(case))["campaigns"][0]["state"] == "released", "nobody ran the timer"


async def test_a_found_child_is_off_every_picture_at_once(site):
    """Its photo is gone with the fact itself, what is drawn is drawn anew without it, and the other stays."""
    case = await site.opened(children=[LOU, NOA])
    lou, noa = await site.photo(case), await site.photo(case, 1, jpeg(colour="#1133cc"))
    await site.released(case, "public", media=[lou, noa], languages=["nl"])
    shown = await site.addresses(case)
    both = await site.fetch(shown["screen.nl"])
    await site.fact(case, "child_located", child=0, outcome="found_safe", at=NOW)
    alone = await site.fetch(shown["screen.nl"])
    assert [await site.status(shown[name]) for name in (lou, noa)] == [410, 200]
    assert set(await site.addresses(case)) == {noa, "screen.nl", "poster.nl"}
    assert alone[0] == 200
    assert alone[2]["ETag"] != both[2]["ETag"]
    await site.fact(case, "child_located", child=1, outcome="found_safe", at=NOW)
    assert {await site.status(path) for path in shown.values()} == {410}


async def test_an_update_changes_what_is_seen_and_addresses_stay(site):
    """`media` replaces the photos; without it they stay; taken away is 410, put back is 200 at the same address."""
    case = await site.opened()
    one, two = await site.photo(case), await site.photo(case, content=jpeg(colour="#224400"))
    campaign = await site.released(case, "public", media=[one])
    path = f"/v1/campaigns/{campaign}/update"
    first = await site.addresses(case)
    for media, wanted in (
        ([two], [410, 200]),
        (None, [410, 200]),
        ([], [410, 410]),
        ([two, one], [200, 200]),
    ):
        body = {"reason": "een betere foto"} | ({} if media is None else {"media": media})
        got = await site.post(path, body, "coordinator")
        assert got.status == 200, got.body
        now = await site.addresses(case)
        known = first | now
        first = known
        assert [await site.status(known[name]) for name in (one, two)] == wanted
    assert (await site.case(case))["campaigns"][0]["media"] == [two, one]
    await site.post(path, {"areas": ["BE"], "reason": "overal"}, "coordinator")
    assert await site.addresses(case) == now


async def test_only_photos_of_missing_children_of_the_case_can_be_shown(site):
    """Another case's photo, an unknown one, one of a child that was found: 422 with the place in `media`."""
    case = await site.opened(children=[LOU, NOA])
    own, found = await site.photo(case), await site.photo(case, 1)
    elsewhere = await site.photo(await site.opened(children=[LOU | {"given_name": "Ander"}]))
    campaign = await site.released(case, "public")
    await site.fact(case, "child_located", child=1, outcome="found_safe", at=NOW)
    path = f"/v1/campaigns/{campaign}/update"
    for bad, rule in (
        (elsewhere, "no-such-photo"),
        (str(uuid4()), "no-such-photo"),
        (found, "photo-of-found-child"),
    ):
        got = await site.post(path, {"media": [own, bad], "reason": "foto"}, "coordinator")
        assert (got.status, got.body["rule"], got.body["errors"][0]["field"]) == (422, rule, "media.1")
    got = await site.post(
        f"/v1/cases/{case}/campaigns", {"kind": "public", "areas": ["BE"], "media": [found]}
    )
    assert (got.status, got.body["rule"]) == (422, "photo-of-found-child")


async def test_two_campaigns_share_no_address_and_a_vignette_is_drawn_for_nobody(site):
    """Each campaign has addresses of its own; the end of one leaves the other; a vignette has the photo alone."""
    case = await site.opened()
    media = await site.photo(case)
    public = await site.released(case, "public", media=[media])
    first = await site.addresses(case)
    await site.released(case, "vignette", media=[media])
    second = await site.addresses(case)
    assert set(second) == {media}
    assert not set(first.values()) & set(second.values())
    await site.post(f"/v1/campaigns/{public}/end", {"reason": "other"}, "coordinator")
    assert [await site.status(one[media]) for one in (first, second)] == [410, 200]


async def test_a_photo_follows_its_child_into_other_cases(site):
    """Merged into another case, the child is shown there at a new address; run away again, its photo is there already."""
    case = await site.opened(children=[LOU])
    media = await site.photo(case)
    await site.released(case, "public", media=[media])
    before = await site.addresses(case)
    other = await site.opened(children=[LOU | {"family_name": "Verzonnen"}, NOA])
    merged = await site.fact(case, "merged_into", case_id=other)
    assert merged.status == 201, merged.body
    after = await site.addresses(other)
    assert not set(before.values()) & set(after.values())
    assert {await site.status(path) for path in before.values()} == {410}
    assert await site.status(after[media]) == 200
    noa = await site.photo(other, 1)
    going_on = (await site.case(other))["campaigns"][0]["campaign_id"]
    change = {"media": [media, noa], "reason": "allebei"}
    got = await site.post(f"/v1/campaigns/{going_on}/update", change, "coordinator")
    assert (got.status, got.body["rule"], got.body["errors"][0]["field"]) == (
        422,
        "photo-of-other-child",
        "media.1",
    )
    seen = {child["index"]: child["photos"] for child in (await site.case(other))["children"]}
    assert [[one["media_id"] for one in seen[index]] for index in sorted(seen)] == [[], [noa], [media]]
    again = await site.opened(children=[LOU])
    assert [one["media_id"] for one in (await site.case(again))["children"][0]["photos"]] == [media]
    await site.requested(again, "public", media=[media])


async def test_photos_are_answered_as_they_were_known_then(site):
    """At the moment of each event the answer is, word for word, what it was; a later photo is not seen earlier."""
    case = await site.opened(children=[LOU, NOA])
    seen = []
    for add in (None, 0, 1, 0):
        if add is not None:
            await site.photo(case, add)
        moment = await site.pool.fetchval("select max(recorded_time) from eventlog.events")
        seen.append((moment, await site.case(case)))
    for moment, answer in seen:
        assert (await site.get(f"/v1/cases/{case}?at={moment.isoformat()}")).body == answer


async def test_an_erased_child_is_seen_nowhere(site, vault):
    """Destroying the child's key ends its photo and whatever was drawn with it, also what was drawn before."""
    case = await site.opened(children=[LOU, NOA])
    lou, noa = await site.photo(case), await site.photo(case, 1)
    await site.released(case, "public", media=[lou, noa], languages=["nl"])
    shown = await site.addresses(case)
    assert await site.status(shown["screen.nl"]) == 200
    child = (await site.case(case))["children"][0]["child_id"]
    await vault.destroy([key_name("child", UUID(child))])
    assert [await site.status(shown[name]) for name in (lou, noa, "screen.nl")] == [410, 200, 410]
