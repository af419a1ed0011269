"""Names for the two ends of what changed, worked out once per edge and again only when an answer may have changed.

Here because a node repeats itself: the same thousand edges change at every reading. Leaves out what is asked
(``attribution``, ``join``).
"""

import ipaddress
from collections.abc import Collection
from typing import Final, NamedTuple

from agent import attribution, edges, join, model, ownership

_UNRESOLVED: Final = frozenset(
    {
        model.Reason.UNKNOWN_CGROUP,
        model.Reason.NO_TAG,
        model.Reason.POD_NOT_IN_API,
        model.Reason.NO_OWNER,
        model.Reason.AMBIGUOUS,
    }
)


class Named(NamedTuple):
    """Both ends of an edge for one interval."""

    local: model.End
    remote: model.End

    @property
    def settled(self) -> bool:
        """Whether no later event can give a better name.

        An address that means nothing outside its namespace has no owner to wait for.
        """
        if self.local.reason in _UNRESOLVED:
            return False
        return (
            self.remote.reason not in _UNRESOLVED
            or self.remote.address.startswith("127.")
            or self.remote.address == "::1"
        )


class _Known(NamedTuple):
    named: Named
    version: int
    start_boot_ns: int


class Names:
    """Ends by edge."""

    def __init__(self, owners: ownership.Ownership, joined: join.Join) -> None:
        self._owners = owners
        self._join = joined
        self._known: dict[int, _Known] = {}
        self._version_ns = 0
        self._version = -1

    def begin(self, now_boot_ns: int) -> None:
        """Start a reading: what was worked out before the last event from outside is worked out again."""
        if self._owners.version != self._version:
            self._version, self._version_ns = self._owners.version, now_boot_ns

    def local(self, edge: edges.Edge, at_boot_ns: int) -> model.End:
        """Name the local end, and let the other end's edge know it."""
        end = attribution.local_end(
            self._owners, cgroup=edge.cgroup, netns=edge.netns, address=edge.local, at_boot_ns=at_boot_ns
        )
        if end.kind is model.Kind.POD:
            self._owners.observe_kernel(edge.local, edge.cgroup, edge.netns, at_boot_ns)
        if edge.id and (meeting := _meeting(edge)) is not None:
            self._join.put(edge.id, meeting, end, first_boot_ns=edge.first_boot_ns, last_boot_ns=at_boot_ns)
        return end

    def remote(self, edge: edges.Edge, start_boot_ns: int, end_boot_ns: int) -> model.End:
        """Name the remote end: by the other socket if it is on this node, else by its address at that time."""
        meeting = _meeting(edge)
        end = self._join.find(meeting, start_boot_ns=start_boot_ns, end_boot_ns=end_boot_ns) if meeting else None
        return end or attribution.remote_end(
            self._owners, address=edge.remote, start_boot_ns=start_boot_ns, end_boot_ns=end_boot_ns
        )

    def known(self, edge: edges.Edge) -> Named | None:
        """Return what was worked out since the last event, if nothing can have changed it."""
        known = self._known.get(edge.id)
        if known is None or known.version != self._version or known.start_boot_ns < self._version_ns:
            return None
        return known.named if known.named.settled else None

    def last(self, edge: edges.Edge) -> Named | None:
        """Return what was worked out last, however long ago."""
        known = self._known.get(edge.id)
        return known.named if known is not None else None

    def keep(self, edge: edges.Edge, named: Named, start_boot_ns: int) -> None:
        """Remember."""
        self._known[edge.id] = _Known(named, self._version, start_boot_ns)

    def forget(self, numbers: Collection[int]) -> None:
        """Forget edges that the kernel has no more."""
        for number in numbers:
            self._known.pop(number, None)
            self._join.remove(number)


def _meeting(edge: edges.Edge) -> join.Meeting | None:
    if isinstance(edge.remote, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return None
    return join.meeting(
        local=edge.local,
        remote=edge.remote,
        port=edge.port,
        protocol=edge.protocol,
        direction=edge.direction,
        netns=edge.netns,
    )
