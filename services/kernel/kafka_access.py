"""Who we are to Kafka and who may answer: the one place that makes what every client needs to connect.

aiokafka writes why a broker was not to be had to its log, and raises that none was. `start` and `knock` say why, and
which setting to change.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from services.kernel.errors import ZoeklichtError
from services.kernel.settings import Settings, SettingsError
from services.kernel.tls import why_not_believed

_ANSWER_WITHIN_MS = 5_000


class KafkaRefusedError(ZoeklichtError, KafkaConnectionError):  # type: ignore[misc]
    """A broker is there and we cannot talk with it; the message names the setting that is probably wrong."""

    def __str__(self) -> str:
        return str(self.args[0])


def client_settings(settings: Settings) -> dict[str, Any]:
    """What every aiokafka client of this installation needs to connect.

    Raises SettingsError when a certificate that was there at the start is gone.
    """
    password = settings.kafka_sasl_password
    try:
        context = settings.kafka_tls_context()
    except ValueError as error:
        raise SettingsError(str(error)) from None
    return {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": context,
        "sasl_mechanism": settings.kafka_sasl_mechanism or "PLAIN",
        "sasl_plain_username": settings.kafka_sasl_username,
        "sasl_plain_password": password.get_secret_value() if password else None,
    }


async def start(client: Any, settings: Settings) -> None:
    """Starts a client of aiokafka. Raises KafkaRefusedError where a setting is wrong, KafkaError where Kafka is away."""
    try:
        await client.start()
    except KafkaError:
        with suppress(OSError):
            await knock(settings)
        raise


@asynccontextmanager
async def admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for topics, started and closed. Raises what `start` raises."""
    client = AIOKafkaAdminClient(**client_settings(settings))
    try:
        await start(client, settings)
        yield client
    finally:
        await client.close()


async def knock(settings: Settings) -> None:
    """Asks a broker for the cluster, as every client does first; one that answers is enough.

    Raises KafkaRefusedError when those that are there refuse us, OSError when none is there.
    """
    refused = None
    for server in settings.kafka_bootstrap_servers.split(","):
        try:
            await _ask(settings, server)
        except KafkaRefusedError as error:
            refused = refused or error
        except (KafkaError, OSError):
            continue
        else:
            return
    raise refused or ConnectionRefusedError("no Kafka broker answers; see KAFKA_BOOTSTRAP_SERVERS")


async def _ask(settings: Settings, server: str) -> None:
    host, _, port = server.rpartition(":")
    access = client_settings(settings)
    del access["bootstrap_servers"]
    connection = None
    try:
        connection = await create_conn(host, int(port), request_timeout_ms=_ANSWER_WITHIN_MS, **access)
        await connection.send(MetadataRequest([]))
    except (KafkaError, OSError) as error:
        why = _why(error, server, encrypted=access["ssl_context"] is not None)
        if why is None:
            raise
        raise KafkaRefusedError(why) from error
    finally:
        if connection is not None:
            connection.close()


_ANSWERS = (
    (SaslAuthenticationFailed, "refuses KAFKA_SASL_USERNAME with KAFKA_SASL_PASSWORD"),
    (UnsupportedSaslMechanismError, "does not know our KAFKA_SASL_MECHANISM"),
    (IllegalSaslStateError, "wants no SASL: check KAFKA_SECURITY_PROTOCOL"),
)
"""What a broker says of how we present ourselves."""
_HANGS_UP = "hangs up when we ask: it may want another KAFKA_SECURITY_PROTOCOL"
_NO_TLS = "speaks no TLS that we understand: check KAFKA_SECURITY_PROTOCOL"
_WHO_ARE_WE = "wants a certificate of us that it believes: check KAFKA_SSL_CERTFILE"


def _why(error: BaseException, server: str, *, encrypted: bool) -> str | None:
    """Why a broker that is there will not have us; None when it is not there."""
    broker = f"the Kafka broker {server}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return why_not_believed(
            error, server=broker, address="KAFKA_BOOTSTRAP_SERVERS", authority="KAFKA_SSL_CAFILE"
        )
    what = next((text for kind, text in _ANSWERS if isinstance(error, kind)), None)
    alert = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
    if isinstance(alert, ssl.SSLError) and "CERTIFICATE" in (alert.reason or ""):
        what = _WHO_ARE_WE
    elif isinstance(error, (ssl.SSLError, ConnectionResetError)) and encrypted:
        what = _NO_TLS
    elif isinstance(error, (KafkaConnectionError, ConnectionResetError)):
        what = _HANGS_UP
    return what and f"{broker} {what}"
