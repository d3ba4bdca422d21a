"""A wrong setting stops the start with its name and what is allowed, and never shows its value."""

import base64

import pytest

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
