"""Which owners fill the kernel's table of edges: one pod that scans a network must not take the room of all others.

Outcome: cgroups with more than their share, while the table is more than half full. What such an owner reaches anew
falls together into one edge (bpf/include/maps.h), still counted and still its own. Here because it is a judgement on a
reading; writing it to the kernel is ``kernel``'s. Leaves out a burst that fills the table between two readings.
"""

from typing import Final

import numpy as np

from agent import wire

_FULL: Final = 0.5
"""Of the table: below it there is room for everybody."""
_SHARE: Final = 0.25
"""Of the table, for one cgroup. So at most three can be crowded, and a fourth still has as much."""


def owners(keys: wire.Array, capacity: int) -> frozenset[int]:
    """Name the cgroups that have more than their share of the edges; none while the table is not half full.

    Never cgroup 0: that is whoever could not be told, and no owner.
    """
    if len(keys) <= capacity * _FULL:
        return frozenset()
    cgroups, counts = np.unique(keys["cgroup"], return_counts=True)
    return frozenset(cgroups[counts > capacity * _SHARE].tolist()) - {0}
