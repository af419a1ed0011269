"""Candidates before one Lease, with clocks that disagree, answers that are lost, and pauses anywhere: never two lead.

Each candidate's step is cut into reading, writing and hearing of it, and anything may happen between the cuts. Leaves
out HTTP: tests/unit/injector/kube/test_election.py.
"""

import dataclasses
import datetime as dt

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st

from injector.kube import leases
from tests import examples

NUMBER = 3
TIMING = leases.Timing()
WALLS = [dt.datetime(year, 11, 27, tzinfo=dt.UTC) for year in (2020, 2026, 2032)]
"""What each believes the date is."""
OFFSETS_S = [0.0, 1e6, -1e6]
"""Of the clocks by which they measure."""
who = st.integers(0, NUMBER - 1)


@dataclasses.dataclass(slots=True, kw_only=True)
class Step:
    """What a candidate has under way."""

    wanted: leases.Lease
    asked_s: float
    answer: leases.Lease | None = None
    """None: the API server has not seen it, or refused it."""


class Elections(stateful.RuleBasedStateMachine):
    """Three of them."""

    def __init__(self) -> None:
        super().__init__()
        self.time_s = 0.0
        self.lease: leases.Lease | None = None
        self.version = 0
        self.candidates = [leases.Candidate(str(number), TIMING) for number in range(NUMBER)]
        self.steps: list[Step | None] = [None] * NUMBER

    def clock_s(self, number: int) -> float:
        return self.time_s + OFFSETS_S[number]

    @stateful.rule(passed_s=st.sampled_from((0.5, 2.0, 4.9, 10.0, 15.0, 40.0)))
    def time_passes(self, passed_s: float) -> None:
        self.time_s += passed_s

    @stateful.rule(number=who)
    def looks(self, number: int) -> None:
        now_s = self.clock_s(number)
        wanted = self.candidates[number].plan(self.lease, now_s, WALLS[number])
        self.steps[number] = Step(wanted=wanted, asked_s=now_s) if wanted else None

    @stateful.rule(number=who)
    def the_server_takes_it(self, number: int) -> None:
        step = self.steps[number]
        if step is None or step.answer is not None:
            return
        if step.wanted.version != (self.lease.version if self.lease else ""):
            self.steps[number] = None  # 409
            return
        self._store(step.wanted)
        step.answer = self.lease

    @stateful.rule(number=who)
    def hears_of_it(self, number: int) -> None:
        step = self.steps[number]
        if step is not None and step.answer is not None:
            self.candidates[number].wrote(step.answer, step.asked_s)
            self.steps[number] = None

    @stateful.rule(number=who)
    def hears_nothing(self, number: int) -> None:
        self.steps[number] = None

    @stateful.rule(number=who)
    def starts_again(self, number: int) -> None:
        self.candidates[number] = leases.Candidate(f"{number}-{self.time_s}-{self.version}", TIMING)
        self.steps[number] = None

    @stateful.rule(number=who)
    def resigns(self, number: int) -> None:
        self.steps[number] = None
        if self.candidates[number].resigns():
            given = self.candidates[number].gives_back(self.lease, WALLS[number])
            if given is not None:
                self._store(given)

    @stateful.invariant()
    def at_most_one_leads(self) -> None:
        leading = [each.name for number, each in enumerate(self.candidates) if each.leads(self.clock_s(number))]
        assert len(leading) <= 1, leading

    def _store(self, lease: leases.Lease) -> None:
        self.version += 1
        self.lease = dataclasses.replace(lease, version=str(self.version))


TestElections = Elections.TestCase
TestElections.settings = hypothesis.settings(max_examples=examples.of(40), stateful_step_count=40, deadline=None)


def test_somebody_leads_after_the_lease_of_whoever_died() -> None:
    """At the moment at which it is free, not a round of looking later."""
    died, waits = (leases.Candidate(name, TIMING) for name in ("0", "1"))
    wanted = died.plan(None, 0.0, WALLS[1])
    assert wanted is not None
    lease = dataclasses.replace(wanted, version="1")
    died.wrote(lease, 0.0)
    now_s, looks = 0.3, 0
    while waits.plan(lease, now_s, WALLS[0]) is None:
        looks += 1
        now_s += waits.rest_s(now_s)
    assert (0.3 + TIMING.lease_s, 8) == (now_s, looks)
    assert not died.leads(TIMING.renew_deadline_s)
