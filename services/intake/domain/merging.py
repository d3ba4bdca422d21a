"""Merging a duplicate into another case: its children move, and of each kind of campaign one goes on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import product
from typing import Any, TypeVar
from uuid import UUID

from schemas.commands import MOST_MEDIA
from schemas.events import (
    CampaignRequested,
    CampaignUpdated,
    CaseMerged,
    ChildrenJoined,
    CircumstanceReported,
    ConsentRecorded,
    DetailsCorrected,
    WorryingOverridden,
)
from schemas.vocabulary import Answer, CampaignKind, Criterion, EndReason
from services.intake.domain.appeal import Known, recognisable
from services.intake.domain.campaign import Authority, Campaign, initial_state, is_showing
from services.intake.domain.campaigns import appeal_of, covered, end_all, released
from services.intake.domain.case import Case, Child
from services.intake.domain.drafts import Draft, Secret
from services.intake.domain.errors import ContentError, StateRuleError
from services.intake.domain.identity import same_person
from services.kernel.ids import derived_id
from services.kernel.vault import key_name

T = TypeVar("T")
Moved = Mapping[UUID, Child]
"""The id of a child of the duplicate → that child in the other case."""


def decide_merge(
    case: Case, campaigns: Sequence[Campaign], other: Case, theirs: Sequence[Campaign], known: Known
) -> list[Draft]:
    """Merges a duplicate into another case. Children that the other one lacks join it; exactly one alert is left.

    What was said about the children goes with them, so that a merge makes nobody less worrying.
    Every campaign of the duplicate ends. What it showed goes on in the other case's campaign of the same kind, or, when
    there is none, in a new one there with the same consents and what is left of the time.
    """
    _check(case, other, known)
    moved = _moved(case, other, known)
    joining = [child for child in moved.values() if child.index >= len(other.children)]
    merged = Draft(case.stream, CaseMerged, {"case_id": other.case_id}, ("case", case.case_id))
    drafts = [merged]
    if joining:
        records = [_record(child, known) for child in joining]
        drafts.append(Draft(other.stream, ChildrenJoined, {"from_case": case.case_id, "children": records}))
    after = replace(other, children=(*other.children, *joining))
    drafts += _ages(case, other, moved, known)
    drafts += _circumstances(case, after, moved, known)
    if moved and case.override and case.override.worrying and other.override is None:
        # Of a reason that is erased a dash is left: the decision itself stands.
        reason = Secret(key_name("case", other.case_id), known.notes.get(case.override.reason, "-"))
        drafts.append(Draft(other.stream, WorryingOverridden, {"worrying": True, "reason": reason}))
    return [*drafts, *end_all(campaigns, EndReason.OTHER), *_going_on(campaigns, after, theirs, moved, known)]


def _check(case: Case, other: Case, known: Known) -> None:
    if other.case_id == case.case_id:
        raise ContentError(
            "case_id", "merge-into-itself", "a case is not its own duplicate: name the other case"
        )
    if not other.version:
        raise ContentError("case_id", "no-such-case", "case_id names no case: take it from the list of cases")
    if not other.open:
        raise StateRuleError("other-case-closed", "the other case is closed: reopen it first")
    if other.mode is not case.mode:
        raise StateRuleError(
            "other-mode", "an exercise and a real case stay apart: name a case of the same mode"
        )
    for child in case.children:
        there = None if child.outcome is None else _twin(child, other, known)
        if there is not None and there.outcome is None:
            raise StateRuleError(
                "news-differs",
                f"child {child.index} was found, and the other case still searches for it as child {there.index}:"
                " record there that it was found, then merge",
            )


def _twin(child: Child, other: Case, known: Known) -> Child | None:
    """The same child in the other case."""
    identity = known.identities.get(child.child_id)
    return next(
        (
            one
            for one in other.children
            if one.child_id == child.child_id or same_person(identity, known.identities.get(one.child_id))
        ),
        None,
    )


def _moved(case: Case, other: Case, known: Known) -> Moved:
    """Where each missing child of the duplicate is afterwards; an erased one stays behind."""
    moved: dict[UUID, Child] = {}
    count = len(other.children)
    for child in case.missing:
        there = _twin(child, other, known)
        if there is None and known.identities.get(child.child_id) is not None:
            there = replace(child, index=count)
            count += 1
        if there is not None:
            moved[child.child_id] = there
    return moved


def _record(child: Child, known: Known) -> dict[str, Any]:
    return {
        "index": child.index,
        "child_id": child.child_id,
        "identity": Secret(key_name("child", child.child_id), known.identities[child.child_id]),
        "age_min": child.age_min,
        "age_max": child.age_max,
        "gender": child.gender,
        "nationality": child.nationality,
    }


def _ages(case: Case, other: Case, moved: Moved, known: Known) -> list[Draft]:
    """The ages that the other case does not know of its own children."""
    rows = []
    for child in case.missing:
        there, unknown = moved.get(child.child_id), (None, None)
        if there is None or there not in other.children:
            continue
        if (there.age_min, there.age_max) != unknown or (child.age_min, child.age_max) == unknown:
            continue
        ours, theirs = known.identities.get(child.child_id), known.identities.get(there.child_id)
        row: dict[str, Any] = {"child": there.index, "age_min": child.age_min, "age_max": child.age_max}
        if theirs is not None and ours and "date_of_birth" in ours:
            whole = theirs | {"date_of_birth": ours["date_of_birth"]}
            row["identity"] = Secret(key_name("child", there.child_id), whole)
        rows.append(row)
    return [Draft(other.stream, DetailsCorrected, {"children": rows})] if rows else []


def _circumstances(case: Case, other: Case, moved: Moved, known: Known) -> list[Draft]:
    """What stands about each child that moves, unless the other case knows as much: a yes outweighs all else."""
    drafts = []
    pairs = [(child, moved[child.child_id]) for child in case.missing if child.child_id in moved]
    for (child, there), criterion in product(pairs, Criterion):
        ours, theirs = case.said(criterion, child.index), other.said(criterion, there.index)
        if ours and (theirs is None or (ours.value is Answer.YES and theirs.value is not Answer.YES)):
            note = known.notes.get(ours.note) if ours.note else None
            fields = {
                "criterion": criterion,
                "value": ours.value,
                "child": there.index,
                "note": Secret(key_name("case", other.case_id), note) if note else None,
                "next_due": ours.next_due,
            }
            drafts.append(Draft(other.stream, CircumstanceReported, fields))
    return drafts


def _going_on(
    campaigns: Iterable[Campaign], other: Case, theirs: Iterable[Campaign], moved: Moved, known: Known
) -> list[Draft]:
    ours = _newest(theirs)
    drafts: list[Draft] = []
    for kind, campaign in _newest(campaigns).items():
        shown = [moved[p.child_id] for p in campaign.shown.persons if p.child_id in moved]
        people = {child.index: child for child in recognisable(shown, known) if child.outcome is None}
        there = ours.get(kind)
        if there is not None:
            drafts += _united(there, campaign, other, people, known)
        elif people:
            drafts += _carried(campaign, other, _in_order(people), known)
    return drafts


def _united(
    there: Campaign, campaign: Campaign, other: Case, people: Mapping[int, Child], known: Known
) -> list[Draft]:
    """The campaign that stays, showing what both did: the children, where, in which languages, with which photos."""
    before = {child.index: child for child in covered(there, other.missing)}
    stays, goes = there.shown, campaign.shown
    areas, languages = _both(stays.areas, goes.areas), _both(stays.languages, goes.languages)
    together = before | dict(people)
    shown = {child.child_id for child in together.values()}
    photos = {one.media_id: one for one in (*stays.media, *goes.media) if one.child_id in shown}
    media = list(photos.values())[:MOST_MEDIA]
    joins = people.keys() - before.keys()
    more = {one.media_id for one in media} - {one.media_id for one in stays.media}
    if not people or not (joins or more or areas != stays.areas or languages != stays.languages):
        return []
    appeal = appeal_of(
        there,
        other,
        _in_order(together),
        known,
        areas=areas,
        languages=languages,
        photos=media,
        own={} if joins else None,
    )
    return [Draft(there.stream, CampaignUpdated, {"campaign_id": there.campaign_id, "appeal": appeal})]


def _both(one: Sequence[T], other: Sequence[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def _newest(campaigns: Iterable[Campaign]) -> dict[CampaignKind, Campaign]:
    """Of each kind the last that was released: it shows everybody who was missing then."""
    showing = [campaign for campaign in campaigns if is_showing(campaign)]
    return {one.shown.kind: one for one in sorted(showing, key=_released)}


def _released(campaign: Campaign) -> datetime:
    assert campaign.released_at is not None  # noqa: S101 - what shows was released
    return campaign.released_at


def _in_order(people: Mapping[int, Child]) -> list[Child]:
    return [people[index] for index in sorted(people)]


def _carried(campaign: Campaign, other: Case, people: Sequence[Child], known: Known) -> list[Draft]:
    """The same campaign in the other case: request, consents, and a release that counts the time from the first one."""
    authority = Authority(campaign, known.policy.kinds[campaign.shown.kind])
    fresh = initial_state(derived_id("merged-campaign", campaign.campaign_id, other.case_id), other.case_id)
    fresh = replace(fresh, appeal=campaign.appeal)
    key = key_name("case", other.case_id)
    own = known.texts.get(campaign.campaign_id, {}) if _all_move(campaign, people) else {}
    appeal = appeal_of(fresh, other, people, known, own=own if campaign.shown.own_texts else {})
    consents = [
        {
            "campaign_id": fresh.campaign_id,
            "party": party,
            "decision": consent.decision,
            "at": consent.at,
            "waives": consent.waives,
            **{name: Secret(key, text) for name, text in known.signed[campaign.campaign_id, party].items()},
        }
        for party, consent in campaign.consents.items()
    ]
    continues = {
        "campaign_id": campaign.campaign_id,
        "released_at": campaign.released_at,
        "extensions": campaign.extensions,
    }
    return [
        Draft(fresh.stream, CampaignRequested, {"campaign_id": fresh.campaign_id, "appeal": appeal}),
        *(Draft(fresh.stream, ConsentRecorded, consent) for consent in consents),
        released(authority, fresh, appeal, continues=continues),
    ]


def _all_move(campaign: Campaign, people: Sequence[Child]) -> bool:
    """Own texts may name anybody who was shown, so they stay true only while everybody is."""
    return len(people) == len(campaign.shown.persons)
