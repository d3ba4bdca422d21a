"""The command line: complete help at once, one clear line for each error, and the owner of a data folder."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from services.cli import main
from services.cli.place import InUseError, Place, PlaceError, Running, write_secret
from services.cli.processes import ALL, programs
from services.cli.run import RunError, free_port
from services.cli.service import SERVICES

COMMANDS = {
    "run",
    "erase",
    "intake",
    "relay",
    "criteria",
    "dispatch",
    "sender",
    "volunteers",
    "auditor",
    "projections",
    "web",
    "migrate",
    "topics",
    "import",
    "report",
    "verify",
    "partner",
    "partner-sim",
}


def zoeklicht(*words, **env):
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ZOEKLICHT_", "DATABASE_URL", "KAFKA_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "services.cli.main", *words],
        env={**clean, "COLUMNS": "200", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _every(command, path=()):
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _every(child, (*path, name))


def test_every_command_and_every_option_explains_itself():
    """Nothing in the help is left without a text."""
    root = typer.main.get_command(main.app)
    assert set(root.commands) >= COMMANDS
    for path, command in _every(root):
        assert command.help, f"{' '.join(path)} has no help"
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{' '.join(path)}: {parameter.name} has no help"


def test_help_loads_nothing_heavy():
    """`--help` imports neither drivers nor frameworks, so that it is there at once."""
    code = (
        "import sys; from services.cli.main import app; sys.argv = ['zoeklicht', '--help']\n"
        "try: app()\nexcept SystemExit: pass\n"
        "heavy = {'asyncpg', 'aiokafka', 'fastapi', 'faust', 'aiohttp', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(','.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_service_has_a_process_and_web_stops_first_relay_last():
    """The supervisor starts each service, and what carries the rest stops after the rest."""
    found = programs(ALL)
    assert {program.name for program in found} == set(SERVICES)
    ranks = {program.name: program.stop_rank for program in found}
    assert ranks["web"] == ranks["intake"] == 0
    assert ranks["intake"] < ranks["dispatch"] < ranks["sender"] < ranks["relay"] == max(ranks.values())


def test_a_wrong_word_is_a_usage_error():
    """Exit code 2, and what is allowed."""
    done = zoeklicht("report", "annual", "2021", "--format", "docx")
    assert done.returncode == 2
    assert "xlsx" in done.stderr


def test_a_wrong_setting_is_one_line_with_its_name_and_never_its_value(tmp_path):
    """Exit code 2; the line says what is allowed."""
    url = "postgresql://u:verysecret@127.0.0.1:1/x"
    done = zoeklicht(
        "verify", "--data", str(tmp_path), DATABASE_URL=url, ZOEKLICHT_MASTER_KEY="short", LC_ALL="C"
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ZOEKLICHT_MASTER_KEY is wrong:")
    assert done.stderr.count("\n") == 1
    assert "short" not in done.stderr


def test_given_servers_want_a_given_key(tmp_path):
    """Data on servers of one's own belong to a key of one's own: none is made up."""
    done = zoeklicht("verify", "--data", str(tmp_path), DATABASE_URL="postgresql://u:p@127.0.0.1:1/x")
    assert done.returncode == 2
    assert "ZOEKLICHT_MASTER_KEY is not set" in done.stderr
    assert not (tmp_path / "master.key").exists()


def test_a_server_that_is_away_is_one_line(tmp_path):
    """Exit code 1; neither a stack nor the password."""
    done = zoeklicht(
        "verify",
        "--data",
        str(tmp_path),
        DATABASE_URL="postgresql://u:verysecret@127.0.0.1:1/x",
        ZOEKLICHT_MASTER_KEY="AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "DATABASE_URL" in done.stderr
    assert "verysecret" not in done.stderr


def test_a_taken_port_is_one_line(tmp_path):
    """`run` says so before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = zoeklicht("run", "--data", str(tmp_path / "d"), "--port", str(port))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: cannot listen on 127.0.0.1:{port}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "d" / "postgres").exists()


def test_port_zero_is_any_free_port_and_a_foreign_address_is_refused():
    """The port is chosen before the services start, so that everybody knows it."""
    assert free_port("127.0.0.1", 0) > 0
    with pytest.raises(RunError):
        free_port("192.0.2.1", 0)


def test_a_folder_has_one_owner(tmp_path):
    """The second one is told who the first is; afterwards the folder is free again."""
    place = Place(tmp_path)
    running = Running("run", 4711, "postgresql://x", "127.0.0.1:1")
    with place.owned(), place.announced(running):
        assert place.running() == running
        assert place.run_file.stat().st_mode & 0o777 == 0o600
        done = zoeklicht("run", "--data", str(tmp_path), "--port", "0")
        assert done.returncode == 1
        assert done.stderr == (
            f"error: {tmp_path} is in use by process 4711: stop that one first, or choose another --data\n"
        )
        with pytest.raises(InUseError), Place(tmp_path).owned():
            pass
    assert place.running() is None
    with place.owned():
        pass


def test_a_killed_owner_leaves_nothing_that_misleads(tmp_path):
    """What a killed owner said about its servers is not believed by the next one."""
    place = Place(tmp_path)
    write_secret(
        place.run_file, {"kind": "run", "pid": 1, "database_url": "x", "kafka_bootstrap_servers": "y"}
    )
    with place.owned():
        assert place.running() is None


def test_the_master_key_is_made_once_and_for_its_owner_only(tmp_path):
    """The same key at every start, mode 0600."""
    place = Place(tmp_path)
    key = place.master_key()
    assert place.master_key() == key
    assert place.key_file.stat().st_mode & 0o777 == 0o600


def test_a_lost_master_key_is_not_replaced(tmp_path):
    """A new key would open nothing: the message says to put the old one back."""
    (tmp_path / "postgres" / "cluster").mkdir(parents=True)
    with pytest.raises(PlaceError, match="put it back from a copy"):
        Place(tmp_path).master_key()


def test_a_secret_file_is_never_readable_by_others(tmp_path):
    """Also when it replaces one that was."""
    path = tmp_path / "access.json"
    path.write_text("{}")
    path.chmod(0o644)
    write_secret(path, {"tokens": {"admin": "zl_x"}})
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["tokens"]["admin"] == "zl_x"
    assert [p.name for p in Path(tmp_path).iterdir()] == ["access.json"]
