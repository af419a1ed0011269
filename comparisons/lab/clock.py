"""Wall time for the timestamps of status, events and logs.

Here so that one file of the lab reads the clock. Leaves out waiting: that is the event loop's monotonic time.
"""

import datetime as dt
import time


def wall_ns() -> int:
    """Unix time in nanoseconds."""
    return time.time_ns()


def rfc3339(at_wall_ns: int) -> str:
    """Seconds and a Z, as Kubernetes writes ``metav1.Time``."""
    at = dt.datetime.fromtimestamp(at_wall_ns // 10**9, tz=dt.UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_nano(at_wall_ns: int) -> str:
    """Nine digits of the second, as the container runtime interface writes log lines."""
    at = dt.datetime.fromtimestamp(at_wall_ns // 10**9, tz=dt.UTC)
    return f"{at.strftime('%Y-%m-%dT%H:%M:%S')}.{at_wall_ns % 10**9:09d}Z"


def parse(text: str) -> int:
    """Unix nanoseconds of a ``metav1.Time`` or ``metav1.MicroTime``."""
    return int(dt.datetime.fromisoformat(text).timestamp() * 10**6) * 1000
