"""Signatures are those of Standard Webhooks, as independent software sees them."""

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from services.dispatch.signing import SignatureError, headers, new_secret, parse_secret, sign, verify

SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = 1_614_265_330
BODY = b'{"test": 2432232314}'


def test_known_answer():
    """The published example of Standard Webhooks comes out to the byte."""
    assert sign(parse_secret(SECRET), MESSAGE, AT, BODY) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_independent_library_verifies():
    """The reference library accepts what we sign now, with either secret of a rotation."""
    old, new = new_secret(), new_secret()
    body = b'{"type":"ping","timestamp":"2026-01-01T00:00:00Z","data":{}}'
    signed = headers(
        [parse_secret(new), parse_secret(old)], "msg_1", int(datetime.now(UTC).timestamp()), body
    )
    for secret in (old, new):
        assert Webhook(secret).verify(body, signed) == {
            "type": "ping",
            "timestamp": "2026-01-01T00:00:00Z",
            "data": {},
        }
    with pytest.raises(Exception, match="signature"):
        Webhook(new_secret()).verify(body, signed)


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
    received = headers([secret], MESSAGE, AT, BODY) | change
    with pytest.raises(SignatureError, match=text):
        verify([secret], received, body, now)


def test_signature_holds_within_the_tolerance():
    """Clocks may differ by five minutes."""
    secret = parse_secret(SECRET)
    for now in (AT - 300, AT, AT + 300):
        verify([secret], headers([secret], MESSAGE, AT, BODY), BODY, now)


def test_missing_header_is_refused():
    """Without one of the three headers nothing is believed."""
    secret = parse_secret(SECRET)
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        received = headers([secret], MESSAGE, AT, BODY)
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
