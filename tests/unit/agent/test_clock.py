"""Two clocks and their offset. Left out: a wall clock that is set while we look."""

import pathlib

import hypothesis
from hypothesis import strategies as st

from agent import clock

NS = st.integers(0, 2**62)


@hypothesis.given(NS, NS, NS)
def test_wall_and_boot_are_inverse(boot_ns: int, wall_ns: int, at_ns: int) -> None:
    """Every moment has one name on each clock."""
    now = clock.Now(boot_ns, wall_ns)
    assert at_ns == now.boot_of(now.wall_of(at_ns))
    assert (wall_ns, boot_ns) == (now.wall_of(boot_ns), now.boot_of(wall_ns))


def test_boot_time_is_the_kernel_s_and_goes_forward() -> None:
    """It counts from boot, suspended time included: what /proc/uptime says, to its hundredth."""
    before_s = float(pathlib.Path("/proc/uptime").read_text().split()[0])
    first, second = clock.boot_ns(), clock.now().boot_ns
    after_s = float(pathlib.Path("/proc/uptime").read_text().split()[0])
    assert before_s - 0.02 <= first / 1e9 <= second / 1e9 <= after_s + 0.02


def test_processor_time_is_this_thread_s_own() -> None:
    """It never goes back."""
    first = clock.cpu_s()
    assert 0 <= first <= clock.cpu_s()
