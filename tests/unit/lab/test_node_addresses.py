"""Which pod gets which address. Leaves out pods that wait for one: the functional tests have those."""

import ipaddress

import hypothesis
import hypothesis.stateful
import pytest
from hypothesis import strategies

from comparisons.lab import addresses, errors

SMALLEST = [ipaddress.ip_network("10.7.0.8/29"), ipaddress.ip_network("fd00::/64")]


def test_smallest_range_has_five_pods() -> None:
    """A /29 is a name, a gateway, five pods and a broadcast address."""
    pool = addresses.Pool(SMALLEST)
    taken = [str(pool.take(f"pod-{number}")[0]) for number in range(5)]
    assert taken == ["10.7.0.10", "10.7.0.11", "10.7.0.12", "10.7.0.13", "10.7.0.14"]
    with pytest.raises(errors.Exhausted, match=r"10\.7\.0\.8/29 and fd00::/64: 5 pods"):
        pool.take("pod-5")


def test_families_move_in_step() -> None:
    """The n-th IPv4 address goes with the n-th IPv6 address."""
    assert [str(ip) for ip in addresses.Pool(SMALLEST).take("a")] == ["10.7.0.10", "fd00::2"]


def test_released_address_is_taken_at_once() -> None:
    """The next pod gets what the last one gave back."""
    pool = addresses.Pool(SMALLEST)
    first = pool.take("a")
    pool.take("b")
    pool.release("a")
    assert first == pool.take("c")


def test_asking_twice_gives_the_same() -> None:
    """A pod that is built again keeps its address."""
    pool = addresses.Pool(SMALLEST)
    assert pool.take("a") == pool.take("a")


class Model(hypothesis.stateful.RuleBasedStateMachine):
    """Against the simplest thing that could be right: the smallest index that nobody has."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = addresses.Pool(SMALLEST)
        self.taken: dict[str, int] = {}

    @hypothesis.stateful.rule(owner=strategies.sampled_from("abcdefg"))
    def take(self, owner: str) -> None:
        """Let an owner ask."""
        free = sorted(set(range(2, 7)) - set(self.taken.values()))
        if owner not in self.taken and not free:
            with pytest.raises(errors.Exhausted):
                self.pool.take(owner)
            return
        self.taken.setdefault(owner, free[0] if free else 0)
        assert SMALLEST[0][self.taken[owner]] == self.pool.take(owner)[0]

    @hypothesis.stateful.rule(owner=strategies.sampled_from("abcdefg"))
    def release(self, owner: str) -> None:
        """Let an owner leave, or one that was never there."""
        self.taken.pop(owner, None)
        self.pool.release(owner)


TestModel = Model.TestCase
