"""A file to import: read as often as wanted, of any length in little memory."""

import json
import os
import threading
import tracemalloc
from contextlib import closing

import pytest

from services.intake.import_file import FileLines, ImportFileError, Places
from services.intake.import_lines import MAX_LINE, identified


def test_a_long_file_needs_little_memory(tmp_path):
    """20 MB of lines are read, and their places kept, in a fraction of that."""
    file = tmp_path / "long.ndjson"
    with file.open("w") as out:
        out.writelines(json.dumps({"id": f"{n}", "x": "x" * 4000}) + "\n" for n in range(5000))
    tracemalloc.start()
    try:
        with FileLines(file) as lines, closing(Places(lines)) as places:
            assert sum(1 for _ in lines) == places.lines == 5000
        assert tracemalloc.get_traced_memory()[1] < 6_000_000
    finally:
        tracemalloc.stop()


def test_the_first_of_equal_lines_is_the_place_of_their_event():
    """Blank and bad lines count as lines and make no event; an event of elsewhere has no place."""
    lines = ['{"id": "a"}', "", "{", ' {"id": "b"}\r\n', '{"id": "a"}']
    a, b, other = (identified(json.dumps({"id": name}))[0] for name in "abc")
    with closing(Places(lines)) as places:
        assert (places.of([a, b, other]), places.lines) == ({a: 1, b: 4}, 5)


def test_a_pipe_is_read_twice_too(tmp_path):
    """What cannot be read again is kept aside."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"one\ntwo",))
    writer.start()
    with FileLines(pipe) as lines:
        assert list(lines) == list(lines) == ["one\n", "two"]
    writer.join()


def test_an_endless_line_is_cut_and_the_next_one_is_whole(tmp_path):
    """A line far over the limit does not fill the memory: it comes cut, still too long, and counts once."""
    file = tmp_path / "wide.ndjson"
    file.write_bytes("é".encode() * 4 * MAX_LINE + b"\nnext\n")
    with FileLines(file) as lines:
        wide, following = lines
    assert MAX_LINE < len(wide) <= 2 * MAX_LINE
    assert following == "next\n"


def test_a_file_in_another_encoding_says_which_line(tmp_path):
    """The line's number, and what to do; not the line."""
    file = tmp_path / "latin.ndjson"
    file.write_bytes(b"one\nZo\xe9\n")
    with FileLines(file) as lines, pytest.raises(ImportFileError, match=r"line 2 of .* convert"):
        list(lines)
