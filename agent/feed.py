"""The last flows, kept for whoever asks, and the streams of those who follow.

Here because a reader may be slow and the agent must not care: each follower has a bounded queue, and what does not fit
is counted and told to that follower in its own stream. Leaves out HTTP (``api``) and the format (``flowjson``).
"""

import asyncio
import collections
from collections.abc import Iterator, Sequence
from typing import Final

from agent import flowjson, model

_MAX_BEHIND: Final = 5_000
"""Lines that a follower may be behind: some 3 MB each. Arbitrary: five seconds of a busy node."""


class Follower:
    """One reader's queue of lines."""

    def __init__(self) -> None:
        self._lines: collections.deque[bytes] = collections.deque()
        self._lost = 0
        self._more = asyncio.Event()

    def put(self, lines: Sequence[bytes]) -> int:
        """Take what there is room for; returns how many were lost."""
        room = max(0, _MAX_BEHIND - len(self._lines))
        self._lines.extend(lines[:room])
        self._lost += len(lines[room:])
        self._more.set()
        return len(lines[room:])

    async def take(self) -> bytes:
        """Wait for lines; gives all that are there, and how many were lost after them."""
        await self._more.wait()
        self._more.clear()
        if self._lost:
            self._lines.append(flowjson.encode_lost(self._lost) + b"\n")
            self._lost = 0
        taken = b"".join(self._lines)
        self._lines.clear()
        return taken


class Feed:
    """Keeps the last ``max_flows`` flows and hands new ones to the followers. One event loop's; not for threads."""

    def __init__(self, *, max_flows: int, node_name: str) -> None:
        self.lost = 0
        """Lines that some follower was too slow for, of all followers."""
        self._node_name = node_name
        self._kept: collections.deque[model.Flow] = collections.deque(maxlen=max_flows)
        self._followers: set[Follower] = set()

    def __len__(self) -> int:
        """Flows kept."""
        return len(self._kept)

    @property
    def followers(self) -> int:
        """Readers that follow now."""
        return len(self._followers)

    def publish(self, flows: Sequence[model.Flow]) -> None:
        """Take what a drain brought."""
        self._kept.extend(flows)
        if self._followers and flows:
            lines = [self._line(flow) for flow in flows]
            self.lost += sum(follower.put(lines) for follower in self._followers)

    def lines(self, *, since_wall_ns: int, last: int | None) -> Iterator[bytes]:
        """Give what is kept and ended after ``since_wall_ns``, oldest first; of these only the ``last``."""
        kept = [flow for flow in self._kept if flow.end_wall_ns > since_wall_ns]
        start = 0 if last is None else max(0, len(kept) - last)
        return (self._line(flow) for flow in kept[start:])

    def follow(self) -> Follower:
        """Start to follow; ``leave`` must come after."""
        follower = Follower()
        self._followers.add(follower)
        return follower

    def leave(self, follower: Follower) -> None:
        """Stop to follow."""
        self._followers.discard(follower)

    def _line(self, flow: model.Flow) -> bytes:
        return flowjson.encode(flowjson.from_flow(flow, node_name=self._node_name)) + b"\n"
