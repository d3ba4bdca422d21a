"""The supervisor, with small real children."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from services.kernel.orphans import SUPERVISOR_PID
from services.kernel.supervisor import Delays, Life, Program, Supervisor

QUICK = Delays(first=0.01, longest=0.04, steady=30)


def child(name, code, **rest):
    return Program(name, [sys.executable, "-c", textwrap.dedent(code)], **rest)


SLEEPER = "import time; time.sleep(600)"


async def until(condition, seconds=60.0):
    """Waits for a condition of the world outside this process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def test_the_delay_doubles_up_to_its_limit_and_begins_anew_after_a_long_life():
    """0.2 s, doubling to 10 s; a process that lived 30 s starts from 0.2 s again."""
    delays = Delays()
    seen, delay = [], None
    for _ in range(8):
        delay = delays.after(delay, lived=0.1)
        seen.append(round(delay, 1))
    assert seen == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert delays.after(10.0, lived=30.0) == 0.2


async def test_what_dies_is_started_again_and_counted(tmp_path):
    """A child that ends is started again; restarts, last exit code and output are kept."""
    told = []
    supervisor = Supervisor(
        [child("short", "import sys; print('here', flush=True); sys.exit(3)")],
        logs=tmp_path,
        delays=QUICK,
        on_change=lambda all_: told.append(all_["short"]),
    )
    supervisor.start()
    await until(lambda: supervisor.status["short"].restarts >= 3)
    await supervisor.stop()
    assert supervisor.status["short"].exit_code == 3
    assert supervisor.status["short"].life is Life.STOPPED
    assert {status.life for status in told} == {Life.RUNNING, Life.WAITING, Life.STOPPED}
    log = tmp_path / "short.log"
    assert log.read_text().count("here") >= 3
    assert log.stat().st_mode & 0o777 == 0o600


async def test_restarts_wait_longer_and_longer(tmp_path):
    """Between the starts of a child that dies at once lies at least the doubled delay."""
    supervisor = Supervisor(
        [child("dying", "import time; print(time.monotonic(), flush=True)")],
        logs=tmp_path,
        delays=Delays(first=0.05, longest=0.4, steady=30),
    )
    supervisor.start()
    await until(lambda: supervisor.status["dying"].restarts >= 4)
    await supervisor.stop()
    times = [float(line) for line in (tmp_path / "dying.log").read_text().split()]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert all(gap >= least for gap, least in zip(gaps, [0.05, 0.1, 0.2], strict=False))


async def test_a_stop_follows_the_order(tmp_path):
    """A later rank is asked to stop only when the earlier one has ended; one rank stops together."""
    ends = tmp_path / "ends"
    polite = f"""
        import signal, sys, time
        name = sys.argv[0]
        def end(*_):
            with open({str(ends)!r}, "a") as out: print("NAME", file=out)
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        print("up", flush=True)
        time.sleep(600)
    """
    ranks = {"relay": 3, "sender": 2, "web": 0, "dispatch": 1}
    supervisor = Supervisor(
        [child(name, polite.replace("NAME", name), stop_rank=rank) for name, rank in ranks.items()],
        logs=tmp_path,
    )
    supervisor.start()
    await until(lambda: all("up" in _text(tmp_path / f"{name}.log") for name in ranks))
    await supervisor.stop()
    assert ends.read_text().split() == ["web", "dispatch", "sender", "relay"]
    assert all(status.exit_code == 0 for status in supervisor.status.values())


async def test_who_does_not_listen_is_killed_with_its_own_children(tmp_path):
    """SIGTERM is ignored: after the patience SIGKILL ends the child and what it started."""
    stubborn = """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        grand = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(grand.pid, flush=True)
        time.sleep(600)
    """
    supervisor = Supervisor([child("stubborn", stubborn)], logs=tmp_path, patience=0.3)
    supervisor.start()
    log = tmp_path / "stubborn.log"
    await until(lambda: _text(log).endswith("\n"))
    await supervisor.stop()
    assert supervisor.status["stubborn"].exit_code == -signal.SIGKILL
    await until(lambda: not _alive(int(log.read_text())))


async def test_a_stop_during_a_wait_starts_nothing_more(tmp_path):
    """A stop cancels the back-off at once, and no new child appears."""
    supervisor = Supervisor(
        [child("gone", "pass")], logs=tmp_path, delays=Delays(first=600, longest=600, steady=9999)
    )
    supervisor.start()
    await until(lambda: supervisor.status["gone"].life is Life.WAITING)
    await asyncio.wait_for(supervisor.stop(), 2)
    assert supervisor.status["gone"].life is Life.STOPPED
    assert supervisor.status["gone"].restarts == 1


@pytest.mark.parametrize("by_kernel", [True, False])
async def test_killing_the_supervisor_takes_the_children_along(tmp_path, by_kernel):
    """`kill -9` of the supervisor ends every child, by the kernel's signal or by the portable watch."""
    script = tmp_path / "super.py"
    script.write_text(f"""
import asyncio, sys
from pathlib import Path
from services.kernel.supervisor import Program, Supervisor
code = "import time\\nfrom services.kernel.orphans import die_with_supervisor\\n"
code += "die_with_supervisor(by_kernel={by_kernel})\\nprint('tied', flush=True)\\ntime.sleep(600)"
async def main():
    programs = [Program(name, [sys.executable, "-c", code]) for name in ("one", "two")]
    await Supervisor(programs, logs=Path({str(tmp_path)!r})).run(asyncio.Event())
asyncio.run(main())
""")
    supervisor = subprocess.Popen([sys.executable, str(script)])
    try:
        await until(lambda: all("tied" in _text(tmp_path / f"{name}.log") for name in ("one", "two")))
        children = psutil.Process(supervisor.pid).children()
        assert len(children) == 2
    finally:
        supervisor.kill()
        supervisor.wait()
    await until(lambda: not any(_alive(process.pid) for process in children), seconds=3)


def test_a_child_that_starts_after_its_supervisor_died_ends_at_once():
    """The race between start and tie is closed: a stranger as parent means the supervisor is gone."""
    code = "from services.kernel.orphans import die_with_supervisor as d; d(); print('lives')"
    env = {**os.environ, SUPERVISOR_PID: "999999999"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=False)
    assert done.returncode == 70
    assert done.stdout == b""


@pytest.mark.parametrize(("end", "survives"), [("kill", False), ("dismiss", True)])
async def test_the_guard_ends_servers_of_a_killed_owner_only(tmp_path, end, survives):
    """A server is ended when its owner was killed, and left to an owner who says goodbye."""
    script = f"""
import signal, subprocess, sys, time
from pathlib import Path
from services.kernel.orphans import Guard
server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
guard = Guard()
guard.watch(server.pid, signal.SIGTERM)
if {end!r} == "dismiss":
    guard.dismiss()
Path({str(tmp_path / "pids")!r}).write_text(f"{{server.pid}} {{guard._process.pid}} ok")
time.sleep(600)
"""
    owner = subprocess.Popen([sys.executable, "-c", script])
    pids = tmp_path / "pids"
    await until(lambda: _text(pids).endswith("ok"))
    server, guard, _ = pids.read_text().split()
    owner.kill()
    owner.wait()
    await until(lambda: not _alive(int(guard)), seconds=5)
    try:
        assert _alive(int(server)) is survives
    finally:
        if survives:
            os.kill(int(server), signal.SIGKILL)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
