"""The words of the domain, as they are written in events, bodies and reports."""

from enum import StrEnum


class Origin(StrEnum):
    """Where an event comes from. Only `live` ever alerts anyone."""

    LIVE = "live"
    IMPORT = "import"


class Mode(StrEnum):
    """An exercise reaches only recipients that are marked for exercises."""

    ACTUAL = "actual"
    EXERCISE = "exercise"


class CaseKind(StrEnum):
    """What sort of disappearance a case is."""

    RUNAWAY = "runaway"
    INTERNATIONAL_PARENTAL_ABDUCTION = "international_parental_abduction"
    THIRD_PARTY_ABDUCTION = "third_party_abduction"
    UNACCOMPANIED_MINOR = "unaccompanied_minor"
    UNDEFINED = "undefined"


class Criterion(StrEnum):
    """The six criteria of the Ministerial Directive of 20 February 2002; any one makes a case worrying."""

    UNDER_13 = "under_13"
    DISABILITY_OR_LOW_SELF_RELIANCE = "disability_or_low_self_reliance"
    MEDICATION_DEPENDENT = "medication_dependent"
    LIFE_THREATENING_SITUATION = "life_threatening_situation"
    DANGEROUS_COMPANY_OR_CRIME = "dangerous_company_or_crime"
    OUT_OF_CHARACTER = "out_of_character"


class Answer(StrEnum):
    """What an operator reports about a criterion. Unknown is not no."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Finding(StrEnum):
    """What the rules conclude about a criterion; `possible` (an age range that reaches below) counts as yes."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    POSSIBLE = "possible"


class Gender(StrEnum):
    """Gender as reported."""

    GIRL = "girl"
    BOY = "boy"
    OTHER = "other"
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    """What became of a child."""

    RETURNED = "returned"
    FOUND_SAFE = "found_safe"
    MISUNDERSTANDING = "misunderstanding"
    ACCIDENT = "accident"
    FOUND_DECEASED = "found_deceased"
    BROUGHT_BACK = "brought_back"
    LOCATED_ABROAD = "located_abroad"


class AbductionStatus(StrEnum):
    """`preventive`: the child is at home and a parent fears an abduction."""

    EFFECTIVE = "effective"
    PREVENTIVE = "preventive"


class AbductingParent(StrEnum):
    """Who took the child abroad."""

    MOTHER = "mother"
    FATHER = "father"
    BOTH = "both"
    OTHER = "other"


class Direction(StrEnum):
    """Away from Belgium, or towards it."""

    FROM_BELGIUM = "from_belgium"
    TO_BELGIUM = "to_belgium"


class UndefinedSubject(StrEnum):
    """Whom an undefined disappearance concerns."""

    YOUNG_ADULT = "young_adult"
    YOUNG_CHILD = "young_child"
    ADULT_OF_LIMITED_SELF_RELIANCE = "adult_of_limited_self_reliance"
    ACCESS_DISPUTE = "access_dispute"


class CampaignKind(StrEnum):
    """An authorised search: on every display, discreet, or at the highest level."""

    PUBLIC = "public"
    VIGNETTE = "vignette"
    CHILD_ALERT = "child_alert"


class AlertKind(StrEnum):
    """What an alert is sent for: one of the campaigns, or a standby for people who help search."""

    PUBLIC = "public"
    VIGNETTE = "vignette"
    CHILD_ALERT = "child_alert"
    STANDBY = "standby"


class Audience(StrEnum):
    """Who a recipient is."""

    DISPLAY = "display"
    MISSING_PERSONS_UNIT = "missing_persons_unit"
    MOBILE_TEAM = "mobile_team"


class Party(StrEnum):
    """Who consents to a campaign, or refuses it."""

    POLICE = "police"
    PUBLIC_PROSECUTOR = "public_prosecutor"
    CHILD_FOCUS = "child_focus"
    PARENTS = "parents"
    MAGISTRATE = "magistrate"


class Decision(StrEnum):
    """A consent is given, or refused; a later decision of the same party replaces the earlier one."""

    GIVEN = "given"
    REFUSED = "refused"


class EndReason(StrEnum):
    """Why a campaign ended."""

    CHILD_FOUND = "child_found"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    EXPIRED = "expired"
    OTHER = "other"


class ReceiptState(StrEnum):
    """What a display partner reports about its screens."""

    DISPLAYED = "displayed"
    REMOVED = "removed"
    REJECTED = "rejected"


class Language(StrEnum):
    """Languages of Belgium, and English."""

    NL = "nl"
    FR = "fr"
    DE = "de"
    EN = "en"


class Team(StrEnum):
    """The mobile team travels far; local volunteers help near home."""

    MOBILE = "mobile"
    LOCAL = "local"


class Reply(StrEnum):
    """What somebody who was asked says. `later`: from a moment on."""

    YES = "yes"
    NO = "no"
    LATER = "later"


class StandDown(StrEnum):
    """Why a call-out is over."""

    CALLED_OFF = "called_off"
    CASE_CLOSED = "case_closed"
    NOT_WORRYING = "not_worrying"


class Step(StrEnum):
    """What a message to a volunteer is about. The last two call back: they overtake whatever waits."""

    STANDBY = "standby"
    ASK = "ask"
    CHANGED = "changed"
    TASK = "task"
    NOT_NEEDED = "not_needed"
    STAND_DOWN = "stand_down"


class ErasureReason(StrEnum):
    """Why an identity is erased. A list, so that nobody types one into it."""

    REQUEST_OF_FAMILY = "request_of_family"
    REQUEST_OF_AUTHORITY = "request_of_authority"
    TIME_IS_OVER = "time_is_over"
    TAKEN_IN_BY_MISTAKE = "taken_in_by_mistake"


class GivenUp(StrEnum):
    """Why nobody waits any longer for a partner to confirm that it deleted what it had."""

    CONFIRMED_OTHERWISE = "confirmed_otherwise"
    PARTNER_IS_GONE = "partner_is_gone"
    NOTHING_KEPT = "nothing_kept"
