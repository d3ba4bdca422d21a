"""Pages reach whoever is on duty, one after the other, over real mail and push servers, until somebody answers."""

import asyncio
import os
import re
import sys
import textwrap
from datetime import timedelta

import pytest
import structlog
from paging_ground import Ground, mail_server, push_server

from schemas.duty import Desk
from services.kernel.paging import acknowledge, all_clear, open_pages
from services.kernel.paging.pager import LEASE, Pager
from services.kernel.settings import load_settings


@pytest.fixture
async def mailbox():
    async with mail_server() as server:
        yield server


@pytest.fixture
def ground(pool, settings, mailbox):
    return Ground(
        pool, settings.model_copy(update={"smtp_url": _secret(mailbox[1]), "public_url": "https://z.test"})
    )


@pytest.fixture
def box(mailbox):
    return mailbox[0]


def _secret(text):
    from pydantic import SecretStr

    return SecretStr(text)


async def test_first_person_is_told_in_their_language_once(ground, box):
    """One mail to the first person, with what to do and a link; coming up again sends nothing more."""
    await ground.person("ann", language="fr")
    await ground.person("bob")
    await ground.page("may-still-show:1", "call Partner A")
    await ground.work()
    await ground.page("may-still-show:1", "call Partner A")
    await ground.work()
    [(to, mail)] = box.got
    assert to == ["ann@example.org"]
    assert mail["Subject"].startswith("URGENT : des écrans")
    assert "call Partner A" in mail.get_content()
    assert "https://z.test/pages/" in mail.get_content()
    assert mail["From"] == "zoeklicht@z.test"


async def test_next_person_is_told_after_five_minutes(ground, box, pool):
    """Nobody answers: the next one, then the first again; who answered ends it, for everybody."""
    for name in ("ann", "bob"):
        await ground.person(name)
    await ground.page()
    await ground.work()
    await ground.later(4)
    assert len(box.got) == 1
    for _ in range(2):
        await ground.later(5)
    assert [to for to, _ in box.got] == [[f"{name}@example.org"] for name in ("ann", "bob", "ann")]
    [one] = await open_pages(pool)
    assert [person["name"] for person in one.told] == ["ann", "bob", "ann"]
    assert await acknowledge(pool, one.page_id, "bob")
    await ground.later(60)
    assert len(box.got) == 3


async def test_escalation_follows_the_setting(pool, settings, mailbox):
    """A running pager escalates by itself after ZOEKLICHT_PAGING_ESCALATE_S."""
    box, url = mailbox
    ground = Ground(pool, settings.model_copy(update={"smtp_url": _secret(url), "paging_escalate_s": 0.5}))
    for name in ("ann", "bob"):
        await ground.person(name)
    stop = asyncio.Event()
    await ground.page()
    running = asyncio.create_task(ground.pager.run(stop))
    async with asyncio.timeout(20):
        while not box.to("bob@example.org"):  # noqa: ASYNC110 - the mailbox has no event
            await asyncio.sleep(0.05)
    stop.set()
    await running
    assert box.to("ann@example.org")


async def test_people_off_duty_are_never_paged(ground, box):
    """Whoever has no hours now is left alone while somebody is on duty."""
    await ground.person("off", slots=[])
    await ground.person("on")
    await ground.page()
    for _ in range(3):
        await ground.later()
    assert {to[0] for to, _ in box.got} == {"on@example.org"}


async def test_everybody_is_paged_when_nobody_is_on_duty(ground, box):
    """In order, and the log says so loudly."""
    await ground.person("ann", slots=[])
    await ground.person("bob", slots=[])
    await ground.page()
    with structlog.testing.capture_logs() as logs:
        await ground.work()
        await ground.later()
    assert [to for to, _ in box.got] == [["ann@example.org"], ["bob@example.org"]]
    assert [one["log_level"] for one in logs if "nobody is on duty" in one["event"]] == ["error"] * 2


async def test_page_with_nobody_to_tell_waits_and_is_logged_once(ground, box, pool):
    """Without people the page stays open, the log says what to do once, and the first person added is told."""
    await ground.page()
    with structlog.testing.capture_logs() as logs:
        await ground.work()
        await ground.work()
    assert ["zoeklicht duty add" in one["event"] for one in logs] == [True]
    await ground.person("ann")
    await ground.work()
    assert len(box.got) == 1


async def test_page_ends_by_itself_with_one_all_clear(ground, box, pool):
    """When it is over the page closes; those who were told get one message, and nobody else does."""
    for name in ("ann", "bob"):
        await ground.person(name, language="en")
    await ground.page("dead-man:url", lasting=True)
    await ground.work()
    await all_clear(pool, ["dead-man:url"])
    for _ in range(3):
        await ground.later()
    first, second = (mail for _, mail in box.got)
    assert second["Subject"] == f"Over: {first['Subject']}"
    assert "https://" not in second.get_content()
    assert {to[0] for to, _ in box.got} == {"ann@example.org"}
    assert await open_pages(pool) == []


async def test_what_was_over_before_anybody_was_told_tells_nobody(ground, box, pool):
    """No page and no all-clear for what mended itself at once."""
    await ground.person("ann")
    await ground.page("dead-man:url", lasting=True)
    await all_clear(pool, ["dead-man:url", "never:was"])
    await ground.work()
    assert box.got == []


async def test_acknowledged_page_that_lasts_stays_quiet_until_it_is_over(ground, box, pool):
    """Who answered is not paged again for the same page, however often it comes up; its end is told once."""
    await ground.person("ann")
    await ground.page("dead-man:url", lasting=True)
    await ground.work()
    [one] = await open_pages(pool)
    assert await acknowledge(pool, one.page_id, "ann")
    assert not await acknowledge(pool, one.page_id, "ann")
    await ground.page("dead-man:url", lasting=True)
    await ground.later(60)
    assert len(box.got) == 1
    [still] = await open_pages(pool)
    assert (still.acknowledged_by, still.times, len(still.told)) == ("ann", 2, 1)
    await all_clear(pool, ["dead-man:url"])
    await ground.later()
    assert len(box.got) == 2


async def test_page_without_end_is_over_when_somebody_answers(ground, box, pool):
    """An event is acknowledged, and when it happens again it is a new page; no all-clear is sent."""
    await ground.person("ann")
    await ground.page("expired:1")
    await ground.work()
    [one] = await open_pages(pool)
    await all_clear(pool, ["expired:1"])
    assert await acknowledge(pool, one.page_id, "ann")
    assert await open_pages(pool) == []
    await ground.later()
    assert len(box.got) == 1
    await ground.page("expired:1")
    await ground.work()
    assert len(box.got) == 2


async def test_storm_is_one_message(ground, box):
    """Many matters at once reach a person as one mail with a link for each."""
    await ground.person("ann", language="en")
    for number in range(12):
        await ground.page(f"partner-unreachable:{number}", f"recipient {number}")
    await ground.work()
    [(_, mail)] = box.got
    assert mail["Subject"] == "A partner does not answer (and 11 more)"
    assert len(re.findall(r"https://z.test/pages/\d+\?token=", mail.get_content())) == 12


async def test_storm_that_nobody_answers_hides_no_newer_page(ground, box, pool):
    """However many older pages wait for their next turn, a new one is told at once."""
    ann = await ground.person("ann")
    await pool.execute(
        "insert into kernel.page (matter, text) select 'storm:' || n, 'x' from generate_series(1, 150) n"
    )
    await pool.execute(
        "insert into kernel.notice (page_id, person_id, kind, due_at, sent_at)"
        " select page_id, $1, 'page', null, clock_timestamp() from kernel.page",
        ann,
    )
    await ground.page("may-still-show:1", "call Partner A")
    await ground.work()
    [(_, mail)] = box.got
    assert "call Partner A" in mail.get_content()


async def test_push_by_apprise_and_the_next_channel_when_one_fails(ground, box):
    """Channels are tried in order: the push server takes it, or the mail server when nobody listens there."""
    async with push_server() as push:
        await ground.person("ann", f"{push.url}/ann", "ann@example.org", language="de")
        await ground.page("audit:head", "look at the alert")
        await ground.work()
        [got] = push.got
        assert got["title"] == "Die Prüfung fand ein gebrochenes Versprechen"
        assert "look at the alert" in got["message"]
        assert box.got == []
    await ground.page("audit:order")
    await ground.work()
    assert len(box.to("ann@example.org")) == 1


async def test_unreachable_person_does_not_hold_up_the_next(ground, box, pool):
    """No channel works: the next person is told at once, the first is tried again more and more slowly."""
    ann = await ground.person("ann", "json://127.0.0.1:9/x")
    await ground.person("bob")
    await ground.page()
    await ground.work()
    assert [to for to, _ in box.got] == [["bob@example.org"]] * 2
    assert "bereikbaar" in box.got[1][1]["Subject"]
    matters = [one.matter for one in await open_pages(pool)]
    assert matters == ["audit:head", f"paging:{ann}"]
    due = await pool.fetchval(
        "select extract(epoch from due_at - clock_timestamp()) from kernel.notice where person_id = $1", ann
    )
    assert 0 < due <= 5


async def test_page_that_cannot_be_sent_is_tried_until_it_can(ground, box, pool):
    """The mail server is away for a while: tried again with growing pauses; the page about that ends by itself."""
    await ground.person("ann")
    box.refuse = True
    await ground.page()
    await ground.work()
    for _ in range(3):
        await ground.later()
    attempts = await pool.fetchval("select max(attempts) from kernel.notice")
    assert attempts >= 4
    box.refuse = False
    await ground.later()
    assert len(box.got) >= 1
    assert [one.matter for one in await open_pages(pool)] == ["audit:head"]


async def test_what_never_arrived_needs_no_all_clear(ground, box, pool):
    """Somebody whom no message reached is not told that it is over."""
    await ground.person("ann", language="en")
    box.refuse = True
    await ground.page("dead-man:url", lasting=True)
    await ground.work()
    await all_clear(pool, ["dead-man:url"])
    box.refuse = False
    await ground.later()
    assert not [mail for _, mail in box.got if "watch from outside" in mail.get_content()]


async def test_message_that_is_not_needed_any_more_holds_up_nobody(ground, box, pool):
    """A page is answered while it waits to be sent again: what is due for others goes out."""
    ann = await ground.person("ann")
    box.refuse = True
    await ground.page("audit:head")
    await ground.work()
    for one in await open_pages(pool):
        assert await acknowledge(pool, one.page_id, "somebody")
        await all_clear(pool, [one.matter])
    box.refuse = False
    await pool.execute("update kernel.duty set slots = '[]' where person_id = $1", ann)
    await ground.person("bob")
    await ground.page("audit:order")
    await ground.later()
    assert [to for to, _ in box.got] == [["bob@example.org"]]


async def test_pages_about_paging_do_not_loop(ground, box, pool):
    """Nobody can be reached: there is one page about it for each person, and none about that page."""
    for name in ("ann", "bob"):
        await ground.person(name)
    box.refuse = True
    await ground.page()
    for _ in range(5):
        await ground.later()
    before = await pool.fetch("select matter from kernel.page order by matter")
    assert len(before) == 3
    notices = await pool.fetchval("select count(*) from kernel.notice")
    await ground.work()
    assert await pool.fetchval("select count(*) from kernel.notice") == notices
    assert await pool.fetch("select matter from kernel.page order by matter") == before
    [first, *_] = await open_pages(pool)
    assert await acknowledge(pool, first.page_id, "ann")
    times = [one.times for one in await open_pages(pool)]
    await ground.later()
    assert [one.times for one in await open_pages(pool)] == times


async def test_two_pagers_tell_a_person_once(ground, box, pool):
    """Any number may run beside each other."""
    await ground.person("ann")
    for number in range(5):
        await ground.page(f"audit:{number}")
    others = [Pager(pool, ground.settings) for _ in range(3)]
    await asyncio.gather(ground.pager.step(), *(other.step() for other in others))
    for one in (ground.pager, *others):
        await one.settle()
    links = [re.findall(r"/pages/(\d+)", mail.get_content()) for _, mail in box.got]
    assert sorted(number for found in links for number in found) == sorted(
        {n for found in links for n in found}
    )


KILLED = textwrap.dedent(
    """
    import asyncio, os, sys
    from services.kernel.paging import pager
    from services.kernel.postgres import create_pool
    from services.kernel.settings import load_settings

    async def die(*_):
        os.kill(os.getpid(), 9)

    async def main():
        settings = load_settings()
        pool = await create_pool(settings.database_url.get_secret_value(), size=2)
        if sys.argv[1] == "before":
            pager.send = die
        else:
            pager.Pager._sent = die
        one = pager.Pager(pool, settings)
        await one.step()
        await one.settle()

    asyncio.run(main())
    """
)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_killed_pager_loses_nothing(ground, box, settings, mailbox, moment):
    """A kill -9 while it sends: once the lease is over the next pager sends it, under the same Message-ID."""
    await ground.person("ann")
    await ground.page()
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "ZOEKLICHT_MASTER_KEY": settings.master_key.get_secret_value(),
        "ZOEKLICHT_SMTP_URL": mailbox[1],
    }
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, moment, env=environment)
    assert await killed.wait() == -9
    assert len(box.got) == (moment == "after")
    await ground.work()
    assert len(box.got) == (moment == "after")
    await ground.later(LEASE / timedelta(minutes=1) + 1)
    assert len({mail["Message-ID"] for _, mail in box.got}) == 1
    assert len(box.got) == 1 + (moment == "after")


async def test_channels_are_sealed_and_never_logged(ground, box, pool):
    """Neither the table nor the log knows an address."""
    await ground.person("ann", "json://127.0.0.1:9/geheim", "geheim@example.org")
    await ground.page()
    with structlog.testing.capture_logs() as logs:
        await ground.work()
    assert box.got
    assert "geheim" not in str(await pool.fetch("select * from kernel.duty"))
    assert "geheim" not in str(logs)


async def test_log_says_what_about_and_not_whom_to_call(ground, pool):
    """The text may name partners' contacts: people read it in `zoeklicht page list`, the log keeps the matter alone."""
    with structlog.testing.capture_logs() as logs:
        await ground.page("may-still-show:1", "call Partner A (Ann Voorbeeld)")
    [line] = logs
    assert (line["event"], line["matter"]) == ("page", "may-still-show:1")
    assert "Voorbeeld" not in str(line)


@pytest.mark.parametrize(
    "wrong",
    [{"smtp_url": "http://x"}, {"smtp_url": "smtp://"}, {"dead_man_url": "ftp://x"}, {"smtp_from": "x"}],
)
def test_wrong_settings_stop_the_start(settings, wrong):
    """A wrong address is named by its setting, and never repeated."""
    from services.kernel.settings import SettingsError

    with pytest.raises(SettingsError, match=f"ZOEKLICHT_{next(iter(wrong)).upper()}"):
        load_settings(
            database_url="postgresql://x/y",
            kafka_bootstrap_servers="x:1",
            master_key=settings.master_key,
            **wrong,
        )


async def test_a_desk_where_nobody_sits_is_the_operators_business(ground, box):
    """A page for the Missing Persons Unit goes to its people alone, and to the operators when it has none."""
    await ground.person("operator")
    await ground.page("standby:1", desk=Desk.MISSING_PERSONS_UNIT)
    await ground.work()
    assert len(box.to("operator@example.org")) == 1
    await ground.person("unit", desk="missing_persons_unit")
    await ground.page("standby:2", desk=Desk.MISSING_PERSONS_UNIT)
    await ground.page("audit:head")
    await ground.work()
    assert [len(box.to(f"{name}@example.org")) for name in ("operator", "unit")] == [2, 1]
