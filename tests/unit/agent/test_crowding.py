"""Who fills the table. Left out: what the kernel does then (tests/functional/agent/test_crowding.py)."""

import numpy as np
import pytest

from agent import crowding, wire

CAPACITY = 100


def keys(**edges_of: int) -> wire.Array:
    """Make so many edges of each cgroup ("c7")."""
    made = np.zeros(sum(edges_of.values()), wire.EDGE_KEY)
    made["cgroup"] = [int(name[1:]) for name, count in edges_of.items() for _ in range(count)]
    return made


@pytest.mark.parametrize(
    ("edges_of", "crowded"),
    [
        ({}, set()),
        ({"c7": 50}, set()),
        ({"c7": 50, "c8": 1}, {7}),
        ({"c7": 25, "c8": 26}, {8}),
        ({"c7": 30, "c8": 30, "c9": 30}, {7, 8, 9}),
        ({"c0": 90, "c7": 9}, set()),
        ({f"c{number}": 5 for number in range(1, 20)}, set()),
    ],
    ids=["empty", "half", "one", "a quarter", "three", "nobody's", "many"],
)
def test_more_than_a_quarter_of_a_table_that_is_more_than_half_full(
    edges_of: dict[str, int], crowded: set[int]
) -> None:
    """Both bounds are still room."""
    assert crowded == crowding.owners(keys(**edges_of), CAPACITY)
