"""Names for the two ends of what changed, worked out once per edge and again only when an answer may have changed.

Here because a node repeats itself: the same thousand edges change at every reading. Each name comes with what the other
kinds of evidence say. Leaves out what is asked (``attribution``, ``join``) and who is right (``ledger``).
"""

import dataclasses
import ipaddress
from collections.abc import Collection
from typing import Final, NamedTuple

from agent import attribution, edges, iplookup, join, ledger, model, ownership, tags

_UNRESOLVED: Final = frozenset(
    {
        model.Reason.UNKNOWN_CGROUP,
        model.Reason.NO_TAG,
        model.Reason.POD_NOT_IN_API,
        model.Reason.NO_OWNER,
        model.Reason.AMBIGUOUS,
        model.Reason.UNKNOWN_TAG,
    }
)


class Named(NamedTuple):
    """Both ends of an edge for one interval."""

    local: model.End
    remote: model.End

    @property
    def settled(self) -> bool:
        """Whether no later event can give a better name, or tell why an answer was wrong.

        An address that means nothing outside its namespace has no owner to wait for.
        """
        if self.local.reason in _UNRESOLVED or _is_pending(self.local) or _is_pending(self.remote):
            return False
        return (
            self.remote.reason not in _UNRESOLVED
            or self.remote.address.startswith("127.")
            or self.remote.address == "::1"
        )

    @property
    def differs(self) -> bool:
        """Whether any answer for one of the ends was found wrong."""
        local, remote = self.local.views, self.remote.views
        return (local is not None and local.differs) or (remote is not None and remote.differs)


class _Known(NamedTuple):
    named: Named
    version: int
    start_boot_ns: int


class Moments(NamedTuple):
    """When what is told of an edge has happened."""

    start_boot_ns: int
    last_boot_ns: int
    read_boot_ns: int
    """When it was read from the kernel, however long it has waited for a name."""


class Names:
    """Ends by edge."""

    def __init__(
        self, owners: ownership.Ownership, joined: join.Join, lookup: iplookup.IpLookup, known: tags.Tags
    ) -> None:
        self._owners = owners
        self._tags = known
        self._join = joined
        self.ledger = ledger.Ledger(owners, lookup)
        self._known: dict[int, _Known] = {}
        self._version_ns = 0
        self._version = -1

    def begin(self, now_boot_ns: int, *, heard: bool) -> None:
        """Start a reading: what was worked out before the last event from outside is worked out again.

        ``heard``: the API's lists had been read by then.
        """
        news = heard and self.ledger.heard_from_ns is None
        if news:
            self.ledger.heard_from_ns = now_boot_ns
        version = self._owners.version + self._tags.version
        if version != self._version or news:
            self._version, self._version_ns = version, now_boot_ns

    def local(self, edge: edges.Edge, when: Moments) -> model.End:
        """Name the local end, and let the other end's edge know it."""
        at_boot_ns = when.last_boot_ns
        end = attribution.local_end(
            self._owners, cgroup=edge.cgroup, netns=edge.netns, address=edge.local, at_boot_ns=at_boot_ns
        )
        if end.kind is model.Kind.POD:
            self._owners.observe_kernel(edge.local, edge.cgroup, edge.netns, at_boot_ns)
        if edge.id and (meeting := _meeting(edge)) is not None:
            self._join.put(edge.id, meeting, end, first_boot_ns=edge.first_boot_ns, last_boot_ns=at_boot_ns)
        subject = ledger.Subject(
            address=edge.local,
            opener=edge.direction is model.Direction.EGRESS,
            at_boot_ns=when.start_boot_ns,
            read_boot_ns=when.read_boot_ns,
        )
        is_known = end.evidence is model.Evidence.KERNEL
        return self._with(end, self.ledger.views(subject, ledger.Answers(kernel=ledger.who(end) if is_known else None)))

    def remote(self, edge: edges.Edge, when: Moments, here: model.End) -> model.End:
        """Name the remote end: by the other socket if it is on this node, else by its handshake, else by its address.

        ``here`` is the local end.
        """
        meeting, start, last = _meeting(edge), when.start_boot_ns, max(when.last_boot_ns, when.start_boot_ns)
        joined = self._join.find(meeting, start_boot_ns=start, end_boot_ns=last) if meeting else None
        told = self._told(edge)
        answers = ledger.Answers(
            kernel=ledger.who(joined) if joined else None,
            handshake=ledger.who(told) if told and told.kind is model.Kind.POD else None,
        )
        views = self._views(edge, when, answers, here)
        known = joined or told
        if known is not None:
            return self._with(known, views)
        return attribution.remote_end(
            self._owners, address=edge.remote, start_boot_ns=start, end_boot_ns=last, views=views
        )

    def _told(self, edge: edges.Edge) -> model.End | None:
        """Name the remote end by its handshake, if that proves anything."""
        if not edge.peer_tag:
            return None
        return attribution.told_end(
            self._owners, self._tags, tag=edge.peer_tag, pod_tag=edge.peer_pod, address=edge.remote
        )

    def again(self, edge: edges.Edge, when: Moments, known: model.End, *, here: model.End) -> model.End:
        """Give the remote end that is known from before, and what a look-up says by now."""
        if known.views is None:
            return known
        answers = ledger.Answers(kernel=known.views.kernel, handshake=known.views.handshake)
        return self._with(known, self._views(edge, when, answers, here))

    def _views(self, edge: edges.Edge, when: Moments, answers: ledger.Answers, here: model.End) -> model.Views | None:
        """Give all answers for a remote end."""
        if isinstance(edge.remote, ipaddress.IPv4Network | ipaddress.IPv6Network):
            return None
        subject = ledger.Subject(
            address=edge.remote,
            opener=edge.direction is model.Direction.INGRESS,
            at_boot_ns=when.start_boot_ns,
            read_boot_ns=when.read_boot_ns,
            here=here,
        )
        return self.ledger.views(subject, answers)

    @staticmethod
    def _with(end: model.End, views: model.Views | None) -> model.End:
        return end if views is end.views else dataclasses.replace(end, views=views)

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


def _is_pending(end: model.End) -> bool:
    return end.views is not None and end.views.pending


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
