"""People who help: registered, changed, imported, and forgotten so that nothing is left of them."""

import json

import orjson
import pytest
from volunteers_ground import AN, another, client_of

from schemas.events import VolunteerRegistered, VolunteersCalledOut
from services.cli import volunteers
from services.eventlog.store import read_stream
from services.kernel.principals import Role
from services.volunteers.import_file import ImportFileError
from services.volunteers.roster import volunteer_stream

HEADER = "given_name,family_name,team,languages,postal_code,channels,consent\n"


@pytest.fixture
async def call(pool, vault, settings):
    async with client_of(pool, vault, settings) as client:
        yield client


async def everything(pool):
    """Every row of the database that could hold something about somebody, as text."""
    tables = await pool.fetch(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables"
        " where schemaname in ('volunteers', 'eventlog', 'kernel')"
    )
    found = [await pool.fetch(f"select t::text as row from {table['name']} t") for table in tables]
    return " ".join(row["row"] for rows in found for row in rows)


async def test_somebody_is_registered_changed_and_shown(call, pool):
    """Lists show the kinds of channels, the single view all, and looking is written down."""
    made = await call("POST", "/v1/volunteers", AN)
    assert made.status == 201
    path = f"/v1/volunteers/{made.json['volunteer_id']}"
    changed = await call("PATCH", path, {"quiet": {"from": "22:00", "until": "07:00"}, "car": True})
    assert (changed.status, changed.json["car"]) == (200, True)
    shown = await call("GET", path, role=Role.COORDINATOR)
    assert shown.json["channels"] == AN["channels"]
    assert shown.json["quiet"] == {"from": "22:00:00", "until": "07:00:00"}
    listed = await call("GET", "/v1/volunteers", role=Role.COORDINATOR)
    assert [one["channels"] for one in listed.json["items"]] == [["sms", "email"]]
    actions = {row["action"] for row in await pool.fetch("select action from kernel.audit")}
    assert {one for one in actions if not one.startswith("called")} == {"volunteer.read", "volunteers.listed"}
    assert not await pool.fetchval("select week @> 0 from volunteers.person")
    assert await pool.fetchval("select week @> 720 from volunteers.person")


async def test_a_change_that_changes_nothing_writes_nothing(call, pool):
    """The log holds what happened, and nothing happened."""
    made = (await call("POST", "/v1/volunteers", AN)).json["volunteer_id"]
    await call("PATCH", f"/v1/volunteers/{made}", {"languages": AN["languages"]})
    assert len(await read_stream(pool, volunteer_stream(made))) == 1


async def test_what_is_personal_is_sealed_everywhere(call, pool):
    """Neither log nor tables hold a name, an address or a number in clear."""
    await call("POST", "/v1/volunteers", AN, key="k1")
    text = await everything(pool)
    assert "volunteer.registered.v1" in text
    for secret in ("Anneleen", "Helpmans", "470000001", "example.org"):
        assert secret not in text


async def test_who_leaves_is_forgotten(call, pool, vault):
    """The row goes, the key is destroyed, and the log keeps that somebody was there, not who."""
    made = (await call("POST", "/v1/volunteers", AN)).json["volunteer_id"]
    path = f"/v1/volunteers/{made}"
    assert (await call("DELETE", path)).status == 204
    assert (await call("GET", path)).status == 404
    assert (await call("DELETE", path)).status == 404
    assert await vault.find([f"volunteer:{made}"]) == {}
    events = await read_stream(pool, volunteer_stream(made))
    assert [event.type for event in events] == ["volunteer.registered.v1", "volunteer.left.v1"]
    assert await pool.fetchval("select count(*) from volunteers.person") == 0
    again = await call("POST", "/v1/volunteers", AN)
    assert again.status == 201, "somebody who comes back is somebody new"
    assert again.json["volunteer_id"] != made


async def test_the_same_person_is_registered_once(call):
    """Name and first channel tell; a key makes a repeat harmless."""
    first = await call("POST", "/v1/volunteers", AN, key="k1")
    assert (await call("POST", "/v1/volunteers", AN, key="k1")).json == first.json
    twin = await call("POST", "/v1/volunteers", AN | {"family_name": "HELPMANS"})
    assert (twin.status, twin.json["rule"]) == (409, "registered-already")
    assert "HELPMANS" not in twin.body.decode()


WRONG = [
    {"postal_code": "9999"},
    {"channels": ["sms:0470"]},
    {"channels": ["voice:now"]},
    {"channels": []},
    {"languages": []},
    {"lat": 50.9},
    {"away": [{"from": "2026-01-02T00:00+01:00", "until": "2026-01-01T00:00+01:00"}]},
    {"hours": [{"day": "mon", "from": "18:00:30", "until": "20:00"}]},
]


async def test_somebody_who_cannot_be_is_refused_by_field(call):
    """Wrong postcodes, numbers, spots and hours are 422."""
    for wrong in WRONG:
        assert (await call("POST", "/v1/volunteers", AN | wrong)).status == 422, wrong


async def test_only_an_administrator_keeps_the_roster(call):
    """A coordinator may look; others may not even do that."""
    made = (await call("POST", "/v1/volunteers", AN)).json["volunteer_id"]
    for role in (Role.COORDINATOR, Role.OPERATOR, Role.VIEWER):
        await refused(call, made, role)


async def refused(call, made, role):
    for method, path, body in (
        ("POST", "/v1/volunteers", another(2)),
        ("PATCH", f"/v1/volunteers/{made}", {"car": True}),
        ("DELETE", f"/v1/volunteers/{made}", None),
        ("POST", "/v1/volunteers:import", None),
    ):
        assert (await call(method, path, body, role=role)).status == 403
    expected = 200 if role is Role.COORDINATOR else 403
    assert (await call("GET", "/v1/volunteers", role=role)).status == expected


async def test_pages_of_the_list_hold_everybody_once(call):
    """Page after page until there is none."""
    made = [(await call("POST", "/v1/volunteers", another(n))).json["volunteer_id"] for n in range(5)]
    found, cursor = [], ""
    while True:
        page = (await call("GET", f"/v1/volunteers?limit=2{cursor}")).json
        found += [one["volunteer_id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == made


@pytest.fixture
def place(settings, monkeypatch, tmp_path):
    """An environment that names the test's servers: they win over any folder."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("ZOEKLICHT_VAULT_DATABASE_URL", settings.vault_database_url.get_secret_value())
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", settings.kafka_bootstrap_servers)
    monkeypatch.setenv("ZOEKLICHT_MASTER_KEY", settings.master_key.get_secret_value())
    monkeypatch.setattr(volunteers, "console", volunteers.Console(highlight=False, soft_wrap=True, width=250))
    return tmp_path


async def test_a_file_is_imported_line_by_line_and_twice_changes_nothing(place, pool, capsys):
    """New ones are registered, bad lines named by number and field, the rest goes in; then only what differs changes."""
    file = place / "team.csv"
    good = "An,Een,mobile,nl fr,3000,sms:+32470000001,yes\n"
    file.write_text(
        HEADER + good + "Bo,Twee,mobile,nl,9999,bo@example.org,yes\n" + "Cis,Drie,crew,nl,9000,cis@x.be,no\n"
    )
    assert await volunteers.import_(place, file, "table") == 1
    said = capsys.readouterr().out
    assert "line 3: postal_code" in said
    assert "line 4: team" in said
    assert "1 registered, 0 changed, 0 unchanged, 2 refused" in said
    assert await volunteers.import_(place, file, "json") == 1
    assert json.loads(capsys.readouterr().out)["unchanged"] == 1
    assert await pool.fetchval("select count(*) from eventlog.events") == 1
    file.write_text(HEADER + good.replace("3000", "9000"))
    assert await volunteers.import_(place, file, "table") == 0
    assert "1 changed" in capsys.readouterr().out
    await volunteers.list_(place, "table")
    shown = capsys.readouterr().out
    assert "An Een" in shown
    assert "can be called" in shown
    assert "470000001" not in shown


async def test_a_file_never_gives_a_consent_that_was_taken_back(call, place):
    """Somebody said no; an old list that still says yes does not call them again."""
    made = (await call("POST", "/v1/volunteers", AN)).json["volunteer_id"]
    await call("PATCH", f"/v1/volunteers/{made}", {"consent": False})
    file = place / "old.csv"
    file.write_text(HEADER + "Anneleen,Helpmans,mobile,nl fr,3000,sms:+32470000001,yes\n")
    assert await volunteers.import_(place, file, "table") == 0
    assert (await call("GET", f"/v1/volunteers/{made}")).json["consent"] is False


async def test_commands_show_and_forget(call, place, capsys):
    """From a terminal, as over HTTP."""
    made = (await call("POST", "/v1/volunteers", AN)).json["volunteer_id"]
    await volunteers.show(place, made)
    assert orjson.loads(capsys.readouterr().out)["channels"] == AN["channels"]
    await volunteers.forget(place, made)
    assert (await call("GET", f"/v1/volunteers/{made}")).status == 404
    (place / "bad.csv").write_text("a,b\n")
    with pytest.raises(ImportFileError):
        await volunteers.import_(place, place / "bad.csv", "table")


def test_events_of_people_travel_with_operations_and_not_with_cases():
    """Nobody who reads cases gets them."""
    assert VolunteerRegistered.TOPIC == VolunteersCalledOut.TOPIC == "ops-events"
