"""Who gets an alert of each kind: what must never be, and what holds where nobody said otherwise."""

from collections.abc import Iterable, Mapping

from schemas.vocabulary import AlertKind, Audience

FORBIDDEN_AUDIENCES: Mapping[AlertKind, frozenset[Audience]] = {
    AlertKind.PUBLIC: frozenset(),
    AlertKind.CHILD_ALERT: frozenset(),
    AlertKind.VIGNETTE: frozenset({Audience.DISPLAY}),
    AlertKind.STANDBY: frozenset({Audience.DISPLAY}),
}
"""Whom an alert must never reach, whatever a policy or an event says: what is discreet stays off public displays."""

DEFAULT_AUDIENCES: Mapping[AlertKind, frozenset[Audience]] = {
    AlertKind.PUBLIC: frozenset({Audience.DISPLAY}),
    AlertKind.CHILD_ALERT: frozenset({Audience.DISPLAY}),
    AlertKind.VIGNETTE: frozenset(),
    AlertKind.STANDBY: frozenset({Audience.MISSING_PERSONS_UNIT, Audience.MOBILE_TEAM}),
}
"""Whom an alert is meant for when neither the policy nor the event names its audiences."""


def reached(kind: AlertKind, named: Iterable[Audience] | None) -> frozenset[Audience]:
    """Whom an alert reaches: the named audiences (None: the default of its kind) without the forbidden ones."""
    wanted = DEFAULT_AUDIENCES[kind] if named is None else frozenset(named)
    return wanted - FORBIDDEN_AUDIENCES[kind]
