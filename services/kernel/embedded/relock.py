"""Write `kafka.lock` anew: `python -m services.kernel.embedded.relock`, after changing a coordinate below."""

import tempfile
from pathlib import Path

from services.kernel.embedded.jars import LOCK_FILE, maven_context, sha256_of

# SLF4J 1.7 is what Kafka 4.3 is built on; without a binding of that line the broker logs nothing.
COORDINATES = ("org.apache.kafka:kafka_2.13:4.3.1", "org.slf4j:slf4j-simple:1.7.36")

_HEAD = """\
# The jars of the embedded Apache Kafka: group:artifact:version, bytes, sha256.
# Written by `python -m services.kernel.embedded.relock`; read by services/kernel/embedded/jars.py.
"""


def lock_lines() -> list[str]:
    """Resolve the coordinates with everything they need, fetch all of it, and describe each jar."""
    with tempfile.TemporaryDirectory() as folder:
        context = maven_context(Path(folder))
        wanted = [context.create_dependency(coordinate) for coordinate in COORDINATES]
        inputs, transitive = context.resolver.resolve(wanted)
        lines = []
        for dependency in [*inputs, *transitive]:
            jar = Path(dependency.artifact.resolve())
            name = f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}"
            lines.append(f"{name} {jar.stat().st_size} {sha256_of(jar)}")
    return sorted(set(lines))


if __name__ == "__main__":
    LOCK_FILE.write_text(_HEAD + "\n".join(lock_lines()) + "\n", encoding="utf-8")
