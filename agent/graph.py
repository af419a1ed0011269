"""The service graph that flow records draw: rows of who talks to whom, each seen from one end or from both.

Here because two agents see the same edge, each with its own kernel evidence for its own end: a row takes the source
from the view of the source's node and the destination from the view of the destination's, and counts nothing twice.
Views are matched pod by pod before they are summed, so that a row is right also where only some nodes were asked.

Leaves out where records come from (``client``) and how rows look (``columns``).
"""

import dataclasses
import enum
from collections.abc import Iterable
from typing import Final, NamedTuple

from agent import flowjson, model, selection

_MAX_PAIRS: Final = 50_000
"""Pairs of pods kept; some 50 MB. Arbitrary: nobody reads a table that long."""
_WEAKEST_FIRST: Final = (model.Evidence.NONE, model.Evidence.IP, model.Evidence.HANDSHAKE, model.Evidence.KERNEL)


class By(enum.StrEnum):
    """What makes two flows one row."""

    WORKLOAD = "workload"
    POD = "pod"
    SERVICE_ACCOUNT = "service-account"
    NAMESPACE = "namespace"


class Name(NamedTuple):
    """What an end is called in a row."""

    kind: str
    """``model.Kind``, or the workload's kind."""
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace and self.name else self.namespace or self.name


class Key(NamedTuple):
    """What tells rows apart. ``port`` is 0 where ports were summed up."""

    source: Name
    destination: Name
    protocol: str
    port: int


class Wrong(NamedTuple):
    """A look-up of an address that named somebody else, when it happened."""

    end: str
    """"source" or "destination"."""
    said: str
    reason: str


@dataclasses.dataclass(slots=True)
class Totals:
    """Sums over records; those of the histograms as (count, sum in microseconds)."""

    opened: int = 0
    closed: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    sent_segments: int = 0
    received_segments: int = 0
    retransmits: int = 0
    failed: dict[str, int] = dataclasses.field(default_factory=dict)
    rtt: tuple[int, int] = (0, 0)
    connect: tuple[int, int] = (0, 0)
    partial: bool = False
    tls: frozenset[str] = frozenset()
    """What secured it, as far as any record said: both where it was not always the same."""
    wrong: frozenset[Wrong] = frozenset()

    def add(self, more: "Totals | flowjson.Counters") -> None:
        """Add a record's counters or other totals."""
        self.opened += more.opened
        self.closed += more.closed
        self.sent_bytes += more.sent_bytes
        self.received_bytes += more.received_bytes
        self.sent_segments += more.sent_segments
        self.received_segments += more.received_segments
        self.retransmits += more.retransmits
        for cause, count in more.failed.items():
            self.failed[cause] = self.failed.get(cause, 0) + count
        self.rtt = _sum(self.rtt, more.rtt)
        self.connect = _sum(self.connect, more.connect)


@dataclasses.dataclass(slots=True)
class _View:
    """What one side's agent said of one pair."""

    totals: Totals
    source: flowjson.Endpoint
    destination: flowjson.Endpoint
    addresses: flowjson.Addresses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    key: Key
    source: flowjson.Endpoint
    """An example of the row's sources, with the weakest evidence that any of them rests on."""
    destination: flowjson.Endpoint
    addresses: flowjson.Addresses
    totals: Totals
    views: tuple[str, ...]
    """Which ends reported: "EGRESS" is the source's, "INGRESS" the destination's."""


class Graph:
    """Collects edge records; gives rows."""

    def __init__(self, by: By) -> None:
        self.left_out = 0
        """Records of pairs that were too many."""
        self.first_time = ""
        self.last_time = ""
        """Of the records taken; RFC 3339 in UTC sorts as text."""
        self.nodes: set[str] = set()
        self._by = by
        self._rows: dict[Key, dict[tuple[str, ...], dict[str, _View]]] = {}
        self._pairs = 0

    def add(self, flow: flowjson.Flow) -> None:
        """Take one edge record; one of a connection is passed over, since its edge has counted it."""
        if flow.type != "edge":
            return
        key, pair = self._key(flow), _pair(flow)
        pairs = self._rows.setdefault(key, {})
        if pair not in pairs and self._pairs >= _MAX_PAIRS:
            self.left_out += 1
            return
        self._pairs += pair not in pairs
        views = pairs.setdefault(pair, {})
        view = views.get(flow.traffic_direction)
        if view is None:
            view = views[flow.traffic_direction] = _View(Totals(), flow.source, flow.destination, flow.ip)
        view.source, view.destination = _weaker(view.source, flow.source), _weaker(view.destination, flow.destination)
        view.totals.add(flow.counters)
        view.totals.partial |= flow.partial
        view.totals.tls |= {flow.tls} if flow.tls else set()
        if flow.source.attribution is not None or flow.destination.attribution is not None:
            view.totals.wrong |= {*_wrong("source", flow.source), *_wrong("destination", flow.destination)}
        self.nodes.add(flow.node_name)
        self.first_time = min(self.first_time or flow.start_time, flow.start_time)
        self.last_time = max(self.last_time, flow.time)

    def _key(self, flow: flowjson.Flow) -> Key:
        protocol, ports = selection.transport(flow)
        port = 0 if self._by is By.NAMESPACE else ports.destination_port
        return Key(
            name(flow.source, flow.ip.source, self._by),
            name(flow.destination, flow.ip.destination, self._by),
            protocol,
            port,
        )

    def rows(self) -> list[Row]:
        """Give the rows, those with most bytes first."""
        rows = [_row(key, pairs) for key, pairs in self._rows.items() if pairs]
        return sorted(rows, key=lambda row: (-row.totals.sent_bytes - row.totals.received_bytes, row.key))


def of(flows: Iterable[flowjson.Flow], by: By) -> Graph:
    """Draw the graph of some records."""
    drawn = Graph(by)
    for flow in flows:
        drawn.add(flow)
    return drawn


def _row(key: Key, pairs: dict[tuple[str, ...], dict[str, _View]]) -> Row:
    """Sum up the pairs: each counted by its source's agent, or where that was not asked, by its destination's."""
    totals = Totals()
    seen: set[str] = set()
    sources, destinations, addresses = [], [], []
    for views in pairs.values():
        egress, ingress = views.get("EGRESS"), views.get("INGRESS")
        counted = egress or ingress
        if counted is None:
            continue
        totals.add(counted.totals)
        totals.partial |= counted.totals.partial
        totals.tls |= counted.totals.tls
        totals.wrong |= frozenset[Wrong]().union(*(view.totals.wrong for view in views.values()))
        sources.append(counted.source)
        destinations.append((ingress or counted).destination)
        addresses.append(counted.addresses)
        seen.update(views)
    return Row(
        key=key,
        source=_weakest(sources),
        destination=_weakest(destinations),
        addresses=addresses[0],
        totals=totals,
        views=tuple(sorted(seen)),
    )


def _pair(flow: flowjson.Flow) -> tuple[str, ...]:
    """Tell the two ends apart as finely as both agents can name them."""
    source, destination = flow.source, flow.destination
    return (
        source.namespace,
        source.pod_name or source.name,
        destination.namespace,
        destination.pod_name or destination.name,
    )


def name(end: flowjson.Endpoint, address: str, by: By) -> Name:
    """Call an end by what the row is about; where it has no name, by its address or cgroup."""
    if end.kind is not model.Kind.POD:
        name = end.name or address or (f"cgroup {end.cgroup_id}" if end.cgroup_id else "unknown")
        return Name(end.kind, end.namespace, "" if by is By.NAMESPACE and end.namespace else name)
    match by:
        case By.NAMESPACE:
            return Name("namespace", end.namespace, "")
        case By.SERVICE_ACCOUNT:
            return Name("service-account", end.namespace, end.service_account)
        case By.WORKLOAD if end.workloads:
            return Name(end.workloads[0].kind, end.namespace, end.workloads[0].name)
        case By.WORKLOAD | By.POD:
            return Name("Pod", end.namespace, end.pod_name)


def _wrong(side: str, end: flowjson.Endpoint) -> list[Wrong]:
    return [
        Wrong(side, _answer(each.said), each.reason) for each in selection.disagreements(end) if each.method == "ip"
    ]


def _answer(said: flowjson.Answer | str) -> str:
    """Call whom a look-up named."""
    if isinstance(said, str):
        return said
    name = f"{said.namespace}/{said.name}" if said.namespace else said.name
    return name if said.kind is model.Kind.POD else f"{said.kind} {name}"


def _weaker(one: flowjson.Endpoint, other: flowjson.Endpoint) -> flowjson.Endpoint:
    return other if _WEAKEST_FIRST.index(other.evidence) < _WEAKEST_FIRST.index(one.evidence) else one


def _weakest(ends: list[flowjson.Endpoint]) -> flowjson.Endpoint:
    return min(ends, key=lambda end: _WEAKEST_FIRST.index(end.evidence))


def _sum(total: tuple[int, int], more: flowjson.Histogram | tuple[int, int] | None) -> tuple[int, int]:
    if more is None:
        return total
    count, sum_us = (more.count, more.sum_us) if isinstance(more, flowjson.Histogram) else more
    return total[0] + count, total[1] + sum_us
