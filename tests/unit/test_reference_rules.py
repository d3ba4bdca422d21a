"""The rules of the reference receiver, which the simulated partners follow too."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.partnerkit.receiver import Displays

NOW = 1_800_000_000


def message(kind, revision, alert="a", **data):
    return {"type": f"alert.{kind}", "data": {"alert_id": alert, "revision": revision, **data}}


def renewal(revision, lease, alert="a"):
    entry = {"alert_id": alert, "revision": revision, "display_for_s": lease}
    return {"type": "display.renewed", "data": {"alerts": [entry]}}


def told(displays):
    return [(one["body"]["revision"], one["body"]["state"]) for one in displays.state["receipts"]]


def test_lease_counts_from_the_signed_time():
    """A message that was 100 s on its way has 100 s less to show."""
    displays = Displays()
    assert displays.take(message("issued", 1, display_for_s=300), NOW - 100, NOW)
    assert displays.shown(NOW + 199).keys() == {"a"}
    assert displays.shown(NOW + 200) == {}


def test_alert_is_dark_at_its_expiry_whatever_lease_or_renewal_say():
    """`expires_at` ends every lease, a renewed one too."""
    displays = Displays()
    end = datetime.fromtimestamp(NOW + 50, UTC).isoformat()
    displays.take(message("issued", 1, display_for_s=300, expires_at=end), NOW, NOW)
    displays.take(renewal(1, 300), NOW + 10, NOW + 10)
    assert displays.shown(NOW + 49).keys() == {"a"}
    assert displays.shown(NOW + 50) == {}


def test_late_renewal_shortens_nothing_and_other_revisions_renew_nothing():
    """Renewals only ever add, and only to the very revision that is held."""
    displays = Displays()
    displays.take(message("issued", 2, display_for_s=300), NOW, NOW)
    displays.take(renewal(2, 100), NOW - 60, NOW)
    displays.take(renewal(1, 900), NOW, NOW)
    displays.take(renewal(3, 900), NOW, NOW)
    displays.take(renewal(9, 900, alert="unknown"), NOW, NOW)
    assert displays.shown(NOW + 299).keys() == {"a"}
    assert displays.shown(NOW + 300) == {}


def test_renewal_after_the_lease_lights_the_same_revision_again():
    """Back from an outage: what is still asked for is shown again, without its content being sent again."""
    displays = Displays()
    displays.take(message("issued", 1, display_for_s=10), NOW, NOW)
    displays.refresh(NOW + 20)
    displays.take(renewal(1, 10), NOW + 30, NOW + 30)
    assert displays.shown(NOW + 31).keys() == {"a"}
    assert told(displays) == [(1, "displayed"), (1, "removed"), (1, "displayed")]


def test_standby_without_a_lease_holds_until_it_is_withdrawn():
    """No `display_for_s`, no end but the withdrawal."""
    displays = Displays()
    displays.take(message("issued", 1), NOW, NOW)
    assert displays.shown(NOW + 10**9).keys() == {"a"}
    displays.take(message("withdrawn", 2), NOW, NOW)
    assert displays.shown(NOW) == {}


def test_withdrawal_forgets_the_content_and_remembers_the_revision():
    """Nothing of a found child stays in what is kept."""
    displays = Displays()
    displays.take(message("issued", 1, display_for_s=300, texts={"nl": "Lou Voorbeeld"}), NOW, NOW)
    displays.take(message("withdrawn", 2), NOW, NOW)
    assert "Voorbeeld" not in str(displays.state)
    assert not displays.take(message("updated", 2, display_for_s=300), NOW, NOW)


def test_each_change_is_told_once():
    """A repeat, a ping and the mere passing of time send no receipt."""
    displays = Displays()
    for kind in ("issued", "updated"):
        displays.take(message(kind, 1, display_for_s=300), NOW, NOW)
    displays.take({"type": "ping", "data": {}}, NOW, NOW)
    assert displays.refresh(NOW + 299) is False
    assert displays.refresh(NOW + 300) is True
    assert displays.refresh(NOW + 301) is False
    assert told(displays) == [(1, "displayed"), (1, "removed")]


STEPS = st.lists(
    st.tuples(st.sampled_from(["show", "withdraw", "renew"]), st.integers(1, 6), st.integers(1, 400)),
    max_size=30,
)


@given(STEPS, st.integers(0, 500))
def test_any_order_shows_the_highest_revision_or_nothing(steps, later):
    """Only the highest revision can be on display, never past the longest lease, and never once it was withdrawn."""
    displays, highest, ended, longest = Displays(), 0, False, 0
    for what, revision, lease in steps:
        if what == "renew":
            displays.take(renewal(revision, lease), NOW, NOW)
            longest = max(longest, lease)
        else:
            news = displays.take(
                message("withdrawn" if what == "withdraw" else "updated", revision, display_for_s=lease),
                NOW,
                NOW,
            )
            assert news is (revision > highest)
            if news:
                highest, ended, longest = revision, what == "withdraw", max(longest, lease)
    shown = displays.shown(NOW + later)
    assert [one["revision"] for one in shown.values()] in ([], [highest])
    assert not (shown and (ended or later >= longest))
