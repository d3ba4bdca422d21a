"""The process `intake`: what happens by itself at a moment. Commands come in through the web process."""

import asyncio
from datetime import timedelta
from uuid import UUID

import structlog

from schemas.vocabulary import EndReason, Origin
from services.eventlog.store import Cause, assessment_stream, campaign_stream, case_stream, lock_streams
from services.intake import retention, store
from services.intake.domain import campaigns
from services.intake.domain.campaign import Campaign, is_active
from services.intake.domain.drafts import Draft
from services.intake.domain.errors import StateRuleError
from services.intake.erasing import remind, run_erasures
from services.intake.handlers.steps import IntakeDeps, known_of
from services.intake.policy import load_policy
from services.intake.store import File
from services.kernel.idempotency import forget_old
from services.kernel.paging import all_clear, page
from services.kernel.postgres import Connection, create_pool, in_transaction
from services.kernel.principals import Principal, Role
from services.kernel.service import Runtime, run_service
from services.kernel.vault import Vault, ring_of

PAUSE_S = 0.5
FORGET_EVERY_S = 600.0
RETENTION_WITHIN_S = 900.0
BATCH = 100
LATER = timedelta(seconds=1)
AFTER_FAILURE = timedelta(seconds=10)
TIMER = Principal("intake", Role.ADMIN)

log = structlog.get_logger()


async def run_due(deps: IntakeDeps) -> int:
    """Does everything that is due now; returns how much that was.

    One timer that fails is tried again later and pages a person; it does not hold up the others.
    """
    rows = await deps.pool.fetch(store.SQL["due"], BATCH)
    for row in rows:
        campaign_id, kind = row["campaign_id"], row["kind"]
        try:
            await _one(deps, row["case_id"], campaign_id, kind)
        except Exception as error:
            log.exception("a timer failed", campaign_id=str(campaign_id), kind=kind, exc_info=error)
            await _put_off(deps, campaign_id, kind)
    return len(rows)


async def arm_releases(deps: IntakeDeps) -> int:
    """Lets the policy release what was requested before it released by itself; returns how many wait for that now."""
    kinds = [kind.value for kind, of_kind in deps.policy.kinds.items() if of_kind.release == "automatic"]
    return len(await deps.pool.fetch(store.SQL["arm_releases"], kinds)) if kinds else 0


async def _put_off(deps: IntakeDeps, campaign_id: UUID, kind: str) -> None:
    text = f"the timer '{kind}' of campaign {campaign_id} fails: end or release the campaign by hand, see the log"

    async def work(connection: Connection) -> None:
        await connection.execute(store.SQL["postpone"], campaign_id, kind, AFTER_FAILURE)
        await page(connection, _matter(campaign_id, kind), text, lasting=True)

    await in_transaction(deps.pool, work)


def _matter(campaign_id: UUID, kind: str) -> str:
    return f"intake-timer:{campaign_id}:{kind}"


async def _one(deps: IntakeDeps, case_id: UUID, campaign_id: UUID, kind: str) -> None:
    async def work(connection: Connection) -> None:
        await lock_streams(connection, [case_stream(case_id), campaign_stream(campaign_id)])
        file = (await store.load_files(connection, [case_id]))[case_id]
        campaign = file.campaigns[campaign_id]
        if campaign.origin is not Origin.LIVE:
            await connection.execute(store.SQL["clear_timers"], campaign_id, None)
        elif kind == "expire":
            await _expire(connection, deps, file, campaign)
        else:
            await _release(connection, deps, file, campaign)
        await all_clear(connection, [_matter(campaign_id, kind)])

    await in_transaction(deps.pool, work)


async def _expire(connection: Connection, deps: IntakeDeps, file: File, campaign: Campaign) -> None:
    expires_at = campaign.shown.expires_at
    if not is_active(campaign) or expires_at is None:
        await connection.execute(store.SQL["clear_timers"], campaign.campaign_id, "expire")
    elif expires_at > await store.database_now(connection):
        await connection.execute(store.SQL["set_timer"], campaign.campaign_id, "expire", expires_at)
    else:
        drafts = [campaigns.ended(campaign, EndReason.EXPIRED)]
        await _commit(connection, deps, file, campaign, drafts)
        log.info("campaign expired", campaign_id=str(campaign.campaign_id))


async def _release(connection: Connection, deps: IntakeDeps, file: File, campaign: Campaign) -> None:
    """Releases a requested campaign once its case is worrying and the policy's consents are there."""
    campaign_id = campaign.campaign_id
    if campaign.state != "requested" or deps.policy.kinds[campaign.shown.kind].release != "automatic":
        await connection.execute(store.SQL["clear_timers"], campaign_id, "release")
        return
    worrying = await connection.fetchval(store.SQL["worrying"], assessment_stream(file.case.case_id))
    try:
        if worrying:
            known = await known_of(connection, deps, [file], TIMER)
            of_case = file.campaigns.values()
            drafts = campaigns.decide_release(campaign, file.case, of_case, known, by_policy=True)
            await _commit(connection, deps, file, campaign, drafts)
            log.info("campaign released by policy", campaign_id=str(campaign_id))
            return
    except StateRuleError as error:
        log.debug("not yet released", campaign_id=str(campaign_id), rule=error.rule)
        if error.rule in {"expired", "erased"}:
            await connection.execute(store.SQL["clear_timers"], campaign_id, "release")
            return
    await connection.execute(store.SQL["postpone"], campaign_id, "release", LATER)


async def _commit(
    connection: Connection, deps: IntakeDeps, file: File, campaign: Campaign, drafts: list[Draft]
) -> None:
    cause = Cause(TIMER.name, f"timer-{campaign.campaign_id}", mode=campaign.mode)
    await store.commit(
        connection,
        vault=deps.vault,
        secret=deps.secret,
        policy=deps.policy,
        files=[file],
        drafts=drafts,
        cause=cause,
    )


async def _main(runtime: Runtime) -> None:
    settings = runtime.settings
    policy = load_policy(settings.policy)
    keys = await create_pool(settings.vault_url, size=2, keep=0, application="zoeklicht-intake-vault")
    try:
        deps = IntakeDeps(runtime.pool, Vault(keys, ring_of(settings)), settings, policy)
        if armed := await arm_releases(deps):
            log.info("campaigns requested earlier wait for their release by policy", campaigns=armed)
        forget_at = 0.0
        retention_at = asyncio.get_running_loop().time() + retention.EVERY_S
        while not runtime.stop.is_set():
            with runtime.works.doing("the timers"):
                done = await run_due(deps) + await run_erasures(deps)
            if asyncio.get_running_loop().time() >= forget_at and not await forget_old(deps.pool):
                await remind(deps)
                forget_at = asyncio.get_running_loop().time() + FORGET_EVERY_S
            if asyncio.get_running_loop().time() >= retention_at:
                with runtime.works.doing("retention", RETENTION_WITHIN_S):
                    await retention.erase_due(deps)
                retention_at = asyncio.get_running_loop().time() + retention.EVERY_S
            runtime.ready = True
            runtime.progress = {"due": done}
            await runtime.pause(PAUSE_S)
    finally:
        await keys.close()


def main() -> int:
    """Runs the timers of intake until it is told to stop."""
    return run_service("intake", _main)
