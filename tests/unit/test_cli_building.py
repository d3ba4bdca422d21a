"""Waiting for a read model is shown as a bar with the time left in a terminal, and as plain lines in a file."""

import io

from rich.console import Console

from services.cli.building import LINE_EVERY_S, telling


def test_a_file_gets_a_line_now_and_then_with_the_time_left():
    """Something new at once, the rest every few seconds: how much of how much, and how long at this speed."""
    file, moments = io.StringIO(), iter([0.0, 1.0, LINE_EVERY_S, LINE_EVERY_S + 1, 2 * LINE_EVERY_S, 11.0])
    with telling(Console(file=file, width=200), lambda: next(moments)) as tell:
        for done in (0, 100, 500, 600, 1000):
            tell("building annual.v3", done, 3000)
        tell("annual.v3 follows", 0, 0)
    assert file.getvalue().splitlines() == [
        "building annual.v3: 0 of 3,000",
        "building annual.v3: 500 of 3,000, about 25 s left",
        "building annual.v3: 1,000 of 3,000, about 20 s left",
        "annual.v3 follows …",
    ]


def test_what_does_not_move_promises_no_time():
    """Nothing is known about the time left before anything was done."""
    file, moments = io.StringIO(), iter([0.0, LINE_EVERY_S])
    with telling(Console(file=file, width=200), lambda: next(moments)) as tell:
        tell("building annual.v3", 0, 3000)
        tell("building annual.v3", 0, 3000)
    assert file.getvalue().splitlines() == ["building annual.v3: 0 of 3,000"] * 2


def test_a_terminal_gets_a_bar_with_the_time_left():
    """The bar names what is done, how much of it is, and an estimate of the time."""
    file = io.StringIO()
    with telling(Console(file=file, width=120, force_terminal=True, color_system=None)) as tell:
        tell("building annual.v3", 1500, 3000)
    assert "building annual.v3" in file.getvalue()
    assert "1500/3000" in file.getvalue()
    assert "-:--:--" in file.getvalue()
