"""The photo that proves that a poster hangs: from the page of a volunteer to the board, sealed, and gone with its case."""

import io
import re
from datetime import UTC, datetime

import pytest
from PIL import Image
from volunteers_ground import another, client_of, ground_of

from schemas.commands import GiveTask
from schemas.events import Material
from schemas.vocabulary import StandDown
from services.kernel.erasure import Job
from services.kernel.principals import Role
from services.kernel.vault import VaultError
from services.volunteers import callouts, erasing, photos

GPS = b"Exif\x00\x00planted-place"


@pytest.fixture
async def ground(pool, vault, settings):
    async with ground_of(pool, vault, settings) as found:
        yield found


@pytest.fixture
async def site(ground):
    async with client_of(ground.pool, ground.vault, ground.settings) as client:
        yield client


def jpeg(colour="#884422", **more):
    out = io.BytesIO()
    Image.new("RGB", (640, 480), colour).save(out, "JPEG", **more)
    return out.getvalue()


@pytest.fixture
async def out(ground):
    """Somebody who is out with posters: the path of their page, the call-out, the case."""
    people = await ground.people(another(1, lat=50.9, lon=4.7, channels=["sms:+32470000001"]))
    case = await ground.case()
    callout = await ground.call_out(case, lat=50.9, lon=4.7, people=1)
    await ground.work()
    await ground.says(callout, people[0])
    task = GiveTask(volunteers=people, places=["library"], material=Material(posters=3))
    await ground.act(callout, callouts.give_task, task)
    link = re.search(r"http://[^/]+(/v/\S+)", ground.provider.texts("+32470000001")[0])[1]
    return link, callout, case


async def posters(ground, callout):
    return (await ground.board(callout))["posters"]


def address(callout, poster):
    return f"/v1/callouts/{callout}/posters/{poster['poster_id']}/photo"


async def test_a_photo_comes_with_the_poster_and_shows_on_the_board(ground, site, out):
    """Cleaned of where it was taken, sealed in the table, read by whoever leads and by nobody else, which is noted."""
    path, callout, _ = out
    assert 'enctype="multipart/form-data"' in (await site.look(path)).text
    answer = await site.upload(path, jpeg(exif=GPS), act="placed", placed="door of the library")
    assert answer.status == 303
    [poster] = await posters(ground, callout)
    assert (poster["place"], poster["up"]) == ("door of the library", True)
    seen = await site("GET", address(callout, poster), role=Role.COORDINATOR)
    assert (seen.status, seen.headers["content-type"]) == (200, "image/jpeg")
    assert seen.headers["cache-control"] == "private, no-store"
    with Image.open(io.BytesIO(seen.body)) as picture:
        assert picture.size == (640, 480)
    assert b"planted" not in seen.body
    box = await ground.pool.fetchval("select box from volunteers.photo")
    assert b"JFIF" not in box
    for role in (Role.OPERATOR, Role.VIEWER):
        assert (await site("GET", address(callout, poster), role=role)).status == 403
    read = await ground.pool.fetch("select subjects from kernel.audit where action = 'poster.photo.read'")
    assert [row["subjects"] for row in read] == [[f"callout:{callout}", f"poster:{poster['poster_id']}"]]


async def test_without_a_photo_it_is_noted_as_well(ground, site, out):
    """What a browser sends when nobody chose a file, and an old form that has no file at all."""
    path, callout, _ = out
    assert (await site.upload(path, None, act="placed", placed="station")).status == 303
    assert (await site.press(path, act="placed", placed="church")).status == 303
    found = await posters(ground, callout)
    assert {(one["place"], one["photo"]) for one in found} == {("station", None), ("church", None)}
    assert (await site("GET", address(callout, found[0]))).status == 404


@pytest.mark.parametrize(
    "content",
    [b"", b"GIF89a", jpeg()[:-400], b"\x89PNG\r\n\x1a\n" + b"\x00" * 99, b"<svg onload=alert(1)>"],
    ids=["empty", "gif", "cut", "no png", "svg"],
)
async def test_a_file_that_is_no_photo_is_refused_and_what_was_written_stays(ground, site, out, content):
    path, callout, _ = out
    answer = await site.upload(path, content, act="placed", placed="door of the library")
    assert answer.status == 422
    assert 'id="photo-wrong"' in answer.text
    assert 'value="door of the library"' in answer.text
    assert await posters(ground, callout) == []
    assert await ground.pool.fetchval("select count(*) from volunteers.photo") == 0


async def test_a_stranger_uploads_nothing(ground, site, out):
    """A link that is not ours is refused before the file is looked at; too large a body before it is read."""
    path, _, _ = out
    assert (await site.upload("/v/made-up", b"GIF", act="placed", placed="x")).status == 403
    assert (
        await site.upload(path, b"\xff\xd8\xff" + b"x" * 11_000_000, act="placed", placed="x")
    ).status == 413
    assert await ground.pool.fetchval("select count(*) from volunteers.photo") == 0


async def test_a_call_out_has_no_end_of_photos(ground, site, out, monkeypatch):
    """Who has a link fills no disk."""
    path, callout, _ = out
    monkeypatch.setattr(photos, "MOST", 1)
    assert (await site.upload(path, jpeg(), act="placed", placed="one")).status == 303
    assert (await site.upload(path, jpeg(), act="placed", placed="two")).status == 422
    assert [one["place"] for one in await posters(ground, callout)] == ["one"]


async def test_an_erased_case_has_no_photo(ground, site, out):
    """The key goes first, and the picture after it; one of another call-out stays."""
    path, callout, case = out
    await site.upload(path, jpeg(), act="placed", placed="library")
    [poster] = await posters(ground, callout)
    other = await ground.call_out(await ground.case(), lat=50.9, lon=4.7, people=1)
    await ground.pool.execute(
        "insert into volunteers.photo (poster_id, callout_id, box) values (gen_random_uuid(), $1, 'x')", other
    )
    await ground.act(callout, callouts.stand_down, StandDown.CASE_CLOSED)
    job = Job(erasure_id=callout, children=(), cases=(case,), approved_at=datetime.now(UTC))
    assert await erasing.erase(ground.deps, job) == {"callouts": 1}
    assert await ground.pool.fetchval("select array_agg(callout_id) from volunteers.photo") == [other]
    assert (await site("GET", address(callout, poster))).status == 404


async def test_a_photo_without_its_key_is_gone(ground, site, out):
    """A picture that a copy brought back opens no more."""
    path, callout, _ = out
    await site.upload(path, jpeg(), act="placed", placed="library")
    [poster] = await posters(ground, callout)
    await ground.vault.destroy([f"callout:{callout}"])
    assert (await site("GET", address(callout, poster))).status == 410


async def test_a_photo_of_another_place_does_not_open(ground, site, out):
    """Moved to another poster, it is no proof of that one."""
    path, callout, _ = out
    for place in ("library", "station"):
        await site.upload(path, jpeg(), act="placed", placed=place)
    await ground.pool.execute(
        "update volunteers.photo p set box = o.box from volunteers.photo o where o.poster_id <> p.poster_id"
    )
    for poster in await posters(ground, callout):
        with pytest.raises(VaultError):
            await site("GET", address(callout, poster))
