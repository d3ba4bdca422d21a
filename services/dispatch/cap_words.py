"""What CAP messages say beside the appeal's own texts, in four languages."""

from dataclasses import dataclass

from schemas.vocabulary import Language


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language; `years` has the place for an age."""

    tag: str
    event: str
    instruction: str
    standby: str
    standby_instruction: str
    linked: str
    years: str
    girl: str
    boy: str


WORDS = {
    Language.NL: Words(
        tag="nl-BE",
        event="Vermist kind",
        instruction="Weet u iets? Bel gratis 116 000, dag en nacht. Benader niemand zelf.",
        standby="Onrustwekkende verdwijning: sta klaar",
        standby_instruction="Sta klaar. Deel niets en wacht op een opdracht.",
        linked="Oproep: haal de inhoud op met uw eigen toegang",
        years="{} jaar",
        girl="meisje",
        boy="jongen",
    ),
    Language.FR: Words(
        tag="fr-BE",
        event="Enfant disparu",
        instruction="Vous savez quelque chose ? Appelez gratuitement le 116 000, jour et nuit. N'intervenez pas vous-même.",
        standby="Disparition inquiétante : tenez-vous prêts",
        standby_instruction="Tenez-vous prêts. Ne diffusez rien et attendez une mission.",
        linked="Avis : consultez le contenu avec votre propre accès",
        years="{} ans",
        girl="fille",
        boy="garçon",
    ),
    Language.DE: Words(
        tag="de-BE",
        event="Vermisstes Kind",
        instruction="Wissen Sie etwas? Rufen Sie kostenlos 116 000 an, Tag und Nacht. Greifen Sie nicht selbst ein.",
        standby="Besorgniserregendes Verschwinden: Bereitschaft",
        standby_instruction="Halten Sie sich bereit. Verbreiten Sie nichts und warten Sie auf einen Auftrag.",
        linked="Suchmeldung: holen Sie den Inhalt mit Ihrem eigenen Zugang",
        years="{} Jahre",
        girl="Mädchen",
        boy="Junge",
    ),
    Language.EN: Words(
        tag="en",
        event="Missing child",
        instruction="Do you know anything? Call 116 000, free, day and night. Do not approach anyone yourself.",
        standby="Worrying disappearance: stand by",
        standby_instruction="Be ready. Publish nothing and wait for a task.",
        linked="Appeal: fetch its content with your own access",
        years="aged {}",
        girl="girl",
        boy="boy",
    ),
}

OVER = (
    "Beëindigd: toon dit nergens meer en wis wat u ervan bewaart."
    " / Terminé : ne l'affichez plus et effacez ce que vous en conservez."
    " / Beendet: zeigen Sie es nirgends mehr und löschen Sie, was Sie davon aufbewahren."
    " / Over: show it nowhere, and delete what you keep of it."
)
"""The note of a Cancel: no word of whom it was about."""
EXERCISE = "OEFENING / EXERCICE / ÜBUNG / EXERCISE"
