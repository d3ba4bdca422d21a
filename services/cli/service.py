"""The lean way into one service: what the supervisor starts. Loads that service and nothing else."""

import os
import sys
from importlib import import_module

import asyncpg

from services.kernel.errors import ZoeklichtError
from services.kernel.orphans import die_with_supervisor

SERVICES = {
    "intake": "services.intake.main",
    "relay": "services.eventlog.main",
    "criteria": "services.criteria.main",
    "dispatch": "services.dispatch.main",
    "sender": "services.dispatch.sender_main",
    "auditor": "services.dispatch.auditor_main",
    "projections": "services.projections.main",
    "volunteers": "services.volunteers.main",
    "web": "services.web.main",
}
"""The room of each service's `main() -> int`."""

NICENESS = {"projections": 10, "auditor": 10}
"""Who lets others go first when all want the processor at once: figures and proofs may wait, an alert may not."""


def run(name: str) -> int:
    """Runs one service until SIGTERM or SIGINT; returns its exit code, 1 when what it stands on is away."""
    try:
        return int(import_module(SERVICES[name]).main())
    except ZoeklichtError as error:
        sys.stderr.write(f"{name}: {error}\n")
    except (OSError, asyncpg.PostgresError) as error:
        sys.stderr.write(f"{name}: a server it needs does not answer ({type(error).__name__});")
        sys.stderr.write(" check DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS\n")
    return 1


if __name__ == "__main__":
    die_with_supervisor()
    if hasattr(os, "nice"):
        os.nice(NICENESS.get(sys.argv[1], 0))
    code = run(sys.argv[1])
    sys.stdout.flush()
    os._exit(code)  # what is worth keeping is committed; threads of libraries must not hold up the end
