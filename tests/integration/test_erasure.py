"""A child is forgotten for good: two people decide, nothing that is left opens anything, partners confirm."""

import asyncio
from uuid import UUID, uuid4

import pytest
from dispatch_ground import add_recipient
from erasure_ground import WHY, Installation
from intake_ground import CASE, LOU, NOA, NOW, SECRETS, running

from schemas.commands import Receipt
from services.dispatch import erasing as dispatch
from services.dispatch import receipts
from services.eventlog.store import case_stream, lock_streams
from services.intake import erasing
from services.intake.handlers.steps import IntakeDeps
from services.intake.policy import load_policy
from services.kernel.erasure import do_parts
from services.kernel.postgres import in_transaction
from services.kernel.vault import Vault, context, derive, key_name, ring_of, seal

CLOSED = {"type": "closed", "outcomes": [{"child": 0, "outcome": "found_safe"}]}


@pytest.fixture
async def site(settings, pool, vault):
    deps = IntakeDeps(pool, vault, settings, load_policy())
    async with running(deps) as api:
        yield Installation(api, deps)


async def close(site, case, *children):
    outcomes = [{"child": child, "outcome": "found_safe"} for child in children or (0,)]
    got = await site.api.fact(case, "closed", outcomes=outcomes)
    assert got.status == 201, got.body


async def lit(site, **changes):
    """A case with a photo, notes and an appeal that a display was sent, which answered with what it was sent."""
    wall = await add_recipient(site.pool)
    case = await site.api.opened(**changes)
    media = await site.photo(case)
    await site.api.fact(case, "note_added", text="Lou Voorbeeld bij Verzonnenplein")
    campaign = await site.api.released(case, "public", media=[media])
    await site.dispatched()
    row = await site.pool.fetchrow(
        "select delivery_id, alert_id from dispatch.delivery where recipient_id = $1", wall
    )
    place = context("delivery-x", row["delivery_id"], "attempt.1")
    head = seal(
        "attempts", derive(site.deps.settings.master_key_bytes, "attempts"), "took Lou Voorbeeld", place
    )
    await site.pool.execute(
        "insert into dispatch.attempt (delivery_id, fence, owner, ended_at, status, head)"
        " values ($1, 1, 'test', clock_timestamp(), 200, $2)",
        row["delivery_id"],
        head.model_dump_json(),
    )
    await site.pool.execute(
        "update dispatch.delivery set attempts = 1, state = 'delivered', finished_at = clock_timestamp()"
    )
    return case, campaign, wall, row["alert_id"]


async def says_removed(site, wall, alert, revision=2):
    receipt = Receipt(alert_id=alert, revision=revision, state="removed", at=NOW)
    await in_transaction(site.pool, lambda c: receipts.record(c, wall, receipt))


async def keys_left(site, *names):
    return sorted(await site.vault.find(list(names)))


async def test_no_key_that_is_left_opens_anything_of_an_erased_child(site):
    """Every key and every box of every table, with an appeal, a photo, notes, and what a partner answered."""
    case, _, _, alert = await lit(site)
    child = await site.child_of(case)
    callout = uuid4()
    await site.pool.execute(
        "insert into volunteers.callout (callout_id, exercise, case_id, case_version, state, correlation_id)"
        " values ($1, false, $2, 1, 'over', 'c')",
        callout,
        UUID(case),
    )
    await site.vault.ensure([key_name("callout", callout)])
    before = await site.opened()
    assert [word for word in (*SECRETS, "a photo", "took Lou") if word not in before and word != "Noa"] == []
    await site.approved(case_id=case)
    await site.dispatched()
    await site.carried_out()
    after = await site.opened()
    assert [word for word in (*SECRETS, "a photo") if word in after] == []
    names = (f"child:{child}", f"case:{case}", f"alert:{alert}", f"callout:{callout}")
    assert await keys_left(site, *names) == []
    for table in ("intake.photo", "intake.media_link", "intake.blind_index"):
        assert await site.pool.fetchval(f"select count(*) from {table}") == 0, table
    shown = await site.api.case(case)
    assert [child.get("erased") or child.get("given_name") for child in shown["children"]] != ["Lou"]
    assert not [secret for secret in SECRETS if secret in str(shown)]


async def test_two_people_decide_and_nothing_is_touched_before(site):
    """Whoever asked cannot approve; only leads ask and approve; a second approval is refused."""
    case = await site.api.opened()
    child = await site.child_of(case)
    for who in ("operator", "viewer", "partner"):
        assert (await site.asked(who, case_id=case)).status == 403
    got = await site.asked(case_id=case)
    erasure = got.body["erasure_id"]
    assert (got.status, got.body["children"], got.body["cases"]) == (201, [child], [case])
    assert (await site.agreed(erasure, "operator")).status == 403
    same = await site.agreed(erasure, "coordinator")
    assert (same.status, same.body["rule"]) == (403, "four-eyes")
    await site.carried_out()
    assert await keys_left(site, f"child:{child}") == [f"child:{child}"]
    assert (await site.certificate(erasure)).body["rule"] == "not-erased-yet"
    assert (await site.agreed(erasure)).status == 200
    again = await site.agreed(erasure)
    assert (again.status, again.body["rule"]) == (409, "already-approved")
    await site.carried_out()
    assert await keys_left(site, f"child:{child}", f"case:{case}") == []
    asked_again = await site.asked(case_id=case)
    assert (asked_again.status, asked_again.body["rule"]) == (409, "erased")
    written = await site.pool.fetch("select data::text from eventlog.events where stream like 'erasure-%'")
    assert len(written) == 4
    assert not [secret for secret in SECRETS for row in written if secret in row["data"]]


async def test_a_request_is_taken_back_or_declined_before_anybody_approves(site):
    """By whoever asked or by a colleague: nothing is erased, nobody can approve it any more, and it can be asked for anew."""
    case = await site.api.opened()
    child = await site.child_of(case)
    for who in ("coordinator", "admin"):
        erasure = (await site.asked(case_id=case)).body["erasure_id"]
        assert (await site.withdrawn(erasure, "operator")).status == 403
        taken = await site.withdrawn(erasure, who)
        assert (taken.status, taken.body["state"]) == (200, "withdrawn")
        for late in (await site.agreed(erasure), await site.withdrawn(erasure, who)):
            assert (late.status, late.body["rule"]) == (409, "withdrawn")
        shown = await site.erasure(erasure)
        assert (shown["state"], shown["withdrawn_by"], shown["waits_for"]) == ("withdrawn", who, [])
    await site.carried_out()
    assert await keys_left(site, f"child:{child}") == [f"child:{child}"]
    erasure = (await site.asked(case_id=case)).body["erasure_id"]
    assert (await site.agreed(erasure)).status == 200
    late = await site.withdrawn(erasure, "coordinator")
    assert (late.status, late.body["rule"]) == (409, "already-approved")
    await site.carried_out()
    assert await keys_left(site, f"child:{child}") == []


async def test_a_request_has_a_listed_reason_a_reference_and_one_subject(site):
    """422, and no room for a name; nothing is asked for."""
    case = {"case_id": str(uuid4())}
    for wrong in (
        {},
        WHY,
        WHY | case | {"child_id": str(uuid4())},
        WHY | case | {"reason": "curious"},
        WHY | case | {"reference": "Lou Voorbeeld"},
        WHY | case | {"note": "x"},
    ):
        assert (await site.api.post("/v1/erasures", wrong, "admin")).status == 422, wrong
    assert (await site.api.get("/v1/erasures", "admin")).body["items"] == []
    for what in ("case_id", "child_id"):
        assert (await site.asked(**{what: str(uuid4())})).status == 404
    assert (await site.agreed(str(uuid4()))).status == 404


async def test_an_active_campaign_is_ended_before_anything_is_erased(site):
    """It is stopped in the transaction of the approval, and its withdrawal goes out though the keys are gone."""
    case, campaign, wall, alert = await lit(site)
    erasure = await site.approved(case_id=case)
    assert await site.pool.fetchval("select count(*) from eventlog.stop where id = $1", UUID(campaign)) == 1
    await site.carried_out()
    assert (await site.erasure(erasure))["waits_for"] == ["dispatch"], "the withdrawal is not planned yet"
    await site.dispatched()
    await site.carried_out()
    row = await site.pool.fetchrow(
        "select content, state from dispatch.delivery where recipient_id = $1 order by revision desc limit 1",
        wall,
    )
    assert tuple(row) == ("withdrawn", "pending")
    assert await site.pool.fetchval("select withdrawn from dispatch.alert where alert_id = $1", alert)
    assert (await site.erasure(erasure))["state"] == "executed"


async def test_a_child_that_is_sought_elsewhere_is_not_lost_with_an_old_case(site):
    """Refused with the number of the open case; asked for the child itself, both go."""
    old = await site.api.opened()
    await close(site, old)
    new = await site.api.opened()
    child = await site.child_of(old)
    assert await site.child_of(new) == child
    got = await site.asked(case_id=old)
    assert (got.status, got.body["rule"]) == (409, "child-in-open-case")
    assert got.body["cases"] == [(await site.api.case(new))["case_number"]]
    erasure = await site.approved(child_id=child)
    await site.carried_out()
    assert sorted((await site.erasure(erasure))["cases"]) == sorted([old, new])
    assert await keys_left(site, f"child:{child}", f"case:{old}", f"case:{new}") == []


async def test_whoever_is_still_missing_keeps_the_texts_of_the_case(site):
    """One of two siblings is not erased while the case is open for the other; after that it is, and only that one."""
    case = await site.api.opened(children=[LOU, NOA])
    [lou, noa] = [child["child_id"] for child in (await site.api.case(case))["children"]]
    got = await site.asked(child_id=lou)
    assert (got.status, got.body["rule"]) == (409, "others-missing")
    await close(site, case, 0, 1)
    await site.approved(child_id=lou)
    await site.carried_out()
    assert await keys_left(site, f"child:{lou}", f"child:{noa}", f"case:{case}") == [f"child:{noa}"]


async def test_a_duplicate_goes_with_the_case_that_it_was_merged_into(site):
    """Also when its child was not recognised then and has an id of its own; alone it is refused."""
    case = await site.api.opened()
    unknown = {key: value for key, value in LOU.items() if key != "date_of_birth"}
    twin = await site.api.opened(children=[unknown])
    assert await site.child_of(twin) != await site.child_of(case)
    assert (await site.api.fact(twin, "merged_into", case_id=case)).status == 201
    alone = await site.asked(case_id=twin)
    assert (alone.status, alone.body["rule"]) == (409, "merged")
    children = [f"child:{await site.child_of(twin)}", f"child:{await site.child_of(case)}"]
    await site.approved(case_id=case)
    await site.carried_out()
    assert await keys_left(site, *children, f"case:{case}", f"case:{twin}") == []


async def test_a_child_that_is_reported_again_is_a_new_child(site):
    """Nothing finds the erased one: the new case opens, under another id, and takes texts."""
    case = await site.api.opened()
    child = await site.child_of(case)
    await close(site, case)
    await site.approved(case_id=case)
    again = await site.api.post("/v1/cases", CASE)
    assert again.status == 201, "before the keys are destroyed"
    assert (again.body["earlier_cases"], again.body["possible_duplicates"]) == ([], [])
    await site.carried_out()
    assert await site.child_of(again.body["case_id"]) != child
    got = await site.api.fact(again.body["case_id"], "note_added", text="x")
    assert got.status == 201
    late = await site.api.fact(case, "note_added", text="x")
    assert (late.status, late.body["rule"]) == (409, "erased")


async def test_an_alert_that_is_being_planned_meanwhile_is_erased_too(site):
    """Its plan began before the approval and is written after it: the erasure waits for it."""
    case, alert = await site.api.opened(), uuid4()
    await site.vault.ensure([f"alert:{alert}"])
    async with site.pool.acquire() as planner:
        plan = planner.transaction()
        await plan.start()
        await planner.execute("select pg_advisory_xact_lock_shared(116010)")
        await planner.execute(
            "insert into dispatch.alert (alert_id, kind, case_id, mode, areas, head_revision, withdrawn, issued_at)"
            " values ($1, 'public', $2, 'actual', '{}', 1, true, clock_timestamp())",
            alert,
            UUID(case),
        )
        await site.approved(case_id=case)
        erasing_now = asyncio.create_task(do_parts(site.pool, *site.parts[1]))
        waits = "select count(*) from pg_locks where locktype = 'advisory' and objid = 116010 and not granted and database = (select oid from pg_database where datname = current_database())"
        while not erasing_now.done() and not await site.pool.fetchval(waits):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.02)
        await plan.commit()
    await erasing_now
    assert await keys_left(site, f"alert:{alert}") == []


async def test_a_photo_that_is_being_taken_in_meanwhile_is_erased_too(site):
    """Its key was fetched after the approval and before it was destroyed: the erasure waits for it."""
    case = await site.api.opened()
    await site.photo(case)
    await site.approved(case_id=case)
    async with site.pool.acquire() as taking_in:
        work = taking_in.transaction()
        await work.start()
        await lock_streams(taking_in, [case_stream(UUID(case))])
        await taking_in.execute(
            "insert into intake.photo (media_id, child_id, type, width, height, digest, box)"
            " select gen_random_uuid(), child_id, type, width, height, digest, box from intake.photo"
        )
        erasing_now = asyncio.create_task(do_parts(site.pool, *site.parts[0]))
        waits = "select count(*) from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())"
        while not erasing_now.done() and not await site.pool.fetchval(waits):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.02)
        await work.commit()
    await erasing_now
    assert await site.pool.fetchval("select count(*) from intake.photo") == 0


async def test_an_answer_that_comes_late_is_forgotten_too(site):
    """An attempt was under way while its alert was erased: what the partner answered may repeat what it was sent."""
    case, _, _, _ = await lit(site)
    await site.approved(case_id=case)
    await site.dispatched()
    await site.carried_out()
    heads = "select count(*) from dispatch.attempt where head is not null"
    assert await site.pool.fetchval(heads) == 0
    await site.pool.execute("update dispatch.attempt set head = '{}'")
    await dispatch.forget_late_answers(site.pool)
    assert await site.pool.fetchval(heads) == 0


class KilledError(RuntimeError):
    """The process dies here."""


class DyingVault(Vault):
    """Ends the process right after keys were destroyed."""

    async def destroy(self, names):
        await super().destroy(names)
        raise KilledError


async def test_whoever_is_killed_half_way_is_followed_by_one_that_ends_it(site):
    """Between the keys and the rows: a person is paged meanwhile, the next run ends it, a third one changes nothing."""
    case, _, _, _ = await lit(site)
    erasure = await site.approved(case_id=case)
    await site.dispatched()
    dying = DyingVault(site.vault._pool, ring_of(site.deps.settings))
    real, site.vault = site.vault, dying
    site.deps = IntakeDeps(site.pool, dying, site.deps.settings, site.deps.policy)
    site.helpers = type(site.helpers)(site.pool, dying, site.deps.settings)
    await site.carried_out()
    assert await site.pool.fetchval("select count(*) from intake.photo") == 1
    assert (await site.erasure(erasure))["state"] == "approved"
    open_pages = "select count(*) from kernel.page where matter like 'erasure-stuck:%' and closed_at is null"
    assert await site.pool.fetchval(open_pages) == 3
    site.vault = real
    site.deps = IntakeDeps(site.pool, real, site.deps.settings, site.deps.policy)
    site.helpers = type(site.helpers)(site.pool, real, site.deps.settings)
    await site.carried_out()
    assert await site.pool.fetchval("select count(*) from intake.photo") == 0
    assert await site.pool.fetchval(open_pages) == 0
    assert (await site.erasure(erasure))["state"] == "executed"
    count = await site.api.count()
    await site.carried_out()
    for _, work in site.parts:
        [job] = await erasing.jobs(site.pool, "any")
        await work(job)
    assert await site.api.count() == count
    assert not [secret for secret in SECRETS if secret in await site.opened()]


async def test_the_certificate_is_complete_when_every_partner_confirmed(site):
    """Who has not is listed, a person is paged after the time, and then it says who, when, what remains and why."""
    case, _, wall, alert = await lit(site)
    erasure = await site.approved(case_id=case)
    await site.dispatched()
    await site.carried_out()
    got = await site.certificate(erasure)
    assert got.status == 200
    [partner] = got.body["partners"]
    assert (partner["recipient_id"], partner["state"]) == (str(wall), "waited_for")
    assert got.body["complete"] is False
    await erasing.remind(site.deps)
    matter = f"erasure-unconfirmed:{erasure}"
    paged = "select count(*) from kernel.page where matter = $1 and closed_at is null"
    assert await site.pool.fetchval(paged, matter) == 0, "the time is not over"
    await site.pool.execute("update kernel.erasure set executed_at = executed_at - interval '8 days'")
    await erasing.remind(site.deps)
    assert await site.pool.fetchval(paged, matter) == 1
    await says_removed(site, wall, alert)
    await site.carried_out()
    done = (await site.certificate(erasure)).body
    assert done["complete"] is True
    assert [one["state"] for one in done["partners"]] == ["confirmed"]
    assert (done["requested_by"], done["approved_by"]) == ("coordinator", "admin")
    assert done["erased"]["photos"] == 1
    assert done["erased"]["alerts"] == 1
    assert len(done["remains"]) > 3
    for entry in done["remains"]:
        assert [set(entry[part]) for part in ("what", "why")] == [{"nl", "fr", "de", "en"}] * 2
    assert (done["keys_in_backups_until"] > done["executed_at"][:10]) is True
    assert await site.pool.fetchval(paged, matter) == 0
    assert not [secret for secret in SECRETS if secret in str(done)]


async def test_an_old_removal_is_no_confirmation_of_what_was_shown_later(site):
    """Only what a partner says about the withdrawal, or after it, counts."""
    case, _, wall, alert = await lit(site)
    await says_removed(site, wall, alert, revision=1)
    erasure = await site.approved(case_id=case)
    await site.dispatched()
    await site.carried_out()
    assert [one["state"] for one in (await site.erasure(erasure))["partners"]] == ["waited_for"]


async def test_a_person_by_name_gives_up_a_partner_that_never_answers(site):
    """With a listed reason, once, and the certificate says who."""
    case, _, wall, _ = await lit(site)
    erasure = await site.approved(case_id=case)
    path = f"/v1/erasures/{erasure}/partners/{wall}/give-up"
    early = await site.api.post(path, {"reason": "partner_is_gone"}, "admin")
    assert early.status == 404, "nothing was erased yet"
    await site.dispatched()
    await site.carried_out()
    assert (await site.api.post(path, {"reason": "bored"}, "admin")).status == 422
    assert (await site.api.post(path, {"reason": "partner_is_gone"}, "operator")).status == 403
    assert (await site.api.post(path, {"reason": "partner_is_gone"}, "admin")).status == 200
    assert (await site.api.post(path, {"reason": "partner_is_gone"}, "admin")).status == 404
    await site.carried_out()
    done = (await site.certificate(erasure)).body
    assert done["complete"] is True
    [partner] = done["partners"]
    assert (partner["given_up_by"], partner["reason"]) == ("admin", "partner_is_gone")


async def test_a_partner_that_took_the_withdrawal_long_ago_is_told_once_more(site):
    """Unless it said then that the alert is gone."""
    case, _, wall, alert = await lit(site)
    await site.api.fact(case, "closed", outcomes=CLOSED["outcomes"])
    await site.dispatched()
    took = "update dispatch.delivery set state = 'delivered', attempts = 1, finished_at = clock_timestamp() - interval '2 hours'"
    pending = "select count(*) from dispatch.delivery where state = 'pending' and content = 'withdrawn'"
    await site.pool.execute(took)
    await site.approved(case_id=case)
    await do_parts(site.pool, *site.parts[1])
    assert await site.pool.fetchval(pending) == 1
    await site.pool.execute(took)
    await site.pool.execute("delete from kernel.erasure_part")
    await says_removed(site, wall, alert)
    await do_parts(site.pool, *site.parts[1])
    assert await site.pool.fetchval(pending) == 0
