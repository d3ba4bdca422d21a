"""A call-out, given what happened, when somebody does something, then what follows."""

from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from schemas.base import Sealed
from schemas.events import (
    CalledOut,
    Material,
    Need,
    NeedMet,
    PosterPlaced,
    StandbyCalled,
    StoodDown,
    VolunteerAnswered,
    VolunteersAsked,
)
from schemas.vocabulary import Language, Reply, StandDown
from services.volunteers.domain import callout
from services.volunteers.domain.callout import Said
from services.volunteers.domain.choice import Candidate, Lacking, choose, lacking
from services.volunteers.domain.errors import CalloutStateError, NotAskedError, WorldsMetError

CALLOUT = UUID(int=116)
NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
BOX = Sealed(key="callout:x", box="AAAA")
PATIENCE = timedelta(minutes=5)
YES, NO = Said(Reply.YES), Said(Reply.NO)


def person(number):
    return UUID(int=number)


def need(people=2, **more):
    return Need(people=people, municipality="24062", lat=50.88, lon=4.70, **more)


def near(number, **more):
    """Somebody who lives so many kilometres away."""
    return Candidate(person(number), float(number), exercise=False, **more)


class Story:
    """Given what happened so far: every `when` decides and evolves."""

    def __init__(self, *, exercise=False):
        self.state = callout.initial_state(CALLOUT, exercise=exercise)
        self.events = []
        self.now = NOW

    def when(self, decide, *arguments):
        events = decide(self.state, *arguments)
        for event in events:
            self.state = callout.evolve(self.state, event, self.now)
        self.events += events
        return events

    def called(self, wanted, *people):
        """A call-out, and a first wave of these people."""
        self.when(callout.call_out, wanted)
        self.when(callout.ask, list(people), {})
        return self


# ── the choice ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_nearest_are_asked_twice_as_many_as_are_needed():
    """Six are needed: twelve are asked, the nearest of twenty, and the log says how far away they are."""
    found = choose(Lacking(6, 0, ()), [near(n) for n in range(1, 21)])
    assert [one.volunteer_id for one in found] == [person(n) for n in range(1, 13)]
    assert [one.distance_km for one in found] == [float(n) for n in range(1, 13)]


def test_who_was_called_or_out_lately_comes_after_who_lives_a_little_farther():
    """Three calls count for nine kilometres more, having been out for fifteen."""
    found = choose(Lacking(1, 0, ()), [near(1, asked_lately=3), near(2, out_lately=1), near(9), near(8)])
    assert [one.volunteer_id for one in found] == [person(8), person(9)]
    assert found[0].asked_lately == 0


def test_a_skill_is_looked_for_however_far_and_is_no_language():
    """A skill may be called `nl` or `car`: who has it brings no language and no car."""
    far = [near(30, skills=("dog_handler",)), near(31, skills=("nl", "car")), near(32, languages=("nl",))]
    lack = Lacking(1, 1, ("nl",), ("dog_handler",))
    found = choose(lack, [*(near(n) for n in range(1, 9)), *far])
    assert {one.volunteer_id: one.chosen_for for one in found if one.chosen_for} == {
        far[0].volunteer_id: ("skill:dog_handler",),
        far[2].volunteer_id: ("nl",),
    }
    wanted = need(people=1, languages=(Language.NL,), skills=("dog_handler", "nl"))
    assert lacking(wanted, [far[1].brings]) == Lacking(0, 0, ("nl",), ("dog_handler",))
    assert not lacking(wanted, [one.brings for one in far])


def test_what_is_lacking_is_looked_for_however_far():
    """Two cars and French, of which only people far away have any: they are asked, and it says for what."""
    far = [
        near(50, car=True),
        near(60, car=True),
        near(70, languages=("fr",)),
        near(80, languages=("fr",)),
        near(90, car=True),
    ]
    found = choose(Lacking(2, 1, ("fr",)), [*(near(n) for n in range(1, 9)), *far])
    assert {one.volunteer_id: one.chosen_for for one in found if one.chosen_for} == {
        person(50): ("car",), person(60): ("car",), person(70): ("fr",), person(80): ("fr",),
    }  # fmt: skip


def test_the_same_people_in_any_order_give_the_same_choice():
    """Nothing is drawn by lot."""
    people = [near(n % 5, car=n % 2 == 0) for n in range(1, 40)]
    assert choose(Lacking(4, 1, ()), people) == choose(Lacking(4, 1, ()), reversed(people))


def test_a_need_lacks_what_nobody_who_comes_brings():
    """People, cars and languages are counted each for itself."""
    wanted = need(3, cars=2, languages=(Language.NL, Language.FR))
    assert lacking(wanted, []) == Lacking(3, 2, ("nl", "fr"))
    assert lacking(wanted, [("car", "nl"), ("nl",)]) == Lacking(1, 1, ("fr",))
    assert not lacking(wanted, [("car", "nl"), ("car", "fr"), ()])


# ── from standby to the end ─────────────────────────────────────────────────────────────────────────────────


def test_a_standby_tells_each_once():
    """The same assessment again, or some of the same people, tells nobody twice."""
    story = Story()
    [first] = story.when(callout.stand_by, "24062", [person(1), person(2)])
    assert first == StandbyCalled(callout_id=CALLOUT, municipality="24062", told=(person(1), person(2)))
    assert story.when(callout.stand_by, "24062", [person(1), person(2)]) == []
    [more] = story.when(callout.stand_by, "24062", [person(2), person(3)])
    assert more.told == (person(3),)


def test_waves_stop_as_soon_as_the_need_is_met():
    """Two say yes: the others are not needed, and there is no further wave."""
    story = Story().called(need(2), *(near(n) for n in range(1, 5)))
    assert story.when(callout.answer, person(1), YES) == story.events[-1:]
    [_, met] = story.when(callout.answer, person(2), YES)
    assert met == NeedMet(
        callout_id=CALLOUT, revision=1, coming=(person(1), person(2)), not_needed=(person(3), person(4))
    )
    assert not callout.wave_due(story.state, NOW + timedelta(days=1), PATIENCE)
    assert story.when(callout.ask, [near(9)], {}) == []


def test_the_next_wave_waits_for_answers_but_not_for_ever():
    """As long as somebody may still answer, and for five minutes; everybody's no ends the wait."""
    story = Story().called(need(1), near(1), near(2))
    assert not callout.wave_due(story.state, NOW + timedelta(minutes=4), PATIENCE)
    assert callout.wave_due(story.state, NOW + timedelta(minutes=5), PATIENCE)
    story.when(callout.answer, person(1), NO)
    assert not callout.wave_due(story.state, NOW, PATIENCE)
    story.when(callout.answer, person(2), NO)
    assert callout.wave_due(story.state, NOW, PATIENCE)
    [wave] = story.when(callout.ask, [near(1), near(2), near(3)], {"off_duty": 4})
    assert (wave.wave, [one.volunteer_id for one in wave.chosen], wave.left_out) == (
        2,
        [person(3)],
        {"off_duty": 4},
    )


def test_somebody_who_cannot_come_after_all_is_replaced():
    """A later no takes the yes back, and what is lacking is looked for again."""
    story = Story().called(need(1), near(1), near(2))
    story.when(callout.answer, person(1), YES)
    story.when(callout.answer, person(1), NO)
    assert story.state.coming == []
    assert callout.wave_due(story.state, NOW, PATIENCE)


def test_later_counts_when_it_is_early_enough():
    """From 20:00 is enough for who is needed by 21:00, not for who is needed by 19:00; and it is kept either way."""
    for hour, counts in ((19, False), (21, True)):
        story = Story().called(need(1, by=NOW.replace(hour=hour)), near(1))
        later = Said(Reply.LATER, NOW.replace(hour=20))
        assert isinstance(story.when(callout.answer, person(1), later)[0], VolunteerAnswered)
        assert (story.state.coming == [person(1)]) is counts
        assert story.state.asked[person(1)].since == NOW.replace(hour=20)


def test_no_wave_is_due_once_it_is_too_late_to_come():
    """Until then the next one is, when those who were asked had their time."""
    by = NOW + timedelta(hours=1)
    story = Story().called(need(2, by=by), near(1))
    assert callout.wave_due(story.state, by - timedelta(seconds=1), PATIENCE)
    assert not callout.wave_due(story.state, by, PATIENCE)


def test_the_same_answer_again_says_nothing_new():
    """A link that is pressed twice, or replayed."""
    story = Story().called(need(2), near(1))
    assert len(story.when(callout.answer, person(1), YES)) == 1
    for _ in range(3):
        assert story.when(callout.answer, person(1), YES) == []


def test_another_place_must_be_confirmed_and_more_people_need_not():
    """A yes was to a place and a time; how many others come is nobody's business."""
    story = Story().called(need(2), near(1), near(2), near(3))
    story.when(callout.answer, person(1), YES)
    story.when(callout.answer, person(2), NO)
    [more] = story.when(callout.call_out, need(3))
    assert (more.revision, more.confirm_again, story.state.coming) == (2, False, [person(1)])
    moved = need(3).model_copy(update={"lat": 51.0})
    [called] = story.when(callout.call_out, moved)
    assert (called.revision, called.confirm_again, story.state.coming) == (3, True, [])
    assert story.state.waiting_for == [person(1), person(3)], "who said no is left alone"
    assert story.when(callout.call_out, moved) == []


def test_an_answer_to_an_older_place_is_kept_and_is_no_promise():
    """Somebody pressed yes on the first message, while the second was on its way."""
    story = Story().called(need(1), near(1))
    story.when(callout.call_out, need(1, by=NOW))
    [answered] = story.when(callout.answer, person(1), Said(Reply.YES, revision=1))
    assert answered.revision == 1
    assert story.state.coming == []
    assert story.state.waiting_for == [person(1)]
    story.when(callout.answer, person(1), Said(Reply.YES, revision=2))
    assert story.state.coming == [person(1)]


def test_after_the_end_answers_are_kept_and_change_nothing():
    """Late is not lost."""
    story = Story().called(need(1), near(1), near(2))
    [ended] = story.when(callout.stand_down, StandDown.CASE_CLOSED)
    assert ended.told == (person(1), person(2))
    [late] = story.when(callout.answer, person(1), YES)
    assert late.late
    assert story.state.coming == []
    assert story.when(callout.answer, person(1), YES) == []
    with pytest.raises(CalloutStateError):
        callout.call_out(story.state, need(3))
    assert story.when(callout.stand_down, StandDown.CASE_CLOSED) == []


def test_the_end_reaches_who_may_still_act_on_it():
    """Who stands by, was asked, or put something up; not who said no or was told that they are not needed."""
    story = Story()
    story.when(callout.stand_by, None, [person(9)])
    story.called(need(1), near(1), near(2), near(3))
    story.when(callout.answer, person(2), NO)
    story.when(callout.answer, person(1), YES)
    placed = PosterPlaced(callout_id=CALLOUT, poster_id=person(77), volunteer_id=person(1), spot=BOX, at=NOW)
    story.when(callout.place, placed)
    [ended] = story.when(callout.stand_down, StandDown.CASE_CLOSED)
    assert ended == StoodDown(
        callout_id=CALLOUT, reason=StandDown.CASE_CLOSED, told=(person(1), person(9)), still_up=(person(77),)
    )


def test_a_case_that_is_calm_again_ends_a_standby_and_no_call_out():
    """Those who are out are called back by a person, or by the end of the case."""
    story = Story()
    story.when(callout.stand_by, None, [person(1)])
    assert len(callout.stand_down(story.state, StandDown.NOT_WORRYING)) == 1
    story.called(need(1), near(2))
    assert story.when(callout.stand_down, StandDown.NOT_WORRYING) == []
    assert len(story.when(callout.stand_down, StandDown.CALLED_OFF)) == 1


def test_every_poster_is_listed_until_it_is_taken_down():
    """Also one that is put up after the end; taking down twice is as good as once."""
    story = Story().called(need(1), near(1))
    story.when(callout.answer, person(1), YES)
    posters = [
        PosterPlaced(callout_id=CALLOUT, poster_id=person(n), volunteer_id=person(1), spot=BOX, at=NOW)
        for n in (71, 72)
    ]
    story.when(callout.place, posters[0])
    assert story.when(callout.place, posters[0]) == []
    story.when(callout.stand_down, StandDown.CASE_CLOSED)
    story.when(callout.place, posters[1])
    assert set(story.state.up) == {person(71), person(72)}
    story.when(callout.take_down, person(71), person(1), NOW)
    assert story.when(callout.take_down, person(71), None, NOW) == []
    assert story.when(callout.place, posters[0]) == [], "a message that comes late hangs nothing up again"
    assert set(story.state.up) == {person(72)}
    with pytest.raises(NotAskedError):
        callout.take_down(story.state, person(99), None, NOW)


def test_tasks_are_for_who_comes():
    """Somebody who said no gets none, and a stranger does not either."""
    story = Story().called(need(2), near(1), near(2))
    story.when(callout.answer, person(1), YES)
    story.when(callout.answer, person(2), NO)
    assert len(story.when(callout.give_task, person(50), [person(1)], BOX, Material(posters=20))) == 1
    for wrong in (person(2), person(3)):
        with pytest.raises(NotAskedError):
            callout.give_task(story.state, person(51), [wrong], BOX, Material())


def test_a_stranger_has_nothing_to_answer():
    """Whoever was not asked is told so."""
    with pytest.raises(NotAskedError):
        callout.answer(Story().called(need(1), near(1)).state, person(2), YES)


@pytest.mark.parametrize("exercise", [True, False])
def test_an_exercise_and_the_real_thing_never_meet(exercise):
    """Not even by a bug of the query that looks for people."""
    story = Story(exercise=exercise)
    story.when(callout.call_out, need(1))
    with pytest.raises(WorldsMetError):
        callout.ask(story.state, [Candidate(person(1), 1.0, exercise=not exercise)], {})


# ── any order of anything ───────────────────────────────────────────────────────────────────────────────────


class Machine(RuleBasedStateMachine):
    """Anything in any order: the promises hold after every step."""

    def __init__(self):
        super().__init__()
        self.story = Story()
        self.numbers = count(1000)
        self.asked_times = {}
        self.ended_once = 0

    def do(self, decide, *arguments):
        events = self.story.when(decide, *arguments)
        for event in events:
            if isinstance(event, VolunteersAsked):
                for one in event.chosen:
                    self.asked_times[one.volunteer_id] = self.asked_times.get(one.volunteer_id, 0) + 1
            self.ended_once += isinstance(event, StoodDown)
        return events

    def some(self, data):
        return data.draw(st.sampled_from(sorted(self.story.state.asked)))

    @rule(people=st.lists(st.integers(1, 12), max_size=6))
    def stand_by(self, people):
        self.do(callout.stand_by, None, [person(n) for n in people])

    @precondition(lambda self: not self.story.state.over)
    @rule(
        people=st.integers(1, 4),
        cars=st.integers(0, 2),
        by=st.none() | st.just(NOW),
        lat=st.sampled_from([50.0, 51.0]),
    )
    def call(self, people, cars, by, lat):
        self.do(callout.call_out, need(people, cars=cars, by=by).model_copy(update={"lat": lat}))

    @rule(people=st.lists(st.integers(1, 12), max_size=12))
    def wave(self, people):
        self.do(callout.ask, [near(n, car=n % 3 == 0) for n in people], {})

    @precondition(lambda self: self.story.state.asked)
    @rule(
        data=st.data(),
        reply=st.sampled_from([YES, NO, Said(Reply.LATER, NOW + timedelta(hours=1))]),
        old=st.booleans(),
    )
    def answers(self, data, reply, old):
        who = self.some(data)
        said = Said(reply.reply, reply.since, revision=1 if old else None)
        before = self.story.state
        events = self.do(callout.answer, who, said)
        assert all(event.late == before.over for event in events if isinstance(event, VolunteerAnswered))
        assert self.do(callout.answer, who, said) == []

    @precondition(lambda self: self.story.state.asked)
    @rule(data=st.data())
    def placed(self, data):
        poster = PosterPlaced(
            callout_id=CALLOUT,
            poster_id=person(next(self.numbers)),
            volunteer_id=self.some(data),
            spot=BOX,
            at=NOW,
        )
        self.do(callout.place, poster)
        assert poster.poster_id in self.story.state.up

    @precondition(lambda self: self.story.state.up)
    @rule(data=st.data())
    def removed(self, data):
        self.do(callout.take_down, data.draw(st.sampled_from(sorted(self.story.state.up))), None, NOW)

    @rule(reason=st.sampled_from(list(StandDown)))
    def end(self, reason):
        self.do(callout.stand_down, reason)

    @invariant()
    def nobody_is_asked_twice_and_it_ends_once(self):
        assert all(times == 1 for times in self.asked_times.values())
        assert self.ended_once <= 1

    @invariant()
    def who_comes_said_so_to_this_place_and_time(self):
        state = self.story.state
        for who in state.coming:
            one = state.asked[who]
            assert one.reply in (Reply.YES, Reply.LATER)
            assert one.answered >= state.confirm_from

    @invariant()
    def nothing_that_hangs_is_forgotten(self):
        placed = {e.poster_id for e in self.story.events if isinstance(e, PosterPlaced)}
        state = self.story.state
        assert placed == set(state.up) | state.removed
        assert not set(state.up) & state.removed

    @invariant()
    def the_log_alone_gives_the_same_state(self):
        again = callout.initial_state(CALLOUT, exercise=False)
        for event in self.story.events:
            again = callout.evolve(again, event, NOW)
        assert again == self.story.state

    @invariant()
    def what_is_met_is_said_and_asks_nobody(self):
        state = self.story.state
        if state.need and not state.lack and not state.over:
            assert any(isinstance(e, NeedMet) for e in self.story.events)
            assert not callout.wave_due(state, NOW + timedelta(days=1), PATIENCE)
        assert not [e for e in self.story.events if isinstance(e, CalledOut) and e.revision > state.revision]


Machine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestAnyOrder = Machine.TestCase
