"""Emergency packs: built from the tables, opened by a key alone, accepted by partners, and taken in afterwards."""

import asyncio
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from dispatch_ground import Ground, add_recipient
from sender_ground import Ground as SenderGround
from sender_ground import answering, partners, until

from schemas.commands import Receipt
from schemas.vocabulary import Audience
from services import cap
from services.dispatch.auditor import audit
from services.dispatch.emergency import sending, writing
from services.dispatch.emergency.pack import REVISION, Pack, PackError, new_identity, open_pack, seal
from services.dispatch.emergency.report import read, take_in
from services.dispatch.emergency.sending import Sent, errands, send
from services.dispatch.emergency.writing import build, keep_writing, packs, write, write_now
from services.dispatch.publish import Publisher
from services.dispatch.receipts import record
from services.dispatch.sender import Sender
from services.kernel.paging import open_pages
from services.kernel.postgres import in_transaction
from services.kernel.problems import NotFoundError
from services.kernel.service import Runtime

LINGER = timedelta(minutes=10)
REPORTED = "018f4d9e-0000-7000-8000-000000000001"


@pytest.fixture
def ground(pool, vault, settings):
    return Ground(pool, vault, settings)


@pytest.fixture
def senders(pool, vault, settings):
    return SenderGround(pool, vault, settings)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(sending, "PAUSES_S", (0.01, 0.01))


class Conforming:
    """A receiver that accepts only a higher revision."""

    def __init__(self):
        self.seen, self.lit = 0, False

    async def __call__(self, request):
        message = json.loads(await request.read())
        if message["data"]["revision"] > self.seen:
            self.seen = message["data"]["revision"]
            self.lit = message["type"] != "alert.withdrawn"
        return web.Response()


async def released(ground, senders, urls, **changes):
    """A released campaign that the planner planned for these partners, which can be signed for."""
    recipients = [await senders.recipient(url) for url in urls]
    await ground.pool.execute("update dispatch.recipient set areas = '{24062}'")
    await ground.release(**changes)
    await ground.replay()
    return recipients


async def deliver(pool, vault, settings):
    """The real sender sends everything that waits."""
    stop = asyncio.Event()
    task = asyncio.create_task(Sender(pool, vault, settings).run(stop, asyncio.Event(), poll_s=0.02))

    async def quiet():
        return not await pool.fetchval("select count(*) from dispatch.delivery where state = 'pending'")

    await until(quiet)
    stop.set()
    await task


async def test_withdrawals_go_dark_with_nothing_else_and_the_state_agrees_afterwards(
    ground, senders, pool, vault, settings
):
    """All go dark, also after an update that the pack does not know; then the engine knows who did, and lights nobody."""
    async with partners(3) as receivers:
        boards = [Conforming() for _ in receivers]
        for receiver, board in zip(receivers, boards, strict=True):
            receiver.behaviour = board
        recipients = await released(ground, senders, [one.url for one in receivers])
        await deliver(pool, vault, settings)
        secret, public = new_identity()
        pack = open_pack(seal(await build(pool, settings), [public]), secret)
        await ground.update()
        await ground.replay()
        await deliver(pool, vault, settings)
        assert [board.lit for board in boards] == [True] * 3
        assert {board.seen for board in boards} == {2}

        receivers[2].behaviour = answering(500)
        lines = []
        ends = await send(pack, errands(pack), lambda end: lines.append(end.model_dump_json()))
        assert [board.lit for board in boards] == [False, False, True]
        assert sorted(end.dark for end in ends) == [False, True, True]
        senders.check(recipients[0], receivers[0].seen[-1])
        ids = {one.seen[-1].headers["webhook-id"] for one in receivers}

        receivers[2].behaviour = boards[2]
        publisher = Publisher(pool, vault, settings)
        [taken] = await take_in(publisher, read("\n".join(lines) + "\n"))
        assert (taken.withdrawn_now, taken.dark, taken.open) == (True, 2, 1)
        rows = await ground.deliveries(content="withdrawn")
        assert {row["revision"] for row in rows} == {REVISION}
        assert {f"msg_{row['delivery_id'].hex}" for row in rows} == ids
        counts = [len(one.seen) for one in receivers]
        await deliver(pool, vault, settings)
        assert [board.lit for board in boards] == [False] * 3
        assert [len(one.seen) - before for one, before in zip(receivers, counts, strict=True)] == [0, 0, 1]
        assert receivers[2].seen[-1].headers["webhook-id"] in ids

        [again] = await take_in(publisher, read("\n".join(lines)))
        assert (again.withdrawn_now, again.open) == (False, 0)
        await ground.update()
        await ground.replay()
        await ground.end()
        await ground.replay()
        assert await ground.revisions() == [(1, "issued"), (2, "updated"), (REVISION, "withdrawn")]
        assert await audit(pool, LINGER) == []
        told = await pool.fetchval(
            "select count(*) from eventlog.events where type = 'delivery.delivered.v1' and data ->> 'content' = 'withdrawn'"
        )
        assert told == 3


async def test_receipt_for_a_withdrawal_that_nobody_reported_is_taken_and_pages(
    ground, senders, pool, vault, settings
):
    """A partner confirms what the engine does not know: it is told once, and taking in the report ends the page."""
    [recipient] = await released(ground, senders, ["http://127.0.0.1:9/a"])
    alert = await pool.fetchval("select alert_id from dispatch.alert")
    stranger = await senders.recipient("http://127.0.0.1:9/b")

    async def confirm(who, revision):
        receipt = Receipt(alert_id=alert, revision=revision, state="removed", at=datetime.now(UTC))
        return await in_transaction(pool, lambda c: record(c, who, receipt))

    for who, revision in ((stranger, REVISION), (recipient, 7)):
        with pytest.raises(NotFoundError):
            await confirm(who, revision)
    assert await open_pages(pool) == []
    assert (await confirm(recipient, REVISION))[0] == 201
    [one] = await open_pages(pool)
    assert one.matter == f"emergency-unreported:{alert}"
    sent = Sent(alert_id=alert, recipient_id=recipient, revision=REVISION, at=datetime.now(UTC), status=200)
    await take_in(Publisher(pool, vault, settings), [sent])
    assert await open_pages(pool) == []


async def test_withdrawal_that_was_on_its_way_goes_out_as_it_is(ground, senders, pool, vault, settings):
    """A withdrawal that somebody has not taken yet keeps its number and its id; whoever took it is left alone."""
    async with partners(2) as receivers:
        await released(ground, senders, [one.url for one in receivers])
        await deliver(pool, vault, settings)
        for one in receivers:
            one.behaviour = answering(503)
        await ground.end()
        await ground.replay()
        [one, other] = await ground.deliveries(content="withdrawn")
        await pool.execute(
            "update dispatch.delivery set state = 'delivered' where delivery_id = $1", one["delivery_id"]
        )
        pack = await build(pool, settings)
        [errand] = errands(pack)
        assert errand.message_id == f"msg_{other['delivery_id'].hex}"
        assert errand.alert.revision == 2
        [end] = await send(pack, [errand], lambda _: None)
        assert (end.dark, end.status) == (False, 503)


async def test_pack_names_nobody_and_holds_no_clear_secret(ground, senders, pool, settings):
    """Sealed it shows nothing; opened it has contacts and withdrawals, but nothing that identifies a child."""
    await released(ground, senders, ["http://127.0.0.1:9/a"], areas=("24062",))
    secret, public = new_identity()
    sealed = seal(await build(pool, settings), [public])
    for word in (b"Voorbeeld", b"whsec", b"127.0.0.1", b"desk"):
        assert word not in sealed
    pack = open_pack(sealed, f"# a comment\n{secret}\n")
    assert "Voorbeeld" not in pack.model_dump_json()
    assert "red coat" not in pack.model_dump_json()
    [partner] = pack.partners
    assert (partner.contact, partner.url) == ("desk", "http://127.0.0.1:9/a")


async def test_partner_that_the_tables_do_not_know_as_sent_to_goes_dark_too(ground, senders, pool, settings):
    """A pack may be older than an update that reached more partners: every display of the mode is told."""
    await released(ground, senders, ["http://127.0.0.1:9/a"])
    far = await senders.recipient("http://127.0.0.1:9/far")
    exercise = await senders.recipient("http://127.0.0.1:9/exercise")
    await pool.execute("update dispatch.recipient set exercise = true where recipient_id = $1", exercise)
    pack = await build(pool, settings)
    assert far in {errand.partner.recipient_id for errand in errands(pack)}
    assert exercise not in {errand.partner.recipient_id for errand in errands(pack)}


@pytest.mark.parametrize("named", [None, (Audience.DISPLAY, Audience.MOBILE_TEAM)])
async def test_pack_reaches_the_audiences_of_the_alert(ground, senders, pool, settings, named):
    """A mobile team whose policy names it is told, else it is not: it never had anything."""
    display = await senders.recipient("http://127.0.0.1:9/a")
    team = await senders.recipient("http://127.0.0.1:9/team")
    await pool.execute("update dispatch.recipient set audience = 'mobile_team' where recipient_id = $1", team)
    await ground.release(audiences=named)
    await ground.replay()
    told = {errand.partner.recipient_id for errand in errands(await build(pool, settings))}
    assert told == ({display, team} if named else {display})


async def test_standby_is_no_part_of_it(ground, pool, settings):
    """A standby shows no child: the Unit and the team stay informed."""
    await add_recipient(pool, audience="missing_persons_unit")
    await ground.assess(1)
    await ground.replay()
    assert [row["kind"] for row in await pool.fetch("select kind from dispatch.alert")] == ["standby"]
    for table in ("attempt", "delivery", "lane", "recipient"):  # this one has no secret that could be packed
        await pool.execute(f"delete from dispatch.{table}")
    assert (await build(pool, settings)).alerts == ()


async def test_only_the_named_alert_is_withdrawn(ground, senders, pool, vault, settings):
    """Several alerts run: one can be chosen."""
    await released(ground, senders, ["http://127.0.0.1:9/a"])
    other = Ground(pool, vault, settings)
    await other.release()
    await other.replay()
    pack = await build(pool, settings)
    assert len({errand.alert.alert_id for errand in errands(pack)}) == 2
    chosen = pack.alerts[1].alert_id
    assert {errand.alert.alert_id for errand in errands(pack, [chosen])} == {chosen}


def test_wrong_keys_and_damage_are_explained():
    """Each says what to do."""
    secret, public = new_identity()
    pack = Pack(
        made_at=datetime.now(UTC),
        installation="x",
        delivery_timeout_s=1,
        allow_loopback_partners=False,
        partner_hosts=frozenset(),
        partners=(),
        alerts=(),
    )
    sealed = seal(pack, [public])
    assert open_pack(sealed, secret) == pack
    with pytest.raises(PackError, match="does not open"):
        open_pack(sealed, new_identity()[0])
    with pytest.raises(PackError, match="does not open"):
        open_pack(sealed[:-1] + bytes([sealed[-1] ^ 1]), secret)
    with pytest.raises(PackError, match="no AGE-SECRET-KEY"):
        open_pack(sealed, public)
    with pytest.raises(PackError, match="damaged key"):
        open_pack(sealed, secret[:-3])
    with pytest.raises(PackError, match="no age public key"):
        seal(pack, ["age1nonsense"])


def test_reports_are_read_up_to_where_a_crash_cut_them():
    """The last line may be cut short; any other damage is named."""
    line = Sent(
        alert_id=REPORTED, recipient_id=REPORTED, revision=1, at=datetime.now(UTC), status=200
    ).model_dump_json()
    assert len(read(f"{line}\n{line}\n")) == 2
    assert len(read(f"{line}\n{line[:20]}")) == 1
    with pytest.raises(PackError, match="line 1"):
        read(f"{line[:20]}\n{line}\n")


def test_packs_are_put_in_one_step_and_the_oldest_go(tmp_path):
    """A reader never sees half a pack; so many stay; what a killed writer left is removed."""
    folder = tmp_path / "elsewhere"
    begin = datetime.now(UTC)
    for minute in range(5):
        path = write(folder, b"%d" % minute, begin + timedelta(minutes=5 * minute), 3)
        assert path.stat().st_mode & 0o777 == 0o600
    assert [one.read_bytes() for one in packs(folder)] == [b"2", b"3", b"4"]
    (folder / ".zoeklicht-emergency-x.age.1").touch()
    write(folder, b"5", begin + timedelta(hours=1), 3)
    assert len(list(folder.iterdir())) == 3


async def test_service_writes_again_and_again_and_pages_while_it_cannot(ground, pool, settings, tmp_path):
    """A folder that is not there is paged, and the page ends with the first pack."""
    secret, public = new_identity()
    folder = tmp_path / "mounted"
    folder.write_text("not a folder")
    wanted = settings.model_copy(
        update={
            "emergency_pack": folder,
            "emergency_recipients": frozenset({public}),
            "emergency_every_s": 0.05,
        }
    )
    runtime = Runtime("auditor", wanted, pool)
    task = asyncio.create_task(keep_writing(runtime))

    async def paged():
        return [one.matter for one in await open_pages(pool)] == ["emergency-pack:written"]

    await until(paged)
    folder.unlink()

    async def written():
        return len(packs(folder)) >= 2 and not await open_pages(pool)

    await until(written)
    runtime.stop.set()
    await task
    assert open_pack(packs(folder)[-1].read_bytes(), secret).alerts == ()


async def test_partner_with_cap_is_told_in_cap_from_the_first_revision_on(ground, senders, pool, settings):
    """No Cancel is frozen before the second revision: the pack makes its own, and it names the message that is shown."""
    async with partners(1) as [screen]:
        await senders.recipient(screen.url)
        await pool.execute("update dispatch.recipient set areas = '{24062}', format = 'cap'")
        await ground.release()
        await ground.replay()
        assert await pool.fetchval("select count(*) from dispatch.body where variant = 'cap.withdrawn'") == 0
        pack = await build(pool, settings)
        [end] = await send(pack, errands(pack), lambda _: None)
        [seen] = screen.seen
    assert (end.dark, seen.headers["content-type"]) == (True, "application/cap+xml")
    cancel = cap.read(seen.body)
    [alert] = pack.alerts
    assert (cancel.msg_type, cancel.infos) == ("Cancel", ())
    assert [one.identifier for one in cancel.references] == [f"{alert.alert_id}.1"]


async def test_secret_that_does_not_open_costs_the_others_no_pack(ground, senders, pool, settings, tmp_path):
    """Its partner is sent what the public key proves, and stays on the list of whom to call; a person is told."""
    secret, public = new_identity()
    async with partners(2) as screens:
        recipients = await released(ground, senders, [one.url for one in screens])
        await pool.execute(
            "update dispatch.recipient set secret = (select secret from dispatch.recipient where recipient_id = $2)"
            " where recipient_id = $1",
            *recipients,
        )
        wanted = {"emergency_pack": tmp_path, "emergency_recipients": frozenset({public})}
        runtime = Runtime("auditor", settings.model_copy(update=wanted), pool)
        task = asyncio.create_task(keep_writing(runtime))
        await until(lambda: _paged(pool))
        runtime.stop.set()
        await task
        pack = open_pack(packs(tmp_path)[-1].read_bytes(), secret)
        ends = await send(pack, errands(pack), lambda _: None)
    assert {one.recipient_id for one in ends if one.dark} == set(recipients)
    first, second = (screens[i].seen[0].headers["webhook-signature"].split() for i in range(2))
    assert ([one[:4] for one in first], [one[:3] for one in second]) == (["v1a,"], ["v1,", "v1a"])


async def _paged(pool):
    return [one.matter for one in await open_pages(pool)] == ["emergency-pack:written"]


async def test_folder_that_hangs_takes_no_thread_from_the_pager(pool, settings, tmp_path, monkeypatch):
    """Writing waits for a dead mount for ever; resolving the mail server's name needs a thread of the same process."""
    _, public = new_identity()
    wanted = settings.model_copy(update={"emergency_recipients": frozenset({public})})
    back = threading.Event()
    monkeypatch.setattr(writing, "write", lambda *_: back.wait(60))
    monkeypatch.setattr(writing, "WRITE_S", 0.05)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    try:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await write_now(pool, wanted, tmp_path)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "resolved"), 5) == "resolved"
    finally:
        back.set()


async def test_command_writes_where_it_is_told(pool, settings, tmp_path):
    """The name says when it was written, and the newest sorts last."""
    _, public = new_identity()
    wanted = settings.model_copy(update={"emergency_recipients": frozenset({public})})
    path, _ = await write_now(pool, wanted, tmp_path)
    assert re.fullmatch(r"zoeklicht-emergency-\d{8}T\d{6}\.\d{6}Z\.age", path.name)
