"""What an attempt's end means: pure."""

from dataclasses import dataclass
from enum import StrEnum

from services.dispatch import backoff

HTTP_OK = range(200, 300)
OURS_S = 1.0
"""Before the next attempt when the hindrance is on our side."""


class Fate(StrEnum):
    """What becomes of the delivery."""

    DELIVERED = "delivered"
    RETRY = "retry"
    RELEASED = "released"
    """Nothing was tried: the lane is free again, and no failure counts."""
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`error_class` None: delivered. `wait_s`: at least so long before the next attempt.

    `ambiguous`: it may have arrived. `breaker`: counts against the partner. `page`: a person must look.
    """

    fate: Fate
    error_class: str | None = None
    wait_s: float = 0.0
    ambiguous: bool = False
    breaker: bool = False
    page: bool = False


def of_status(status: int, retry_after_s: float, *, withdrawal: bool) -> Outcome:
    """What an HTTP status means. A withdrawal is never held: it is tried for ever."""
    slow = backoff.SLOW_WITHDRAWAL_S if withdrawal else backoff.SLOW_S
    match status:
        case _ if status in HTTP_OK:
            outcome = Outcome(Fate.DELIVERED)
        case 410:
            outcome = Outcome(Fate.RETRY if withdrawal else Fate.HELD, "gone", slow, page=True)
        case 429:
            outcome = Outcome(Fate.RETRY, "too_many_requests", retry_after_s, breaker=True)
        case 503:
            # It should say that nothing was taken; but gateways say it too, so it is no definite refusal.
            outcome = Outcome(Fate.RETRY, "unavailable", retry_after_s, ambiguous=True, breaker=True)
        case _ if status in range(300, 400):
            outcome = Outcome(Fate.RETRY, "redirect", breaker=True)
        case _ if status in range(400, 500):
            outcome = Outcome(Fate.RETRY, "refused", slow, page=True)
        case _:
            outcome = Outcome(Fate.RETRY, "server_error", ambiguous=True, breaker=True)
    return outcome


WAY = ("dns", "tls", "blocked", "certificate_expired", "certificate_name", "certificate_untrusted")
"""Error classes of the way to a partner: somebody must mend it, and whatever arrives next shows that it is mended."""


def of_failure(error_class: str, *, sent: bool) -> Outcome:
    """What it means that no answer came. `sent`: bytes left, so it may have arrived."""
    if error_class == "look_timeout":  # our own database was slow: no fault of the partner
        return Outcome(Fate.RELEASED, error_class, OURS_S)
    return Outcome(Fate.RETRY, error_class, ambiguous=sent, breaker=True, page=error_class in WAY)
