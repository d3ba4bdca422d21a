"""Who plays: 31 invented display partners all over Belgium, 24 mobile volunteers, one Missing Persons Unit."""

from collections.abc import Sequence

from services.simulation.receivers import Behaviour, Receiver

_NL, _FR, _DE, _BOTH = ("nl",), ("fr",), ("de", "fr"), ("nl", "fr")

_DISPLAYS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("Spoorschermen België", ("BE",), _BOTH),
    ("Snelwegborden België", ("BE",), _BOTH),
    ("Affichage National", ("BE",), _BOTH),
    ("Supermarkt De Korf", ("BE",), _BOTH),
    ("Banque du Quai", ("BE",), ("fr", "nl", "de", "en")),
    ("Stationsborden Leuven", ("postal:3000",), _NL),
    ("Bushaltes Hageland", ("arrondissement:leuven",), _NL),
    ("Stadsschermen Brussel", ("postal:1000",), ("fr", "nl", "en")),
    ("Métro Souterrain", ("arrondissement:brussel",), _BOTH),
    ("Luchthavenborden", ("province:20001",), ("nl", "fr", "en")),
    ("Cinema Vlaams-Brabant", ("province:20001",), _NL),
    ("Panneaux Brabant wallon", ("province:20002",), _FR),
    ("Havenschermen", ("postal:2000",), _NL),
    ("Trams Antwerpen", ("arrondissement:antwerpen",), _NL),
    ("Winkelstraat Antwerpen", ("province:10000",), _NL),
    ("Reuzenscherm Gent", ("postal:9000",), _NL),
    ("Apotheken Oost", ("province:40000",), _NL),
    ("Lichtkranten Brugge", ("postal:8000",), _NL),
    ("Kustborden", ("postal:8400",), ("nl", "fr", "en")),
    ("Bioscopen West", ("province:30000",), _NL),
    ("Limburgse Schermen", ("province:70000",), _NL),
    ("Galerij Hasselt", ("postal:3500",), _NL),
    ("Écrans de Liège", ("postal:4000",), _FR),
    ("Bus des Vallées", ("province:60000",), _FR),
    ("Anzeigen Ostbelgien", ("arrondissement:eupen",), _DE),
    ("Schaufenster Eupen", ("postal:4700",), _DE),
    ("Vitrines de Namur", ("postal:5000",), _FR),
    ("Affiches Ardennes", ("province:80000",), _FR),
    ("Écrans de Charleroi", ("postal:6000",), _FR),
    ("Panneaux de Mons", ("postal:7000",), _FR),
    ("Pharmacies du Hainaut", ("province:50000",), _FR),
)
DISPLAYS = len(_DISPLAYS)
VOLUNTEERS = 24

_BEHAVIOURS = {
    4: Behaviour.SLOW,
    9: Behaviour.FAILING,
    13: Behaviour.STUBBORN,
    17: Behaviour.SLOW,
    21: Behaviour.HANGING,
    26: Behaviour.FAILING,
    29: Behaviour.SLOW,
}


def displays(count: int = DISPLAYS) -> list[Receiver]:
    """The display partners; beyond the 31 they come again with a number. Most behave, some do not."""
    return [
        Receiver(
            number=number,
            name=_name(number),
            behaviour=_BEHAVIOURS.get(number, Behaviour.NORMAL),
            areas=_DISPLAYS[(number - 1) % DISPLAYS][1],
            languages=_DISPLAYS[(number - 1) % DISPLAYS][2],
        )
        for number in range(1, count + 1)
    ]


def _name(number: int) -> str:
    name = _DISPLAYS[(number - 1) % DISPLAYS][0]
    return name if number <= DISPLAYS else f"{name} {number}"


def everyone() -> Sequence[Receiver]:
    """The whole cast of the demonstration. Numbers: displays from 1, volunteers from 101, the Unit 200."""
    volunteers = [
        Receiver(number=100 + number, name=f"Mobile volunteer {number:02}", audience="mobile_team")
        for number in range(1, VOLUNTEERS + 1)
    ]
    unit = Receiver(number=200, name="Missing Persons Unit", audience="missing_persons_unit")
    return [*displays(), *volunteers, unit]
