"""Ports, file rights and ends of the embedded servers."""

import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from services.kernel.embedded.account import let_run
from services.kernel.embedded.process import choose_port, end_leftovers, is_free, read_port


def test_a_port_is_kept_while_it_is_free(tmp_path):
    """The remembered port is given again, so that clients find the server after a restart."""
    memory = tmp_path / "port"

    assert choose_port(memory) == choose_port(memory) == read_port(memory)


def test_a_taken_port_gives_way_to_another_that_is_remembered(tmp_path):
    """When somebody else listens on the remembered port, another free one takes its place."""
    memory = tmp_path / "port"
    first = choose_port(memory)
    with socket.create_server(("127.0.0.1", first)):
        second = choose_port(memory)

    assert first != second == read_port(memory)
    assert is_free(second)


def test_a_port_that_gets_free_in_a_moment_is_kept(tmp_path):
    """A killed server's port may be taken a little longer; moving would leave every client behind."""
    memory = tmp_path / "port"
    port = choose_port(memory)
    with ThreadPoolExecutor() as pool:
        with socket.create_server(("127.0.0.1", port)):
            chosen = pool.submit(choose_port, memory)
            time.sleep(0.2)
            assert not chosen.done()
        assert chosen.result() == port


def test_ports_are_not_those_that_the_system_hands_out(tmp_path):
    """Nobody gets one by asking for any port, or as the near end of a connection, while a server is away."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        handed_out = probe.getsockname()[1]
    chosen = {choose_port(tmp_path / f"port-{number}") for number in range(20)}
    assert max(chosen) < 32_768 <= handed_out
    assert len(chosen) > 10, "two installations on one machine should not meet"


@pytest.mark.parametrize("content", ["", "moon", "0", "70000"])
def test_a_damaged_port_file_is_no_port(tmp_path, content):
    """Nonsense in the file counts as nothing remembered, and is written over."""
    memory = tmp_path / "port"
    memory.write_text(content)

    assert read_port(memory) is None
    assert choose_port(memory) == read_port(memory)


def test_a_leftover_that_ignores_the_polite_signal_is_killed():
    """A process that does not end when asked is ended for certain."""
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        end_leftovers([psutil.Process(process.pid)], signal.SIGTERM, patience_s=0.1)

        assert not psutil.pid_exists(process.pid)


def test_a_program_folder_is_opened_for_reading_and_running_only(tmp_path):
    """Another account may read libraries and run programs, and still write nothing."""
    programs = tmp_path / "install"
    (programs / "bin").mkdir(parents=True)
    for path, mode in ((programs / "bin" / "postgres", 0o700), (programs / "library", 0o600)):
        path.touch()
        path.chmod(mode)
    for folder in (programs / "bin", programs):
        folder.chmod(0o700)

    let_run(programs)

    modes = {path.name: path.stat().st_mode & 0o777 for path in [programs, *programs.rglob("*")]}
    assert modes == {"install": 0o705, "bin": 0o705, "postgres": 0o705, "library": 0o604}
