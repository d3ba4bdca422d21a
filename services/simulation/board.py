"""How the demonstration shows its figures."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Column, Table

from services.simulation.receivers import Behaviour, Receiver


@dataclass(slots=True)
class Phase:
    """One way of an alert to all displays. `began` and `times`: seconds of the monotonic clock."""

    word: str
    began: float
    times: dict[int, float | None]
    alert_id: str
    displays: Sequence[Receiver]

    def took(self, number: int) -> float | None:
        """Seconds from the answer of the API to the acceptance; a partner may even be faster than the answer."""
        at = self.times.get(number)
        return None if at is None else max(0.0, at - self.began)

    @property
    def all_times(self) -> list[float]:
        """Of those who are there."""
        return [took for one in self.displays if (took := self.took(one.number)) is not None]


def table(phase: Phase) -> Table:
    """Who is there already."""
    found = Table("partner", "state", "after", title=sentence(phase), title_justify="left")
    for one in phase.displays:
        took = phase.took(one.number)
        state = f"[green]{phase.word}[/]" if took is not None else f"[yellow]pending[/]{_note(one)}"
        found.add_row(one.name, state, _seconds(took))
    return found


def sentence(phase: Phase) -> str:
    """The figures in one line."""
    times = phase.all_times
    text = f"  {len(times)} of {len(phase.displays)} {phase.word}"
    if not times:
        return text
    return f"{text}: median {statistics.median(times) * 1000:.0f} ms, last {max(times):.2f} s"


def both(lit: Phase, dark: Phase, unconfirmed: Sequence[Receiver]) -> Table:
    """Time to public and time to dark of each partner."""
    found = Table(
        Column("partner", no_wrap=True),
        "behaves",
        "to public",
        "to dark",
        "removed",
        title="Time to public and time to dark, from the API's answer to the partner's acceptance",
        title_justify="left",
    )
    for row in _rows(lit, dark, unconfirmed):
        found.add_row(*row)
    found.add_section()
    found.add_row("median", "", *(_seconds(_median(phase)) for phase in (lit, dark)), "")
    return found


def lines(lit: Phase, dark: Phase, unconfirmed: Sequence[Receiver]) -> str:
    """The same as plain lines, for a file."""
    head = "partner; behaves; time to public; time to dark; removal confirmed"
    rows = ["; ".join(row) for row in _rows(lit, dark, unconfirmed)]
    medians = f"median; ; {_seconds(_median(lit))}; {_seconds(_median(dark))};"
    return "\n".join([head, *rows, medians])


def _rows(lit: Phase, dark: Phase, unconfirmed: Sequence[Receiver]) -> list[tuple[str, ...]]:
    missing = {one.number for one in unconfirmed}
    return [
        (
            one.name,
            one.behaviour.value,
            _seconds(lit.took(one.number)),
            _seconds(dark.took(one.number)),
            "no" if one.number in missing else "yes",
        )
        for one in lit.displays
    ]


def _median(phase: Phase) -> float | None:
    return statistics.median(phase.all_times) if phase.all_times else None


def _note(one: Receiver) -> str:
    return "" if one.behaviour is Behaviour.NORMAL else f" ({one.behaviour.value})"


def _seconds(took: float | None) -> str:
    if took is None:
        return "not yet"
    return f"{took * 1000:.0f} ms" if took < 1 else f"{took:.2f} s"
