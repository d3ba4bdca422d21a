"""Which numbers are withheld, so that nobody can work out a small one from those that are shown.

Numbers from 1 to 4 are withheld (primary), and as many others as it takes (secondary) that each small part could still be
any of 1 to 4: even to somebody who knows every sum, and which cells are withheld because they are small. Zeros are shown,
but where so little happened that nothing else is left to withhold. Which others go is decided by a fixed order, not by size: who knows the rule learns nothing from its choice.

The sums must form a tree: no two of them may share two cells. Then the ranges computed here are exact, and nobody can do
better with more mathematics. (Table designs and attacks: Hundepool et al., Statistical Disclosure Control, chapter 4.)
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

SMALLEST = 5
"""The smallest number that is shown, but for 0."""
POSSIBLE = SMALLEST - 1
"""How many numbers a small one must at least be able to be: all of 1 to 4."""
_ANY = 10**12

Range = tuple[int, int]
Cells = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Sum:
    """A cell that is the sum of others. `parts` are in the order in which they are given up."""

    total: str
    parts: tuple[str, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """In the order in which they are given up: the total comes last, since most people want that."""
        return (*self.parts, self.total)


@dataclass(frozen=True, slots=True)
class Bound:
    """A cell that cannot be larger than another: a part that is counted apart from its siblings."""

    part: str
    whole: str


@dataclass(frozen=True, slots=True)
class Design:
    """What everybody knows about the cells.

    `unpublished` ones are never shown, but follow from those that are. `spared` ones are given up last of all.
    """

    sums: Sequence[Sum] = ()
    bounds: Sequence[Bound] = ()
    unpublished: Collection[str] = ()
    spared: Collection[str] = ()


def is_small(number: int) -> bool:
    """Whether a number could tell of single children."""
    return 0 < number < SMALLEST


def withheld(cells: Cells, design: Design, settled: Mapping[str, bool] | None = None) -> frozenset[str]:
    """The cells to withhold, `unpublished` ones among them.

    `settled` says of cells that were published earlier whether they are withheld: that does not change any more.
    """
    settled = settled or {}
    small = [name for name, number in cells.items() if is_small(number)]
    before = (name for name, is_withheld in settled.items() if is_withheld)
    hidden = {*small, *design.unpublished, *before}
    while victim := _next(cells, design, settled, small, hidden):
        hidden.add(victim)
    return frozenset(hidden)


def _next(
    cells: Cells, design: Design, settled: Mapping[str, bool], small: Sequence[str], hidden: set[str]
) -> str | None:
    """What else must go, or None when nothing must, or nothing around what is still exposed is left to take."""
    ranges = what_follows(cells, design, hidden)
    for name in small:
        low, high = ranges[name]
        if high - low + 1 < POSSIBLE:
            near = [one for one in _nearest(name, design, hidden) if one not in settled]
            if near:
                # Zeros go last: where hardly anything happened, they would say that only these cells are left.
                return min(near, key=lambda one: (not cells[one], one in design.spared))
    return None


def what_follows(cells: Cells, design: Design, hidden: Collection[str]) -> dict[str, Range]:
    """The least and the most that each cell can be, to somebody who sees all that are not hidden.

    And who knows more than anybody should: which parts are withheld because they are small, and which for their sake.
    """
    totals = {one.total for one in design.sums}
    ranges = {}
    for name, number in cells.items():
        if name not in hidden:
            ranges[name] = number, number
        elif name in design.unpublished or not number:
            ranges[name] = 0, _ANY
        elif name in totals:
            ranges[name] = 1, _ANY
        else:
            ranges[name] = (1, SMALLEST - 1) if is_small(number) else (SMALLEST, _ANY)
    before: dict[str, Range] = {}
    while before != ranges:
        before = dict(ranges)
        for one in design.sums:
            _sum_up(one, ranges)
        for bound in design.bounds:
            part, whole = ranges[bound.part], ranges[bound.whole]
            ranges[bound.part] = part[0], min(part[1], whole[1])
            ranges[bound.whole] = max(whole[0], part[0]), whole[1]
    return ranges


def _sum_up(one: Sum, ranges: dict[str, Range]) -> None:
    least = sum(ranges[part][0] for part in one.parts)
    most = sum(ranges[part][1] for part in one.parts)
    total = ranges[one.total]
    ranges[one.total] = total = max(total[0], least), min(total[1], most)
    for part in one.parts:
        low, high = ranges[part]
        ranges[part] = max(low, total[0] - (most - high)), min(high, total[1] - (least - low))


def _nearest(start: str, design: Design, hidden: Collection[str]) -> Iterator[str]:
    """The cells that are shown, the nearest first: those in one sum with it, then those in one sum with what is hidden there."""
    seen, ring = {start}, [start]
    while ring:
        around: list[str] = []
        for name in ring:
            for one in design.sums:
                if name in one.cells:
                    around += [cell for cell in one.cells if cell not in seen and cell not in around]
        yield from (name for name in around if name not in hidden)
        seen.update(around)
        ring = [name for name in around if name in hidden]
