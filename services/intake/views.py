"""A case as its readers see it: identities for those who may, never for others."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from schemas.audiences import reached
from schemas.events import (
    AlertFact,
    AlertWithdrawn,
    AssessmentChanged,
    DeliveryDelivered,
    ReceiptRecorded,
)
from schemas.vocabulary import AlertKind, Audience, ReceiptState
from services.eventlog.store import Recorded
from services.intake.domain.campaign import Campaign, Consent, is_active, missing_consents
from services.intake.domain.case import Case, Child
from services.intake.domain.drafts import SealedAt
from services.intake.domain.policy import Policy
from services.intake.sealing import keys_in, opened_data
from services.intake.store import fold

Json = dict[str, Any]
Keys = Mapping[str, bytes] | None
"""Keys that open; None: the reader sees no identity, and sealed fields are left out."""

UNASSESSED: Json = {
    "worrying": False,
    "rules": None,
    "criteria": [],
    "reasons": [],
    "open_questions": [],
    "override": None,
}


def keys_needed(events: Sequence[Recorded]) -> set[str]:
    """The names of the keys that these events are sealed with."""
    return {key for event in events for key in keys_in(event.data.model_dump(mode="json"))}


def case_view(
    case_id: UUID, events: Sequence[Recorded], keys: Keys, policy: Policy, photos: Sequence[Json] = ()
) -> Json | None:
    """The whole case from all events about it, with the photos of its children; None when there is no case."""
    file = fold(case_id, events)
    case = file.case
    if not case.version:
        return None
    assessment = _assessment(events)
    view: Json = {
        "case_id": str(case.case_id),
        "case_number": case.number,
        "kind": case.kind.value,
        "state": "open" if case.open else "closed",
        "worrying": assessment["worrying"],
        "version": case.version,
        "mode": case.mode.value,
        "origin": case.origin.value,
        "opened_at": _time(case.opened_at),
        "disappeared_at": _time(case.disappeared_at),
        "last_seen": _last_seen(case, keys),
        "details": case.details.model_dump(mode="json", exclude_none=True),
        "children": [_child(child, keys) | {"photos": _photos(child, photos)} for child in case.children],
        "circumstances": _circumstances(case, keys),
        "merged_into": str(case.merged_into) if case.merged_into else None,
        "assessment": assessment,
        "campaigns": [campaign_view(one, keys, policy) for one in file.campaigns.values()],
        "displays": displays(events),
    }
    if keys is not None:
        view["reported_by"] = _open(case.reported_by, keys)
    return view


def _time(moment: Any) -> str | None:
    return moment.isoformat() if moment else None


def _open(at: SealedAt | None, keys: Keys) -> Any:
    return None if at is None or keys is None else at.opened(keys)


def _last_seen(case: Case, keys: Keys) -> Json:
    seen = {"postal_code": case.last_seen.postal_code, "municipality": case.last_seen.municipality}
    return seen | (_open(case.last_seen.spot, keys) or {})


def _child(child: Child, keys: Keys) -> Json:
    view: Json = {
        "index": child.index,
        "child_id": str(child.child_id),
        "age_min": child.age_min,
        "age_max": child.age_max,
        "gender": child.gender.value,
        "nationality": child.nationality,
        "outcome": child.outcome.value if child.outcome else None,
    }
    if keys is None:
        return view
    identity = child.identity.opened(keys)
    return view | ({"erased": True} if identity is None else identity)


def _photos(child: Child, photos: Iterable[Json]) -> list[Json]:
    """The photos of a child; the pictures themselves have a call of their own."""
    return [
        {
            "media_id": str(one["media_id"]),
            "width": one["width"],
            "height": one["height"],
            "added_at": _time(one["created_at"]),
        }
        for one in photos
        if one["child_id"] == child.child_id
    ]


def _circumstances(case: Case, keys: Keys) -> list[Json]:
    found = []
    for told in case.circumstances:
        view: Json = {
            "event_id": str(told.event_id),
            "criterion": told.criterion.value,
            "value": told.value.value,
            "child": told.child,
            "next_due": _time(told.next_due),
        }
        if told.note is not None and keys is not None:
            view["note"] = told.note.opened(keys)
        found.append(view)
    return found


def _assessment(events: Sequence[Recorded]) -> Json:
    newest = next((e.data for e in reversed(events) if isinstance(e.data, AssessmentChanged)), None)
    if newest is None:
        return dict(UNASSESSED)
    known = newest.model_dump(mode="json")
    return {name: known[name] for name in UNASSESSED}


def campaign_view(campaign: Campaign, keys: Keys, policy: Policy) -> Json:
    """A campaign: what it is, who consented, who is still missing."""
    appeal = campaign.shown
    view: Json = {
        "campaign_id": str(campaign.campaign_id),
        "kind": appeal.kind.value,
        "state": campaign.state,
        "active": is_active(campaign),
        "version": campaign.version,
        "areas": list(appeal.areas),
        "audiences": sorted(reached(AlertKind(appeal.kind.value), appeal.audiences)),
        "languages": [language.value for language in appeal.languages],
        "expires_at": _time(appeal.expires_at),
        "children": [person.child for person in appeal.persons],
        "media": [str(one.media_id) for one in appeal.media],
        "requested_by": campaign.requested_by or None,
        "requested_at": _time(campaign.requested_at),
        "released_by": campaign.released_by,
        "released_at": _time(campaign.released_at),
        "extensions": campaign.extensions,
        "continues": str(campaign.continues) if campaign.continues else None,
        "ended_at": _time(campaign.ended_at),
        "end_reason": campaign.end_reason.value if campaign.end_reason else None,
        "consents": [_consent(consent, keys) for consent in campaign.consents.values()],
        "missing_consents": [p.value for p in missing_consents(campaign, policy.kinds[appeal.kind])],
    }
    if keys is not None and campaign.texts is not None:
        view["texts"] = campaign.texts.opened(keys)
    return view


def _consent(consent: Consent, keys: Keys) -> Json:
    view: Json = {
        "party": consent.party.value,
        "decision": consent.decision.value,
        "at": _time(consent.at),
        "waives": [party.value for party in consent.waives],
    }
    if keys is not None:
        view |= {"given_by": _open(consent.given_by, keys), "reference": _open(consent.reference, keys)}
    return view


def displays(events: Sequence[Recorded]) -> list[Json]:
    """Per alert and display partner it was planned for: which revision, and how far it is."""
    found: dict[tuple[UUID, UUID], Json] = {}
    said: dict[tuple[UUID, UUID, int], Any] = {}

    def put(alert: UUID, recipient: UUID, revision: int, state: str) -> None:
        before = found.get((alert, recipient))
        if before is None or revision >= before["revision"]:
            found[alert, recipient] = {
                "alert_id": str(alert),
                "recipient": str(recipient),
                "revision": revision,
                "state": state,
            }

    for event in events:
        match event.data:
            case AlertFact() as data if not isinstance(data, AlertWithdrawn):
                for recipient in data.to:
                    put(data.alert_id, recipient, data.revision, "pending")
            case DeliveryDelivered() as data if data.audience is Audience.DISPLAY:
                state = "withdrawn" if data.content == "withdrawn" else "delivered"
                _unless_receipt(found, data, state, put)
            case ReceiptRecorded() as data if (
                data.state is not ReceiptState.REJECTED and (data.alert_id, data.recipient) in found
            ):
                # A receipt may be overtaken by a later one: what counts is when the screens changed.
                key = (data.alert_id, data.recipient, data.revision)
                if data.at >= said.get(key, data.at):
                    said[key] = data.at
                    put(data.alert_id, data.recipient, data.revision, data.state.value)
            case _:
                pass
    return list(found.values())


def _unless_receipt(found: Mapping[tuple[UUID, UUID], Json], data: Any, state: str, put: Any) -> None:
    """A receipt may come before the answer to the request that it confirms."""
    before = found.get((data.alert_id, data.recipient))
    if before and before["revision"] == data.revision and before["state"] in ("displayed", "removed"):
        return
    put(data.alert_id, data.recipient, data.revision, state)


def history_view(events: Sequence[Recorded], keys: Keys) -> list[Json]:
    """Every event about the case, opened."""
    return [
        {
            "event_id": str(event.event_id),
            "type": event.type,
            "stream": event.stream,
            "version": event.version,
            "time": event.time.isoformat(),
            "recorded_at": event.recorded_time.isoformat(),
            "imported_at": _time(event.imported_time),
            "actor": event.cause.actor,
            "origin": event.cause.origin.value,
            "mode": event.cause.mode.value,
            "data": opened_data(event, keys),
        }
        for event in events
    ]
