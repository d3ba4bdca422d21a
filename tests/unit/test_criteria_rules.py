"""The rules are data: complete, checked at start, and several versions live side by side."""

import base64
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from schemas.vocabulary import CaseKind, Criterion
from services.criteria.rulebook import RulesError, load_rulebook, rulebook_of
from services.kernel.settings import load_settings

SHIPPED = Path("services/criteria/rules/MD-2002-02-20.toml")


def write(folder: Path, name: str, *changes: tuple[str, str]) -> None:
    text = (Path(__file__).parents[2] / SHIPPED).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / name).write_text(text)


def test_the_directive_of_2002():
    """The rules that ship are those of the directive: six criteria, younger than 13, undefined cases by themselves."""
    rules = load_rulebook().in_force(datetime(2021, 1, 1, tzinfo=UTC))
    assert (rules.version, rules.age_limit) == ("MD-2002-02-20", 13)
    assert set(rules.criteria) == set(Criterion)
    assert [kind for kind, k in rules.kinds.items() if k.worrying_by_itself] == [CaseKind.UNDEFINED]
    assert Criterion.UNDER_13 not in rules.deciding(CaseKind.INTERNATIONAL_PARENTAL_ABDUCTION)
    assert len(rules.deciding(CaseKind.RUNAWAY)) == 6


def test_a_version_counts_from_its_first_day_in_the_calendar(tmp_path):
    """A later directive is in force from midnight in Brussels of its day; before it the earlier one stays."""
    write(
        tmp_path,
        "later.toml",
        ('"MD-2002-02-20"', '"MD-2030"'),
        ("in_force = 2002-02-20", "in_force = 2030-07-01"),
    )
    rulebook = load_rulebook(tmp_path, ZoneInfo("Europe/Brussels"))
    assert rulebook.in_force(datetime(2030, 6, 30, 21, 59, tzinfo=UTC)).version == "MD-2002-02-20"
    assert rulebook.in_force(datetime(2030, 6, 30, 22, 0, tzinfo=UTC)).version == "MD-2030"


def test_before_the_first_directive_the_first_one_counts():
    """History older than every version is assessed by the oldest one."""
    assert load_rulebook().in_force(datetime(1999, 1, 1, tzinfo=UTC)).in_force == date(2002, 2, 20)


def test_a_version_by_name():
    """Any version can be asked for by its name; a wrong name is told which there are."""
    assert load_rulebook().version("MD-2002-02-20").age_limit == 13
    with pytest.raises(RulesError, match="choose one of MD-2002-02-20"):
        load_rulebook().version("MD-1900")


def settings(**values):
    return load_settings(
        database_url="postgresql://nobody@127.0.0.1/nothing",
        kafka_bootstrap_servers="127.0.0.1:1",
        master_key=base64.b64encode(bytes(32)).decode(),
        **values,
    )


def test_a_pinned_version_acts_whatever_the_day(tmp_path):
    """A setting names the version that acts, so that others can be loaded beside it and do nothing."""
    write(
        tmp_path,
        "later.toml",
        ('"MD-2002-02-20"', '"MD-2030"'),
        ("in_force = 2002-02-20", "in_force = 2030-07-01"),
    )
    moment = datetime(2031, 1, 1, tzinfo=UTC)
    assert rulebook_of(settings(rules=tmp_path)).in_force(moment).version == "MD-2030"
    pinned = rulebook_of(settings(rules=tmp_path, rules_version="MD-2002-02-20"))
    assert pinned.in_force(moment).version == "MD-2002-02-20"
    assert pinned.version("MD-2030").version == "MD-2030"
    with pytest.raises(RulesError, match=r"^ZOEKLICHT_RULES_VERSION: .*choose one of MD-2002-02-20, MD-2030"):
        rulebook_of(settings(rules=tmp_path, rules_version="MD-1900"))


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("# Years:", "# In years:", True),
        ('title = "Ministerial', 'title = "The Ministerial', True),
        ("age_limit = 13", "age_limit = 12", False),
        ("worrying_by_itself = true", "worrying_by_itself = false", False),
        ('without = ["under_13"]', "without = []", False),
    ],
)
def test_a_digest_tells_whether_rules_say_the_same(tmp_path, old, new, same):
    """Comments and titles may be mended; whatever changes an assessment changes the digest."""
    write(tmp_path, "x.toml", ('"MD-2002-02-20"', '"X"'), ("in_force = 2002-02-20", "in_force = 2003-01-01"))
    before = load_rulebook(tmp_path).version("X")
    text = (tmp_path / "x.toml").read_text()
    assert old in text
    (tmp_path / "x.toml").write_text(text.replace(old, new))
    assert (load_rulebook(tmp_path).version("X").digest == before.digest) is same


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("age_limit = 13", 'age_limit = "young"', "age_limit"),
        ("age_limit = 13", "", "age_limit"),
        ("age_limit = 13", "age_limit = 13\nlimit = 3", "limit"),
        ("in_force = 2002-02-20", 'in_force = "soon"', "in_force"),
        ("[kinds.runaway]", "", "kinds: add runaway"),
        ("[kinds.runaway]", "[kinds.holiday]", "kinds.holiday"),
        ('without = ["under_13"]', 'without = ["young"]', "without.0"),
        ('    "under_13",\n    "disability', '    "disability', "questions"),
        ('    "out_of_character",\n', '    "out_of_character",\n    "out_of_character",\n', "criteria"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(tmp_path, old, new, key):
    """A mistake in a file stops the start; the message names file and key."""
    write(tmp_path, "wrong.toml", ('"MD-2002-02-20"', '"X"'), (old, new))
    with pytest.raises(RulesError, match=r"^wrong\.toml: ") as caught:
        load_rulebook(tmp_path)
    assert key in str(caught.value)


def test_broken_toml_is_named(tmp_path):
    """A file that is not TOML is named with line and column."""
    (tmp_path / "broken.toml").write_text("version = ?\n")
    with pytest.raises(RulesError, match=r"broken\.toml is not TOML.*line 1"):
        load_rulebook(tmp_path)


def test_two_files_of_one_version_or_day_are_refused(tmp_path):
    """It must be clear which rules are meant."""
    write(tmp_path, "copy.toml", ("in_force = 2002-02-20", "in_force = 2003-02-20"))
    with pytest.raises(RulesError, match=r"copy\.toml: version: MD-2002-02-20\.toml has it too"):
        load_rulebook(tmp_path)
    write(tmp_path, "copy.toml", ('"MD-2002-02-20"', '"other"'))
    with pytest.raises(RulesError, match=r"in_force: .* has the same day"):
        load_rulebook(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    """A setting that names no folder stops the start with the setting's name."""
    with pytest.raises(RulesError, match="ZOEKLICHT_RULES"):
        load_rulebook(tmp_path / "nowhere")
