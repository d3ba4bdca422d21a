"""What becomes known about a planned case: the facts that make it worrying, the small ones, and its end."""

from datetime import date, datetime

from history_model import HOUR, MINUTE, Case, Child, Data, Fact, World, brussels_day

CRITERIA = (
    "disability_or_low_self_reliance",
    "medication_dependent",
    "life_threatening_situation",
    "dangerous_company_or_crime",
    "out_of_character",
)
OUTCOMES = {
    "runaway": ("returned",) * 6 + ("found_safe",) * 5 + ("misunderstanding",),
    "international_parental_abduction": ("brought_back",) * 3 + ("located_abroad",) * 2 + ("returned",),
    "third_party_abduction": ("found_safe", "returned"),
    "undefined": ("found_safe",) * 5 + ("returned",) * 2 + ("misunderstanding", "accident"),
    "unaccompanied_minor": ("found_safe",) * 3 + ("located_abroad", "returned"),
}
RETRACTED = 0.25  # of the criteria reported: no longer true later, worrying at least once all the same


class Facts:
    """Fills the planned cases with facts, all of them invented."""

    def __init__(self, world: World) -> None:
        self.rng = world.rng

    def fill(self, case: Case) -> None:
        """Add every fact of a case between its opening and its end."""
        self._triggers(case)
        if case.kind == "undefined" and case.opened_as is not None:
            self._reclassified(case)
        if case.opened_preventive:
            self._came_true(case)
        self._small_facts(case)
        if case.closed is not None:
            self._end(case, case.closed)

    def _triggers(self, case: Case) -> None:
        match case.trigger:
            case "opening":
                case.circumstances.append(self._circumstance(case, "yes"))
                self._maybe_no_longer(case, case.circumstances[-1], None)
            case "later":
                data, name = self._circumstance(case, "yes"), f"{case.ref}-c1"
                at = case.moment(self.rng, 0.02, 0.15)
                case.facts.append(Fact(at, "case.circumstance_reported", data, name))
                self._maybe_no_longer(case, data, name)
            case "override":
                self._override(case)
            case "age_corrected":
                self._corrected(case, case.children[0], told_age=14)
            case "age_withdrawn":
                self._corrected(case, case.children[0], told_age=11)
            case "was_undefined":
                case.opened_as = "undefined"
                self._reclassified(case)
            case "was_young_runaway":
                case.opened_as = "runaway"
                self._reclassified(case)
            case _:
                pass
        if case.trigger in {"age", "later"} and self.rng.random() < 0.02:
            self._judged_not_worrying(case)

    def _circumstance(self, case: Case, value: str) -> Data:
        criterion = self.rng.choice(CRITERIA)
        data: Data = {"criterion": criterion, "value": value, "child": 0}
        if value == "yes":
            data["note"] = f"[verzonnen] aanwijzing {self.rng.randrange(10**5):05d}"
        if (criterion, value) == ("medication_dependent", "yes"):
            data["next_due"] = case.moment(self.rng, 0.2, 0.3)
        return data

    def _maybe_no_longer(self, case: Case, told: Data, name: str | None) -> None:
        """Take a criterion back: by a new value, or by retracting the line that reported it."""
        if self.rng.random() >= RETRACTED:
            return
        at = case.moment(self.rng, 0.55, 0.7)
        if name is not None and self.rng.random() < 0.5:
            data = {"event_id": name, "reason": "[verzonnen] vergissing van de melder"}
            case.facts.append(Fact(at, "case.circumstance_retracted", data))
        else:
            data = {"criterion": told["criterion"], "value": "no", "child": told["child"]}
            case.facts.append(Fact(at, "case.circumstance_reported", data))

    def _override(self, case: Case) -> None:
        data = {"worrying": True, "reason": "[verzonnen] oordeel van de dossierbeheerder"}
        case.facts.append(Fact(case.moment(self.rng, 0.02, 0.15), "case.worrying_overridden", data))
        if self.rng.random() < 0.5:
            case.facts.append(Fact(case.moment(self.rng, 0.6, 0.7), "case.override_withdrawn", {}))

    def _judged_not_worrying(self, case: Case) -> None:
        data = {"worrying": False, "reason": "[verzonnen] gezien door een bekende"}
        case.facts.append(Fact(case.moment(self.rng, 0.72, 0.8), "case.worrying_overridden", data))

    def _corrected(self, case: Case, child: Child, told_age: int) -> None:
        """Open with a date of birth that gives the wrong age, and correct it."""
        if child.born is None:
            raise AssertionError("only a known date of birth can have been told wrong")
        day = brussels_day(case.disappeared or case.opened)
        child.told = date(day.year - told_age, 1, 1)
        data = {"children": [{"child": 0, "date_of_birth": child.born.isoformat()}]}
        case.facts.append(Fact(case.moment(self.rng, 0.05, 0.15), "case.details_corrected", data))

    def _reclassified(self, case: Case) -> None:
        at = case.moment(self.rng, 0.05, 0.15)
        data = {"kind": case.kind, "details": dict(case.details), "reason": "[verzonnen] nieuwe informatie"}
        case.facts.append(Fact(at, "case.reclassified", data))

    def _came_true(self, case: Case) -> None:
        at = case.opened + 40 * HOUR
        data = {"details": dict(case.details), "disappeared_at": case.disappeared}
        case.facts.append(Fact(at, "case.details_corrected", data))

    def _small_facts(self, case: Case) -> None:
        """Add what changes no figure: notes, sightings, the police, answers of no and unknown, better places."""
        chance = self.rng.random
        if chance() < 0.2 and case.trigger != "opening":
            case.circumstances.append(self._circumstance(case, self.rng.choice(("no", "unknown"))))
        if case.details.get("status") == "preventive" and chance() < 0.15:
            case.circumstances.append(self._circumstance(case, "yes"))  # never assessed: the child is at home
        if case.trigger and chance() < 0.7:
            data: Data = {
                "at": case.moment(self.rng, 0.0, 0.04),
                "reference": f"PV-{self.rng.randrange(10**6):06d}",
            }
            case.facts.append(Fact(case.moment(self.rng, 0.05, 0.1), "case.police_informed", data))
        if chance() < 0.35:
            text = f"[verzonnen] nota {self.rng.randrange(10**6):06d}"
            case.facts.append(Fact(case.moment(self.rng, 0.1, 0.9), "case.note_added", {"text": text}))
        if chance() < 0.06 and case.details.get("status") != "preventive":
            seen = case.moment(self.rng, 0.2, 0.4)
            data = {
                "at": seen,
                "postal_code": "1000",
                "note": f"[verzonnen] gezien {self.rng.randrange(1000)}",
            }
            case.facts.append(Fact(seen + 20 * MINUTE, "case.sighting_reported", data))
        if chance() < 0.03:
            data = {"last_seen": {"postal_code": "4000", "place": "verzonnen plein"}}
            case.facts.append(Fact(case.moment(self.rng, 0.1, 0.5), "case.details_corrected", data))

    def _outcomes(self, case: Case) -> list[Data]:
        if case.details.get("status") == "preventive":
            choices: tuple[str, ...] = ("misunderstanding", "found_safe")
        else:
            choices = OUTCOMES[case.kind]
        return [
            {"child": index, "outcome": case.outcome or self.rng.choice(choices)}
            for index in range(len(case.children))
        ]

    def _end(self, case: Case, closed: datetime) -> None:
        """Close with an outcome for each child; of several, one may have been located before."""
        outcomes = self._outcomes(case)
        if len(outcomes) > 1 and self.rng.random() < 0.5 and case.details.get("status") != "preventive":
            found = outcomes[0] | {"at": closed - 90 * MINUTE}
            case.facts.append(Fact(closed - HOUR, "case.child_located", found))
        if case.helped:
            data = {"details": case.details | {"helped_return": True}}
            case.facts.append(Fact(closed - 5 * MINUTE, "case.details_corrected", data))
        case.facts.append(Fact(closed, "case.closed", {"outcomes": outcomes}))
        if case.reopened is not None:
            again, end = case.reopened
            reason = {"reason": "[verzonnen] opnieuw verdwenen, zelfde dossier"}
            case.facts.append(Fact(again, "case.reopened", reason))
            case.facts.append(Fact(end, "case.closed", {"outcomes": self._outcomes(case)}))
