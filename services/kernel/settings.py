"""Settings from the environment. A wrong one stops the start with its name and what is allowed."""

import os
import ssl
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AliasChoices,
    DirectoryPath,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from services.kernel.errors import ZoeklichtError
from services.kernel.key_settings import KeySettings
from services.kernel.tls import client_context

_NO_MASTER_KEY = "ZOEKLICHT_MASTER_KEY is not set; set it in the environment"


class SettingsError(ZoeklichtError):
    """A setting is missing or wrong; the message names it and says what is allowed."""


class Settings(KeySettings):
    """Every setting, with its unit. Names without prefix are the usual ones of PostgreSQL and Kafka."""

    model_config = SettingsConfigDict(
        env_prefix="ZOEKLICHT_",
        # What is set to nothing is not set: a compose file can name a setting that is optional.
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    database_url: SecretStr = Field(validation_alias=AliasChoices("DATABASE_URL", "database_url"))
    vault_database_url: SecretStr | None = None
    """The database of the keys; by default the database `vault` on the same server."""
    kafka_bootstrap_servers: str = Field(
        validation_alias=AliasChoices("KAFKA_BOOTSTRAP_SERVERS", "kafka_bootstrap_servers"),
        pattern=r"^[^,:/\s]+:\d+(,[^,:/\s]+:\d+)*$",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT",
        validation_alias=AliasChoices("KAFKA_SECURITY_PROTOCOL", "kafka_security_protocol"),
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        default=None, validation_alias=AliasChoices("KAFKA_SASL_MECHANISM", "kafka_sasl_mechanism")
    )
    kafka_sasl_username: str | None = Field(
        default=None, validation_alias=AliasChoices("KAFKA_SASL_USERNAME", "kafka_sasl_username")
    )
    kafka_sasl_password: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("KAFKA_SASL_PASSWORD", "kafka_sasl_password")
    )
    kafka_ssl_cafile: FilePath | None = Field(
        default=None, validation_alias=AliasChoices("KAFKA_SSL_CAFILE", "kafka_ssl_cafile")
    )
    """The authority in PEM that vouches for the brokers; by default those that the system trusts."""
    kafka_ssl_certfile: FilePath | None = Field(
        default=None, validation_alias=AliasChoices("KAFKA_SSL_CERTFILE", "kafka_ssl_certfile")
    )
    """Our own certificate in PEM, for brokers that ask for one."""
    kafka_ssl_keyfile: FilePath | None = Field(
        default=None, validation_alias=AliasChoices("KAFKA_SSL_KEYFILE", "kafka_ssl_keyfile")
    )
    """The key of that certificate; by default in the same file."""
    kafka_ssl_password: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("KAFKA_SSL_PASSWORD", "kafka_ssl_password")
    )
    """What that key is encrypted with."""
    topic_prefix: Annotated[str, Field(pattern=r"^[a-z0-9.-]*$", max_length=40)] = ""
    """Before every topic and consumer group, so that installations can share a cluster."""
    topic_partitions: Annotated[int, Field(ge=1, le=1000)] = 12
    topic_replication: Annotated[int, Field(ge=1, le=9)] = 1
    calendar: str = "Europe/Brussels"
    policy: Path | None = None
    """A campaign policy in TOML; by default the one that ships with intake."""
    rules: Path | None = None
    """A folder of criteria rules in TOML beside those that ship with criteria."""
    rules_version: Annotated[str, Field(max_length=64)] | None = None
    """The version of the rules that acts, whatever the day; by default the newest one in force."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    public_url: str | None = None
    """How partners reach us, for `receipts_url`; by default http://host:port."""
    partner_hosts: Annotated[frozenset[str], NoDecode] = frozenset()
    """host:port of every partner that may be written to, separated by commas."""
    partner_ca_file: FilePath | None = None
    """Authorities in PEM that may vouch for partners, beside those that the system trusts."""
    allow_loopback_partners: bool = False
    """Adds http and any loopback port: for demonstrations and tests."""
    delivery_timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    lease_s: Annotated[float, Field(gt=0, le=600)] = 30.0
    display_for_s: Annotated[int, Field(ge=2, le=86_400)] = 1800
    """How long a partner may show an alert without hearing from us again."""
    renew_every_s: Annotated[float, Field(gt=0, le=3600)] = 300.0
    """How often each partner with an active alert is told that it may go on showing it."""
    cap_sender: Annotated[str, Field(pattern=r"^[^\s,<&]+$", max_length=200)] | None = None
    """Who signs CAP messages, as others refer to them; by default zoeklicht@ and the host of the public URL."""
    cap_sender_name: Annotated[str, Field(min_length=1, max_length=200)] = "116 000"
    """The same, for people."""
    cap_key_file: Path | None = None
    """A private key and its certificate in PEM, which sign CAP messages; by default derived from the master key."""
    keep_deliveries_days: Annotated[int, Field(ge=3, le=36_500)] = 400
    """How long deliveries, attempts and receipts are kept after their alert was withdrawn.

    Not less than 3: feeds show for 48 h that it is over, and a partner that lost its memory is told so again.
    """
    vault_backup_days: Annotated[int, Field(ge=0, le=30)] = 30
    """How long backups of the keys live: a certificate of erasure names the day on which the last one is gone."""
    postgres_programs: DirectoryPath | None = None
    """The folder of pg_dump and pg_restore for backups; by default those that came with this software, without TLS."""
    erasure_confirm_days: Annotated[float, Field(gt=0, le=90)] = 7.0
    """How long partners have to confirm that they deleted what was erased, before a person is paged."""
    standby_linger_s: Annotated[float, Field(ge=0, le=3600)] = 600.0
    """A case must stay not worrying this long before its standby alert is withdrawn."""
    smtp_url: SecretStr | None = None
    """Where e-mail is handed over: smtps://user:password@host, or smtp:// with STARTTLS where there is a password."""
    smtp_from: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    """The sender of pages; by default zoeklicht@ and the host of the public URL."""
    paging_escalate_s: Annotated[float, Field(gt=0, le=3600)] = 300.0
    """How long the next person on duty is not told of a page that nobody acknowledges."""
    volunteer_channels: Literal["sandbox", "live"] = "sandbox"
    """Whether messages to volunteers leave this installation; in the sandbox they are taken and reach nobody."""
    sms_url: SecretStr | None = None
    """Where text messages and calls are handed over: a provider, or an adapter to one; see docs/volunteers.md."""
    sms_token: SecretStr | None = None
    """Who we are to that provider, as a bearer token."""
    sms_signing_key: SecretStr | None = None
    """With what that provider signs its reports (`whsec_…`, Standard Webhooks); without it none is believed."""
    volunteer_answer_s: Annotated[float, Field(gt=0, le=86_400)] = 180.0
    """How long a volunteer who was asked has to answer, before their next channel is tried."""
    volunteer_wave_s: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    """How long a wave of volunteers has to answer, before more are asked."""
    dead_man_url: SecretStr | None = None
    """Asked for after each audit that found nothing; whoever watches it from outside notices when that ends."""
    emergency_pack: Path | None = None
    """A folder, best one mounted from elsewhere, into which an encrypted emergency pack is written again and again."""
    emergency_recipients: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(), validate_default=True
    )
    """Public keys (age1…) of those who can open the emergency pack, separated by commas."""
    emergency_every_s: Annotated[float, Field(gt=0, le=3600)] = 300.0
    emergency_kept: Annotated[int, Field(ge=1, le=10_000)] = 288
    """How many packs stay: a day's."""
    oidc_issuer: str | None = None
    """An OpenID provider whose people may sign in, https://… exactly as it calls itself."""
    oidc_audience: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Whom the provider's access tokens must be meant for; not the client that pages sign in with."""
    oidc_client_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    oidc_client_secret: SecretStr | None = None
    oidc_role_claim: Annotated[str, Field(min_length=1, max_length=100)] = "roles"
    """Where a token says what somebody is here for: operator, coordinator, admin, viewer, case_manager or
    magistrate_liaison, one or a list."""
    oidc_name_claim: Annotated[str, Field(min_length=1, max_length=100)] = "sub"
    """What somebody is called in the log and the audit: must never pass to somebody else."""
    calls_per_minute: Annotated[int, Field(ge=10, le=1_000_000)] = 6000
    """How often each caller may read, and partners and viewers call at all; what staff changes is never limited."""
    sign_ins_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 30
    """How often somebody may try to sign in to the pages from one address."""
    pool_size: Annotated[int, Field(ge=1, le=100)] = 5
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("partner_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        hosts = frozenset(part.strip().lower() for part in value.split(",") if part.strip())
        if any(not host.rpartition(":")[2].isdigit() for host in hosts):
            raise ValueError("write host:port, separated by commas")
        return hosts

    @field_validator("smtp_url")
    @classmethod
    def _mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        parts = urlsplit(value.get_secret_value()) if value else None
        if parts and (parts.scheme not in {"smtp", "smtps"} or not parts.hostname):
            raise ValueError("write smtps://user:password@host:465 or smtp://user:password@host:587")
        return value

    @field_validator("dead_man_url", "sms_url")
    @classmethod
    def _http(cls, value: SecretStr | None) -> SecretStr | None:
        if value and urlsplit(value.get_secret_value()).scheme not in {"http", "https"}:
            raise ValueError("write the whole address, https://host/path")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _provider(cls, value: str | None) -> str | None:
        parts = urlsplit(value) if value else None
        here = (
            parts is not None
            and parts.scheme == "http"
            and parts.hostname in {"127.0.0.1", "::1", "localhost"}
        )
        if parts and (parts.query or parts.fragment or not (parts.scheme == "https" or here)):
            raise ValueError("write https://host/path, exactly as the provider's discovery document says")
        return value

    @model_validator(mode="after")
    def _whole_provider(self) -> Self:
        rest = (self.oidc_audience, self.oidc_client_id, self.oidc_client_secret)
        if self.oidc_issuer and not all(rest):
            raise ValueError(
                "ZOEKLICHT_OIDC_ISSUER needs ZOEKLICHT_OIDC_AUDIENCE, ZOEKLICHT_OIDC_CLIENT_ID and"
                " ZOEKLICHT_OIDC_CLIENT_SECRET"
            )
        if self.oidc_issuer and self.oidc_audience == self.oidc_client_id:
            raise ValueError(
                "ZOEKLICHT_OIDC_AUDIENCE must not be ZOEKLICHT_OIDC_CLIENT_ID: an ID token would open the API"
            )
        return self

    @model_validator(mode="after")
    def _whole_kafka_access(self) -> Self:
        protocol = self.kafka_security_protocol
        tls = self._set("kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile", "kafka_ssl_password")
        sasl = self._set("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password")
        # Whoever set these wants them to count: a protocol that was forgotten must not mean plain text.
        if tls and not protocol.endswith("SSL"):
            raise ValueError(f"{tls[0]} needs KAFKA_SECURITY_PROTOCOL to be SSL or SASL_SSL")
        if sasl and not protocol.startswith("SASL"):
            raise ValueError(f"{sasl[0]} needs KAFKA_SECURITY_PROTOCOL to be SASL_SSL or SASL_PLAINTEXT")
        if protocol.startswith("SASL") and not {"KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"} <= {*sasl}:
            raise ValueError(
                "KAFKA_SECURITY_PROTOCOL with SASL needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
            )
        if protocol == "SASL_PLAINTEXT" and self.kafka_sasl_mechanism in {None, "PLAIN"}:
            raise ValueError(
                "KAFKA_SASL_MECHANISM must be SCRAM-SHA-512 or SCRAM-SHA-256 without TLS: PLAIN sends the password itself"
            )
        if "KAFKA_SSL_CERTFILE" not in tls and {"KAFKA_SSL_KEYFILE", "KAFKA_SSL_PASSWORD"} & {*tls}:
            raise ValueError("KAFKA_SSL_CERTFILE must name the certificate of KAFKA_SSL_KEYFILE")
        self.kafka_tls_context()
        return self

    def _set(self, *names: str) -> list[str]:
        return [name.upper() for name in names if getattr(self, name) is not None]

    @field_validator("emergency_recipients", mode="before")
    @classmethod
    def _public_keys(cls, value: object, info: object) -> object:
        if not value and getattr(info, "data", {}).get("emergency_pack"):
            raise ValueError("name who can open the packs: `zoeklicht emergency-key` makes a key (age1…)")
        if not isinstance(value, str):
            return value
        keys = frozenset(part.strip() for part in value.split(",") if part.strip())
        if any(not key.startswith("age1") for key in keys):
            raise ValueError(
                "write public keys (age1…) separated by commas; `zoeklicht emergency-key` makes one"
            )
        return keys

    @field_validator("calendar")
    @classmethod
    def _known_calendar(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("write a time zone of the IANA database, such as Europe/Brussels") from error
        return value

    @field_validator("database_url", "vault_database_url")
    @classmethod
    def _postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value and urlsplit(value.get_secret_value()).scheme not in {"postgresql", "postgres"}:
            raise ValueError("write postgresql://user:password@host:port/database")
        return value

    @field_validator("lease_s")
    @classmethod
    def _long_lease(cls, value: float, info: object) -> float:
        timeout = getattr(info, "data", {}).get("delivery_timeout_s", 10.0)
        if value < 3 * timeout:
            raise ValueError(
                "at least three times ZOEKLICHT_DELIVERY_TIMEOUT_S, or a slow answer outlives its lease"
            )
        return value

    @field_validator("renew_every_s")
    @classmethod
    def _before_it_is_dark(cls, value: float, info: object) -> float:
        if 2 * value > getattr(info, "data", {}).get("display_for_s", 1800):
            raise ValueError(
                "at most half of ZOEKLICHT_DISPLAY_FOR_S, or one lost renewal makes a display dark"
            )
        return value

    @cached_property
    def zone(self) -> ZoneInfo:
        """The installation's calendar."""
        return ZoneInfo(self.calendar)

    @property
    def vault_url(self) -> str:
        """Where the keys live."""
        if self.vault_database_url:
            return self.vault_database_url.get_secret_value()
        parts = urlsplit(self.database_url.get_secret_value())
        return urlunsplit(parts._replace(path="/vault"))

    def kafka_tls_context(self) -> ssl.SSLContext | None:
        """How clients of Kafka speak TLS, read anew from the files; None without TLS. Raises ValueError."""
        if not self.kafka_security_protocol.endswith("SSL"):
            return None
        password = self.kafka_ssl_password
        return client_context(
            ca_file=self.kafka_ssl_cafile,
            certificate=self.kafka_ssl_certfile,
            key=self.kafka_ssl_keyfile,
            password=password.get_secret_value() if password else None,
        )

    @cached_property
    def partner_ca(self) -> str | None:
        """The authorities in `partner_ca_file`, in PEM. Raises OSError when it cannot be read."""
        return None if self.partner_ca_file is None else self.partner_ca_file.read_text(encoding="ascii")

    @property
    def base_url(self) -> str:
        """How others reach this installation."""
        return self.public_url or f"http://{self.host}:{self.port}"

    @property
    def cap_sender_id(self) -> str:
        """The sender of CAP messages."""
        return self.cap_sender or f"zoeklicht@{urlsplit(self.base_url).hostname}"

    def topic(self, name: str) -> str:
        """The topic's name in this installation."""
        return self.topic_prefix + name


def load_settings(*, opens: bool = True, **overrides: object) -> Settings:
    """Settings of this process. `opens`: whether it opens data, and so needs the master key.

    Raises SettingsError: one line per wrong setting with its name and what is allowed, never its value.
    """
    try:
        found = Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = [_explain(dict(item)) for item in error.errors()]
        if opens and not (overrides.get("master_key") or os.environ.get("ZOEKLICHT_MASTER_KEY")):
            wrong.append(_NO_MASTER_KEY)
        raise SettingsError("\n".join(wrong)) from None
    if opens and not found.master_key.get_secret_value():
        raise SettingsError(_NO_MASTER_KEY)
    return found


def _explain(item: dict[str, object]) -> str:
    location = item["loc"]
    if not location:  # about several settings, which it names itself
        return str(item["msg"]).removeprefix("Value error, ")
    name = str(location[0]) if isinstance(location, tuple) and location else "setting"
    field = Settings.model_fields.get(name)
    if field is not None:
        name = name.upper() if field.validation_alias else f"ZOEKLICHT_{name.upper()}"
    if item["type"] == "missing":
        return f"{name} is not set; set it in the environment"
    return f"{name} is wrong: {item['msg']}"
