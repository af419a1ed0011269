"""Since when what a list or a watch tells may have been true.

Here because news may be old when it comes: a watch that is resumed first brings what happened while nobody listened,
one after a list what happened while that was read, and a process that was held up reads what has waited. Too early a
moment makes an answer ambiguous, too late a one makes it wrong. Leaves out clocks: ``now`` is an argument.
"""

from typing import Final

from ipseity import pulse

_CATCH_UP_NS: Final = 2 * 10**9
"""How long after it was opened a watch may still bring what happened before."""


class Since:
    """What has been told, and what may still be on its way."""

    def __init__(self, told_ns: int, now_ns: int) -> None:
        """Begin where an earlier run stopped; 0: nothing was told."""
        self.told_ns = told_ns
        """What happened before has been told. Never late; it stays behind while nothing is said."""
        self.opened_ns = 0
        """When the watch was opened last."""
        self._pulse = pulse.Pulse(now_ns)
        self._catch_up_ns = _CATCH_UP_NS
        self._backlog = self._compared_ns = 0

    def beat(self, now_ns: int) -> None:
        """Take note of being alive."""
        self._pulse.beat(now_ns)

    def listed(self, asked_ns: int, now_ns: int) -> None:
        """Take that a list has been told: the watch goes on from when it was asked for.

        What has happened since is read in less time than it took to happen, or no watch could keep up.
        """
        self.told_ns = asked_ns
        self._catch_up_ns = max(_CATCH_UP_NS, now_ns - asked_ns)
        self._backlog = 0

    def behind(self, version: int, asked_ns: int) -> None:
        """Take that the API server is at this version: the next watch first brings what was missed up to it.

        What has a later one has happened since that was asked.
        """
        self._backlog, self._compared_ns = version, asked_ns

    def opened(self, now_ns: int) -> None:
        """Take that a watch is open."""
        self.opened_ns = now_ns

    def line(self, version: int, now_ns: int, *, whole: bool) -> int:
        """Take that the watch has said something of this version (0: not a number); tells since when it may be true.

        ``whole``: nothing was said that could not be read, and is told by a list later.
        """
        since_ns = self._pulse.since(now_ns)
        if whole and version > self._backlog > 0:
            self.told_ns, self._backlog = max(self.told_ns, self._compared_ns), 0
        if now_ns - self.opened_ns < self._catch_up_ns or 0 < version <= self._backlog:
            return min(since_ns, self.told_ns)
        self._catch_up_ns = _CATCH_UP_NS
        if whole:
            self.told_ns = since_ns
        return since_ns
