"""What strangers may send: samples that are nearly right, and what was never one of them. For tests of parsers."""

import os
from collections.abc import Callable, Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

SPICE = (
    b"\x00", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r\n", b"'", b'"', b"<", b"]]>", b"{", b"}", b"[" * 300,
    b"-1", b"1e999", b"9" * 40, b"9" * 5000, b"NaN", b"null", b"\xd9\xa1\xd9\xa2", b"%00", b"../", b"{{7*7}}", b";--", b"\\ud800",
    b"&amp;", b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:60Z", b"\xe2\x80\xae",
)  # fmt: skip
"""Pieces that parsers trip over: numbers beyond all types, halves of characters, marks of every notation."""

_TEXT_SPICE = (
    "\ud800",
    "\udcff",
    "\x00",
    "٣",
    "²",
    "é",
    "\u202e",
    "9" * 5000,
    "1_0",
    " ",
    "inf",
    "nan",
    "=",
    "A" * 70_000,
)


@st.composite
def changed(draw: st.DrawFn, sample: bytes) -> bytes:
    """A sample, with up to six pieces cut, doubled, or replaced by something that parsers trip over."""
    content = sample
    for _ in range(draw(st.integers(1, 6))):
        begin = draw(st.integers(0, len(content)))
        end = draw(st.integers(begin, min(len(content), begin + 40)))
        piece = draw(
            st.sampled_from(SPICE) | st.binary(max_size=8) | st.just(b"") | st.just(content[begin:end] * 2)
        )
        content = content[:begin] + piece + content[end:]
    return content


def contents(*samples: bytes) -> st.SearchStrategy[bytes]:
    """Changed samples, and bytes of any kind."""
    return st.sampled_from(samples).flatmap(changed) | st.binary(max_size=200)


def texts(*samples: str) -> st.SearchStrategy[str]:
    """Texts as headers, paths and forms may hold them: changed samples, and any characters, halves among them."""

    @st.composite
    def one(draw: st.DrawFn) -> str:
        text = draw(st.sampled_from(samples))
        for _ in range(draw(st.integers(0, 3))):
            begin = draw(st.integers(0, len(text)))
            end = draw(st.integers(begin, min(len(text), begin + 8)))
            text = text[:begin] + draw(st.sampled_from(_TEXT_SPICE) | st.text(max_size=3)) + text[end:]
        return text

    return one() | st.text(st.characters(), max_size=60)


FACTOR = int(os.environ.get("FUZZ_FACTOR", "1"))
"""How many times as many examples, and other ones at each run: see `make fuzz`."""


def tried(
    strategy: st.SearchStrategy[object], times: int
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Tries a test with so many of what strangers may send; always the same ones, unless FUZZ_FACTOR asks for more."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        return settings(max_examples=times * FACTOR, derandomize=FACTOR == 1, deadline=None, database=None)(
            given(strategy)(test)
        )

    return decorate


def joined(parts: Iterable[bytes]) -> bytes:
    """Lines as a file has them."""
    return b"\n".join(parts) + b"\n"
