"""Everything is lost but three things: a backup, a backup of the keys, and the master key."""

from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from backup_ground import Machine, empty, opened
from dispatch_ground import Ground, add_recipient
from erasure_ground import Installation
from intake_ground import NOA, running
from projections_ground import project
from test_erasure_reports import reports

from schemas.events import TOPICS
from services.cli.verify import findings
from services.intake.importer import import_lines
from services.kernel.backup import BackupError
from services.kernel.kafka import create_topics

SAMPLE = Path(__file__).parents[1] / "data" / "history_sample.ndjson"


async def test_from_two_files_on_a_fresh_kafka_the_report_is_the_same_to_the_byte_and_nothing_is_lit(
    settings_with_kafka, monkeypatch, tmp_path
):
    """History, an erased child, a lit campaign; then other databases, other topics, the whole log relayed anew."""
    machine = Machine(tmp_path, monkeypatch.setenv)
    async with opened(settings_with_kafka) as deps, running(deps) as api:
        site = Installation(api, deps)
        await import_lines(deps, SAMPLE.read_text().splitlines())
        await add_recipient(deps.pool)
        lit, gone = await api.opened(), await api.opened(children=[NOA])
        await api.released(lit, "public")
        await site.dispatched()
        got = await api.fact(gone, "closed", outcomes=[{"child": 0, "outcome": "found_safe"}])
        assert got.status == 201, got.body
        erased, kept = await site.child_of(gone), await site.child_of(lit)
        await project(settings_with_kafka)
        before = await reports(deps.pool)
        keys = await machine.backup(settings_with_kafka, "keys")
        await site.approved(case_id=gone)
        await site.carried_out()
        main = await machine.backup(settings_with_kafka)
    async with empty(settings_with_kafka) as again:
        used = again.model_copy(update={"topic_prefix": settings_with_kafka.topic_prefix})
        with pytest.raises(BackupError, match="topics hold events"):
            await machine.restore(used, main, keys)
        await machine.restore(again, main, keys)
        await create_topics(again, TOPICS)
        async with opened(again) as deps:
            await project(again)
            assert orjson.loads(before.splitlines()[1])["new_cases"]
            assert await reports(deps.pool) == before
            await Ground(deps.pool, deps.vault, again).replay()
            waiting = await deps.pool.fetch("select content from dispatch.delivery where state = 'pending'")
            assert [row["content"] for row in waiting] == ["withdrawn"]
            assert list(await deps.vault.find([f"child:{erased}", f"child:{kept}"])) == [f"child:{kept}"]
            broken = {
                name: lines
                for name, lines in (await findings(deps.pool, timedelta(minutes=10))).items()
                if lines
            }
            assert broken == {}
