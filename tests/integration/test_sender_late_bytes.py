"""A request that the partner's machine does not take in time never arrives later, whatever became of its sender."""

import asyncio
import signal
import socket
import sys
from pathlib import Path

import pytest

BODY = 60_000
"""Bytes: more than the partner's buffer holds, and so little that a sender has soon nothing left to write."""
TIMEOUT_S = 1.0
POST = f"""
import asyncio, socket, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from sender_ground import bare_settings
from services.dispatch import transport as module
from services.dispatch.transport import Transport, TransportError

guarded_sockets = module.guarded_sockets

def small(**options):
    guarded = guarded_sockets(**options)

    def make(info):
        made = guarded(info)
        if sys.argv[3] == "process":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return made

    return make

module.guarded_sockets = small

async def look():
    pass

async def main():
    timeout = float(sys.argv[2])
    transport = Transport(
        bare_settings(delivery_timeout_s=timeout, lease_s=3 * timeout, allow_loopback_partners=True)
    )
    try:
        await transport.post(sys.argv[1], b"x" * {BODY}, {{}}, look)
    except TransportError as error:
        await asyncio.sleep(0.1)  # the loop closes what was given up in its next turn
        print(error.error_class, error.sent, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


def rest(connection):
    """How many bytes arrive when the partner reads at last, until the connection ends."""
    connection.settimeout(30)
    size = 0
    try:
        while chunk := connection.recv(1 << 20):
            size += len(chunk)
    except ConnectionResetError:
        pass
    return size


@pytest.mark.parametrize(
    ("end", "kept_by"),
    [("timeout", "process"), ("timeout", "system"), ("kill", "system"), ("stop", "system")],
)
@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux bounds it")
async def test_what_was_not_taken_in_time_does_not_arrive_later(end, kept_by):
    """The partner's machine is too busy to read; when it does, the sender has given up, is dead, or is stopped."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.bind(("127.0.0.1", 0))
        server.listen()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/hook"
        timeout_s = TIMEOUT_S if end != "kill" else 60.0
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", POST, url, str(timeout_s), kept_by, stdout=asyncio.subprocess.PIPE
        )
        try:
            connection, _ = await asyncio.to_thread(server.accept)
            with connection:
                await asyncio.to_thread(connection.recv, 1, socket.MSG_PEEK)
                match end:
                    case "timeout":
                        assert await process.stdout.readline() == b"timeout True\n"
                    case "kill":
                        process.kill()
                        await process.wait()
                    case "stop":
                        process.send_signal(signal.SIGSTOP)
                        # The system looks after a timeout that it doubles: at the latest after three of ours.
                        await asyncio.sleep(4 * TIMEOUT_S)
                assert await asyncio.to_thread(rest, connection) < BODY
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
