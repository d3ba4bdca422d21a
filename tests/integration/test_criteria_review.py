"""Looking at assessments by any version of the rules, over HTTP and by command; nothing is ever changed by it."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest
import uvicorn
from criteria_ground import BOX, RULES, case_id, event_id, opened
from criteria_log import assessments, messages, tell
from fastapi import FastAPI

from schemas.events import CaseClosed, CircumstanceReported, NoteAdded, WorryingOverridden
from schemas.vocabulary import Answer, Criterion, Language
from services.cli import rules as command
from services.cli import upkeep
from services.criteria.api import CriteriaDeps, deps_of, router
from services.criteria.errors import UnknownCaseError, UnreadableHistoryError
from services.criteria.handlers import Assessor
from services.criteria.rulebook import RulesError, load_rulebook
from services.eventlog.store import case_stream
from services.kernel.clock import SystemClock
from services.kernel.http import harden
from services.kernel.principals import Role, issue_token

FOLDER = Path(__file__).parents[1] / "data" / "rules"
BOOK = load_rulebook(FOLDER)
OLD, OTHER = RULES.version, "HYPOTHETICAL-2030"
A, B, C = case_id(1), case_id(2), case_id(3)
CLOSED = CaseClosed(outcomes=())
STRANGE = CircumstanceReported(criterion=Criterion.OUT_OF_CHARACTER, value=Answer.YES, child=0)


@pytest.fixture
async def told(pool):
    """A child of 13; a closed case of one that was out of character; one of nine."""
    await tell(pool, A, opened(13), NoteAdded(text=BOX))
    await tell(pool, B, opened(15), STRANGE, CLOSED)
    await tell(pool, C, opened(9))
    await Assessor(pool, load_rulebook(), SystemClock()).apply(await messages(pool))
    return pool


async def size(pool):
    return await pool.fetchrow(
        "select (select count(*) from eventlog.events), (select count(*) from criteria.rules),"
        " (select max(changed_at) from criteria.case_state)"
    )


# ── over HTTP ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def serving(pool):
    """Serves the routes on the test's database; gives a function that asks."""
    servers = []

    async def start(deps):
        app = FastAPI()
        harden(app)
        app.state.auth_pool = pool
        app.include_router(router(deps))
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
        task = asyncio.create_task(server.serve())
        servers.append((server, task))
        async with asyncio.timeout(10):
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        token = await issue_token(pool, "vera", Role.VIEWER)

        async def ask(case, **query):
            url = f"http://127.0.0.1:{port}/v1/cases/{case}/assessment"
            headers = {"authorization": f"Bearer {token}"}
            async with session.get(url, params=query, headers=headers) as answer:
                return answer.status, await answer.json()

        return ask

    async with aiohttp.ClientSession() as session:
        yield start
        for server, task in servers:
            server.should_exit = True
            await task


async def test_any_version_shows_what_it_would_say(told, serving):
    """By default the rules that act; with `rules` any other, marked as not acting; and nothing is changed by asking."""
    before = await size(told)
    ask = await serving(CriteriaDeps(told, BOOK))
    status, acting = await ask(A)
    assert (status, acting["rules"], acting["acting_rules"], acting["worrying"]) == (200, OLD, OLD, False)
    assert acting["version"] == 2
    status, other = await ask(A, rules=OTHER)
    assert (other["rules"], other["acting_rules"], other["worrying"]) == (OTHER, OLD, True)
    assert other["reasons"] == ["criterion:under_13"]
    assert other["criteria"][0] == {
        "criterion": "under_13",
        "child": 0,
        "value": "yes",
        "evidence": [str(event_id(A, 1))],
    }
    assert (len(acting["criteria"]), len(other["criteria"])) == (6, 5)
    assert await size(told) == before


async def test_questions_come_ranked_and_in_four_languages(told, serving):
    """Each open question says whether its answer decides, and how to ask it in nl, fr, de and en."""
    _, found = await (await serving(CriteriaDeps(told, BOOK)))(A)
    first = found["open_questions"][0]
    assert (first["criterion"], first["child"], first["decisive"]) == ("life_threatening_situation", 0, True)
    assert set(first["text"]) == {language.value for language in Language}
    _, worrying = await (await serving(CriteriaDeps(told, BOOK)))(C)
    assert not any(question["decisive"] for question in worrying["open_questions"])


async def test_an_assessment_as_known_before(told, serving):
    """With `at`, what was learned later is not known yet."""
    ask = await serving(CriteriaDeps(told, BOOK))
    assert [(await ask(B, at=f"2021-03-04T18:0{n}:30+00:00"))[1]["worrying"] for n in (1, 2, 3)] == [
        False,
        True,
        False,
    ]
    assert (await ask(B, at="2021-03-04T18:00:30+00:00"))[0] == 404


@pytest.mark.parametrize(
    ("case", "query", "problem"),
    [
        (A, {"rules": "MD-1900"}, (422, "rules")),
        (A, {"at": "2021-03-04T18:00:00"}, (422, "content")),
        (case_id(9), {}, (404, "no-such-case")),
        ("nobody", {}, (404, "no-such-case")),
    ],
)
async def test_what_cannot_be_shown_is_explained(told, serving, case, query, problem):
    """An unknown version, a naive time and a case that is not there are problems that say what to do."""
    status, body = await (await serving(CriteriaDeps(told, BOOK)))(case, **query)
    assert (status, body["rule"]) == problem


async def test_wrong_rules_cost_only_the_calls_that_need_them(told, serving, settings, tmp_path):
    """With a broken file of rules the listener still starts; this call says that they must be mended."""
    (tmp_path / "mine.toml").write_text("version = 3")
    deps = deps_of(told, settings.model_copy(update={"rules": tmp_path}))
    assert (await (await serving(deps))(A))[0] == 503


async def spoil(pool, case, version):
    await pool.execute(
        "insert into eventlog.events (epoch, stream, version, event_id, type, topic, subject, time, correlation_id,"
        " actor, origin, mode, data) values (1, $1, $2, gen_random_uuid(), 'case.circumstance_reported.v1',"
        """ 'case-events', $3, now(), 'c', 'a', 'live', 'actual', '{"criterion": "bravery"}')""",
        case_stream(case),
        version,
        str(case),
    )


async def test_a_case_that_cannot_be_read_says_so(told, serving, installed, capsys):
    """One unreadable event: the call is a 409, the explanation an error, and a comparison leaves out only that case."""
    await spoil(told, A, 3)
    assert (await (await serving(CriteriaDeps(told, BOOK)))(A))[1]["rule"] == "unreadable"
    with pytest.raises(UnreadableHistoryError, match="by hand"):
        await command.explain(installed, str(A), None, "en", "json")
    await command.compare(installed, OLD, OTHER, "en", "json")
    found = json.loads(capsys.readouterr().out)
    assert (found["cases"], found["unreadable"]) == (2, [str(A)])


# ── by command ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def installed(settings, monkeypatch, tmp_path):
    """The test's database as a command finds it, with the hypothetical rules beside those that act."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("ZOEKLICHT_MASTER_KEY", settings.master_key.get_secret_value())
    monkeypatch.setenv("ZOEKLICHT_RULES", str(FOLDER))
    monkeypatch.setenv("ZOEKLICHT_RULES_VERSION", OLD)
    return tmp_path


async def test_comparing_names_the_cases_that_would_change(told, installed, capsys):
    """Every case of the history, open or closed: which would have been judged otherwise, by which criteria, and why."""
    before = await size(told)
    capsys.readouterr()
    await command.compare(installed, OLD, OTHER, "en", "json")
    found = json.loads(capsys.readouterr().out)
    assert (found["cases"], found["would_be_worrying"], found["would_not_be_worrying"]) == (3, 1, 1)
    rows = {row["why"][0].partition(" ")[0]: (row["from"], row["to"]) for row in found["differences"]}
    assert rows == {"criterion:under_13": (False, True), "criterion:out_of_character": (True, False)}
    assert await size(told) == before
    await command.compare(installed, OLD, OTHER, "en", "table")
    shown = capsys.readouterr().out
    assert "3 cases: 1 would have been worrying, 1 would not have been" in shown
    await command.compare(installed, OLD, OTHER, "fr", "table")
    shown = capsys.readouterr().out
    for text in ("critères", "3 dossiers", "fugue", "moins de"):
        assert text in shown
    await command.compare(installed, OLD, OLD, "en", "table")
    assert "0 would have been worrying, 0 would not have been" in capsys.readouterr().out
    with pytest.raises(RulesError, match="choose one of MD-2002-02-20, HYPOTHETICAL-2030"):
        await command.compare(installed, OLD, "MD-1900", "en", "table")


async def test_comparing_looks_at_every_page(pool, installed, capsys, monkeypatch):
    """However many cases there are, each is looked at once."""
    monkeypatch.setattr("services.criteria.histories.CASES_A_PAGE", 2)
    for number in range(5):
        await tell(pool, case_id(number), opened(13))
    await Assessor(pool, load_rulebook(), SystemClock()).apply(await messages(pool))
    capsys.readouterr()
    await command.compare(installed, OLD, OTHER, "en", "json")
    found = json.loads(capsys.readouterr().out)
    assert (found["cases"], found["would_be_worrying"]) == (5, 5)


@pytest.mark.parametrize("name", [str(B), "2021-0001"])
async def test_a_case_is_explained(pool, installed, capsys, name):
    """By its id or its number: findings with the events behind them, what decides, and what changed when."""
    await tell(pool, B, opened((12, 14)), STRANGE, WorryingOverridden(worrying=False, reason=BOX))
    await Assessor(pool, load_rulebook(), SystemClock()).apply(await messages(pool))
    capsys.readouterr()
    await command.explain(installed, name, None, "nl", "json")
    found = json.loads(capsys.readouterr().out)
    assert (found["worrying"], found["reasons"]) == (False, ["override"])
    assert [one["version"] for one in found["evidence"]] == [1, 2]
    assert len(found["changes"]) == len(await assessments(pool, B)) == 3
    await command.explain(installed, name, None, "nl", "table")
    shown = capsys.readouterr().out
    for text in (
        "2021-0001",
        "niet onrustwekkend",
        "anders beslist door operator-1",
        "levensgevaar",
        "mogelijk",
        "bevinding",
    ):
        assert text in shown
    told = "".join(
        line for line in shown.splitlines() if not line.startswith("20")
    )  # changes are for machines
    for english in ("criterion", "finding", "child ", "runaway", "reasons", "decides"):
        assert english not in told


async def test_an_unknown_case_is_an_error(told, installed):
    """A number or an id that nobody has is one clear line."""
    for name in ("2021-9999", str(case_id(9))):
        with pytest.raises(UnknownCaseError, match="take it from the list"):
            await command.explain(installed, name, None, "en", "table")


async def test_cases_in_quarantine_are_listed(pool, installed, capsys):
    """Which ones, since when, why, and how many messages wait; the exit code tells whether there are any."""
    assert await upkeep.criteria_quarantine(installed) == 0
    await tell(pool, A, opened(13), STRANGE, CLOSED)
    first, second, third = await messages(pool)
    await Assessor(pool, load_rulebook(), SystemClock()).apply([first, second._replace(value=b"{"), third])
    capsys.readouterr()
    assert await upkeep.criteria_quarantine(installed) == 1
    shown = capsys.readouterr().out
    assert str(A) in shown
    assert "WireError  2 messages wait" in shown
    await upkeep.criteria_resume(installed, A)
    assert await upkeep.criteria_quarantine(installed) == 0
