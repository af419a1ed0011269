"""The evaluator and a naive reading of the specification agree about everything that can be made up.

Packets are asked in ``tests/functional/ip_policy`` and by ``make prove WHAT=ip-policy-oracle``.
"""

import ipaddress
import itertools
import random
from typing import Any

import hypothesis
from hypothesis import strategies as st

from comparisons.ip_policy import evaluate, gathering, model
from tests import examples
from tests.fakes import made_up_policies as made_up
from tests.fakes import naive_policy

OUTSIDE = "203.0.113.9"


def node(letter: int) -> dict[str, Any]:
    return {
        "kind": "Node",
        "metadata": {"name": f"node-{letter}"},
        "spec": {"podCIDRs": [f"10.7.{letter}.0/24", f"fd00:{letter}::/64"]},
        "status": {"addresses": [{"type": "InternalIP", "address": f"172.30.0.{letter}"}]},
    }


SEATS = tuple(
    made_up.Seat(
        uid=f"pod-{number}",
        node=f"node-{1 + number % 2}",
        addresses=(f"10.7.{1 + number % 2}.{10 + number}", f"fd00:{1 + number % 2}::{10 + number}"),
    )
    for number in range(5)
)
GROUND = made_up.Ground(
    nodes=(node(1), node(2)),
    seats=SEATS,
    blocks=("0.0.0.0/0", "10.0.0.0/8", "10.7.1.0/24", "10.7.1.10/32", "172.30.0.2/32", "203.0.113.0/24", "fd00::/16",
            "fd00:1::/64", "fd00:1::10/128"),
)  # fmt: skip
ADDRESSES = (*(each for seat in SEATS for each in seat.addresses), "172.30.0.1", "172.30.0.2", "10.7.1.1", OUTSIDE)


PAIRS = [(one, two) for one, two in itertools.permutations(ADDRESSES, 2) if (":" in one) is (":" in two)]
QUESTIONS = [*itertools.product(PAIRS, model.Protocol, (*made_up.PORTS, 9999))]
ASKED = 151


@hypothesis.settings(max_examples=examples.of(60), deadline=None)
@hypothesis.given(st.integers(0, 2**32))
def test_both_read_the_same(seed: int) -> None:
    """Some of all pairs of addresses of one family, with every protocol and port, one that no policy names included."""
    dice = random.Random(seed)
    objects = made_up.cluster(GROUND, dice)
    state = gathering.state(objects)
    for (one, two), protocol, port in dice.sample(QUESTIONS, ASKED):
        source, destination = ipaddress.ip_address(one), ipaddress.ip_address(two)
        asked = evaluate.Connection(source=source, destination=destination, protocol=protocol, port=port)
        found = evaluate.verdict(state, asked)
        assert naive_policy.allowed(objects, one, two, protocol.value, port) is found.allowed, (seed, asked, found)
