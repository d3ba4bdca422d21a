"""A wrong setting stops the start with its name and what is allowed, and never shows its value."""

import base64

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from services.kernel.settings import SettingsError, load_settings

GOOD = {
    "DATABASE_URL": "postgresql://u:hidden@h/zoeklicht",
    "KAFKA_BOOTSTRAP_SERVERS": "h:9092,h2:9092",
    "ZOEKLICHT_MASTER_KEY": base64.b64encode(b"k" * 32).decode(),
}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """A good environment to spoil."""
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_good_settings_load(monkeypatch):
    """The vault is beside the database unless said otherwise; hosts are split."""
    monkeypatch.setenv("ZOEKLICHT_PARTNER_HOSTS", "Screens.example:443, b.example:8443")
    settings = load_settings()
    assert settings.vault_url == "postgresql://u:hidden@h/vault"
    assert settings.partner_hosts == {"screens.example:443", "b.example:8443"}
    assert settings.master_key_bytes == b"k" * 32
    assert "hidden" not in repr(settings)


def test_the_keys_are_reached_in_the_same_way_as_the_rest():
    """What DATABASE_URL says about TLS holds for the vault beside it."""
    asked = "?sslmode=verify-full&sslrootcert=/config/authority.pem"
    settings = load_settings(database_url=f"postgresql://u@h/zoeklicht{asked}")
    assert settings.vault_url == f"postgresql://u@h/vault{asked}"


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("DATABASE_URL", "mysql://secret", "postgresql://"),
        ("KAFKA_BOOTSTRAP_SERVERS", "secret", "pattern"),
        ("ZOEKLICHT_MASTER_KEY", "secret", "32 random bytes"),
        ("ZOEKLICHT_CALENDAR", "Mars/secret", "IANA"),
        ("ZOEKLICHT_PARTNER_HOSTS", "secret", "host:port"),
        ("ZOEKLICHT_PORT", "secret", "integer"),
        ("ZOEKLICHT_LEASE_S", "5", "three times"),
        ("ZOEKLICHT_KEEP_DELIVERIES_DAYS", "2", "greater than or equal to 3"),
        ("ZOEKLICHT_LOG_LEVEL", "secret", "debug"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch, name, value, hint):
    """The line says which setting, and what is allowed, not what was given."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    text = str(caught.value)
    assert name in text
    assert hint in text
    assert "secret" not in text


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_missing_setting_is_named(monkeypatch, name):
    """What is not set is asked for by its name in the environment."""
    monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        load_settings()


@pytest.mark.parametrize(
    "changed", [{"delivery_timeout_s": 10.0, "lease_s": 29.9}, {"delivery_timeout_s": 10.1}]
)
def test_lease_is_at_least_three_times_the_time_out(changed):
    """Also the lease that nobody sets: a longer time-out alone stops the start."""
    with pytest.raises(SettingsError, match="ZOEKLICHT_LEASE_S"):
        load_settings(**changed)


SECURED = {
    "kafka_security_protocol": "SASL_SSL",
    "kafka_sasl_username": "us",
    "kafka_sasl_password": "secret",
}


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ({"kafka_ssl_cafile": "/no/such/file"}, "KAFKA_SSL_CAFILE is wrong: Path does not point to a file"),
        ({"kafka_ssl_cafile": __file__}, "KAFKA_SSL_CAFILE needs KAFKA_SECURITY_PROTOCOL to be SSL"),
        (
            {"kafka_sasl_password": "secret"},
            "KAFKA_SASL_PASSWORD needs KAFKA_SECURITY_PROTOCOL to be SASL_SSL",
        ),
        (SECURED | {"kafka_security_protocol": "SSL"}, "KAFKA_SASL_USERNAME needs KAFKA_SECURITY_PROTOCOL"),
        (SECURED | {"kafka_sasl_password": None}, "needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
        (
            SECURED | {"kafka_security_protocol": "SASL_PLAINTEXT"},
            "KAFKA_SASL_MECHANISM must be SCRAM-SHA-512",
        ),
        (SECURED | {"kafka_ssl_cafile": __file__}, "KAFKA_SSL_CAFILE is of no use"),
        (
            SECURED | {"kafka_ssl_certfile": __file__},
            "KAFKA_SSL_CERTFILE, KAFKA_SSL_KEYFILE or KAFKA_SSL_PASSWORD",
        ),
        (SECURED | {"kafka_ssl_keyfile": __file__}, "KAFKA_SSL_CERTFILE must name the certificate"),
        ({"kafka_security_protocol": "TLS"}, "KAFKA_SECURITY_PROTOCOL is wrong"),
    ],
)
def test_half_a_protection_of_kafka_is_none(values, hint):
    """What is forgotten, contradicts another setting or cannot be read stops the start: nothing falls back to plain text."""
    with pytest.raises(SettingsError) as caught:
        load_settings(**values)
    assert hint in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_encrypted_key_opens_with_its_password_and_never_asks(tmp_path):
    """A wrong password stops the start; nobody waits at a terminal for it."""
    issued = trustme.CA().issue_cert("relay.example")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    files = {"kafka_ssl_certfile": tmp_path / "us.pem", "kafka_ssl_keyfile": tmp_path / "us.key"}
    issued.cert_chain_pems[0].write_to_path(str(files["kafka_ssl_certfile"]))
    files["kafka_ssl_keyfile"].write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open"))
    )
    assert load_settings(**SECURED, **files, kafka_ssl_password="open").kafka_tls_context()
    for wrong in ("secret", None):
        with pytest.raises(SettingsError, match="KAFKA_SSL_PASSWORD"):
            load_settings(**SECURED, **files, kafka_ssl_password=wrong)
