"""XML signatures of messages: ours for others, those of others, and what was tampered with."""

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.cap import CapError, SigningKey, Verdict, read, sign, verify, write
from services.cap.keys import SEED_BYTES
from services.cap.writing import serialised

SAMPLES = Path(__file__).parents[1] / "data" / "cap"
AUTHORITY = SAMPLES / "lets_encrypt_e5.pem"
THEN = datetime(2024, 8, 1, tzinfo=UTC)
KEY = SigningKey.derived(bytes(range(SEED_BYTES)), "zoeklicht")
OTHER = SigningKey.derived(bytes(SEED_BYTES), "zoeklicht")
MESSAGE = read((SAMPLES / "cap12_a4_amber_multilingual.xml").read_bytes())
SIGNED = sign(write(MESSAGE), KEY)


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("wmo_sc_valid.xml", Verdict.VALID),
        ("wmo_sc_invalid_digest.xml", Verdict.DIGEST),
        ("wmo_sc_invalid_signature.xml", Verdict.SIGNATURE),
        ("wmo_sc_invalid_certificate.xml", Verdict.CERTIFICATE),
        ("wmo_sc_no_signature.xml", Verdict.MISSING),
        ("google_canada_signed.cap", Verdict.FORM),  # SHA-1, and two signatures
        ("google_earthquake_signed.cap", Verdict.FORM),  # SHA-1
    ],
)
def test_each_signed_sample_gets_its_verdict(name, verdict):
    """WMO's samples as of a day when their certificate was valid; SHA-1 is believed no more."""
    assert verify((SAMPLES / name).read_bytes(), authorities=AUTHORITY, at=THEN) is verdict


def test_a_certificate_counts_while_it_is_valid_and_below_an_authority_that_is_trusted(tmp_path):
    """The same message is not believed before or after its certificate's time, nor below another authority."""
    data = (SAMPLES / "wmo_sc_valid.xml").read_bytes()
    other = tmp_path / "other.pem"
    other.write_bytes(KEY.pem)
    assert verify(data, authorities=AUTHORITY, at=datetime(2024, 7, 1, tzinfo=UTC)) is Verdict.CERTIFICATE
    assert verify(data, authorities=AUTHORITY, at=datetime(2024, 10, 1, tzinfo=UTC)) is Verdict.CERTIFICATE
    assert verify(data, authorities=other, at=THEN) is Verdict.CERTIFICATE
    assert verify(data, at=THEN) is Verdict.CERTIFICATE


def test_what_we_sign_is_valid_and_still_the_same_message():
    """The signature is enveloped: readers that know none read the message as before."""
    assert verify(SIGNED, certificate=KEY.certificate) is Verdict.VALID
    assert read(SIGNED) == MESSAGE


@pytest.mark.parametrize(
    ("was", "becomes", "verdict"),
    [
        (b"Amber Alert in Los", b"Amber Alert in Las", Verdict.DIGEST),
        (b"<status>Actual<", b"<status>Test<", Verdict.DIGEST),
        (b"#sha256", b"#sha512", Verdict.SIGNATURE),
        (b'URI=""', b'URI="#x"', Verdict.FORM),
        (b"enveloped-signature", b"base64", Verdict.FORM),
    ],
)
def test_a_change_after_signing_is_found(was, becomes, verdict):
    """Content, references and algorithms cannot be changed unnoticed."""
    changed = SIGNED.replace(was, becomes, 1)
    assert changed != SIGNED
    assert verify(changed, certificate=KEY.certificate) is verdict


def test_another_key_signs_for_nobody():
    """A signature that is right, by somebody else, is not from the sender whose certificate is known."""
    forged = sign(write(MESSAGE), OTHER)
    assert verify(forged, certificate=KEY.certificate) is Verdict.SIGNATURE


def test_a_signed_message_inside_another_is_not_believed():
    """Signature wrapping: the signature must be a child of the alert that is read."""
    inner = SIGNED.split(b"?>", 1)[1]
    forged = serialised(write(replace(MESSAGE, identifier="forged"))).split(b"?>", 1)[1]
    for outer in (forged, inner):
        wrapped = outer.replace(b"<identifier>", b"<x>" + inner + b"</x><identifier>", 1)
        assert verify(wrapped, certificate=KEY.certificate) is Verdict.FORM


def test_the_installation_s_key_and_certificate_are_always_the_same():
    """Every process derives the same ones, so that partners keep one certificate."""
    again = SigningKey.derived(bytes(range(SEED_BYTES)), "zoeklicht")
    assert (again.pem, again.private.private_numbers()) == (KEY.pem, KEY.private.private_numbers())
    assert again.pem != OTHER.pem


def test_a_key_from_a_file_must_fit_its_certificate():
    """A file with somebody else's certificate, or without one, stops the start instead of signing in vain."""
    private = KEY.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert SigningKey.from_pem(private + KEY.pem).pem == KEY.pem
    fresh = ec.generate_private_key(ec.SECP256R1())
    wrong = fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for data in (private, KEY.pem, wrong + KEY.pem, b""):
        with pytest.raises(CapError):
            SigningKey.from_pem(data)


@pytest.mark.skipif(
    shutil.which("xmlsec1") is None, reason="xmlsec1 is not installed: apt-get install xmlsec1"
)
def test_an_independent_verifier_agrees(tmp_path):
    """xmlsec1 accepts what we sign, and refuses it once it was changed."""
    certificate, message = tmp_path / "c.pem", tmp_path / "m.xml"
    certificate.write_bytes(KEY.pem)
    for data, valid in ((SIGNED, True), (SIGNED.replace(b"Amber", b"Umber"), False)):
        message.write_bytes(data)
        command = ["xmlsec1", "--verify", "--pubkey-cert-pem", str(certificate), str(message)]
        assert (subprocess.run(command, capture_output=True, check=False).returncode == 0) is valid
