"""TLS and SASL to a real Kafka: every client gets in by settings alone, and whoever does not is told which one is wrong."""

import asyncio
import os
import sys
from dataclasses import dataclass

import pytest
from secured_servers import PASSWORD, USER, Authority, SecuredKafka, authority

from schemas.events import CASE_EVENTS, TOPICS
from services.cli.caught_up import topics_reader
from services.eventlog.producer import producer
from services.kernel.kafka import create_topics, end_offsets
from services.kernel.kafka_access import KafkaRefusedError, knock, start
from services.kernel.service import Runtime
from services.kernel.settings import load_settings
from services.kernel.streaming import follow
from services.kernel.topic_identity import topic_identity
from services.projections.stream import partitions_of
from services.web.watch import Watch


@dataclass
class Ground:
    """A broker whose certificate `ours` signed, and an authority that has nothing to say here."""

    broker: SecuredKafka
    plain: str
    ours: Authority
    others: Authority

    def by_password(self, mechanism="SCRAM-SHA-512", *, server=None, **rest):
        values = {
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": mechanism,
            "kafka_sasl_username": USER,
            "kafka_sasl_password": PASSWORD,
            "kafka_ssl_cafile": self.ours.file,
        }
        return settings_of(server or f"localhost:{self.broker.sasl}", **{**values, **rest})

    def by_certificate(self, **rest):
        values = {
            "kafka_security_protocol": "SSL",
            "kafka_ssl_cafile": self.ours.file,
            "kafka_ssl_certfile": self.ours.certificate("client.pem", "relay.example"),
        }
        return settings_of(f"localhost:{self.broker.tls}", **{**values, **rest})


def settings_of(server, **rest):
    return load_settings(
        database_url="postgresql://nobody@127.0.0.1:1/none",
        master_key="A" * 43 + "=",
        kafka_bootstrap_servers=server,
        topic_partitions=1,
        **rest,
    )


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secured")
    ours, others = authority(folder / "ours"), authority(folder / "others")
    broker = SecuredKafka(folder / "servers", ours)
    try:
        yield Ground(broker, broker.start(), ours, others)
    finally:
        broker.stop()


WAYS_IN = {
    "certificate": lambda ground: ground.by_certificate(topic_prefix="certificate-"),
    "scram": lambda ground: ground.by_password(topic_prefix="scram-"),
    "plain": lambda ground: ground.by_password("PLAIN", topic_prefix="plain-"),
}


@pytest.mark.parametrize("way", WAYS_IN)
async def test_every_client_gets_in(ground, way):
    """Topics, ids, the one producer, the stream processor, the readers of projections and of commands, the edge's watch."""
    settings = WAYS_IN[way](ground)
    await create_topics(settings, TOPICS)
    topic = settings.topic(CASE_EVENTS)
    assert topic in (await topic_identity(settings, TOPICS)).topic_ids
    assert await partitions_of(settings, [CASE_EVENTS]) == [(topic, 0)]
    sender = producer(settings)
    try:
        await start(sender, settings)
        await sender.send_and_wait(topic, b"lit", key=b"lamp")
    finally:
        await sender.stop()

    runtime, seen = Runtime("test", settings, None), []

    async def apply(messages):
        seen.extend(message.value for message in messages)
        runtime.stop.set()

    async def never():
        return False

    await asyncio.wait_for(follow(runtime, "test", CASE_EVENTS, apply, never), 120)
    assert seen == [b"lit"]

    async with topics_reader(settings) as client:
        assert (await end_offsets(client, [topic]))[topic, 0] == 1
    edge = Watch(settings, None)
    looking = asyncio.create_task(edge._watch_kafka())
    try:
        async with asyncio.timeout(60):
            while not edge.ends:  # noqa: ASYNC110 - it looks by itself
                await asyncio.sleep(0.05)
    finally:
        looking.cancel()
        await asyncio.wait([looking])
    assert edge.ends[topic, 0] == 1


WRONG = {
    "another authority": (
        lambda ground: ground.by_password(kafka_ssl_cafile=ground.others.file),
        "KAFKA_SSL_CAFILE must name the authority",
    ),
    "the authorities of the system": (
        lambda ground: ground.by_password(kafka_ssl_cafile=None),
        "KAFKA_SSL_CAFILE must name the authority",
    ),
    "another name": (
        lambda ground: ground.by_password(server=f"127.0.0.1:{ground.broker.sasl}"),
        "is for another name: KAFKA_BOOTSTRAP_SERVERS",
    ),
    "wrong password": (
        lambda ground: ground.by_password(kafka_sasl_password="guess"),
        "refuses KAFKA_SASL_USERNAME with KAFKA_SASL_PASSWORD",
    ),
    "wrong password, plain": (
        lambda ground: ground.by_password("PLAIN", kafka_sasl_password="guess"),
        "refuses KAFKA_SASL_USERNAME with KAFKA_SASL_PASSWORD",
    ),
    "unknown mechanism": (
        lambda ground: ground.by_password("SCRAM-SHA-256"),
        "does not know our KAFKA_SASL_MECHANISM",
    ),
    "no certificate": (
        lambda ground: ground.by_certificate(kafka_ssl_certfile=None),
        "check KAFKA_SSL_CERTFILE",
    ),
    "a stranger's certificate": (
        lambda ground: ground.by_certificate(
            kafka_ssl_certfile=ground.others.certificate("client.pem", "relay.example")
        ),
        "check KAFKA_SSL_CERTFILE",
    ),
    "plain text where TLS is asked": (
        lambda ground: settings_of(f"localhost:{ground.broker.sasl}"),
        "hangs up when we ask: it may want another KAFKA_SECURITY_PROTOCOL",
    ),
    "no password where one is asked": (
        lambda ground: settings_of(
            f"localhost:{ground.broker.sasl}",
            kafka_security_protocol="SSL",
            kafka_ssl_cafile=ground.ours.file,
        ),
        "hangs up when we ask: it may want another KAFKA_SECURITY_PROTOCOL",
    ),
    "a password where none is asked": (
        lambda ground: ground.by_password(
            server=ground.plain, kafka_security_protocol="SASL_PLAINTEXT", kafka_ssl_cafile=None
        ),
        "wants no SASL: check KAFKA_SECURITY_PROTOCOL",
    ),
    "TLS where there is none": (
        lambda ground: ground.by_password(server=ground.plain),
        "speaks no TLS that we understand: check KAFKA_SECURITY_PROTOCOL",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_whoever_does_not_get_in_is_told_which_setting(ground, wrong):
    """One line that names the setting and the broker and no secret, whichever client it was."""
    make, hint = WRONG[wrong]
    settings = make(ground)
    with pytest.raises(KafkaRefusedError) as caught:
        await asyncio.wait_for(create_topics(settings, TOPICS), 120)
    said = str(caught.value)
    assert hint in said
    assert settings.kafka_bootstrap_servers in said
    assert "\n" not in said
    assert not any(secret in said for secret in (PASSWORD, "guess"))


async def test_one_broker_that_answers_is_enough(ground):
    """Of several, one may be wrong or away: whoever is let in somewhere is let in."""
    good = ground.by_password().kafka_bootstrap_servers
    await knock(ground.by_password(server=f"127.0.0.1:1,127.0.0.1:{ground.broker.sasl},{good}"))


async def test_a_broker_that_is_away_is_not_called_wrong(ground):
    """Nobody is to change a setting because a server is being started again."""
    with pytest.raises(ConnectionRefusedError, match="KAFKA_BOOTSTRAP_SERVERS"):
        await knock(ground.by_password(server="127.0.0.1:1"))


async def test_a_process_says_in_one_line_what_kafka_will_not_have(ground, settings):
    """The relay ends, and what it says last names the setting."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.cli.service",
        "relay",
        env=os.environ
        | {
            "DATABASE_URL": settings.database_url.get_secret_value(),
            "ZOEKLICHT_MASTER_KEY": settings.master_key.get_secret_value(),
            "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{ground.broker.sasl}",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": USER,
            "KAFKA_SASL_PASSWORD": "guess",
            "KAFKA_SSL_CAFILE": str(ground.ours.file),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 1
    assert b"refuses KAFKA_SASL_USERNAME with KAFKA_SASL_PASSWORD" in said
    assert b"guess" not in said
