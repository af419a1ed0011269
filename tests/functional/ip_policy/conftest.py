"""Two nodes with four and three pods, wired as the lab wires them, for a whole module."""

from collections.abc import Iterator

import pytest

from tests.scene import policed


@pytest.fixture(scope="module")
def street(request: pytest.FixtureRequest) -> Iterator[policed.Policed]:
    """Give wires with nodes that enforce; named after the module, so that two may run side by side."""
    name = "p-" + request.module.__name__.rpartition("test_")[2][:12]
    with policed.up(name.replace("_", "-"), {"node-a": 4, "node-b": 3}) as made:
        yield made
