"""Open connections added up by edge. Left out: reading slots (test_slots), and their sockets (test_live)."""

import numpy as np
import pytest

from agent import model, pending, records, wire
from tests.fakes import kernel

NOW = 10**15
OUT = kernel.key(7, local="10.7.0.2", remote="10.7.0.3", port=8080)
IN = kernel.key(7, local="10.7.0.2", remote="10.7.0.3", port=8080, direction=1)


def slots(*connections: tuple[wire.Array, int, int]) -> wire.Array:
    """Make slots of (key, opened_ns, connect_us)."""
    made = [
        kernel.Connection(key=key.tobytes(), cookie=cookie, opened_ns=opened_ns, connect_us=connect_us).row
        for cookie, (key, opened_ns, connect_us) in enumerate(connections, 1)
    ]
    return np.concatenate(made)


def test_nothing_open_is_nothing() -> None:
    """Also as arrays."""
    assert 0 == len(pending.by_edge(np.zeros(0, wire.CONNECTION))) == len(pending.NONE.values)


def test_connections_add_up_by_key() -> None:
    """How many, since when, until when; connect times only where the local end has called."""
    found = pending.by_edge(slots((OUT, NOW + 5, 100), (IN, NOW + 3, 0), (OUT, NOW, 5003), (IN, NOW + 7, 0)))
    rows = {key.tobytes(): value for key, value in zip(found.keys, found.values, strict=True)}
    called, served = rows[OUT.tobytes()], rows[IN.tobytes()]
    assert (2, 2, 0, 0) == (called["opened"], served["opened"], called["closed"], served["closed"])
    assert (NOW << 8 | 3, NOW + 3 << 8 | 2) == (called["id"], served["id"])
    assert (NOW + 5003_000, NOW + 7) == (called["last_boot_ns"], served["last_boot_ns"])
    assert (5103, 0) == (called["connect_us_sum"], served["connect_us_sum"])
    assert [1, 7] == np.flatnonzero(called["connect"]).tolist()
    assert 0 == served["connect"].sum()


def test_what_they_have_moved_goes_to_their_edges() -> None:
    """Of two of three is known what; both are of one edge."""
    moved = [model.Moved(1009, 2003, 3, 5, 7), model.Moved(11, 13, 17, 19, 23)]
    found = pending.by_edge(slots((OUT, NOW, 0), (IN, NOW, 0), (OUT, NOW + 1, 0)), moved, [2, 0])
    [row] = found.values[found.keys["direction"] == 0]
    names = ("sent_bytes", "received_bytes", "sent_segments", "received_segments", "retransmits")
    assert [1020, 2016, 20, 24, 30] == [int(row[name]) for name in names]
    assert 0 == found.values["sent_bytes"][found.keys["direction"] == 1].sum()


@pytest.mark.parametrize("value_us", [0, 1, 63, 64, 127, 128, 5003, 2**20 - 1, 2**20, 2**21, 2**32 - 1])
def test_buckets_are_the_kernel_s(value_us: int) -> None:
    """As for the records of ended connections: the last takes the rest."""
    [at] = pending.buckets(np.array([value_us], np.uint32))
    assert 1 == records._one_sample(value_us)[at]
