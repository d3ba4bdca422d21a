"""The people on duty, kept as data; their channels are sealed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from schemas.base import Sealed
from schemas.duty import ChangePerson, Channel, Desk, DutySlot, NewPerson, Weekday
from schemas.vocabulary import Language
from services.kernel.ids import new_id
from services.kernel.paging.domain import OnCall, Slot
from services.kernel.postgres import Connection, Pool, queries
from services.kernel.problems import NotFoundError
from services.kernel.vault import derive, seal, unseal

_SQL = queries("services.kernel.paging")
_KEY = "duty-channels"
_DAYS = list(Weekday)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can be paged, with clear channels."""

    person_id: UUID
    name: str
    language: Language
    place: int
    channels: tuple[Channel, ...]
    slots: tuple[DutySlot, ...] | None
    desk: Desk = Desk.OPERATIONS

    @property
    def on_call(self) -> OnCall:
        """What the choice of the next one looks at."""
        if self.slots is None:
            return OnCall(self.person_id)
        return OnCall(self.person_id, tuple(Slot(_DAYS.index(s.day), s.begins, s.until) for s in self.slots))

    @property
    def view(self) -> dict[str, Any]:
        """For colleagues: of the channels only their kinds."""
        return {
            "person_id": self.person_id,
            "name": self.name,
            "language": self.language,
            "place": self.place,
            "channels": [kind_of(channel) for channel in self.channels],
            "slots": _slots(self.slots),
            "desk": self.desk.value,
        }


def kind_of(channel: str) -> str:
    """`email`, or the schema of an Apprise URL: what may be logged and shown."""
    return channel.partition("://")[0] if "://" in channel else "email"


async def people(source: Pool | Connection, master: bytes) -> list[Person]:
    """Everybody, in order. Raises VaultError when a channel does not open."""
    return [person_of(row, master) for row in await source.fetch(_SQL["people"])]


def person_of(row: Mapping[str, Any], master: bytes) -> Person:
    """Somebody as the row says. Raises VaultError."""
    slots = None if row["slots"] is None else orjson.loads(row["slots"])
    return Person(
        row["person_id"],
        row["name"],
        Language(row["language"]),
        row["place"],
        channels_of(row, master),
        None if slots is None else tuple(DutySlot.model_validate(slot) for slot in slots),
        Desk(row["desk"]),
    )


def channels_of(row: Mapping[str, Any], master: bytes) -> tuple[str, ...]:
    """The channels of a row that has them. Raises VaultError."""
    box = Sealed.model_validate_json(row["channels"])
    return tuple(unseal(box, derive(master, _KEY), str(row["person_id"]).encode()))


async def staffed(source: Pool | Connection, desk: Desk) -> bool:
    """Whether anybody sits at a desk at all."""
    return bool(await source.fetchval(_SQL["staffed"], desk.value))


async def add(connection: Connection, master: bytes, new: NewPerson) -> Person:
    """Somebody new."""
    place = new.place or await connection.fetchval(_SQL["last_place"])
    slots = None if new.slots is None else tuple(new.slots)
    person = Person(new_id(), new.name, new.language, place, tuple(new.channels), slots, new.desk)
    await _keep(connection, master, person)
    return person


async def change(connection: Connection, master: bytes, person_id: UUID, wish: ChangePerson) -> Person:
    """Changes what is named. Raises NotFoundError."""
    row = await connection.fetchrow(_SQL["person"], person_id)
    if row is None:
        raise _unknown()
    before = person_of(row, master)
    given = wish.model_fields_set
    person = Person(
        person_id,
        wish.name or before.name,
        wish.language or before.language,
        wish.place or before.place,
        tuple(wish.channels or before.channels),
        (None if wish.slots is None else tuple(wish.slots)) if "slots" in given else before.slots,
        wish.desk or before.desk,
    )
    await _keep(connection, master, person)
    return person


async def remove(connection: Connection, person_id: UUID) -> None:
    """Somebody who is not paged any more. Raises NotFoundError."""
    if not await connection.fetchval(_SQL["remove_person"], person_id):
        raise _unknown()


def _unknown() -> NotFoundError:
    return NotFoundError("person", "there is no such person; GET /v1/duty lists everybody")


async def _keep(connection: Connection, master: bytes, person: Person) -> None:
    box = seal(_KEY, derive(master, _KEY), list(person.channels), str(person.person_id).encode())
    slots = _slots(person.slots)
    await connection.execute(
        _SQL["keep_person"],
        person.person_id,
        person.name,
        person.language.value,
        person.place,
        box.model_dump_json(),
        None if slots is None else orjson.dumps(slots).decode(),
        person.desk.value,
    )


def _slots(slots: Sequence[DutySlot] | None) -> list[dict[str, Any]] | None:
    if slots is None:
        return None
    return [
        {"day": slot.day.value, "from": f"{slot.begins:%H:%M}", "until": f"{slot.until:%H:%M}"}
        for slot in slots
    ]
