"""CAP messages: samples from elsewhere, every rule beyond the schema, and what hostile bytes may do."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from services.cap import Area, CapRefusedError, Info, Message, Reference, Resource, Value, read, write
from services.cap.reading import MAX_BYTES
from services.cap.rules import RULES
from services.cap.writing import serialised

SAMPLES = Path(__file__).parents[1] / "data" / "cap"
BRUSSELS = timezone(timedelta(hours=2))
SENT = datetime(2026, 7, 1, 12, 0, 0, tzinfo=BRUSSELS)
SQUARE = ((50.9, 4.6), (50.9, 4.8), (50.8, 4.8), (50.9, 4.6))
INFO = Info(
    language="nl-BE",
    categories=("Rescue", "Safety"),
    event="Vermist kind",
    response_types=("Monitor",),
    urgency="Immediate",
    severity="Severe",
    certainty="Observed",
    event_codes=(Value("kind", "public"),),
    effective=SENT,
    expires=SENT + timedelta(hours=6),
    sender_name="116 000",
    headline="Vermist",
    description="Rode jas & blauwe broek",
    instruction="Bel 116 000",
    web="https://alerts.example/a",
    contact="116 000",
    parameters=(Value("display_for_s", "1800"),),
    resources=(
        Resource(resource_desc="photo", mime_type="image/png", size=5, uri="https://alerts.example/p"),
    ),
    areas=(Area(area_desc="Leuven", polygons=(SQUARE,), geocodes=(Value("REFNIS", "24062"),)),),
)
MESSAGE = Message(
    identifier="a.2",
    sender="zoeklicht@alerts.example",
    sent=SENT,
    status="Actual",
    msg_type="Update",
    scope="Public",
    references=(Reference("zoeklicht@alerts.example", "a.1", SENT - timedelta(hours=1)),),
    infos=(INFO,),
)


def written(message: Message) -> bytes:
    return serialised(write(message))


def refused(data: bytes) -> set[str]:
    with pytest.raises(CapRefusedError) as caught:
        read(data)
    return {fault.rule for fault in caught.value.faults}


@pytest.mark.parametrize(
    ("name", "version", "kind", "languages"),
    [
        ("cap12_a4_amber_multilingual.xml", "1.2", "Alert", ["en-US", "es-US"]),
        ("google_43b080713727.cap", "1.2", "Alert", ["en-US"]),
        ("google_KAR0-0306112239-SW.cap", "1.1", "Alert", ["en-US"]),
        ("google_australia.cap", "1.2", "Alert", ["en-AU", "en-AU"]),
        ("google_canada.cap", "1.2", "Update", ["en-CA", "fr-CA"]),
        ("google_canada_signed.cap", "1.2", "Update", ["en-CA", "fr-CA"]),
        ("google_earthquake-iso8859-1.cap", "1.2", "Alert", ["en-US"]),
        ("google_earthquake.cap", "1.1", "Alert", ["en-US"]),
        ("google_earthquake_signed.cap", "1.1", "Alert", ["en-US"]),
        ("google_no_optional_fields.cap", "1.1", "Alert", []),
        ("google_thunderstorm.cap", "1.2", "Alert", ["en-US"]),
        ("google_wcatwc-warning.cap", "1.2", "Update", ["en-US"]),
        ("google_weather.cap", "1.1", "Alert", ["en-US"]),
        ("wmo_sc_no_signature.xml", "1.2", "Alert", ["en"]),
        ("wmo_sc_valid.xml", "1.2", "Alert", ["en"]),
    ],
)
def test_each_valid_sample_is_read(name, version, kind, languages):
    """Messages of others that are right are read, whatever their encoding, prefix and version."""
    message = read((SAMPLES / name).read_bytes())
    found = (message.version, message.msg_type, [info.language for info in message.infos])
    assert found == (version, kind, languages)


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("google_canada_errors.cap", {"references-missing"}),  # the schema alone lets it pass
        ("google_invalid.cap", {"schema"}),
        ("google_noaa_errors.cap", {"schema"}),
        ("google_xee.cap", {"doctype"}),
        ("wmo_sc_invalid_schema.xml", {"version"}),
    ],
)
def test_each_broken_sample_is_refused_with_a_reason(name, rules):
    """Messages of others that are wrong are refused, and it is said why."""
    assert refused((SAMPLES / name).read_bytes()) == rules


def test_every_sample_is_spoken_of():
    """No sample lies about without a test: each is read or refused above, or a WMO sample that is read but unsigned."""
    text = Path(__file__).read_text() + (Path(__file__).parent / "test_cap_signature.py").read_text()
    files = {path.name for path in SAMPLES.iterdir() if path.suffix in {".cap", ".xml"}}
    assert len(files) == 23
    assert {name for name in files if f'"{name}"' not in text} == set()


def test_a_message_comes_back_as_it_was_written():
    """Writing and reading lose nothing that is in the model."""
    private = replace(
        MESSAGE, scope="Private", addresses="unit@alerts.example", note="n", incidents="i", source="s"
    )
    for message in (MESSAGE, private, replace(MESSAGE, infos=(INFO, replace(INFO, language="fr-BE")))):
        assert read(written(message)) == message


def test_a_moment_in_utc_is_written_without_z():
    """UTC is -00:00 (section 3.3.2)."""
    moment = datetime(2026, 7, 1, 10, 0, 0, 999, tzinfo=UTC)
    assert b"<sent>2026-07-01T10:00:00-00:00</sent>" in written(replace(MESSAGE, sent=moment))


def test_characters_that_xml_cannot_hold_stop_no_alert():
    """One control character from an operator's keyboard becomes a replacement character."""
    message = read(written(replace(MESSAGE, infos=(replace(INFO, headline="a\x0bb\ud800c"),))))
    assert message.infos[0].headline == "a\ufffdb\ufffdc"


# ── rules: each is broken once, alone ───────────────────────────────────────────────────────────────────────


def changed(**changes) -> bytes:
    return written(replace(MESSAGE, **changes))


def informed(**changes) -> bytes:
    return written(replace(MESSAGE, infos=(replace(INFO, **changes),)))


def placed(**changes) -> bytes:
    return informed(areas=(replace(INFO.areas[0], **changes),))


def edited(pattern: str, text: str) -> bytes:
    data, count = re.subn(pattern, text, written(MESSAGE).decode())
    assert count == 1
    return data.encode()


SENDER = "zoeklicht@alerts.example"
BROKEN = [
    ("time", edited("<sent>[^<]*", "<sent>2026-07-01T24:00:00+02:00")),
    ("identifier-characters", changed(identifier="a 2")),
    ("identifier-characters", changed(identifier="a,2")),
    ("identifier-characters", changed(identifier="a&2")),
    ("identifier-characters", changed(sender="a<b")),
    ("identifier-characters", edited("<sender>[^<]*", "<sender> ")),
    *(
        ("references-missing", changed(msg_type=kind, references=()))
        for kind in ("Update", "Cancel", "Ack", "Error")
    ),
    ("references-form", edited("<references>[^<]*", f"<references>{SENDER},a.1")),
    ("references-form", edited("<references>[^<]*", f"<references>{SENDER},,2026-07-01T10:00:00+02:00")),
    ("references-form", edited("<references>[^<]*", f"<references>{SENDER},a.1,2026-07-01T10:00:00Z")),
    ("references-earlier", changed(references=(Reference(SENDER, "a.2", SENT),))),
    ("references-earlier", changed(references=(Reference(SENDER, "a.1", SENT + timedelta(seconds=1)),))),
    ("scope-restriction", changed(scope="Restricted")),
    ("scope-restriction", changed(restriction="volunteers")),
    ("scope-addresses", changed(scope="Private")),
    ("blank", informed(event=" ")),
    ("blank", placed(area_desc="\t")),
    ("blank", placed(geocodes=(Value("REFNIS", " "),))),
    ("blank", informed(parameters=(Value(" ", "1"),))),
    ("language-repeated", changed(infos=(INFO, INFO))),
    ("expires-order", informed(expires=SENT - timedelta(seconds=1), effective=None)),
    ("expires-order", informed(effective=SENT + timedelta(hours=7))),
    ("polygon", placed(polygons=((SQUARE[0], SQUARE[1], SQUARE[0]),))),
    ("polygon", placed(polygons=((*SQUARE[:3], (50.95, 4.6)),))),
    ("polygon", placed(polygons=(((91.0, 4.6), *SQUARE[1:3], (91.0, 4.6)),))),
    ("polygon", placed(polygons=(((50.0, 181.0), *SQUARE[1:3], (50.0, 181.0)),))),
    ("polygon", edited("<polygon>[^<]*", "<polygon>nan,1 2,2 3,3 nan,1")),
    ("circle", placed(circles=("50.9,4.6",))),
    ("circle", placed(circles=("50.9,4.6 -1",))),
    ("ceiling", placed(ceiling="500")),
    ("ceiling", placed(altitude="600", ceiling="500")),
    ("uri", informed(web="alerts/a")),
    ("uri", informed(resources=(replace(INFO.resources[0], uri="p.png"),))),
    ("resource", informed(resources=(replace(INFO.resources[0], digest="ab"),))),
    ("resource", edited("<size>5", "<size>-5")),
]


@pytest.mark.parametrize(("rule", "data"), BROKEN, ids=[f"{i}-{rule}" for i, (rule, _) in enumerate(BROKEN)])
def test_a_broken_rule_is_named_and_no_other(rule, data):
    """What the schema lets through is refused by the rule of that name alone."""
    assert refused(data) == {rule}


def test_every_rule_is_broken_by_some_test():
    """A rule without a test does not exist."""
    assert {rule for rule, _ in BROKEN} == set(RULES)


def test_a_reason_never_repeats_a_value():
    """Faults go into logs and reports: what a message says stays in the message."""
    secret = "Loubna-Voorbeeld"
    for data in (
        changed(identifier=f"{secret} x"),
        edited("<urgency>[^<]*", f"<urgency>{secret}"),
        edited("<polygon>[^<]*", f"<polygon>{secret}"),
        b"<alert>" + secret.encode(),
    ):
        with pytest.raises(CapRefusedError) as caught:
            read(data)
        assert secret not in str(caught.value)


# ── hostile bytes ───────────────────────────────────────────────────────────────────────────────────────────


def test_entities_are_neither_read_from_files_nor_expanded(tmp_path):
    """A DOCTYPE is refused as such, before an entity means anything."""
    (tmp_path / "secret").write_text("secret")
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 20))
    for subset in (f'<!ENTITY e SYSTEM "file://{tmp_path}/secret">', f'<!ENTITY l0 "ha">{laughs}', ""):
        data = f"<!DOCTYPE alert [{subset}]>".encode() + written(MESSAGE).split(b"?>", 1)[1]
        assert refused(data) == {"doctype"}


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b" " * (MAX_BYTES + 1), "size"),
        (b"", "xml"),
        (b"\xff\xfe\x00", "xml"),
        (b"<a>" * 5000, "xml"),
        (b"<a/>", "version"),
        (b'<alert xmlns="urn:oasis:names:tc:emergency:cap:1.0"/>', "version"),
    ],
)
def test_what_is_no_message_is_refused(data, rule):
    """Too large, not XML, nested without end, or something else: refused, never an exception of a library."""
    assert refused(data) == {rule}


def test_a_comment_does_not_cut_a_value():
    """A signature does not cover comments, so that one in the middle of a value must not change what is read."""
    data = written(MESSAGE).replace(
        b"zoeklicht@alerts.example</sender>", b"zoeklicht@alerts<!-- -->.example</sender>"
    )
    assert read(data) == MESSAGE
