"""Bodies of the calls about identities themselves."""

from enum import StrEnum

from schemas.base import Reference, Strict


class BreakGlassReason(StrEnum):
    """Why somebody must see an identity who otherwise never does. A list, so that nobody types one into it."""

    IMMINENT_DANGER = "imminent_danger"
    NOBODY_ELSE_ON_DUTY = "nobody_else_on_duty"
    REQUEST_OF_AUTHORITY = "request_of_authority"
    RECOVERY_OF_THE_SYSTEM = "recovery_of_the_system"


class BreakGlass(Strict):
    """Asks to see the identities of a case for a while. `reference`: the file or ticket that justifies it, no name."""

    reason: BreakGlassReason
    reference: Reference
