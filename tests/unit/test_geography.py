"""Areas of every level mean municipalities."""

import pytest

from services.geography import UnknownAreaError, municipalities, municipality_of, overlap, province_of


def test_a_postcode_leads_to_its_municipality():
    """3000 is Leuven; a postcode that does not exist leads nowhere."""
    assert municipality_of("3000") == "24062"
    assert municipality_of("9999") is None


def test_brussels_is_in_no_province():
    """Leuven is in Flemish Brabant, Brussels in none."""
    assert province_of("24062") == "20001"
    assert province_of("21004") is None
    assert province_of("99999") is None


@pytest.mark.parametrize("code", ["24062", "postal:3000", "province:20001", "arrondissement:leuven", "BE"])
def test_every_level_holds_leuven(code):
    """The same place by code of any level."""
    assert "24062" in municipalities(code)


@pytest.mark.parametrize(
    "code", ["", "00000", "postal:0000", "province:1", "arrondissement:gotham", "x:y", "be"]
)
def test_an_unknown_code_is_refused(code):
    """A code that means nothing is an error, not an empty area."""
    with pytest.raises(UnknownAreaError):
        municipalities(code)


def test_the_country_has_every_municipality():
    """BE is all 565 of them."""
    assert len(municipalities("BE")) == 565


def test_areas_meet_in_either_direction():
    """A partner of one town is in a campaign of its province, and a partner of the province in one of the town."""
    assert overlap(["24062"], ["province:20001"])
    assert overlap(["province:20001"], ["24062"])
    assert not overlap(["24062"], ["province:10000", "21004"])
