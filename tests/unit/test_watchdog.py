"""A stuck process ends itself; a busy or a suspended one does not."""

import asyncio
import signal
import subprocess
import sys
import time

import pytest

from services.kernel.watchdog import STUCK, Deadline, LoopWatch, WorkWatch

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


class Net:
    """A WorkWatch whose looks are made by hand, one second each; the database answers as `answering` says."""

    def __init__(self):
        self.ends = []
        self.answering = True
        self.works = WorkWatch(1.0, 3, self.ends.append)

    async def answers(self):
        return self.answering

    async def look(self, times):
        for _ in range(times):
            await self.works._look(self.answers)


async def test_work_that_does_not_end_though_the_database_answers_ends_the_process():
    """After its time, and after the database has answered for as many looks as it takes to be sure."""
    net = Net()
    with net.works.doing("a claim", 5), net.works.doing("the audit", 900):
        await net.look(6)
        assert net.ends == []
        await net.look(1)
    assert net.ends == ["a claim did not end, while the database answered"]


async def test_work_that_waits_for_a_database_begins_anew_when_it_is_back():
    """An outage of any length ends nothing; what hangs beyond it does."""
    net = Net()
    with net.works.doing("a claim", 5):
        net.answering = False
        await net.look(100)
        net.answering = True
        await net.look(6)
        assert net.ends == []
        await net.look(1)
        assert len(net.ends) == 1


async def test_work_that_ends_is_forgotten_and_looks_begin_anew():
    """However often the same is done, each time has its own time, with an error too."""
    net = Net()
    for _ in range(10):
        with pytest.raises(ValueError, match="of its own"), net.works.doing("a claim", 5):
            await net.look(6)
            raise ValueError("of its own")
        await net.look(1)
    assert net.ends == []
