"""What is counted beside the cases, for the reports."""

from typing import Annotated

from pydantic import Field

from schemas.events.event import OPS_EVENTS, EventData

Count = Annotated[int, Field(ge=0, le=10_000_000_000)]


class CallsCounted(EventData):
    """Calls to 116 000 since the last count."""

    TYPE = "calls.counted.v1"
    TOPIC = OPS_EVENTS
    count: Count


class ReachReported(EventData):
    """People reached and interactions of posts about a case."""

    TYPE = "reach.reported.v1"
    TOPIC = OPS_EVENTS
    people: Count
    interactions: Count


class AppActivated(EventData):
    """The app showed a case."""

    TYPE = "app.activated.v1"
    TOPIC = OPS_EVENTS


class PartnersEngaged(EventData):
    """Display partners were engaged for a case (imported history; live engagements follow from deliveries)."""

    TYPE = "partners.engaged.v1"
    TOPIC = OPS_EVENTS
    count: Count


class PartnersCounted(EventData):
    """How many display partners there are (imported history)."""

    TYPE = "partners.counted.v1"
    TOPIC = OPS_EVENTS
    count: Count


class VolunteersCalledOut(EventData):
    """Volunteers went out for a case."""

    TYPE = "volunteers.called_out.v1"
    TOPIC = OPS_EVENTS
