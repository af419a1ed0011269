"""Runs side by side: who plays which one next, and when one has the machine to itself.

Here because a comparison has two thousand runs, most of which wait most of the time, and a few are races that whoever
else is busy would decide. Leaves out what is played (``campaign``).
"""

import asyncio
import collections
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
WORTH_JOINING = 3
"""Runs of a scenario that others have begun: for fewer it takes longer to set up a scene than to wait for them."""


@dataclasses.dataclass(slots=True)
class Floor:
    """Where all play. Who needs it for themselves waits until it is empty, and meanwhile nobody enters."""

    playing: int = 0
    cleared: bool = False
    waiting: int = 0
    """For the floor to themselves."""
    _changed: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Play beside others."""
        await self._until(lambda: not self.cleared and not self.waiting)
        self.playing += 1
        try:
            yield
        finally:
            self.playing -= 1
            self._tell()

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Within ``taken``: play with nobody beside. What was set up before, and what is cleaned up after, is not.

        Once it is over, who has waited for this too is first; but an error is let out at once.
        """
        if self.playing < 1:
            raise RuntimeError("alone without having taken the floor: nobody would ever give it back")
        self.playing -= 1
        self.waiting += 1
        self._tell()
        try:
            await self._until(lambda: not self.cleared and self.playing == 0)
        except asyncio.CancelledError:
            self.playing += 1  # as whoever has taken the floor gives it back
            raise
        finally:
            self.waiting -= 1
            self._tell()
        self.cleared = True
        try:
            yield
        except BaseException:
            self.cleared = False
            self.playing += 1
            self._tell()
            raise
        self.cleared = False
        self._tell()
        try:
            await self._until(lambda: not self.cleared and not self.waiting)
        finally:
            self.playing += 1

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


@dataclasses.dataclass(slots=True, kw_only=True)
class Work(Generic[T]):
    """What is left of a scenario against one contender."""

    scenario: T
    alone: bool
    """Whether no other scenario is played meanwhile."""
    missing: collections.deque[int]
    """Numbers of runs; whoever plays one takes it out."""
    begun: bool = False


def lanes(todo: Sequence[Work[T]]) -> int:
    """Say how many can play at a time and be of use."""
    return sum(-(-len(it.missing) // WORTH_JOINING) for it in todo)


def phases(todo: Sequence[Work[T]]) -> list[list[Work[T]]]:
    """Say what is played together: races each by itself, then all the others."""
    return [[it] for it in todo if it.alone] + [[it for it in todo if not it.alone]]


def choose(todo: Sequence[Work[T]]) -> Work[T] | None:
    """Choose what to play next: what nobody has begun, else what most is left of. None: nothing is worth it."""
    worth = [it for it in todo if len(it.missing) >= (WORTH_JOINING if it.begun else 1)]
    return max(worth, key=lambda it: (not it.begun, len(it.missing)), default=None)
