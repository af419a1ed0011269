"""Whether this process was held up: stopped, throttled, or its machine paused.

Here because what is read after a stall may have been true since before it: a watch line that waited in a buffer for
20 s is no news of now. Leaves out clocks: ``now`` is an argument.
"""

from typing import Final

BEAT_S: Final = 0.25
_LATE_S: Final = 1.0
"""A beat that comes later than this was held up; four beats, so that a busy moment is none."""
_BACKLOG_S: Final = 2.0
"""How long after a stall what is read may still have been waiting."""


class Pulse:
    """Beats every ``BEAT_S``, and remembers the last time that it did not."""

    def __init__(self, now_ns: int) -> None:
        self._beat_ns = now_ns
        self._since_ns = 0
        self._until_ns = 0

    def beat(self, now_ns: int) -> None:
        """Take note of being alive."""
        if now_ns - self._beat_ns > _LATE_S * 1e9:
            self._since_ns, self._until_ns = self._beat_ns, now_ns + int(_BACKLOG_S * 1e9)
        self._beat_ns = now_ns

    def since(self, now_ns: int) -> int:
        """Tell since when what is read now may have been waiting: now, unless there was a stall just before."""
        self.beat(now_ns)
        return self._since_ns if now_ns < self._until_ns else now_ns
