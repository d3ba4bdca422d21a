"""Sealing binds a value to its key and its place."""

import os
from uuid import uuid4

import pytest

from services.kernel.vault import VaultError, blind, context, derive, seal, unseal

SECRET = os.urandom(32)
PLACE = context("case-1", uuid4(), "children.0.identity")


def test_what_is_sealed_opens_again():
    """The same key and place give the value back, of any JSON form."""
    for value in ({"given_name": "Lou"}, "text", None, [1, 2]):
        assert unseal(seal("child:1", SECRET, value, PLACE), SECRET, PLACE) == value


def test_sealing_twice_gives_different_boxes():
    """Equal values cannot be recognised."""
    assert seal("k", SECRET, "Lou", PLACE).box != seal("k", SECRET, "Lou", PLACE).box


def test_a_moved_damaged_or_foreign_box_does_not_open():
    """Another key, stream, event or field, or a changed or truncated box: refused, without telling the content."""
    sealed = seal("k", SECRET, "Voorbeeld", PLACE)
    damaged = sealed.model_copy(
        update={"box": ("A" if sealed.box[20] != "A" else "B").join([sealed.box[:20], sealed.box[21:]])}
    )
    short = sealed.model_copy(update={"box": sealed.box[:8]})
    no_base64 = sealed.model_copy(update={"box": "§"})
    elsewhere = context("case-2", uuid4(), "children.0.identity")
    for box, secret, place in (
        (sealed, os.urandom(32), PLACE),
        (sealed, SECRET, elsewhere),
        (damaged, SECRET, PLACE),
        (short, SECRET, PLACE),
        (no_base64, SECRET, PLACE),
    ):
        with pytest.raises(VaultError) as caught:
            unseal(box, secret, place)
        assert "Voorbeeld" not in str(caught.value)


def test_a_blind_fingerprint_keeps_parts_apart():
    """("a", "bc") and ("ab", "c") are different; the same parts are the same."""
    assert blind(SECRET, "a", "bc") != blind(SECRET, "ab", "c")
    assert blind(SECRET, "a", "bc") == blind(SECRET, "a", "bc")


def test_purposes_have_different_keys():
    """A key derived for one purpose opens nothing of another."""
    assert derive(SECRET, "a") != derive(SECRET, "b")
