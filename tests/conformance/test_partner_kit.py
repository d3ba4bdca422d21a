"""The kit fails a receiver for exactly what it does wrong."""

import asyncio
import json
from dataclasses import replace

import aiohttp
import pytest
from bad_receivers import SECRET, SLOW_S, TOKEN, bad_receiver
from reference_receivers import NO_NODE, find_node, reference

from services.partnerkit.checklist import CHECKS, RESTART
from services.partnerkit.errors import KitError
from services.partnerkit.kit import Wish, run, try_out
from services.partnerkit.trial import Pace

PACE = Pace(patience_s=3.0, quiet_s=0.4, lease_s=4, samples=10)
IMPATIENT = replace(PACE, patience_s=0.5)
"""For receivers of which nothing is to be seen."""
LATE = {"old-revision", "relight", "overtaken"}
SEEN = {"displayed", "replay", "update", "old-revision", "withdrawal", "relight", "lease-end", "renewal"}

BY_RECEIPTS = {
    "": set(),
    "believes everybody": {"unsigned", "forged", "tampered"},
    "never says no": {"unsigned", "forged", "tampered", "stale"},
    "believes without headers": {"unsigned"},
    "believes any time": {"stale"},
    "verifies parsed json": {"tampered", "raw-bytes"},
    "leaves out the time": {"tampered"},
    "reads one signature": {"rotation"},
    "shows nothing": SEEN | {"receipts"},
    "refuses a repeat": {"replay"},
    "refuses what is late": LATE,
    "ignores updates": {"update", "old-revision"},
    "shows any revision": {"old-revision"},
    "shows again after the end": {"relight", "overtaken"},
    "forgets what it does not know": {"overtaken"},
    "ignores withdrawals": {"receipts", "withdrawal", "relight"},
    "counts the lease from arrival": {"lease-end"},
    "ignores the lease": {"lease-end"},
    "ends too early": {"lease-end"},
    "ignores renewals": {"renewal"},
    "a renewal lights anything": {"relight"},
    "is slow": {"timing"},
    "sends no receipts": SEEN | {"receipts"},
}
BY_STATE = {
    "sends no receipts": {"receipts"},
    "confirms another revision": {"receipts"},
    "confirms without its token": {"receipts"},
    "confirms without an offset": {"receipts"},
    "ignores the lease": {"lease-end"},
    "shows again after the end": {"relight", "overtaken"},
}

IN_CAP = {
    "": set(),
    "believes everybody": {"unsigned", "forged", "tampered"},
    "ignores updates": {"update", "old-revision"},
    "shows again after the end": {"relight", "overtaken"},
    "ignores withdrawals": {"receipts", "withdrawal", "relight"},
    "ignores the lease": {"lease-end"},
    "counts the lease from arrival": {"lease-end"},
    "ignores renewals": {"renewal"},
    "confirms another revision": {"receipts"},
}


async def _tried(fault, *, by_state, messages="json"):
    async with bad_receiver(fault) as url:
        state = f"{url}state" if by_state else None
        pace = IMPATIENT if BY_RECEIPTS.get(fault, set()) >= SEEN and not by_state else PACE
        wish = Wish(url, SECRET, TOKEN, state, timeout_s=SLOW_S / 2, pace=pace, messages=messages)
        report = await try_out(wish, SECRET)
        async with aiohttp.ClientSession() as client, client.get(f"{url}state") as answer:
            return report, (await answer.json())["alerts"]


async def _reference(language, folder, *, forgets=False, by_state=True):
    if language == "typescript" and find_node() is None:
        return None
    async with reference(language, folder, {"ZOEKLICHT_SECRET": SECRET}) as receiver:
        restart = f"{receiver.restart} forget" if forgets else receiver.restart
        state = receiver.url if by_state else None
        wish = Wish(receiver.url, SECRET, TOKEN, state, restart=restart, pace=PACE)
        return await try_out(wish, SECRET), list(await receiver.shown())


@pytest.fixture(scope="module")
async def tried(tmp_path_factory):
    """Every receiver under test at once: most of a trial is waiting."""
    folder = tmp_path_factory.mktemp
    trials = {(fault, "receipts"): _tried(fault, by_state=False) for fault in BY_RECEIPTS}
    trials |= {(fault, "state"): _tried(fault, by_state=True) for fault in BY_STATE}
    trials |= {(fault, "cap"): _tried(fault, by_state=True, messages="cap") for fault in IN_CAP}
    trials |= {("reference", one): _reference(one, folder(one)) for one in ("python", "typescript")}
    for one in ("python", "typescript"):
        trials["reference by receipts", one] = _reference(one, folder(one), by_state=False)
    trials["reference", "forgets"] = _reference("python", folder("forgets"), forgets=True)
    ends = dict(zip(trials, await asyncio.gather(*trials.values()), strict=True))
    return {name: end for name, end in ends.items() if end is not None}


@pytest.mark.parametrize(("fault", "wanted"), BY_RECEIPTS.items())
def test_receipts_show_exactly_the_fault(tried, fault, wanted):
    """What the receipts tell is enough to name the fault, and nothing else is named."""
    report = tried[fault, "receipts"][0]
    assert {one.name: one.seen for one in report.findings if not one.passed}.keys() == wanted
    assert report.passed is (not wanted)


@pytest.mark.parametrize(("fault", "wanted"), BY_STATE.items())
def test_state_page_shows_exactly_the_fault(tried, fault, wanted):
    """With a page that says what is on display, wrong receipts are a fault of their own."""
    assert {one.name for one in tried[fault, "state"][0].findings if not one.passed} == wanted


@pytest.mark.parametrize(("fault", "wanted"), IN_CAP.items())
def test_a_receiver_of_cap_is_tested_in_cap(tried, fault, wanted):
    """A receiver that reads every alert as valid CAP, signed inside, passes; its faults are named as the others' are."""
    findings = tried[fault, "cap"][0].findings
    assert {one.name: one.seen for one in findings if not one.passed}.keys() == wanted


def test_each_check_fails_somebody(tried):
    """No check is there for show; each but the handshake catches a receiver of these."""
    caught = {one.name for report, _ in tried.values() for one in report.findings if not one.passed}
    assert caught == {check.name for check in (*CHECKS, RESTART)} - {"ping"}


def test_nothing_stays_on_display(tried):
    """The kit withdraws whatever it lit, also where a check failed; only who ignores withdrawals goes on showing."""
    assert {fault for (fault, _), (_, left) in tried.items() if left} == {"ignores withdrawals"}


def test_report_says_what_to_do(tried):
    """A failed check comes with its remedy, a passed one without; the report owns up to what it cannot see."""
    found = json.loads(tried["ignores renewals", "receipts"][0].as_json())
    by_name = {one["name"]: one for one in found["checks"]}
    assert found["passed"] is False
    assert "display.renewed" in by_name["renewal"]["remedy"]
    assert by_name["ping"]["remedy"] is None
    assert "p99" in by_name["timing"]["seen"]
    assert any("restart" in text for text in found["not_seen"])


async def test_command_prints_the_report_and_exits_1(capsys):
    """Exit code 1 as soon as one check fails, here the handshake with another secret; json goes to standard output."""
    quick = Pace(patience_s=0.2, quiet_s=0.05, lease_s=2, samples=2)
    async with bad_receiver("") as url:
        wrong = "whsec_" + "A" * 32
        assert await run(Wish(url, wrong, pace=quick), "json") == 1
        found = json.loads(capsys.readouterr().out)
        assert found["checks"][0]["passed"] is False
        assert await run(Wish(url, wrong, pace=quick), "table") == 1
        assert "FAIL" in capsys.readouterr().out


async def test_nobody_there_is_one_clear_line():
    """An address without a receiver, or that is none, is an error that says what to do."""
    quick = Pace(patience_s=0.1)
    for url, text in (("http://127.0.0.1:1/", "start your receiver"), ("nonsense", "write the URL as")):
        with pytest.raises(KitError, match=text):
            await try_out(Wish(url, SECRET, pace=quick), SECRET)
    with pytest.raises(KitError, match="HOST:PORT"):
        await try_out(Wish("http://127.0.0.1:1/", SECRET, listen="here", pace=quick), SECRET)


async def test_without_a_secret_one_is_made_and_waited_for(tmp_path, capsys):
    """The kit tells the secret it made; while the receiver does not know it, nothing is tested."""
    async with bad_receiver("") as url:
        with pytest.raises(KitError, match="answered 401 to a ping signed with the new secret"):
            await run(Wish(url, wait_s=0.1), "json")
    assert "ZOEKLICHT_SECRET=whsec_" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["reference", "reference by receipts"])
@pytest.mark.parametrize("language", ["python", "typescript"])
def test_reference_receiver_passes_with_a_kill_in_between(tried, language, way):
    """The reference receivers pass every check, and `kill -9` makes them forget nothing."""
    if (way, language) not in tried:
        pytest.skip(NO_NODE)
    report, _ = tried[way, language]
    assert {one.name: one.seen for one in report.findings if not one.passed} == {}
    assert report.findings[-1].name == "restart"


def test_receiver_that_forgets_fails_the_restart(tried):
    """A restart that loses what was seen shows what had ended."""
    report, _ = tried["reference", "forgets"]
    assert {one.name for one in report.findings if not one.passed} == {"restart"}
