"""What one tick reads: cgroups that came and went, edges, ended connections, and now and then all open sockets.

Here because the order of reading is what makes counts exact: edges first, then sockets, then the slots of open
connections, so that nothing is told twice (``edges``). Leaves out what it means (``pipeline``).
"""

import asyncio
import pathlib
from collections.abc import Collection
from typing import Final

import numpy as np

from agent import cgroups, clock, drops, edges, kernel, live, model, pending, records, sockets, wire

_RESCAN_NS: Final = 60_000_000_000
"""Repairs what the cgroup ring lost."""
_SHARE: Final = 0.01
"""Of one processor: how much sweeps may take before they come less often."""
_SWEEP_EARLY: Final = 0.9
"""A sweep that is almost due comes with this tick rather than with the next one."""


class Reader:
    """Reads the kernel for the pipeline."""

    def __init__(
        self,
        held: kernel.Kernel,
        root: pathlib.Path,
        prefixes: edges.Prefixes,
        lost: drops.Drops,
        *,
        sweep_s: tuple[float, float],
    ) -> None:
        """``sweep_s``: shortest and longest time between two sweeps."""
        self.tree = cgroups.Tree(root)
        self.older = live.Older()
        self._kernel = held
        self._root = root
        self._remotes = live.Remotes(prefixes)
        self._drops = lost
        self._sweep_s = sweep_s
        self._sweep_due_ns = 0
        self._rescan_due_ns = 0
        self._cgroups_lost = 0

    def cgroups_missed(
        self, told: Collection[model.CgroupEvent], alive: Collection[model.CgroupId], boot_ns: int
    ) -> list[model.CgroupEvent] | None:
        """Scan the tree where what the tracepoints told since the last time may not be all; None: it need not be."""
        lost = self._kernel.losses()["cgroup_ring_full"]
        if lost != self._cgroups_lost:
            self._cgroups_lost = lost
            self.scan_again()
        if boot_ns >= self._rescan_due_ns or "cgroup_mkdir" in self._kernel.missing:
            self._rescan_due_ns = boot_ns + _RESCAN_NS
            known = {event.cgroup for event in told}
            return [event for event in self.tree.changes(alive, boot_ns) if event.cgroup not in known]
        return None

    def cgroup_news(self) -> list[model.CgroupEvent]:
        """Take what the tracepoints told since they were asked last."""
        events: list[model.CgroupEvent] = []
        for raw in self._kernel.cgroup_records():
            event = wire.cgroup_event(raw)
            if isinstance(event, wire.Malformed):
                self._drops.count(event.what)
                self.scan_again()
            else:
                events.append(event)
        return events

    def scan_again(self) -> None:
        """Let the next reading look at the whole tree: something that was told of it is lost."""
        self._rescan_due_ns = 0

    def ended(self) -> list[records.Connection]:
        """Take the records of ended connections."""
        array, short = wire.connection_records(self._kernel.records())
        good, impossible = records.read(array)
        self._drops.count("record_malformed", short + impossible)
        return good

    def make_edges(self, table: edges.Table) -> None:
        """Have an edge for every open connection before the edges are read: what is open is told under its edge's id.

        The programs make one only when a connection ends.
        """
        wanted = live.still_open(self._kernel.connections())
        new = table.unknown(wanted.keys)
        values = np.zeros(len(new), wire.EDGE_VALUE)
        for name in ("id", "last_boot_ns"):
            values[name] = wanted.values[name][new]
        self._drops.count("open_edges_full", self._kernel.make_edges(wanted.keys[new], values))

    async def open_connections(
        self, ours: Collection[model.CgroupId], boot_ns: int
    ) -> tuple[pending.Pending, list[edges.Change]]:
        """Read what is open, by edge, with what it has moved if a sweep is due; then also what older ones have since.

        Must come after the edges were read. ``ours``: cgroups below our root; a namespace may be shared with others.
        """
        if boot_ns < self._sweep_due_ns:
            return live.still_open(self._kernel.connections()), []
        seen = await self._sweep(boot_ns)
        connections = self._kernel.connections()
        followed = frozenset(connections["cookie"].tolist())
        listening = frozenset((each.netns, each.port) for each in seen.listeners)
        sockets_of_ours = [each for each in seen.sockets if each.cgroup in ours or each.cookie in followed]
        older = self.older.changes(sockets_of_ours, followed, listening, self._remotes, boot_ns)
        return live.still_open(connections, sockets_of_ours, asked_boot_ns=boot_ns), older

    async def _sweep(self, boot_ns: int) -> sockets.Sweep:
        took_s, seen = await asyncio.to_thread(_timed_sweep, self._root)
        shortest_s, longest_s = self._sweep_s
        pause_s = min(max(took_s / _SHARE, shortest_s), longest_s)
        self._sweep_due_ns = boot_ns + int(pause_s * _SWEEP_EARLY * 1e9)
        self._drops.count("sweep_namespace_refused", seen.refused)
        if seen.refused:
            hint = "bytes of open connections there show when these end; needs CAP_SYS_ADMIN"
            self._drops.say("sweep", "cannot look into network namespaces", count=seen.refused, hint=hint)
        return seen


def _timed_sweep(root: pathlib.Path) -> tuple[float, sockets.Sweep]:
    before_s = clock.cpu_s()
    found = sockets.sweep(root)
    return clock.cpu_s() - before_s, found
