"""Events about the people who help.

Who somebody is, how to reach them, where they live and when they can come is sealed with a key of their own: when they
leave, it is destroyed, and the random number that stays leads to nobody.
"""

from uuid import UUID

from schemas.base import Sealed
from schemas.events.event import OPS_EVENTS, EventData


class VolunteerRegistered(EventData):
    """Somebody wants to help. Without consent nobody is called; `exercise`: called in exercises, and in nothing else."""

    TYPE = "volunteer.registered.v1"
    TOPIC = OPS_EVENTS
    volunteer_id: UUID
    profile: Sealed
    consent: bool
    exercise: bool = False


class VolunteerChanged(EventData):
    """The whole profile as it is from now on."""

    TYPE = "volunteer.changed.v1"
    TOPIC = OPS_EVENTS
    volunteer_id: UUID
    profile: Sealed
    consent: bool


class VolunteerLeft(EventData):
    """Somebody helps no longer; the key of everything personal is destroyed with that."""

    TYPE = "volunteer.left.v1"
    TOPIC = OPS_EVENTS
    volunteer_id: UUID
