"""Lists of ports. Leaves out who may list what: annotations."""

import itertools
from collections.abc import Iterable

import hypothesis
import pytest
from hypothesis import strategies as st

from injector import errors
from injector.sidecar import ports

PORT = st.integers(min_value=1, max_value=65_535)
RANGE = st.tuples(PORT, PORT).map(sorted).map(lambda ends: ports.PortRange(*ends))


def test_ports_and_ranges_are_read() -> None:
    """Sorted, spaces or not."""
    assert (ports.PortRange(25, 25), ports.PortRange(4000, 4010)) == ports.parse([" 4000-4010", "25 "])


@pytest.mark.parametrize("word", ["", "0", "65536", "10-9", "1-65536", "-1", "1-", "http", "1,2", "1 - 2", "\u0663"])
def test_what_is_no_port_is_refused(word: str) -> None:
    """With the word, and what to write instead."""
    with pytest.raises(errors.CannotRun, match="is not a port to skip") as refused:
        ports.parse([word])
    assert "25 or 4000-4010" in refused.value.hint


@hypothesis.given(st.lists(RANGE, max_size=20))
def test_joined_ranges_hold_the_same_ports_and_never_touch(ranges: list[ports.PortRange]) -> None:
    """Which is what nftables asks for."""
    joined = ports.joined(ranges)
    assert _union(ranges) == _union(joined)
    assert all(left.high + 1 < right.low for left, right in itertools.pairwise(joined))


def _union(ranges: Iterable[ports.PortRange]) -> set[int]:
    return {port for low, high in ranges for port in range(low, high + 1)}
