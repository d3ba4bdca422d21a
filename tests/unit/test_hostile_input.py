"""Every parser that meets the outside answers hostile input with the error it promises, and with nothing else.

The samples are right; Hypothesis cuts, doubles and replaces pieces of them. A parser that trips over one would answer 500,
or stop a stream; its own error says what to do. The commands' bodies are tried by Schemathesis (`test_openapi.py`).
"""

import asyncio
import io
import json
import zipfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hostile import SPICE, contents, joined, texts, tried
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from starlette.requests import Request

from schemas.areas import Drawn
from schemas.events import CASE_EVENTS, CircumstanceReported
from schemas.upcasters import UnknownEventTypeError
from schemas.vocabulary import Answer, Criterion
from services.cap import CapError, read
from services.cap.signature import Verdict
from services.cap.signature import verify as verify_cap
from services.criteria.handlers import read_letter
from services.dispatch.addresses import AddressRefusedError, check_address, check_url, place_of
from services.dispatch.backoff import RETRY_AFTER_MOST_S, retry_after
from services.dispatch.stream import _acting, _is_seen
from services.eventlog import wire
from services.geography.errors import AreaError
from services.geography.polygons import met
from services.intake.import_lines import BadLineError, parsed
from services.kernel import signing
from services.kernel.backup import BackupError, Manifest
from services.kernel.backup.archive import fingerprint, manifest_of, writing
from services.kernel.http import if_match, traceparent
from services.kernel.messages import Message
from services.kernel.paging.links import person_behind
from services.kernel.paging.links import token as page_token
from services.kernel.pictures import cleaned
from services.kernel.problems import InvalidError, Problem
from services.kernel.site.languages import LANGUAGES, language_of
from services.kernel.uploads import the_file
from services.projections.incoming import from_kafka
from services.volunteers.gateways import _of_status
from services.volunteers.import_file import ImportFileError, Line, lines
from services.volunteers.links import number_behind
from services.volunteers.links import token as volunteer_token

DATA = Path(__file__).parents[1] / "data"
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
MASTER = bytes(range(32))
BIGGEST = 2**63 - 1
"""Of PostgreSQL's bigint; what is beyond it would stop whoever writes it down."""


# ── messages from Kafka ─────────────────────────────────────────────────────────────────────────────────────

_CASE = uuid4()
_ROW = {
    "event_id": uuid4(), "type": "case.circumstance_reported.v1", "subject": str(_CASE), "time": NOW,
    "stream": f"case-{_CASE}", "version": 3, "recorded_time": NOW, "imported_time": NOW, "correlation_id": "c",
    "causation_id": None, "actor": "a", "traceparent": None, "origin": "live", "mode": "actual",
}  # fmt: skip
_HEADERS = wire.headers(_ROW)
_SAID = CircumstanceReported(criterion=Criterion.MEDICATION_DEPENDENT, value=Answer.YES, child=0)
_BODY = _SAID.model_dump_json(exclude_none=True).encode()


@st.composite
def _messages(draw: st.DrawFn) -> Message:
    found = []
    for name, value in _HEADERS:
        shape = draw(st.integers(0, 9))
        if shape == 0:
            continue
        found.append((name, draw(contents(value) | st.sampled_from(SPICE)) if shape == 1 else value))
    body = draw(st.just(_BODY) | contents(_BODY))
    return Message(
        CASE_EVENTS, 0, 7, draw(st.just(str(_CASE).encode()) | st.binary(max_size=9)), body, tuple(found)
    )


@tried(_messages(), 500)
def test_a_message_that_is_no_event_is_poison_and_stops_nobody(message):
    letter = read_letter(message)
    assert letter.version is None or 1 <= letter.version <= BIGGEST
    record = SimpleNamespace(headers=message.headers, value=message.value)
    incoming = from_kafka(record, {_ROW["type"]})
    assert 0 <= incoming.version <= BIGGEST
    told = _acting(message)
    if told is not None:
        _is_seen(told, {"x": 1})
    with suppress(wire.WireError, UnknownEventTypeError, ValidationError):
        event = wire.event(wire.attributes(message.headers), message.value)
        assert 1 <= event.version <= BIGGEST


@pytest.mark.parametrize("version", ["", "0", "-1", "1_0", "٣", "9" * 19, "9" * 5000])
def test_a_version_that_no_stream_can_have_is_poison(version):
    headers = tuple((n, version.encode() if n == "ce_streamversion" else v) for n, v in _HEADERS)
    letter = read_letter(Message(CASE_EVENTS, 0, 7, b"", _BODY, headers))
    assert (letter.version, letter.poison) == (None, "WireError")
    assert from_kafka(SimpleNamespace(headers=headers, value=_BODY), {_ROW["type"]}).stream == ""


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────

_CAP = [path.read_bytes() for path in sorted((DATA / "cap").iterdir()) if path.suffix in {".cap", ".xml"}]


@tried(contents(*_CAP), 200)
def test_a_cap_message_is_read_or_refused(content):
    with suppress(CapError):
        read(content)
    with suppress(CapError):
        assert verify_cap(content) in Verdict


_HISTORY = [
    line for line in (DATA / "history_sample.ndjson").read_text("utf-8").splitlines() if line.startswith("{")
][:40]


@tried(texts(*_HISTORY), 500)
def test_a_line_of_history_is_read_or_refused(text):
    with suppress(BadLineError):
        parsed(1, text)


_COLUMNS = b"given_name,family_name,team,languages,postal_code,channels,consent,hours,quiet,away,lat,lon"
_AWAY = b"2026-07-01T00:00+02:00/2026-07-15T00:00+02:00"
_AN = (
    b"An,Voorbeeld,mobile,nl fr,3000,sms:+32470000000,yes,mon@18:00-23:00,22:00-07:00,"
    + _AWAY
    + b",50.88,4.70"
)
_PEOPLE = joined([_COLUMNS, _AN])


@tried(contents(_PEOPLE, _PEOPLE.replace(b",", b";"), b"\xef\xbb\xbf" + _PEOPLE, b'"' + b"x" * 140_000), 250)
def test_a_file_of_volunteers_is_read_or_refused(content):
    with suppress(ImportFileError):
        for line in lines(content):
            assert isinstance(line, Line)
            assert line.profile or line.errors


def _picture(form: str) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((24, 16), 60).convert("RGB").save(out, form)
    return out.getvalue()


@tried(contents(_picture("JPEG"), _picture("PNG")), 200)
def test_a_picture_is_cleaned_or_refused(content):
    with suppress(InvalidError):
        clean, width, height = cleaned(content)
        assert clean.startswith(b"\xff\xd8\xff")
        assert width * height > 0


_FORM = (
    b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    + b"\xff\xd8\xff" * 9
    + b"\r\n--frontier--\r\n"
)


def _request(headers, body=b"", query=b""):
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    raw = [(name, value.encode("utf-8", "surrogateescape")) for name, value in headers.items()]
    return Request(
        {"type": "http", "method": "POST", "path": "/", "query_string": query, "headers": raw}, receive
    )


# The parser lets go of a part that has no end without closing it: it is in memory alone, and goes with the call.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@tried(st.tuples(texts("multipart/form-data; boundary=frontier"), contents(_FORM)), 250)
def test_a_form_with_a_photo_is_read_or_refused(sent):
    kind, body = sent
    with suppress(Problem, UnicodeEncodeError):  # what no client can send
        request = _request({b"content-type": kind}, body)
        assert isinstance(asyncio.run(the_file(request)), bytes)


@pytest.fixture(scope="module")
def backup(tmp_path_factory):
    path = tmp_path_factory.mktemp("hostile") / "x.backup"
    step = ("services.kernel", "0001_kernel.sql", "aa")
    with writing(path, MASTER) as writer:
        writer.write(b"content")
        writer.finish(
            Manifest(
                kind="main", made_at=NOW, software="1", master=fingerprint(MASTER), steps=(step,), keys=1
            )
        )
    return path


def test_a_damaged_backup_is_refused(backup, tmp_path):
    target, whole = tmp_path / "changed.backup", backup.read_bytes()
    assert manifest_of(backup, MASTER)

    @tried(contents(whole), 250)
    def one(content):
        target.write_bytes(content)
        with suppress(BackupError):
            manifest_of(target, MASTER)

    one()
    with zipfile.ZipFile(backup) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in parts if "manifest" in name.lower() and parts[name].startswith(b"{"))

    @tried(contents(parts[name]), 150)
    def other(content):
        with zipfile.ZipFile(target, "w") as archive:
            for one_name, was in parts.items():
                archive.writestr(one_name, content if one_name == name else was)
        if content == parts[name]:
            return
        with pytest.raises(BackupError):
            manifest_of(target, MASTER)

    other()


# ── signatures, links and headers ───────────────────────────────────────────────────────────────────────────

_SECRET = signing.parse_secret("whsec_" + "A" * 43 + "=")
_PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(32))
_SIGNED = signing.headers(signing.SigningKeys((_SECRET,), _PRIVATE), "msg", int(NOW.timestamp()), b"{}")


@st.composite
def _signed(draw: st.DrawFn) -> dict[str, str]:
    found = {}
    for name, value in _SIGNED.items():
        shape = draw(st.integers(0, 5))
        if shape:
            found[name] = draw(texts(value)) if shape == 1 else value
    return found


@tried(st.tuples(_signed(), st.just(b"{}") | contents(b"{}")), 500)
def test_a_signature_fits_or_is_refused(sent):
    received, body = sent
    try:
        signing.verify([_SECRET], received, body, int(NOW.timestamp()), [_PRIVATE.public_key()])
    except signing.SignatureError:
        return
    assert body == b"{}"
    assert received["webhook-id"] == "msg"
    assert int(received["webhook-timestamp"]) == int(NOW.timestamp())


@tried(texts("whsec_" + "A" * 43 + "=", signing.public_text(_PRIVATE)), 250)
def test_a_key_is_read_or_refused(text):
    for reading in (signing.parse_secret, signing.parse_public):
        with suppress(signing.SignatureError):
            reading(text)


_PERSON = uuid4()
_PAGE_LINK, _VOLUNTEER_LINK = page_token(MASTER, 7, _PERSON, NOW), volunteer_token(MASTER, 7, NOW)


@tried(texts(_PAGE_LINK, _VOLUNTEER_LINK), 500)
def test_a_link_is_ours_or_nobodys(text):
    person, number = person_behind(MASTER, 7, text, NOW), number_behind(MASTER, text, NOW)
    assert (person == _PERSON) if text == _PAGE_LINK else person is None
    # Base64 can be written in other ways that mean the same: the older two letters, more padding.
    meant = text.replace("+", "-").replace("/", "_").rstrip("=")
    assert (number == 7) if meant == _VOLUNTEER_LINK.rstrip("=") else number is None


@tried(
    texts("nl-BE,fr;q=0.8,de;q=0.5,*;q=0", '"12"', "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    500,
)
def test_headers_are_understood_or_passed_over(text):
    with suppress(UnicodeEncodeError):  # what no client can send
        request = _request({b"accept-language": text, b"if-match": text, b"traceparent": text})
        assert language_of(request) in LANGUAGES
        version = if_match(request)
        assert version is None or -1 <= version <= BIGGEST
        parent = traceparent(request)
        assert parent is None or (parent.isascii() and len(parent) < 80)


@tried(texts("120", "Fri, 31 Dec 1999 23:59:59 GMT", "Mon, 99 Jan 0000 25:61:61 +9999"), 500)
def test_a_wait_that_somebody_asks_for_has_an_end(text):
    assert 0 <= retry_after(text, NOW) <= RETRY_AFTER_MOST_S
    assert 0 <= _of_status(503, text).wait_s <= 3600


_REVIEWED = SimpleNamespace(partner_hosts=frozenset({"screens.example:443"}), allow_loopback_partners=False)


@tried(texts("https://screens.example/hook", "http://[::1]:8080/x", "https://u:p@screens.example:443/"), 500)
def test_an_address_is_reviewed_or_refused(text):
    with suppress(AddressRefusedError):
        check_url(text, _REVIEWED)
        assert place_of(text) == ("screens.example:443", False)
    with suppress(AddressRefusedError):
        check_address(text, loopback=False)


# ── areas ───────────────────────────────────────────────────────────────────────────────────────────────────

_NUMBERS = st.floats() | st.integers(-(10**20), 10**20) | st.none() | st.booleans() | st.text(max_size=3)
_PAIRS = st.lists(st.floats(2, 7) | _NUMBERS, max_size=4)
_RINGS = st.lists(_PAIRS, max_size=8).map(lambda ring: ring + ring[:1])
_DRAWN = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["Polygon", "MultiPolygon", "Point"]),
        "coordinates": st.lists(_RINGS | _PAIRS | _NUMBERS | st.lists(_RINGS, max_size=2), max_size=3),
    }
)


@tried(_DRAWN, 250)
def test_a_drawn_area_meets_something_or_is_refused(drawn):
    with suppress(ValidationError, AreaError):
        assert met(Drawn.model_validate_json(json.dumps(drawn, allow_nan=True)))
