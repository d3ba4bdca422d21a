"""`zoeklicht page …` and `zoeklicht duty …` on a real database, in the process of the test."""

import pytest

from services.cli import paging
from services.kernel.paging import open_pages
from services.kernel.paging.channels import ChannelError


@pytest.fixture
def place(settings, monkeypatch, tmp_path):
    """An environment that names the test's servers: they win over any folder."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", settings.kafka_bootstrap_servers)
    monkeypatch.setenv("ZOEKLICHT_MASTER_KEY", settings.master_key.get_secret_value())
    monkeypatch.setattr(paging, "console", paging.Console(highlight=False, soft_wrap=True, width=200))
    return tmp_path


def person(name="Ann", *channels):
    return {"name": name, "language": "nl", "channels": list(channels or ["ann@example.org"]), "place": None}


async def test_people_are_kept_by_commands(place, capsys):
    """Added with hours, changed, listed without addresses, removed."""
    await paging.duty_list(place)
    assert "zoeklicht duty add" in capsys.readouterr().out
    await paging.duty_add(place, person(), ["mon@18:00-08:00", "sun@00:00-00:00"])
    number = capsys.readouterr().out.split()[0]
    await paging.duty_add(place, person("Bob"), None)
    await paging.duty_list(place)
    shown = capsys.readouterr().out
    assert "mon@18:00-08:00, sun@00:00-00:00" in shown
    assert "any" in shown
    assert "example.org" not in shown
    await paging.duty_change(place, number, {"name": "Anne", "channels": None}, ["never"])
    await paging.duty_list(place)
    shown = capsys.readouterr().out
    assert "Anne" in shown
    assert "never" in shown
    await paging.duty_remove(place, number)
    await paging.duty_list(place)
    assert "Anne" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "slots"),
    [(person("Ann", "nonsense"), None), (person(), ["mon 18-8"]), (person("Ann"), ["mon@25:00-08:00"])],
)
async def test_what_makes_no_sense_is_one_clear_line(place, given, slots):
    """Neither is repeated; the line says which form is wanted."""
    with pytest.raises(paging.InputError, match="mon@18:00-08:00"):
        await paging.duty_add(place, given, slots)


async def test_channel_that_apprise_does_not_know_is_refused(place):
    """At once, and not when somebody should be woken."""
    with pytest.raises(ChannelError, match="Apprise does not know"):
        await paging.duty_add(place, person("Ann", "nonsense://x"), None)


async def test_pages_are_tried_listed_and_acknowledged_by_commands(place, pool, capsys):
    """A test page goes the way of every other one."""
    await paging.page_list(place)
    assert "nothing waits" in capsys.readouterr().out
    await paging.page_test(place)
    [one] = await open_pages(pool)
    await paging.page_list(place)
    assert one.matter in capsys.readouterr().out
    assert await paging.page_ack(place, one.page_id, "Ann") == 0
    assert await paging.page_ack(place, one.page_id, "Ann") == 1
    assert await open_pages(pool) == []
