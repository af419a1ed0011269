"""Where an address was wrong: who it was, whom the look-up named, why, since when and for how long. Bounded.

Here because a counter says how often and never who. One line is one way of being wrong about one owner of one address;
a window is from the first flow that a look-up misnamed until it stopped naming that one. Pure; ``dump`` and ``load``
let it outlive the agent. Leaves out how a verdict is reached (``ledger``) and how it is shown (``mismatches``).
"""

import dataclasses
import ipaddress
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from agent import iplookup, model, verdicts
from agent.verdicts import Mismatch

_LINES: Final = 1_024
"""Some 1 MB. Arbitrary: more than a person reads, and an hour of an address that changes hands every 4 seconds."""
_PEERS: Final = 8
_PASSING: Final = frozenset(
    {Mismatch.IP_REUSED, Mismatch.STALE_CACHE, Mismatch.TERMINAL_POD_KEPT_IP, Mismatch.LATE_EVENT}
)
"""What the next event of the API puts right: it has a window. The others are so as long as the flow is."""


class Key(NamedTuple):
    """What tells lines apart."""

    end: str
    """"local" or "remote"."""
    method: str
    """A field of ``verdicts.Verdicts``."""
    reason: Mismatch
    address: str
    was: model.Who
    said: model.Who


@dataclasses.dataclass(slots=True)
class Line:
    """One way of being wrong about one owner of one address."""

    key: Key
    first_boot_ns: int
    """When the first flow began that was misnamed."""
    last_boot_ns: int
    flows: int = 0
    opened: int = 0
    moved_bytes: int = 0
    peers: tuple[str, ...] = ()
    """Workloads at the other end: the first few, ``namespace/name``."""
    until_boot_ns: int | None = None
    """When the look-up stopped naming that one; None: not yet, or it has no window."""

    @property
    def passes(self) -> bool:
        """Whether it has a window."""
        return self.key.method == "ip" and self.key.reason in _PASSING


class _Saved(msgspec.Struct, frozen=True):
    """The differences' part of the checkpoint."""

    lines: list[Line]
    evicted: int


class Differences:
    """The lines, those that were seen last at the end."""

    def __init__(self) -> None:
        self.evicted = 0
        """Lines that made room for others."""
        self._lines: dict[Key, Line] = {}
        self._dumped: object = None
        """Until something changes."""

    def add(self, flows: Iterable[model.Flow], wall_at_boot_ns: int) -> None:
        """Take flows of edges; ends that agree are passed over. ``wall_at_boot_ns``: wall time when boot time was 0."""
        for flow in flows:
            self._add("local", flow.local, flow.remote, flow, wall_at_boot_ns)
            self._add("remote", flow.remote, flow.local, flow, wall_at_boot_ns)

    def lines(self) -> list[Line]:
        """Give all lines, in the order in which they were last seen."""
        return list(self._lines.values())

    def close(self, lookup: iplookup.IpLookup) -> None:
        """End the windows of which the look-up has heard the end."""
        for line in self._lines.values():
            if line.passes and line.until_boot_ns is None:
                address = ipaddress.ip_address(line.key.address)
                line.until_boot_ns = lookup.changed_ns(address, line.first_boot_ns)
                self._dumped = None

    def dump(self) -> object:
        """Give everything as plain values, for the checkpoint."""
        if self._dumped is None:
            self._dumped = msgspec.to_builtins(_Saved(self.lines(), self.evicted))
        return self._dumped

    def load(self, dumped: object) -> bool:
        """Take over the lines of the agent before this one; False if they are of another version, or damaged."""
        try:
            before = msgspec.convert(dumped, _Saved)
        except msgspec.ValidationError:
            return False
        self.evicted = before.evicted
        self._lines = {line.key: line for line in before.lines[-_LINES:]}
        return True

    def _add(self, side: str, end: model.End, other: model.End, flow: model.Flow, wall_at_boot_ns: int) -> None:
        views = end.views
        if views is None or not views.differs:
            return
        was = views.kernel or views.handshake or model.NOBODY
        for method, verdict in zip(views.judged._fields, views.judged, strict=True):
            if verdict.match is verdicts.Match.DIFFERENT:
                said = getattr(views, method) or model.NOBODY
                key = Key(side, method, verdict.reason, end.address, was, said)
                self._count(key, other, flow, wall_at_boot_ns)

    def _count(self, key: Key, other: model.End, flow: model.Flow, wall_at_boot_ns: int) -> None:
        first_ns, last_ns = flow.start_wall_ns - wall_at_boot_ns, flow.end_wall_ns - wall_at_boot_ns
        line = self._lines.pop(key, None)
        if line is None:
            line = Line(key, first_ns, last_ns)
            if len(self._lines) >= _LINES:
                del self._lines[next(iter(self._lines))]
                self.evicted += 1
        self._lines[key], self._dumped = line, None
        line.first_boot_ns, line.last_boot_ns = min(line.first_boot_ns, first_ns), max(line.last_boot_ns, last_ns)
        line.flows += 1
        line.opened += flow.counters.opened
        line.moved_bytes += flow.counters.sent_bytes + flow.counters.received_bytes
        peer = _workload(other)
        if peer and peer not in line.peers and len(line.peers) < _PEERS:
            line.peers = (*line.peers, peer)


def _workload(end: model.End) -> str:
    name = end.workload or end.name or end.address
    return f"{end.namespace}/{name}" if end.namespace else name
