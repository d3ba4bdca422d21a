"""Signatures are those of Standard Webhooks, as independent software sees them."""

import base64
from datetime import UTC, datetime

import pytest
import svix
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from standardwebhooks import Webhook

from services.kernel.signing import (
    SignatureError,
    SigningKeys,
    headers,
    new_secret,
    parse_public,
    parse_secret,
    public_text,
    sign,
    sign_asymmetric,
    verify,
)

SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = 1_614_265_330
BODY = b'{"test": 2432232314}'
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def signed_by(*secrets):
    return SigningKeys(secrets, PRIVATE)


def test_known_answer():
    """The published example of Standard Webhooks comes out to the byte."""
    assert sign(parse_secret(SECRET), MESSAGE, AT, BODY) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("library", [Webhook, svix.Webhook])
def test_independent_library_verifies(library):
    """The reference library and Svix's accept what we sign now, with either secret of a rotation."""
    old, new = new_secret(), new_secret()
    body = b'{"type":"ping","timestamp":"2026-01-01T00:00:00Z","data":{}}'
    signed = headers(
        signed_by(parse_secret(new), parse_secret(old)), "msg_1", int(datetime.now(UTC).timestamp()), body
    )
    for secret in (old, new):
        library(secret).verify(body, signed)
    with pytest.raises(Exception, match="signature"):
        library(new_secret()).verify(body, signed)


def test_we_verify_the_independent_library():
    """What the reference library signs in UTC, we accept."""
    secret, now = new_secret(), datetime.now(UTC)
    signature = Webhook(secret).sign("msg_2", now, BODY.decode())
    received = {
        "webhook-id": "msg_2",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    verify([parse_secret(secret)], received, BODY, int(now.timestamp()))


@pytest.mark.parametrize(
    ("change", "body", "now", "text"),
    [
        ({}, b"{}", AT, "no signature fits"),
        ({"webhook-id": "msg_other"}, BODY, AT, "no signature fits"),
        ({"webhook-timestamp": str(AT + 1)}, BODY, AT, "no signature fits"),
        ({"webhook-timestamp": "soon"}, BODY, AT, "missing or wrong"),
        ({"webhook-signature": "v1,é"}, BODY, AT, "no signature fits"),
        ({}, BODY, AT + 301, "check the clock"),
        ({}, BODY, AT - 301, "check the clock"),
    ],
)
def test_changed_or_old_messages_are_refused(change, body, now, text):
    """Neither body, id nor time can be changed; what is five minutes away is not believed."""
    secret = parse_secret(SECRET)
    received = headers(signed_by(secret), MESSAGE, AT, BODY) | change
    with pytest.raises(SignatureError, match=text):
        verify([secret], received, body, now)


def test_signature_holds_within_the_tolerance():
    """Clocks may differ by five minutes."""
    secret = parse_secret(SECRET)
    for now in (AT - 300, AT, AT + 300):
        verify([secret], headers(signed_by(secret), MESSAGE, AT, BODY), BODY, now)


def test_missing_header_is_refused():
    """Without one of the three headers nothing is believed."""
    secret = parse_secret(SECRET)
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        received = headers(signed_by(secret), MESSAGE, AT, BODY)
        del received[name]
        with pytest.raises(SignatureError):
            verify([secret], received, BODY, AT)


def test_dot_in_an_id_is_refused():
    """A dot would move the border between id and time in what is signed."""
    with pytest.raises(SignatureError):
        sign(parse_secret(SECRET), "msg_1.2", AT, BODY)


def test_secrets_are_random_and_checked():
    """Secrets are 24 random bytes with a prefix; what is no secret is refused without repeating it."""
    assert new_secret() != new_secret()
    assert len(parse_secret(new_secret())) == 24
    for wrong in ("", "whsec_", "whsec_%%%", "whsec_" + base64.b64encode(b"short").decode()):
        with pytest.raises(SignatureError) as caught:
            parse_secret(wrong)
        assert not wrong.removeprefix("whsec_") or wrong not in str(caught.value)


V1A = "v1a,yoUrgEkc12aGqm0n4Sydmdz55xJfTz4AsAgieHFjmkR7LJtqVCZOQYzvvHjI5kAey+r4iaBGxTFRrl2iBQxtDQ=="
"""Made by Node's crypto and by OpenSSL from the same seed: ed25519 has one answer."""


def test_known_answer_asymmetric():
    """The signature of the published example by the key of seed 00 01 … 1f is the one other software makes."""
    assert public_text(PRIVATE) == "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
    assert sign_asymmetric(PRIVATE, MESSAGE, AT, BODY) == V1A


def test_rotation_sends_two_shared_signatures_and_one_asymmetric():
    """The order is fixed: new secret, old secret, private key."""
    new, old = bytes(24), bytes(range(24))
    kinds = headers(signed_by(new, old), MESSAGE, AT, BODY)["webhook-signature"].split(" ")
    assert kinds == [
        sign(new, MESSAGE, AT, BODY),
        sign(old, MESSAGE, AT, BODY),
        sign_asymmetric(PRIVATE, MESSAGE, AT, BODY),
    ]


@pytest.mark.parametrize(
    ("change", "body"),
    [
        ({}, BODY + b" "),
        ({"webhook-id": "msg_other"}, BODY),
        ({"webhook-timestamp": str(AT + 1)}, BODY),
        ({"webhook-signature": V1A.replace("v1a,", "v1,")}, BODY),
        ({"webhook-signature": "v1a,%%%"}, BODY),
    ],
)
def test_asymmetric_signature_binds_id_time_body_and_version(change, body):
    """The public key alone proves a message, and nothing of it can be changed."""
    public = parse_public(public_text(PRIVATE))
    received = headers(signed_by(), MESSAGE, AT, BODY)
    verify([], received, BODY, AT, [public])
    with pytest.raises(SignatureError, match="no signature fits"):
        verify([], received | change, body, AT, [public])


def test_public_keys_are_checked():
    """What is no public key is refused."""
    for wrong in ("", "whpk_", "whpk_%%%", "whpk_" + base64.b64encode(b"short").decode()):
        with pytest.raises(SignatureError, match="whpk_"):
            parse_public(wrong)
