"""Counts are equal to what programs say they did: in the kernel's tables, and through an agent that is killed.

The workloads are those of the claims (``tests.prove``) and of other kernels (``tests.kernels``). Leaves out names:
there is no Kubernetes here.
"""

from tests.kernels import payload
from tests.prove import restart


def test_the_kernel_counts_what_the_programs_did() -> None:
    """Every edge, every count, both ends, by programs that a second agent has adopted."""
    found = payload.measure()
    assert [] == found.differences
    assert (46, True) == (found.ends_right, found.adopted)
    assert 0 == sum(found.losses.values())


def test_a_killed_agent_loses_nothing() -> None:
    """Two kills under load; the sums of the last agent are those of the programs."""
    found = restart.kill_and_restart()
    assert found.holds, "\n".join(found.lines)
