"""What all pages share: the reader's language, complete words, addresses of files; and the room's own pure parts."""

import re
import tomllib
from importlib import resources
from itertools import product

import pytest
from fastapi import FastAPI, Request

from services.dispatch.board import Step, step
from services.geography.areas import arrondissements
from services.kernel.site import LANGUAGES, Site, language_of
from services.kernel.site import languages as module
from services.kernel.site.languages import WordsError, words_of
from services.web.pages import PACKAGES
from services.web.places import belgium, place_of


def asking(accept="", query="", cookie=""):
    headers = [(b"accept-language", accept.encode()), (b"cookie", cookie.encode())]
    return Request({"type": "http", "headers": headers, "query_string": query.encode(), "app": FastAPI()})


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ({}, "nl"),
        ({"accept": "fr-BE,nl;q=0.8"}, "fr"),
        ({"accept": "nl;q=0.2, de;q=0.9"}, "de"),
        ({"accept": "es, en-US;q=0.5"}, "en"),
        ({"accept": "fr;q=x,;;,*"}, "nl"),
        ({"accept": "fr", "cookie": "language=de"}, "de"),
        ({"accept": "fr", "cookie": "language=xx"}, "fr"),
        ({"accept": "fr", "cookie": "language=de", "query": "lang=en"}, "en"),
    ],
)
def test_one_reads_in_the_language_that_one_chose_or_that_the_browser_likes_best(asked, language):
    """The address wins over the choice of last time, that over the browser; nonsense over nothing."""
    assert language_of(asking(**asked)) == language


def test_a_word_that_lacks_a_language_stops_the_start(tmp_path, monkeypatch):
    """Half-translated pages are never served; the message names the word."""
    (tmp_path / "words.toml").write_text('[half]\nnl = "half"\nfr = "demi"\n')
    monkeypatch.setattr(module.resources, "files", lambda _package: tmp_path)
    with pytest.raises(WordsError, match=r"half.*nl, fr, de, en"):
        words_of(("somewhere",))


def test_every_word_fills_in_the_same_values_in_every_language():
    """A translation that forgets a number, or asks for another, would show braces."""
    said = words_of(("services.kernel.site", *PACKAGES))
    for name in said["nl"]:
        blanks = {tuple(sorted(re.findall(r"\{(\w+)\}", said[language][name]))) for language in LANGUAGES}
        assert len(blanks) == 1, name


def test_every_word_that_a_page_says_exists_and_none_is_left_over():
    """Templates and scripts are searched for the words they say; some are made from an event's own words."""
    known = set(words_of(("services.kernel.site", *PACKAGES))["nl"])
    text = "".join(
        file.read_text("utf-8")
        for package in ("services.kernel.site", *PACKAGES)
        for folder in ("templates", "static")
        if resources.files(package).joinpath(folder).is_dir()
        for file in resources.files(package).joinpath(folder).iterdir()
    ) + resources.files("services.web").joinpath("pages.py").read_text("utf-8")
    said = set(re.findall(r"say\([\"'](\w+)[\"']", text))
    assert {word for word in said if not word.endswith("_")} - known == set()
    made = ("kind_", "reason_", "step_", "alert_", "still_", "state_", "section_", "chart_", "say_")
    ours = tomllib.loads(resources.files("services.web").joinpath("words.toml").read_text("utf-8"))
    left = {word for word in ours if not re.search(rf"[\"']{word}[\"']", text) and not word.startswith(made)}
    assert left == set()


def test_a_file_has_an_address_that_changes_with_the_version():
    """Browsers keep files for ever; a name that does not exist is found when the page is made."""
    site = Site(PACKAGES)
    assert site.static("room.css") == f"/static/{site.version}/room.css"
    with pytest.raises(KeyError):
        site.static("nothing.css")


def test_the_map_has_every_arrondissement_and_each_label_is_inside():
    """Twelve outlines, their names in every language; no label of one lies in another."""
    shapes = belgium().shapes
    assert {shape.slug for shape in shapes} == arrondissements("BE")
    assert len(shapes) == 12
    for shape in shapes:
        assert set(shape.names) == set(LANGUAGES)
        holding = [other.slug for other in shapes if _holds(other, shape.label)]
        assert holding == [shape.slug]


def _holds(shape, point):
    from shapely import Point, Polygon

    rings = [
        [tuple(map(float, pair.split())) for pair in part.strip("Z").split("L")]
        for part in shape.path.split("M")[1:]
    ]
    return any(Polygon(ring).contains(Point(point.x, point.y)) for ring in rings)


def test_a_place_that_is_unknown_has_no_name():
    """Municipalities merge: an old code must not stop the board."""
    assert place_of("24062")["fr"] == "Louvain"
    assert place_of("71022") is None
    assert place_of(None) is None


DELIVERIES = product(
    ("issued", "updated", "withdrawn"),
    ("pending", "delivered", "superseded", "expired", "held"),
    (None, "displayed", "removed", "rejected"),
    (0, 3),
)


def test_no_delivery_is_called_shown_or_dark_without_a_receipt():
    """What a partner's server took is not yet on or off its screens; a withdrawal is never called shown."""
    for content, state, receipt, attempts in DELIVERIES:
        found = step(content, state, receipt, attempts)
        down = found in {Step.GOING_DARK, Step.STILL_TRYING_DARK, Step.TOLD_DARK, Step.DARK}
        assert down == (content == "withdrawn")
        if found is Step.SHOWN:
            assert receipt == "displayed"
        if found is Step.DARK:
            assert receipt == "removed"


@pytest.mark.parametrize(
    ("delivery", "found"),
    [
        (("issued", "pending", None, 0), Step.WAITING),
        (("issued", "pending", None, 2), Step.TRYING),
        (("issued", "delivered", None, 1), Step.DELIVERED),
        (("updated", "delivered", "displayed", 1), Step.SHOWN),
        (("issued", "delivered", "rejected", 1), Step.NOT_SHOWN),
        (("issued", "held", None, 1), Step.NOT_SHOWN),
        (("issued", "expired", None, 0), Step.NOT_SHOWN),
        (("withdrawn", "pending", "displayed", 0), Step.GOING_DARK),
        (("withdrawn", "pending", "displayed", 2), Step.STILL_TRYING_DARK),
        (("withdrawn", "held", "displayed", 2), Step.STILL_TRYING_DARK),
        (("withdrawn", "delivered", "displayed", 1), Step.TOLD_DARK),
        (("withdrawn", "delivered", "removed", 1), Step.DARK),
        (("withdrawn", "pending", "removed", 1), Step.DARK),
    ],
)
def test_how_far_a_partner_is(delivery, found):
    """From the newest delivery and the last word of its screens."""
    assert step(*delivery) is found
