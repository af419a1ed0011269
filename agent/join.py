"""The kernel's answer for the remote end: when both sockets are on this node, each knows the other's owner.

Here because it turns an IP look-up into a fact: two edges of the same addresses, port and protocol, one that opened
and one that accepted, alive at the same time. More than one candidate is no answer. Leaves out naming an end
(``attribution``) and connections whose addresses differ between the two ends (a ClusterIP, SNAT): those do not meet.
"""

import dataclasses
from collections.abc import Hashable
from typing import NamedTuple

from agent import model

SLACK_NS = 100 * 10**6
"""How far apart the two ends' times may lie: a datagram is received after it was sent, and each end is stamped by its
own call. Far below the time that an address takes to change hands."""


class Meeting(NamedTuple):
    """What two ends of one edge have in common, seen from one of them."""

    local: model.IpAddress
    remote: model.IpAddress
    port: int
    """The service port."""
    protocol: model.Protocol
    direction: model.Direction
    netns: model.NetnsCookie
    """Of this end where the address means something only there (loopback, link-local), else 0."""

    def mirrored(self) -> "Meeting":
        """Give the same as the other end sees it."""
        other = model.Direction.INGRESS if self.direction is model.Direction.EGRESS else model.Direction.EGRESS
        return self._replace(local=self.remote, remote=self.local, direction=other)


@dataclasses.dataclass(slots=True)
class _Side:
    """One edge, as the other end's answer."""

    end: model.End
    first_ns: int
    last_ns: int


class Join:
    """Edges of this node by what they have in common with their other end."""

    def __init__(self, *, limit: int) -> None:
        """Keep at most ``limit`` edges; what does not fit is not joined, and counted."""
        self._limit = limit
        self._sides: dict[Meeting, dict[Hashable, _Side]] = {}
        self._of_edge: dict[Hashable, Meeting] = {}
        self.refused = 0

    def __len__(self) -> int:
        """Edges known."""
        return len(self._of_edge)

    def put(self, edge: Hashable, meeting: Meeting, end: model.End, *, first_boot_ns: int, last_boot_ns: int) -> None:
        """Take an edge's local end and its time; again whenever the edge has changed."""
        known = self._of_edge.get(edge)
        if known is None:
            if len(self._of_edge) >= self._limit:
                self.refused += 1
                return
            self._of_edge[edge] = meeting
        self._sides.setdefault(meeting, {})[edge] = _Side(end, first_boot_ns, last_boot_ns)

    def remove(self, edge: Hashable) -> None:
        """Forget an edge: its key may mean another one from now on."""
        meeting = self._of_edge.pop(edge, None)
        if meeting is not None:
            sides = self._sides[meeting]
            sides.pop(edge, None)
            if not sides:
                del self._sides[meeting]

    def expire(self, before_boot_ns: int) -> None:
        """Forget edges that were last active before this moment."""
        old = [edge for sides in self._sides.values() for edge, side in sides.items() if side.last_ns < before_boot_ns]
        for edge in old:
            self.remove(edge)

    def find(self, meeting: Meeting, *, start_boot_ns: int, end_boot_ns: int) -> model.End | None:
        """Give the other end of this meeting in that interval; None if there is none, or more than one."""
        ends = [
            side.end
            for side in self._sides.get(meeting.mirrored(), {}).values()
            if side.first_ns <= end_boot_ns + SLACK_NS and start_boot_ns <= side.last_ns + SLACK_NS
        ]
        if len({_identity(end) for end in ends}) != 1 or ends[0].evidence is not model.Evidence.KERNEL:
            return None
        return ends[0] if len(ends) == 1 else dataclasses.replace(ends[0], container_id="", cgroup=0)


def meeting(  # noqa: PLR0913  # the columns of the kernel's edge key
    *,
    local: model.IpAddress,
    remote: model.IpAddress,
    port: int,
    protocol: model.Protocol,
    direction: model.Direction,
    netns: model.NetnsCookie,
) -> Meeting | None:
    """Make the key of an edge; ``netns`` is kept only where the addresses are private to it.

    None where they are, and which namespace it was is not known (UDP; TCP before 5.15): every pod has a 127.0.0.1.
    """
    private = local.is_loopback or local.is_link_local
    if private and not netns:
        return None
    return Meeting(local, remote, port, protocol, direction, netns if private else model.NetnsCookie(0))


def _identity(end: model.End) -> Hashable:
    """Two containers of one pod are one answer, and so are two cgroups of one unit; two unknowns are two."""
    return end.pod_uid or (end.kind, end.name, end.cgroup if end.kind is model.Kind.UNKNOWN else 0)
