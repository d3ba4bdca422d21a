"""A stuck process ends itself; a busy or a suspended one does not."""

import asyncio
import signal
import subprocess
import sys
import time

import pytest

from services.kernel.watchdog import STUCK, Deadline, LoopWatch

HELD = """
import threading
from services.kernel.watchdog import Deadline
with Deadline(0.2, "the end of the test"):
    threading.Event().wait()
"""
WATCHED = """
import asyncio, threading
from services.kernel.watchdog import LoopWatch
async def main():
    watch = asyncio.create_task(LoopWatch(0.05, 4).run())
    await asyncio.sleep(0.2)
    print("turning", flush=True)
    {then}
    print("over", flush=True)
asyncio.run(main())
"""


def run(script):
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )


def test_a_block_that_holds_the_event_loop_ends_the_process():
    """No timeout of asyncio could help; the thread of the deadline does, and says why."""
    ended = run(HELD)
    assert ended.returncode == STUCK
    assert ended.stderr.startswith("the end of the test took longer than 0.2 s")


def test_a_block_that_is_left_in_time_goes_on():
    """Leaving the block is the end of its deadline, with an error too."""
    ends = []
    with pytest.raises(ValueError, match="of its own"), Deadline(0.05, "it", ends.append):
        raise ValueError("of its own")
    time.sleep(0.15)
    assert ends == []


def test_a_loop_that_stands_still_ends_the_process():
    """Nothing else would restart it: the process is there, and does nothing."""
    ended = run(WATCHED.format(then="threading.Event().wait(30)"))
    assert ended.returncode == STUCK
    assert ended.stdout == "turning\n"
    assert "the event loop did not turn for 0.2 s" in ended.stderr


def test_a_suspended_process_is_not_stuck():
    """Looks that did not happen are not counted: after SIGCONT the process goes on."""
    with subprocess.Popen(
        [sys.executable, "-c", WATCHED.format(then="await asyncio.sleep(1)")],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "turning\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.6)
        process.send_signal(signal.SIGCONT)
        assert process.wait(20) == 0
        assert process.stdout.read() == "over\n"


async def test_a_loop_that_turns_is_left_alone():
    """However long it runs."""
    ends = []
    watch = asyncio.create_task(LoopWatch(0.02, 3, ends.append).run())
    await asyncio.sleep(0.4)
    watch.cancel()
    assert ends == []
