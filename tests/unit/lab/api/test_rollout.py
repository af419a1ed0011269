"""A rolling update never leaves its bounds, whatever pods do in between, and always arrives. Leaves out the API."""

import dataclasses

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comparisons.lab.controllers import rollout
from tests import examples

PERCENT_OR_COUNT = st.integers(0, 5) | st.integers(0, 100).map(lambda number: f"{number}%")


@dataclasses.dataclass
class Fleet:
    """Pods of one ReplicaSet: some ready, some not yet."""

    ready: int = 0
    starting: int = 0
    wanted: int = 0

    def settle(self) -> None:
        """Do what the ReplicaSet controller does: not ready pods go first."""
        missing = self.wanted - self.ready - self.starting
        self.starting += max(0, missing)
        surplus = max(0, -missing)
        unready = min(surplus, self.starting)
        self.starting -= unready
        self.ready -= surplus - unready

    def size(self, name: str) -> rollout.Size:
        return rollout.Size(name=name, wanted=self.wanted, available=self.ready)


@hypothesis.settings(max_examples=examples.of(300), deadline=None)
@given(
    replicas=st.integers(0, 12),
    surge=PERCENT_OR_COUNT,
    unavailable=PERCENT_OR_COUNT,
    old_sets=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=3),
    luck=st.randoms(use_true_random=False),
)
def test_a_rolling_update_arrives_within_its_bounds(
    replicas: int, surge: object, unavailable: object, old_sets: list[tuple[int, int]], luck: object
) -> None:
    """Available pods never go below the least by our own doing, pods never above the most; in the end all are new."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    bounds = rollout.bounds(strategy, replicas)
    old = {f"old-{n}": Fleet(min(r, w), w - min(r, w), w) for n, (r, w) in enumerate(old_sets)}
    new = Fleet()
    for _ in range(400):
        before = new.ready + sum(each.ready for each in old.values())
        total = new.wanted + sum(each.wanted for each in old.values())
        sizes = [fleet.size(name) for name, fleet in old.items()]
        plan = rollout.plan(replicas, strategy, new.size("new"), sizes, sum(f.ready + f.starting for f in old.values()))
        for name, size in plan.items():
            (old.get(name) or new).wanted = size
        for fleet in (new, *old.values()):
            fleet.settle()
        after = new.ready + sum(each.ready for each in old.values())
        assert after >= min(before, replicas - bounds.unavailable)
        assert new.wanted + sum(each.wanted for each in old.values()) <= max(total, replicas + bounds.surge)
        if new.ready == replicas == new.wanted and not any(each.wanted for each in old.values()):
            return
        for fleet, least in ((new, 1), *((each, 0) for each in old.values())):  # old pods may never become ready
            started = luck.randint(min(least, fleet.starting), fleet.starting)
            fleet.ready, fleet.starting = fleet.ready + started, fleet.starting - started
    pytest.fail(f"stands still: new {new}, old {old}")


def test_recreate_waits_for_the_last_old_pod() -> None:
    """First none, then all."""
    strategy = {"type": "Recreate"}
    new, old = rollout.Size(name="new", wanted=0, available=0), rollout.Size(name="old", wanted=3, available=3)
    assert rollout.plan(3, strategy, new, [old], 3) == {"old": 0}
    gone = dataclasses.replace(old, wanted=0)
    assert rollout.plan(3, strategy, new, [gone], 1) == {}
    assert rollout.plan(3, strategy, new, [gone], 0) == {"new": 3}


@pytest.mark.parametrize(
    ("value", "up", "wanted"), [("25%", True, 3), ("25%", False, 2), (7, True, 7), ("0%", True, 0)]
)
def test_percentages(value: int | str, up: bool, wanted: int) -> None:  # noqa: FBT001  # a column of the table
    """Of ten."""
    assert rollout.absolute(value, 10, up=up) == wanted
