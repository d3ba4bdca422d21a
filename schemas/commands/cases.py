"""Open a case; look for a child. Clear text lives only here, until it is sealed."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from schemas.base import Age, Country, Day, Instant, LongText, PostalCode, ShortText, Strict
from schemas.events import AbductionDetails, ChildIndex, Details, NoDetails, UndefinedDetails
from schemas.vocabulary import AbductionStatus, Answer, CaseKind, Criterion, Gender, Mode


class AgeEstimate(Strict):
    """A range of whole years, both ends included."""

    min: Age
    max: Age

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError("age_estimate: min is above max; swap them")
        return self


class NewChild(Strict):
    """One missing child, as the operator hears it."""

    given_name: ShortText | None = None
    family_name: ShortText | None = None
    date_of_birth: Day | None = None
    age_estimate: AgeEstimate | None = None
    gender: Gender = Gender.UNKNOWN
    nationality: Country | None = None
    description: LongText | None = None

    @model_validator(mode="after")
    def _one_age(self) -> Self:
        if self.date_of_birth and self.age_estimate:
            raise ValueError("give date_of_birth or age_estimate, not both")
        return self


class Sighted(Strict):
    """Where, as reported."""

    postal_code: PostalCode | None = None
    place: ShortText | None = None
    lat: Annotated[float, Field(ge=-90, le=90)] | None = None
    lon: Annotated[float, Field(ge=-180, le=180)] | None = None


class NewCircumstance(Strict):
    """What is said about one criterion; without `child` it holds for every child."""

    criterion: Criterion
    value: Answer
    child: ChildIndex | None = None
    note: LongText | None = None
    next_due: Instant | None = None


def feared(details: Details) -> bool:
    """Whether nobody has disappeared: the child is at home and a parent fears an abduction."""
    return isinstance(details, AbductionDetails) and details.status is AbductionStatus.PREVENTIVE


def details_of(kind: CaseKind, details: Details) -> Details:
    """Returns `details` when they fit the kind; ValueError says what the kind needs."""
    wanted: type[Strict]
    match kind:
        case CaseKind.INTERNATIONAL_PARENTAL_ABDUCTION:
            wanted = AbductionDetails
        case CaseKind.UNDEFINED:
            if isinstance(details, NoDetails):
                return details
            wanted = UndefinedDetails
        case _:
            wanted = NoDetails
    if not isinstance(details, wanted):
        need = ", ".join(wanted.model_fields) or "none"
        raise ValueError(f"details: a case of kind {kind.value} takes these details: {need}")  # noqa: TRY004 - pydantic turns ValueError into a 422
    return details


class OpenCase(Strict):
    """Open a case."""

    kind: CaseKind
    reported_by: ShortText
    disappeared_at: Instant | None = None
    last_seen: Sighted = Sighted()
    children: Annotated[list[NewChild], Field(min_length=1, max_length=100)]
    circumstances: Annotated[list[NewCircumstance], Field(max_length=600)] = []
    details: Details = NoDetails()
    mode: Mode = Mode.ACTUAL

    @model_validator(mode="after")
    def _whole(self) -> Self:
        details_of(self.kind, self.details)
        if self.disappeared_at is None and not feared(self.details):
            raise ValueError("disappeared_at is required unless the abduction is preventive")
        for circumstance in self.circumstances:
            if circumstance.child is not None and circumstance.child >= len(self.children):
                raise ValueError("circumstances: child is the index of one of the children, from 0")
        return self


class FindChild(Strict):
    """Search a child by identity: exact, but for case and accents."""

    given_name: ShortText
    family_name: ShortText
    date_of_birth: Day
