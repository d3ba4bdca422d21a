"""Decisions about campaigns: request, consent, release, update, extend, end."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from schemas.commands import EndCampaign, ExtendCampaign, GiveConsent, RequestCampaign, UpdateCampaign
from schemas.events import (
    CampaignEnded,
    CampaignExtended,
    CampaignReleased,
    CampaignRequested,
    CampaignUpdated,
    ConsentRecorded,
    Media,
)
from schemas.vocabulary import CampaignKind, EndReason, Language, Origin
from services.intake.domain.appeal import (
    LANGUAGES,
    Known,
    Words,
    checked_areas,
    persons,
    recognisable,
    words,
)
from services.intake.domain.campaign import (
    Authority,
    Campaign,
    Consent,
    is_active,
    is_over,
    is_showing,
    missing_consents,
    refusing,
)
from services.intake.domain.case import Case, Child
from services.intake.domain.drafts import Draft, Secret
from services.intake.domain.errors import ContentError, NotAllowedError, StateRuleError
from services.intake.domain.identity import as_words
from services.intake.domain.media import Photo, named_photos, photo_fields, sheet_fields
from services.intake.domain.policy import KindPolicy
from services.kernel.vault import key_name

_NOBODY_MISSING = "nobody is missing in this case any more: there is nothing to show"
_ERASED = "the identity of everybody whom this could show is erased: there is nobody to show"


def _searching(case: Case) -> None:
    if not case.open:
        raise StateRuleError("case-closed", "the case is closed: reopen it first")
    if not case.missing:
        raise StateRuleError("nobody-missing", _NOBODY_MISSING)


def _to_show(children: Iterable[Child], known: Known) -> list[Child]:
    """The children, of whom at least one can be shown. Raises StateRuleError: an appeal with nobody helps nobody."""
    people = list(children)
    if not recognisable(people, known):
        raise StateRuleError("erased", _ERASED)
    return people


def decide_request(campaign: Campaign, case: Case, command: RequestCampaign, known: Known) -> list[Draft]:
    """Asks for a campaign, with the consents that are there already."""
    _searching(case)
    policy = known.policy.kinds[command.kind]
    _check_expiry(command.expires_at, known.now, policy)
    _check_words(command, case, known)
    own = command.texts is not None
    # Who is shown is kept from the start: own texts must not outlive the finding of a child that they name.
    appeal = {
        "kind": command.kind,
        "areas": checked_areas(command.areas),
        "audiences": policy.named_audiences,
        "languages": command.languages or LANGUAGES,
        "expires_at": command.expires_at,
        "persons": persons(_to_show(case.missing, known), known),
        "texts": _sealed_words(campaign, _own_words(command)) if own else None,
        "own_texts": own,
        **_pictures(
            campaign,
            command.kind,
            command.languages or LANGUAGES,
            named_photos(case, case.missing, command.media, known.gallery),
            known,
        ),
    }
    fields = {"campaign_id": campaign.campaign_id, "appeal": appeal}
    return [
        Draft(campaign.stream, CampaignRequested, fields),
        *(_consent(campaign, one, policy, f"consents.{n}.") for n, one in enumerate(command.consents)),
    ]


def _check_expiry(expires_at: datetime | None, now: datetime, policy: KindPolicy) -> None:
    if expires_at is None:
        return
    if expires_at <= now:
        raise ContentError("expires_at", "expires-in-the-past", "expires_at must be in the future")
    if expires_at > now + policy.stretch:
        raise ContentError(
            "expires_at",
            "too-long",
            f"such a campaign lasts {policy.hours} h at most at a time: extend it later",
        )


def _check_words(command: RequestCampaign | UpdateCampaign, case: Case, known: Known) -> None:
    """Raises ContentError when own texts name a child of the case that was found already."""
    named: dict[bool, set[str]] = {True: set(), False: set()}
    for child in case.children:
        name = (known.identities.get(child.child_id) or {}).get("given_name")
        if name:
            named[child.outcome is None].add(as_words(name))
    for language, text in (command.texts or {}).items():
        written = as_words(f"{text.headline} {text.body}")
        if any(name in written for name in named[False] - named[True]):
            raise ContentError(
                f"texts.{language.value}",
                "names-found-child",
                "the text names a child that was found: write it without that child",
            )


def _own_words(command: RequestCampaign | UpdateCampaign) -> Words:
    return {language.value: text.model_dump() for language, text in (command.texts or {}).items()}


def _sealed_words(campaign: Campaign, made: Words) -> Secret:
    return Secret(key_name("case", campaign.case_id), made)


def _consent(campaign: Campaign, command: GiveConsent, policy: KindPolicy, field: str) -> Draft:
    allowed = policy.waivers.get(command.party, frozenset())
    if not set(command.waives) <= allowed:
        names = ", ".join(sorted(allowed)) or "nobody"
        raise ContentError(f"{field}waives", "waiver", f"this party may do without: {names}")
    key = key_name("case", campaign.case_id)
    fields = {
        "campaign_id": campaign.campaign_id,
        "party": command.party,
        "decision": command.decision,
        "given_by": Secret(key, command.given_by),
        "reference": Secret(key, command.reference) if command.reference else None,
        "at": command.at,
        "waives": command.waives,
        "reason": Secret(key, command.reason) if command.reason else None,
    }
    return Draft(campaign.stream, ConsentRecorded, fields)


def decide_consent(campaign: Campaign, command: GiveConsent, known: Known) -> list[Draft]:
    """Records a party's decision; what takes the authority of a released campaign away ends it.

    A refusal does, unless another party does without that one; so does taking back such a waiver.
    """
    _going_on(campaign)
    policy = known.policy.kinds[campaign.shown.kind]
    recorded = _consent(campaign, command, policy, "")
    said = Consent(command.party, command.decision, command.at, None, None, tuple(command.waives))
    after = replace(campaign, consents={**campaign.consents, command.party: said})
    lacking = set(missing_consents(after, policy)) - set(missing_consents(campaign, policy))
    if is_active(campaign) and (refusing(after, policy) or lacking):
        return [recorded, ended(campaign, EndReason.CONSENT_WITHDRAWN)]
    return [recorded]


def _going_on(campaign: Campaign) -> None:
    if is_over(campaign):
        raise StateRuleError("campaign-ended", "this campaign has ended: request a new one")


def _showing(campaign: Campaign) -> None:
    _going_on(campaign)
    if not is_active(campaign):
        raise StateRuleError("not-released", "this campaign is not released yet: release it first")
    if campaign.origin is Origin.IMPORT:
        raise StateRuleError("imported", "this campaign is history and shows nothing: request a new one")


def decide_release(
    campaign: Campaign, case: Case, of_case: Iterable[Campaign], known: Known, *, by_policy: bool = False
) -> list[Draft]:
    """Releases a campaign; with `by_policy` nobody does, so roles and four eyes are not asked.

    `of_case`: all campaigns of the case. Raises NotAllowedError, or StateRuleError that names the campaign of this
    kind that is shown already, or the parties that are missing or refuse.
    """
    policy = known.policy.kinds[campaign.shown.kind]
    _going_on(campaign)
    if is_active(campaign):
        raise StateRuleError("already-released", "this campaign is released already: update or end it")
    _searching(case)
    if not by_policy:
        _may_release(campaign, policy, known)
    _only_one(campaign, of_case)
    authority = Authority(campaign, policy)
    expires_at = campaign.shown.expires_at or known.now + policy.stretch
    if expires_at <= known.now:
        raise StateRuleError("expired", "the end that was asked for is past: request a new campaign")
    people = _to_show(case.missing, known)
    appeal = appeal_of(campaign, case, people, known, expires_at=expires_at)
    return [released(authority, campaign, appeal)]


def _only_one(campaign: Campaign, of_case: Iterable[Campaign]) -> None:
    """Raises StateRuleError while another campaign of the kind is shown: displays would show the child twice."""
    kind = campaign.shown.kind
    others = [one for one in of_case if is_showing(one) and one.shown.kind is kind]
    if others:
        raise StateRuleError(
            "kind-is-shown",
            f"another {kind.value} campaign of this case is shown: update that one, or end it first",
            campaign_id=str(others[0].campaign_id),
        )


def released(
    _authority: Authority, campaign: Campaign, appeal: dict[str, Any], **continues: dict[str, Any]
) -> Draft:
    """The release of a campaign: there is none without an authority."""
    fields = {"campaign_id": campaign.campaign_id, "appeal": appeal, **continues}
    return Draft(campaign.stream, CampaignReleased, fields)


def _may_release(campaign: Campaign, policy: KindPolicy, known: Known) -> None:
    if policy.four_eyes and known.actor == campaign.requested_by:
        raise NotAllowedError("four-eyes", "whoever requested a campaign cannot release it: ask a colleague")
    if known.role not in policy.release_by:
        raise NotAllowedError(
            "role", f"a release is for: {', '.join(sorted(policy.release_by))}; ask one of them"
        )


def appeal_of(
    campaign: Campaign,
    case: Case,
    children: Iterable[Child],
    known: Known,
    *,
    expires_at: datetime | None = None,
    areas: tuple[str, ...] | None = None,
    languages: Sequence[Language] | None = None,
    own: Words | None = None,
    photos: Sequence[Photo | Media] | None = None,
) -> dict[str, Any]:
    """The whole appeal anew: who is still missing, in every language.

    Own texts replace those of the policy, but not when they were written about a child that is no longer shown.
    """
    before = campaign.shown
    people = list(children)
    shown = {child.child_id for child in people}
    spoken = tuple(languages or before.languages or LANGUAGES)
    if own is None:
        still_true = before.own_texts and {person.child_id for person in before.persons} <= shown
        own = known.texts.get(campaign.campaign_id, {}) if still_true else {}
    made = words(before.kind, case, people, spoken, known)
    chosen = {language.value: own.get(language.value, made[language.value]) for language in spoken}
    portraits = persons(people, known)
    recognisable = {portrait["child_id"] for portrait in portraits}
    pictured = [one for one in (before.media if photos is None else photos) if one.child_id in recognisable]
    return {
        "kind": before.kind,
        "areas": areas or before.areas,
        "audiences": before.audiences,
        "languages": spoken,
        "expires_at": expires_at or before.expires_at,
        "persons": portraits,
        "texts": _sealed_words(campaign, chosen),
        "own_texts": bool(own),
        **_pictures(campaign, before.kind, spoken, pictured, known),
    }


def _pictures(
    campaign: Campaign,
    kind: CampaignKind,
    spoken: Sequence[Language],
    photos: Sequence[Photo | Media],
    known: Known,
) -> dict[str, Any]:
    """The photos of an appeal, and what is drawn from it when there are any."""
    here = campaign.campaign_id
    drawn = sheet_fields(here, campaign.case_id, kind, spoken, known.gallery) if photos else []
    return {"media": photo_fields(here, photos, known.gallery), "renderings": drawn}


def decide_update(campaign: Campaign, case: Case, command: UpdateCampaign, known: Known) -> list[Draft]:
    """Shows something else instead: the next revision."""
    _showing(campaign)
    _searching(case)
    _check_words(command, case, known)
    areas = None if command.areas is None else checked_areas(command.areas)
    own = None if command.texts is None else _own_words(command)
    people = _to_show(covered(campaign, case.missing), known)
    named = command.media
    appeal = appeal_of(
        campaign,
        case,
        people,
        known,
        areas=areas,
        languages=command.languages or None,
        own=own,
        photos=None if named is None else named_photos(case, people, named, known.gallery),
    )
    reason = Secret(key_name("case", campaign.case_id), command.reason)
    fields = {"campaign_id": campaign.campaign_id, "appeal": appeal, "reason": reason}
    return [Draft(campaign.stream, CampaignUpdated, fields)]


def show_without(
    case: Case, campaigns: Sequence[Campaign], left: Sequence[Child], known: Known
) -> list[Draft]:
    """The next revision of every active campaign: only the children that are left, whatever the texts were.

    A campaign that showed nobody but the child that was found ends.
    """
    return [
        show(campaign, case, people, known)
        if recognisable(people := covered(campaign, left), known)
        else ended(campaign, EndReason.CHILD_FOUND)
        for campaign in campaigns
        if is_showing(campaign)
    ]


def show(campaign: Campaign, case: Case, people: Sequence[Child], known: Known) -> Draft:
    """The next revision of a campaign, with these children and the policy's texts."""
    appeal = appeal_of(campaign, case, people, known, own={})
    return Draft(campaign.stream, CampaignUpdated, {"campaign_id": campaign.campaign_id, "appeal": appeal})


def covered(campaign: Campaign, children: Iterable[Child]) -> list[Child]:
    """Those of the children that the campaign was released for: whoever joins later has nobody's consent."""
    shown = {person.child_id for person in campaign.shown.persons}
    return [child for child in children if child.child_id in shown]


def decide_extend(campaign: Campaign, case: Case, command: ExtendCampaign, known: Known) -> list[Draft]:
    """Lets it last longer, within what the policy allows."""
    _showing(campaign)
    _searching(case)
    policy = known.policy.kinds[campaign.shown.kind]
    before = campaign.shown.expires_at or known.now
    if campaign.extensions >= policy.extensions:
        raise StateRuleError(
            "extensions-used",
            f"such a campaign is extended {policy.extensions} times at most: request a new one",
        )
    if command.expires_at <= max(before, known.now):
        raise ContentError("expires_at", "not-later", "expires_at must be after the present end")
    if command.expires_at > max(before, known.now) + policy.stretch:
        raise ContentError("expires_at", "too-long", f"an extension adds {policy.hours} h at most")
    if campaign.released_at and command.expires_at > campaign.released_at + policy.longest:
        raise StateRuleError(
            "max-duration", f"such a campaign lasts {policy.max_hours} h at most in all: request a new one"
        )
    people = _to_show(covered(campaign, case.missing), known)
    appeal = appeal_of(campaign, case, people, known, expires_at=command.expires_at)
    return [Draft(campaign.stream, CampaignExtended, {"campaign_id": campaign.campaign_id, "appeal": appeal})]


def decide_end(campaign: Campaign, command: EndCampaign) -> list[Draft]:
    """Ends it: every display goes dark."""
    _going_on(campaign)
    return [ended(campaign, command.reason, command.note)]


def ended(campaign: Campaign, reason: EndReason, note: str | None = None) -> Draft:
    """The end of a campaign, and that it must be dark at once."""
    key = key_name("case", campaign.case_id)
    fields = {
        "campaign_id": campaign.campaign_id,
        "reason": reason,
        "note": Secret(key, note) if note else None,
    }
    return Draft(campaign.stream, CampaignEnded, fields, ("campaign", campaign.campaign_id))


def end_all(campaigns: Sequence[Campaign], reason: EndReason) -> list[Draft]:
    """The end of every campaign that is not over."""
    return [ended(campaign, reason) for campaign in campaigns if not is_over(campaign)]
