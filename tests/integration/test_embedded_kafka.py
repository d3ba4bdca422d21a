"""The embedded Apache Kafka: data and address survive every kind of end, and one owner has one broker."""

import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.kernel.embedded import EmbeddedError, EmbeddedKafka

TOPIC = "lamps"

# A name that properties files, lists and shells are known to trip over.
FOLDER = "été, kafka #1"


@pytest.fixture
def broker(tmp_path):
    made = EmbeddedKafka(tmp_path / FOLDER, log_file=tmp_path / "kafka.log")
    yield made
    made.stop()


async def produce(bootstrap, *values):
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer:
        for value in values:
            await producer.send_and_wait(TOPIC, value, partition=0)


async def consume(bootstrap, count):
    partition = TopicPartition(TOPIC, 0)
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False) as consumer:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        return [(await consumer.getone()).value for _ in range(count)]


def cluster_id(tmp_path):
    lines = (tmp_path / FOLDER / "log" / "meta.properties").read_text().splitlines()
    return next(line for line in lines if line.startswith("cluster.id="))


async def test_data_cluster_id_and_address_survive_a_restart_and_a_kill(broker, tmp_path):
    """After a stop in order and after kill -9 the same cluster answers at the same address with its events."""
    bootstrap = broker.start()
    await produce(bootstrap, b"lit", b"dark")
    first = cluster_id(tmp_path)
    assert os.getsid(broker.pid) == broker.pid

    broker.stop()
    assert broker.pid is None
    assert broker.start() == bootstrap
    assert await consume(bootstrap, 2) == [b"lit", b"dark"]

    os.kill(broker.pid, signal.SIGKILL)
    broker._process.wait()
    assert broker.start() == bootstrap
    assert await consume(bootstrap, 2) == [b"lit", b"dark"]
    assert cluster_id(tmp_path) == first


OWNER = """
import sys
from pathlib import Path
from services.kernel.embedded import EmbeddedKafka
broker = EmbeddedKafka(Path(sys.argv[1]), log_file=Path(sys.argv[2]))
broker.start()
print(broker.pid, flush=True)
sys.stdin.read()
broker.stop()
"""


def other_owner(tmp_path):
    command = [sys.executable, "-c", OWNER, str(tmp_path / FOLDER), str(tmp_path / "kafka.log")]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


async def test_the_broker_of_a_killed_owner_is_ended_and_a_taken_port_is_left_alone(broker, tmp_path):
    """The next start ends the leftover broker; when its ports are then taken, it answers elsewhere, with its data."""
    with other_owner(tmp_path) as owner:
        left = int(owner.stdout.readline())
        bootstrap = broker.attach()
        await produce(bootstrap, b"lit")
        with pytest.raises(EmbeddedError, match="in use by another running process"):
            broker.start()
        owner.kill()
    assert psutil.pid_exists(left)

    assert broker.start() == bootstrap
    assert not psutil.pid_exists(left)
    broker.stop()
    assert broker.attach() is None
    ports = [int((tmp_path / FOLDER / name).read_text()) for name in ("port", "controller-port")]
    with socket.create_server(("127.0.0.1", ports[0])), socket.create_server(("127.0.0.1", ports[1])):
        moved = broker.start()

        assert moved != bootstrap
        assert await consume(moved, 1) == [b"lit"]


async def test_topics_are_made_by_command_only_and_take_4_mib(broker):
    """An event of nearly 4 MiB fits, and the broker logs what it does."""
    bootstrap = broker.start()
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()
    big = os.urandom(4 * 1024 * 1024 - 1024)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=len(big) + 512) as producer:
        record = await producer.send_and_wait(TOPIC, big, partition=0)

    assert record.offset == 0
    assert b"Kafka Server started" in broker._log_file.read_bytes()


def test_a_broker_that_cannot_start_says_where_to_look_and_leaves_nothing_behind(broker, tmp_path):
    """A heap too small for Java gives one line with the log's place and the way out, and no process."""
    small = EmbeddedKafka(tmp_path / FOLDER, log_file=tmp_path / "kafka.log", heap_mb=8)

    with pytest.raises(EmbeddedError) as caught:
        small.start()

    assert "\n" not in str(caught.value)
    assert str(tmp_path / "kafka.log") in str(caught.value)
    assert "heap" in str(caught.value)
    assert "KAFKA_BOOTSTRAP_SERVERS" in str(caught.value)
    assert small.pid is None
    assert broker._leftovers() == []


def test_half_a_first_start_is_begun_anew(broker, tmp_path):
    """A folder that was cut off before its cluster id was written is formatted by the next start."""
    topics = tmp_path / FOLDER / "log"
    topics.mkdir(parents=True)
    (topics / "bootstrap.checkpoint").touch()

    broker.start()

    assert cluster_id(tmp_path).startswith("cluster.id=")
