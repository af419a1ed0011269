"""Open connections, added up by edge: what the kernel will charge to each when they end, as far as it is known now.

Outcome: ``Pending``, keys and values like a reading of the kernel's table. Here because an edge is charged only when a
connection ends (bpf/tcp.c), and an open connection is to be told before. On whole arrays, since a node may have 65,536
of them. Leaves out reading slots (``kernel``), what their sockets have moved (``live``) and telling once (``edges``).
"""

import dataclasses
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from agent import model, wire

_US: Final = 1000
"""Nanoseconds."""
_FIRST_LOG2: Final = 6
"""``HISTOGRAM_FIRST_LOG2`` of bpf/include/flow.h."""
_MOVED: Final = ("sent_bytes", "received_bytes", "sent_segments", "received_segments", "retransmits")
"""The counters of ``model.Moved``, in its order."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pending:
    """What open connections will add to their edges."""

    keys: wire.Array
    """``wire.EDGE_KEY``, each once."""
    values: wire.Array
    """``wire.EDGE_VALUE``. ``id``: of an edge that is made for them; ``last_boot_ns``: when the last of them was
    established. ``closed`` and the RTT stay zero: they come with the end."""

    def __len__(self) -> int:
        """Edges with open connections."""
        return len(self.keys)


NONE: Final = Pending(np.zeros(0, wire.EDGE_KEY), np.zeros(0, wire.EDGE_VALUE))


def by_edge(connections: wire.Array, moved: Sequence[model.Moved] = (), of: Sequence[int] = ()) -> Pending:
    """Add up established connections (rows of ``wire.CONNECTION``) by their key.

    ``moved``: payload so far, each of the connection at the row that ``of`` says; of others nothing is known.
    """
    if not len(connections):
        return NONE
    keys = wire.keys_of(connections)
    first, group = wire.grouped(keys)
    values = np.zeros(len(first), wire.EDGE_VALUE)
    opened_ns = connections["opened_boot_ns"]
    values["id"] = np.iinfo(np.uint64).max
    np.minimum.at(values["id"], group, opened_ns << np.uint64(8) | connections["cpu"] & 0xFF)
    np.maximum.at(
        values["last_boot_ns"], group, opened_ns + connections["connect_us"].astype(np.uint64) * np.uint64(_US)
    )
    values["opened"] = np.bincount(group)
    _connect_times(connections, group, values)
    if len(moved):
        at, columns = group[np.asarray(of)], np.array(moved, np.int64).T
        for name, column in zip(_MOVED, columns, strict=True):
            np.add.at(values[name], at, column.astype(values[name].dtype))
    return Pending(wire.rows(keys, first), values)


def _connect_times(connections: wire.Array, group: npt.NDArray[np.intp], values: wire.Array) -> None:
    """Add the connect times of active ends, as ``count_ended`` of bpf/tcp.c will."""
    active = np.flatnonzero(connections["key"]["direction"] == model.Direction.EGRESS)
    took_us, at = connections["connect_us"][active], group[active]
    np.add.at(values["connect_us_sum"], at, took_us.astype(np.uint64))
    np.add.at(values["connect"], (at, buckets(took_us)), np.uint32(1))


def buckets(values_us: npt.NDArray[np.uint32]) -> npt.NDArray[np.intp]:
    """Find the histogram bucket of each value, as ``bucket`` of bpf/include/maps.h does."""
    bounds = np.left_shift(1 << _FIRST_LOG2, np.arange(wire.HISTOGRAM_BUCKETS - 1))
    return np.searchsorted(bounds, values_us, side="right")
