"""Keys that wait to be looked at: each at most once in the queue, again after a growing delay if it failed.

As client-go's workqueue: what is changed while it is being looked at is looked at again. Bounded by the number of
objects.
"""

import asyncio
import collections

from comparisons.lab.controllers import cache

FIRST_DELAY_S, LONGEST_DELAY_S = 0.05, 30.0
"""Shorter at first than client-go's limit of 10 a second asks for: a lab has one API server and few objects."""


class Queue:
    """Keys to look at, in the order of their arrival."""

    def __init__(self) -> None:
        self._waiting: dict[cache.Key, None] = {}
        self._wake = asyncio.Event()
        self._timers: dict[cache.Key, asyncio.TimerHandle] = {}
        self._failures: collections.Counter[cache.Key] = collections.Counter()

    def add(self, key: cache.Key) -> None:
        """Has the key looked at soon."""
        self._waiting[key] = None
        self._wake.set()

    def add_later(self, key: cache.Key, delay_s: float) -> None:
        """Has the key looked at after a while, or sooner if that was asked before."""
        due = asyncio.get_running_loop().time() + delay_s
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= due:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_at(due, self._due, key)

    def _due(self, key: cache.Key) -> None:
        del self._timers[key]
        self.add(key)

    def failed(self, key: cache.Key) -> float:
        """Has the key looked at again, later each time; returns in how many seconds."""
        self._failures[key] += 1
        delay_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self._failures[key] - 1, 20))
        self.add_later(key, delay_s)
        return delay_s

    def succeeded(self, key: cache.Key) -> None:
        """Forgets the failures of the key."""
        self._failures.pop(key, None)

    async def next(self) -> cache.Key:
        """Return the key that waits longest."""
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        key = next(iter(self._waiting))
        del self._waiting[key]
        return key
