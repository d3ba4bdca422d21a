"""Who is asked next, and why: near first, spread over everybody, and with what is lacking.

Distance is what a call costs the person who is called; having been asked or out lately counts as more of it. Nothing is
drawn by lot: the same people and the same need give the same choice, and the log says what it rested on.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from schemas.events import Chosen, Need

KM_PER_ASKED = 3.0
"""What a call of the last 30 days counts for, in kilometres more."""
KM_PER_OUT = 15.0
"""The same for having been out."""
ASKED_FOR_EACH = 2.0
"""How many are asked for each who is lacking: about half of those who are called at night can come."""
MOST_AT_ONCE = 500
CAR = "car"
SKILL = "skill:"
"""Before a skill among what somebody brings: an installation may have one that is called `car` or `nl`."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who can be called now and was not asked yet."""

    volunteer_id: UUID
    distance_km: float
    exercise: bool
    car: bool = False
    languages: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    asked_lately: int = 0
    out_lately: int = 0

    @property
    def brings(self) -> tuple[str, ...]:
        """A car, languages, skills."""
        return ((CAR,) if self.car else ()) + self.languages + tuple(SKILL + one for one in self.skills)

    @property
    def cost_km(self) -> float:
        """The distance, and what they did lately as more of it."""
        return self.distance_km + KM_PER_ASKED * self.asked_lately + KM_PER_OUT * self.out_lately


@dataclass(frozen=True, slots=True)
class Lacking:
    """What a need lacks: people, cars, languages that nobody who comes speaks, skills that nobody of them has."""

    people: int
    cars: int
    languages: tuple[str, ...]
    skills: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.people or self.things)

    @property
    def things(self) -> tuple[str, ...]:
        """As somebody brings them: a car, languages, skills."""
        return ((CAR,) if self.cars else ()) + self.languages + tuple(SKILL + one for one in self.skills)


def lacking(need: Need, coming: Iterable[Sequence[str]]) -> Lacking:
    """What is lacking beside those who come, each with what they bring."""
    brought = [set(one) for one in coming]
    there = set().union(*brought) if brought else set()
    return Lacking(
        people=max(need.people - len(brought), 0),
        cars=max(need.cars - sum(CAR in one for one in brought), 0),
        languages=tuple(one.value for one in need.languages if one.value not in there),
        skills=tuple(one for one in need.skills if SKILL + one not in there),
    )


def choose(
    lack: Lacking, candidates: Iterable[Candidate], asked_for_each: float = ASKED_FOR_EACH
) -> list[Chosen]:
    """The next wave, in its order: for every car, language and skill that is lacking the next who bring it, then the next."""
    order = sorted(set(candidates), key=lambda one: (one.cost_km, one.volunteer_id, one.brings))
    wanted = Counter(dict.fromkeys(lack.things, math.ceil(asked_for_each)))
    wanted[CAR] = math.ceil(lack.cars * asked_for_each)
    for_what: dict[UUID, tuple[str, ...]] = {}
    for one in order:
        fills = tuple(what for what in one.brings if wanted[what] > 0)
        if fills and len(for_what) < MOST_AT_ONCE:
            for_what[one.volunteer_id] = fills
            wanted.subtract(fills)
    size = min(max(math.ceil(lack.people * asked_for_each), len(for_what)), MOST_AT_ONCE)
    others = [one.volunteer_id for one in order if one.volunteer_id not in for_what]
    taken = {*for_what, *others[: size - len(for_what)]}
    return [
        Chosen(
            volunteer_id=one.volunteer_id,
            distance_km=round(one.distance_km, 1),
            asked_lately=one.asked_lately,
            out_lately=one.out_lately,
            brings=one.brings,
            chosen_for=for_what.get(one.volunteer_id, ()),
        )
        for one in order
        if one.volunteer_id in taken
    ]
