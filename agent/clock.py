"""The clocks, read in one place: everywhere else ``now`` is an argument."""

import time
from typing import NamedTuple


class Now(NamedTuple):
    """One moment on both clocks, in nanoseconds."""

    boot_ns: int
    """CLOCK_BOOTTIME, as ``bpf_ktime_get_boot_ns``."""
    wall_ns: int
    """Unix time."""

    def wall_of(self, boot_ns: int) -> int:
        """Tell the wall time of an earlier boot time; a wall clock that was set meanwhile shifts it."""
        return self.wall_ns - self.boot_ns + boot_ns

    def boot_of(self, wall_ns: int) -> int:
        """Tell the boot time of a wall time."""
        return self.boot_ns - self.wall_ns + wall_ns


def boot_ns() -> int:
    """Read CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def now() -> Now:
    """Read both clocks."""
    return Now(boot_ns(), time.time_ns())


def cpu_s() -> float:
    """Processor seconds that this thread has used."""
    return time.thread_time()
