"""What a version of the rules says: the criteria, the age limit, and how each kind of case is assessed."""

import hashlib
import json
from datetime import date
from functools import cached_property
from typing import Annotated, Self

from pydantic import Field, model_validator

from schemas.base import ShortText, Strict
from schemas.vocabulary import AbductionStatus, CaseKind, Criterion


class KindRules(Strict):
    """How cases of one kind are assessed.

    `without`: criteria that are noted but do not make such a case worrying; `worrying_by_itself`: worrying whatever
    the criteria say; `not_assessed`: the states of an abduction in which nobody is missing.
    """

    without: tuple[Criterion, ...] = ()
    worrying_by_itself: bool = False
    not_assessed: tuple[AbductionStatus, ...] = ()


class Rules(Strict):
    """A directive as data. `age_limit` is in years; `in_force` is the first day on which it counts."""

    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    title: ShortText
    in_force: date
    age_limit: Annotated[int, Field(ge=0, le=130)]
    criteria: Annotated[tuple[Criterion, ...], Field(min_length=1)]
    questions: tuple[Criterion, ...]
    kinds: dict[CaseKind, KindRules]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(set(self.criteria)) != len(self.criteria):
            raise ValueError("criteria: each one once")
        if sorted(self.questions) != sorted(self.criteria):
            raise ValueError("questions: the same names as criteria, each one once, in the order of asking")
        missing = [kind.value for kind in CaseKind if kind not in self.kinds]
        if missing:
            raise ValueError(f"kinds: add {', '.join(missing)}")
        return self

    def deciding(self, kind: CaseKind) -> tuple[Criterion, ...]:
        """The criteria that make a case of this kind worrying, in the order of the directive."""
        return self._deciding[kind]

    @cached_property
    def _deciding(self) -> dict[CaseKind, tuple[Criterion, ...]]:
        return {
            kind: tuple(criterion for criterion in self.criteria if criterion not in of_kind.without)
            for kind, of_kind in self.kinds.items()
        }

    @property
    def digest(self) -> str:
        """What these rules say, in short: whatever changes an assessment changes it, a title or a comment does not."""
        said = self.model_dump(mode="json", exclude={"title"}, exclude_defaults=True)
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
