"""The agent as one function of time and what was read: ``Pipeline.step(now, inputs) -> outputs``.

Outcome: flows with both ends named, each thing that happened in exactly one of them; the rest is held back for the next
step. The kernel's facts can be ahead of the API's by seconds, so what cannot be named yet waits, but never longer than
``PATIENCE_NS``. Pure: no clock, no file, no log. Leaves out reading (``kernel``, ``sockets``) and serving (``feed``,
``metrics``).
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Final

from agent import differences, edges, iplookup, join, model, naming, ownership, pending, records, tags, wire
from ipseity import identity

PATIENCE_NS: Final = 2_000_000_000
"""How long a name may take to arrive: a watch event is 10 to 200 ms behind, a re-list after an outage up to 2 s."""
TRUST_DOMAIN: Final = identity.TrustDomain("cluster.local")
"""Kubernetes' own default."""
IDLE_NS: Final = 120_000_000_000
"""An edge with nothing open that was quiet for so long is forgotten: twice the longest usual health check interval."""
_EXPIRE_NS: Final = 5_000_000_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What was read for one step, in the order in which it was read."""

    boot_ns: int
    """When reading began."""
    wall_of: Callable[[int], int]
    """Boot time to wall time."""
    cgroup_events: Sequence[model.CgroupEvent] = ()
    object_events: Sequence[model.ObjectEvent] = ()
    keys: wire.Array
    values: wire.Array
    gone: int = 0
    """So many of the edges, at the front, are in no table of the kernel any more: this is the last that is read."""
    still_open: pending.Pending = pending.NONE
    older: Sequence[edges.Change] = ()
    connections: Sequence[records.Connection] = ()
    heard: bool = False
    """Whether the API's lists had been read when reading began; all that they told has been handed over.

    No look-up by address can be blamed for what was before the first step that has heard.
    """
    silent_since_boot_ns: int | None = None
    """Since when the API is out of reach; None: it is not."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What one step found."""

    edges: list[model.Flow]
    """What each edge did; the sum of all is what the kernel counted."""
    connections: list[model.Flow]
    """Ended connections, for the flow log; the edges have counted them."""
    idle: wire.Array
    """Keys that the kernel may forget, once what was told is in a checkpoint."""
    held_back: int
    """Edges and connections that wait for a name."""


class Pipeline:
    """The state between steps. One owner."""

    def __init__(
        self,
        owners: ownership.Ownership,
        *,
        max_edges: int,
        patience_ns: int = PATIENCE_NS,
        all_pods: bool = True,
        trust_domain: identity.TrustDomain = TRUST_DOMAIN,
    ) -> None:
        """Start with what is known. ``all_pods``: the API tells of every node's pods."""
        self.owners = owners
        self.lookup = iplookup.IpLookup(history_s=owners.history_s, whole=all_pods)
        self.tags = tags.Tags(trust_domain, whole=all_pods)
        self.table = edges.Table()
        self.differences = differences.Differences()
        self._patience_ns = patience_ns
        self._join = join.Join(limit=2 * max_edges)
        self._names = naming.Names(owners, self._join, self.lookup, self.tags)
        self._read_ns = 0
        self._waiting: dict[int, tuple[int | None, int]] = {}
        """Edge -> (start of the interval that waits, when waiting began).

        Stays after patience ran out, with no interval: no second wait.
        """
        self._connections: list[tuple[int, records.Connection]] = []
        """Those that wait, and when each was read."""
        self._live_ids: frozenset[int] = frozenset()
        self._expired_ns = 0

    @property
    def not_joined(self) -> int:
        """Edges whose other end was not looked for on this node, because too many are known already."""
        return self._join.refused

    def take_over(self, owners: ownership.Ownership) -> None:
        """Go on with what a former agent knew; before the first step."""
        self.owners = owners
        self.lookup = iplookup.IpLookup(history_s=owners.history_s, whole=self.lookup.whole)
        self.lookup.load(owners.objects.values())
        self.tags.load(owners.objects.values())
        self._names = naming.Names(owners, self._join, self.lookup, self.tags)

    def step(self, inputs: Inputs) -> Outputs:
        """Take what was read; tell what can be told."""
        for event in inputs.cgroup_events:
            self.owners.apply_cgroup(event)
        for change in inputs.object_events:
            self.owners.apply_object(change)
            self.lookup.apply(change)
            self.tags.apply(change)
        found = self.table.difference(
            inputs.keys,
            inputs.values,
            still_open=inputs.still_open,
            gone=inputs.gone,
            idle_before_boot_ns=inputs.boot_ns - IDLE_NS,
        )
        self._forget(found)
        self._names.begin(inputs.boot_ns, heard=inputs.heard)
        self._names.ledger.listen(inputs.silent_since_boot_ns, inputs.boot_ns)
        flows, differing, held = self._edges(found.changes, inputs)
        older = [
            self._flow(change, self._name(change, inputs.boot_ns), self._read_ns, inputs, partial=True)
            for change in inputs.older
        ]
        connections, waiting = self._ended(inputs)
        idle = inputs.keys[[row for row in found.idle.tolist() if int(inputs.values["id"][row]) not in held]]
        self._expire(inputs.boot_ns)
        # Nothing after this can fail: what a step that failed was given comes with the next one again.
        self.table.commit(found, held_back=held)
        self._connections, self._read_ns = waiting, inputs.boot_ns
        self.differences.add([*differing, *older], inputs.wall_of(0))
        return Outputs(
            edges=[*flows, *older],
            connections=connections,
            idle=idle,
            held_back=len(held) + len(self._connections),
        )

    def _edges(
        self, changes: Sequence[edges.Change], inputs: Inputs
    ) -> tuple[list[model.Flow], list[model.Flow], set[int]]:
        """Name what changed, local ends first so that two ends on this node find each other.

        Also gives those of the flows for which some answer was wrong, and what is held back.
        """
        known = {change.edge.id: self._names.known(change.edge) for change in changes}
        moments = {
            change.edge.id: self._moments(change, inputs.boot_ns) for change in changes if known[change.edge.id] is None
        }
        local = {
            change.edge.id: self._names.local(change.edge, moments[change.edge.id])
            for change in changes
            if change.edge.id in moments
        }
        flows: list[model.Flow] = []
        differing: list[model.Flow] = []
        held: set[int] = set()
        gone = frozenset(inputs.values["id"][: inputs.gone].tolist())
        for change in changes:
            start = self._start_ns(change.edge)
            named = known[change.edge.id] or self._both(change, local[change.edge.id], moments[change.edge.id])
            if change.edge.id not in gone and self._waits(change.edge, named, start, inputs.boot_ns):
                held.add(change.edge.id)
            else:
                flows.append(self._flow(change, named, start, inputs))
                if named.differs:
                    differing.append(flows[-1])
        return flows, differing, held

    def _start_ns(self, edge: edges.Edge) -> int:
        """Since when what is told now has happened."""
        held_from, _ = self._waiting.get(edge.id, (None, 0))
        return max(edge.first_boot_ns, self._read_ns if held_from is None else held_from)

    def _moments(self, change: edges.Change, now_boot_ns: int) -> naming.Moments:
        held_from, since = self._waiting.get(change.edge.id, (None, 0))
        start = max(change.edge.first_boot_ns, self._read_ns if held_from is None else held_from)
        return naming.Moments(start, change.last_boot_ns, now_boot_ns if held_from is None else since)

    def _both(self, change: edges.Change, local: model.End, when: naming.Moments) -> naming.Named:
        edge = change.edge
        last = self._names.last(edge)
        if last is not None and last.settled and not change.counters.opened and edge.protocol is model.Protocol.TCP:
            # Only ends of connections that were opened before: who was called then is the answer, not who has the
            # address now. Not kept: the next connection is to whoever has it then.
            return naming.Named(local, self._names.again(edge, when, last.remote, here=local))
        named = naming.Named(local, self._names.remote(edge, when, here=local))
        self._names.keep(edge, named, when.start_boot_ns)
        return named

    def _name(self, change: edges.Change, now_boot_ns: int) -> naming.Named:
        when = naming.Moments(self._read_ns or now_boot_ns, now_boot_ns, now_boot_ns)
        local = self._names.local(change.edge, when)
        return naming.Named(local, self._names.remote(change.edge, when, here=local))

    def _waits(self, edge: edges.Edge, named: naming.Named, start: int, now_boot_ns: int) -> bool:
        if named.settled:
            self._waiting.pop(edge.id, None)
            return False
        _, since = self._waiting.setdefault(edge.id, (start, now_boot_ns))
        if now_boot_ns - since < self._patience_ns:
            return True
        self._waiting[edge.id] = (None, since)
        return False

    def _flow(
        self, change: edges.Change, named: naming.Named, start: int, inputs: Inputs, *, partial: bool = False
    ) -> model.Flow:
        edge = change.edge
        return model.Flow(
            start_wall_ns=inputs.wall_of(start),
            end_wall_ns=inputs.wall_of(max(change.last_boot_ns, start)),
            local=named.local,
            remote=named.remote,
            direction=edge.direction,
            protocol=edge.protocol,
            port=edge.port,
            counters=change.counters,
            partial=partial,
        )

    def _ended(self, inputs: Inputs) -> tuple[list[model.Flow], list[tuple[int, records.Connection]]]:
        """Name ended connections as of when they were opened; what has no name yet waits with its own patience."""
        ready: list[tuple[records.Connection, naming.Named]] = []
        waiting: list[tuple[int, records.Connection]] = []
        for read_ns, each in [*self._connections, *((inputs.boot_ns, each) for each in inputs.connections)]:
            when = naming.Moments(each.opened_boot_ns, each.opened_boot_ns, read_ns)
            local = self._names.local(each.edge, when)
            named = naming.Named(local, self._names.remote(each.edge, when, here=local))
            if named.settled or inputs.boot_ns - each.ended_boot_ns > self._patience_ns:
                ready.append((each, named))
            else:
                waiting.append((read_ns, each))
        names = {id(each): named for each, named in ready}
        return records.flows((each for each, _ in ready), lambda each: names[id(each)], inputs.wall_of), waiting

    def _forget(self, found: edges.Difference) -> None:
        ids = frozenset(found.ids.tolist())
        gone = self._live_ids - ids
        self._names.forget(gone)
        for number in gone:
            self._waiting.pop(number, None)
        self._live_ids = ids

    def _expire(self, now_boot_ns: int) -> None:
        if now_boot_ns - self._expired_ns > _EXPIRE_NS:
            self.owners.expire(now_boot_ns)
            self.differences.close(self.lookup)
            self.lookup.expire(now_boot_ns)
            self.tags.expire(now_boot_ns - int(self.owners.history_s * 1e9))
            self._expired_ns = now_boot_ns
