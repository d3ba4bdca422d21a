"""What every event is: its data, its type, the topic it travels in.

An event's data holds clear facts that statistics need and sealed values for whatever says who it was.
Every free text is sealed: nobody can know beforehand what an operator will write.
"""

from typing import ClassVar

from schemas.base import Strict

CASE_EVENTS = "case-events"
DELIVERY_EVENTS = "delivery-events"
OPS_EVENTS = "ops-events"
TOPICS = (CASE_EVENTS, DELIVERY_EVENTS, OPS_EVENTS)


class EventData(Strict):
    """Base of every event's data. `TYPE` is the CloudEvents type, `TOPIC` the family it travels in."""

    TYPE: ClassVar[str]
    TOPIC: ClassVar[str] = CASE_EVENTS
