"""How much of something was seen, added up: by the end that saw more of it, so that nothing counts twice.

Pure. An edge within a node, or between two nodes with an agent each, is reported from both ends.
"""

import dataclasses
import datetime as dt

from comparisons.observed import flows, told


@dataclasses.dataclass(slots=True, kw_only=True)
class Tally:
    """A sum that grows."""

    intervals: dict[bool, int] = dataclasses.field(default_factory=lambda: {True: 0, False: 0})
    """By whether the caller's node reported."""
    opened: dict[bool, int] = dataclasses.field(default_factory=lambda: {True: 0, False: 0})
    first_s: float = float("inf")
    last_s: float = 0.0

    def add(self, it: flows.Flow) -> None:
        """Count a flow."""
        self.intervals[it.egress] += 1
        self.opened[it.egress] += it.opened
        self.first_s, self.last_s = min(self.first_s, it.start_s), max(self.last_s, it.end_s)

    def seen(self) -> told.Seen:
        """Say it."""
        return told.Seen(
            flows=max(self.intervals.values()),
            connections=max(self.opened.values()),
            first=moment(self.first_s),
            last=moment(self.last_s),
        )


def moment(at_s: float) -> str:
    """Write a time, to the second."""
    return dt.datetime.fromtimestamp(at_s, tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
