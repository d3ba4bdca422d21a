"""The policy of campaigns, as data: consents, who may release, durations, audiences, texts."""

from collections.abc import Mapping
from datetime import timedelta
from string import Formatter
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from schemas.audiences import FORBIDDEN_AUDIENCES
from schemas.base import Strict
from schemas.vocabulary import AlertKind, Audience, CampaignKind, Language, Party
from services.kernel.principals import Role

BY_LAW: Mapping[CampaignKind, frozenset[Party]] = {CampaignKind.CHILD_ALERT: frozenset({Party.MAGISTRATE})}
"""Consents that no policy leaves out and no waiver replaces: a Child Alert is decided by a magistrate."""

_ALLOWED = {"names", "persons", "place", "name", "age"}


def _placeholders(text: str) -> str:
    if any(name is not None and name not in _ALLOWED for _, name, _, _ in Formatter().parse(text)):
        raise ValueError(f"placeholders are {', '.join(sorted(_ALLOWED))}")
    return text


Template = Annotated[str, AfterValidator(_placeholders), Field(min_length=1, max_length=2000)]


class Wording(Strict):
    """An appeal's words in one language, with placeholders."""

    headline: Template
    body: Template
    body_without_place: Template
    person: Template
    person_without_age: Template
    unnamed: str
    also: str


class KindPolicy(Strict):
    """What holds for one kind of campaign. Durations in hours."""

    consents: frozenset[Party]
    waivers: dict[Party, frozenset[Party]] = {}
    release_by: frozenset[Role]
    release: Literal["manual", "automatic"] = "manual"
    four_eyes: bool = True
    hours: Annotated[int, Field(gt=0)]
    max_hours: Annotated[int, Field(gt=0)]
    extensions: Annotated[int, Field(ge=0)]
    audiences: frozenset[Audience] | None = None
    """Who gets such a campaign in its area; None: the default of its kind."""
    headlines: dict[Language, Template] = {}

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.hours > self.max_hours:
            raise ValueError("hours is above max_hours; a campaign would end before its time")
        return self

    @property
    def named_audiences(self) -> tuple[Audience, ...] | None:
        """The audiences as an event holds them: always in the same order."""
        return None if self.audiences is None else tuple(sorted(self.audiences))

    @property
    def stretch(self) -> timedelta:
        """How long at a time."""
        return timedelta(hours=self.hours)

    @property
    def longest(self) -> timedelta:
        """How long in all."""
        return timedelta(hours=self.max_hours)


class Retention(Strict):
    """How long an identity is kept. `months`: after the child's last case was closed; 0: until somebody asks."""

    months: Annotated[int, Field(ge=0, le=1200)] = 12


class Policy(Strict):
    """The policy of an installation."""

    retention: Retention = Retention()
    kinds: dict[CampaignKind, KindPolicy]
    texts: dict[Language, Wording]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name, wanted, given in (("kinds", CampaignKind, self.kinds), ("texts", Language, self.texts)):
            missing = [word.value for word in wanted if word not in given]
            if missing:
                raise ValueError(f"{name}: add {', '.join(missing)}")
        for kind, parties in BY_LAW.items():
            names = ", ".join(sorted(parties))
            if not parties <= self.kinds[kind].consents:
                raise ValueError(f"kinds.{kind.value}.consents: by law it needs {names}; add that")
            if any(parties & without for without in self.kinds[kind].waivers.values()):
                raise ValueError(f"kinds.{kind.value}.waivers: nobody does without {names}; take it out")
        for kind, rules in self.kinds.items():
            wrong = FORBIDDEN_AUDIENCES[AlertKind(kind.value)] & (rules.audiences or frozenset())
            if wrong:
                names = ", ".join(sorted(wrong))
                raise ValueError(f"kinds.{kind.value}.audiences: it must never reach {names}; take it out")
        return self
