"""What was lost or refused, by stage: counted always, said once until it is over.

Here because every edge of the agent drops rather than blocks or dies, and a person must be able to see it. Leaves out
what counts itself (``kernel.losses``, ``flowlog.drops``): ``app`` adds those up.
"""

import collections
import threading

import structlog

log = structlog.get_logger("agent")


class Drops:
    """Counters by stage, for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.by_stage: collections.Counter[str] = collections.Counter()
        self._said: set[str] = set()

    def count(self, stage: str, count: int = 1) -> None:
        """Count losses; the stage is listed from now on, also with nothing lost."""
        with self._lock:
            self.by_stage[stage] += count

    def say(self, what: str, message: str, **fields: object) -> None:
        """Log a warning, unless it was said and is not over."""
        if what not in self._said:
            self._said.add(what)
            log.warning(message, **fields)

    def over(self, what: str) -> None:
        """Take back: the next time is news again."""
        self._said.discard(what)
