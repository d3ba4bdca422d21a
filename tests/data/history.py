"""Write an invented history of three years in the import format: `python tests/data/history.py OUT.ndjson`.

3,511 cases are opened in 2019, 2020 and 2021 (Europe/Brussels), beside earlier ones that are still open then
and two of the first hours of 2022. The published figures in `annual_figures.json` (Child Focus annual report
2021, figures at a glance) are nowhere in the lines: they follow from the facts. Every name is invented.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent))  # loaded by path too, from outside this folder

from history_abductions import international, third_party
from history_facts import Facts
from history_lines import Writer, mixed
from history_model import HOUR, MINUTE, YEARS, Data, Fact, World, year_start
from history_others import unaccompanied_minors, undefined
from history_people import People
from history_reach import Campaigns, counts
from history_runaways import Runaways, before_2019, edges_of_closing, same_children_again

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 20211231


def plan(seed: int) -> World:
    """Plan all cases with their children, causes of worry and lifetimes."""
    world = World(seed)
    people = People(world)
    runaways = {year: Runaways(world, people, year) for year in YEARS}
    before_2019(world, people)
    for year in YEARS:
        runaways[year].build()
    same_children_again(people, runaways[2019], runaways[2020], 20)
    same_children_again(people, runaways[2020], runaways[2021], 30)
    edges_of_closing([case for case in world.cases if case.kind == "runaway"])
    international(world, people)
    third_party(world, people)
    undefined(world, people)
    unaccompanied_minors(world, people)
    first_hours_of_2022(world, people)
    return world


def first_hours_of_2022(world: World, people: People) -> None:
    """Open two cases, and release a campaign, that are in 2021 in UTC and in 2022 in Brussels."""
    for after, age in ((30 * MINUTE, 11), (59 * MINUTE, 15)):
        case = world.open("runaway", year_start(2022) + after)
        case.disappeared = case.opened - 3 * HOUR
        case.children = [people.one("girl")]
        people.ages(case, [age])
        case.trigger = "age" if age < 13 else None
        data: Data = {"campaign": "c1", "kind": "public", "areas": ["BE"]}
        if case.trigger:
            case.facts.append(Fact(case.opened + 10 * MINUTE, "campaign.released", data))
            ended = {"campaign": "c1", "reason": "expired"}
            case.facts.append(Fact(case.opened + 40 * HOUR, "campaign.ended", ended))


def history(seed: int = SEED) -> "Iterator[Data]":
    """Yield the lines of the history as plain data; the same seed gives the same lines."""
    world = plan(seed)
    facts = Facts(world)
    for case in world.cases:
        facts.fill(case)
    for year in YEARS:
        Campaigns(world, year).run()
    writer = Writer(world.rng)
    cases = [writer.case(case) for case in sorted(world.cases, key=lambda case: (case.opened, case.ref))]
    yield from mixed(world.rng, cases, [writer.line(fact) for fact in counts(world.rng)])


def write(path: Path, seed: int = SEED) -> int:
    """Write the history as NDJSON (UTF-8) and return the number of lines."""
    lines = [json.dumps(line, ensure_ascii=False) for line in history(seed)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines)


def main() -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(description="Write an invented history in the import format.")
    parser.add_argument("out", type=Path, help="the NDJSON file to write")
    parser.add_argument("--seed", type=int, default=SEED, help="another seed: other facts, the same figures")
    options = parser.parse_args()
    count = write(options.out, options.seed)
    sys.stdout.write(f"{count} lines written to {options.out}\n")


if __name__ == "__main__":
    main()
