"""To which Service ports each route applies, for whom, and what its conditions say. Pure.

    now = attach.Attacher().update(state, routes, grants)
    now.rules("shop/web", 80)                      # for every client
    now.rules("shop/web", 80, client="billing")    # for clients of a namespace that has routes of its own
    now.verdicts[route]

A route in its Service's namespace (a producer's) is for all clients; one in another namespace (a consumer's) is for the
clients of its own namespace, and there it replaces the producer's. Where an HTTPRoute and a GRPCRoute want the same
port the GRPCRoute has it. Here because a backend that is not there, or may not be sent to, is a share of requests that
fails and not a route that disappears. Leaves out how Envoy is told (``discovery.routing``) and who writes the verdicts
(``service``).
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from injector.cluster import model as cluster
from injector.routes import model, precedence

MAX_ENTRIES: Final = 1000
"""Matches for one port of a Service, for the same clients: every proxy is told of all, and tries them one by one."""
MAX_BYTES: Final = 1024 * 1024
"""The sizes of all routes of a port, for the same clients (``model.Route.size``): every proxy holds them."""
_TOO_MANY, _TOO_LARGE = "TooManyMatches", "TooLarge"
_ROOM: Final = {_TOO_MANY: f"{MAX_ENTRIES} matches", _TOO_LARGE: f"{MAX_BYTES // 1024} KiB"}
_ROUTED: Final = frozenset({cluster.Protocol.HTTP, cluster.Protocol.HTTP2, cluster.Protocol.DETECT})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A backend, found: a Service port, or nothing that could be sent to."""

    backend: model.Backend
    port: tuple[str, int] | None
    """``namespace/name`` and port; None: its share of the requests fails."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a rule is written."""

    namespace: str
    name: str
    """Of the route."""
    number: int
    """Among its rules, from 1."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A rule whose backends were looked for."""

    kind: model.Kind
    origin: Origin
    rule: model.Rule
    targets: tuple[Target, ...]
    mirrors: tuple[tuple[model.Mirror, tuple[str, int]], ...]
    """Those that were found."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One match and what becomes of what it means."""

    match: model.Match
    bound: Bound


Rules = tuple[Entry, ...]
"""In the order in which they are tried; what none of them means is answered with 404."""


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a status: what it says, why, and in words."""

    holds: bool
    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a route stands with one of its parents."""

    parent: model.Parent
    accepted: Condition
    resolved: Condition
    partial: Condition | None = None
    """Whether only some of its rules can be acted on; None: all of them can."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """What all routes come to."""

    produced: Mapping[tuple[str, int], Rules] = dataclasses.field(default_factory=dict)
    """By Service key and port."""
    consumed: Mapping[str, Mapping[tuple[str, int], Rules]] = dataclasses.field(default_factory=dict)
    """The same for the clients of a namespace, where it has routes of its own."""
    verdicts: Mapping[tuple[model.Kind, str, str], tuple[Verdict, ...]] = dataclasses.field(default_factory=dict)
    """By kind, namespace and name of the route."""

    def rules(self, key: str, port: int, client: str = "") -> Rules | None:
        """Give the rules of a Service port for the clients of a namespace; None: no route applies."""
        own = self.consumed.get(client, {}).get((key, port))
        return own if own is not None else self.produced.get((key, port))


NOTHING: Final = Attached()


class Attacher:
    """Remembers what it made, and makes it anew when something of it has changed. Not thread-safe."""

    def __init__(self) -> None:
        self._asked: tuple[object, ...] = ()
        self._made = NOTHING

    def update(
        self, services: Mapping[str, cluster.Service], routes: Sequence[model.Route], grants: Sequence[model.Grant]
    ) -> Attached:
        """Attach routes to Services; the last answer where only endpoints have changed."""
        if not routes:
            self._asked, self._made = (), NOTHING
            return NOTHING
        shapes = {key: (each.ports, each.headless, each.external_name) for key, each in services.items()}
        asked = (tuple(routes), tuple(grants), shapes)
        if asked != self._asked:
            self._asked, self._made = asked, attach(services, routes, grants)
        return self._made


def attach(
    services: Mapping[str, cluster.Service], routes: Iterable[model.Route], grants: Sequence[model.Grant]
) -> Attached:
    """Attach routes to Services."""
    ordered = sorted(routes, key=precedence.age)
    wanted = {each.kind: _Wanted() for each in ordered}
    found = [(route, [(each, *_ports(each, services.get(each.key))) for each in route.parents]) for route in ordered]
    for route, parents in found:
        for parent, ports, _ in parents:
            for each in ports:
                wanted[route.kind].take(route, parent, each.port)
    grpc = wanted.get(model.Kind.GRPC, _Wanted())
    http = wanted.get(model.Kind.HTTP, _Wanted()).without(grpc)
    maker = _Maker(services, grants)
    tables = [each.rules(maker) for each in (http, grpc)]
    verdicts = {
        (route.kind, route.namespace, route.name): tuple(
            Verdict(
                parent=parent,
                accepted=_got(route, parent, ports, wanted[route.kind], grpc) if condition.holds else condition,
                resolved=maker.resolved(route, parent),
                partial=_partial(route),
            )
            for parent, ports, condition in parents
        )
        for route, parents in found
    }
    produced: dict[tuple[str, int], Rules] = {}
    consumed: dict[str, dict[tuple[str, int], Rules]] = {}
    for table in tables:
        for (client, key, number), rules in table.items():
            (consumed.setdefault(client, {}) if client else produced)[key, number] = rules
    return Attached(produced=produced, consumed=consumed, verdicts=verdicts)


def _ports(parent: model.Parent, there: cluster.Service | None) -> tuple[tuple[cluster.ServicePort, ...], Condition]:
    """Find the ports that a route gets by one parent."""
    if parent.error:
        return (), _no("UnsupportedValue", parent.error)
    if there is None:
        return (), _unmatched(f"there is no Service {parent.key}")
    if there.headless or there.external_name or not there.addresses:
        return (), _unmatched(f"Service {parent.key} has no cluster IP, so nothing is sent to it as a Service")
    named = [
        each
        for each in there.ports
        if parent.port in {None, each.port} and (not parent.section or parent.section == each.name)
    ]
    if not named:
        has = ", ".join(f"{each.port} {each.name}".strip() for each in there.ports) or "none"
        return (), _unmatched(f"Service {parent.key} has no such TCP port; it has: {has}")
    ports = tuple(each for each in named if each.protocol in _ROUTED)
    if not ports:
        opaque = ", ".join(str(each.port) for each in named)
        return (), _unmatched(f"Service {parent.key} carries bytes on port {opaque}: nobody looks for HTTP there")
    return ports, _yes("Accepted", f"applies to port {', '.join(str(each.port) for each in ports)}")


def _unmatched(message: str) -> Condition:
    return _no("NoMatchingParent", message)


def _partial(route: model.Route) -> Condition | None:
    """Say which rules are out of force. The first words of the message are the specification's."""
    if not route.broken:
        return None
    more = f" (and {len(route.broken) - 1} more)" if len(route.broken) > 1 else ""
    return _yes("UnsupportedValue", f"Dropped Rule: what it means fails: {route.broken[0]}{more}")


def _yes(reason: str, message: str) -> Condition:
    return Condition(holds=True, reason=reason, message=message)


def _no(reason: str, message: str) -> Condition:
    return Condition(holds=False, reason=reason, message=message)


def _place(route: model.Route, parent: model.Parent, port: int) -> tuple[str, str, int]:
    return "" if route.namespace == parent.namespace else route.namespace, parent.key, port


def _got(
    route: model.Route,
    parent: model.Parent,
    ports: Sequence[cluster.ServicePort],
    wanted: "_Wanted",
    grpc: "_Wanted",
) -> Condition:
    """Say whether a route that has found its ports has got them."""
    places = {each.port: _place(route, parent, each.port) for each in ports}
    lost = [port for port, place in places.items() if route.kind is model.Kind.HTTP and place in grpc]
    full = {port: over for port, place in places.items() if port not in lost and (over := wanted.over(route, place))}
    why = []
    if lost:
        why.append(f"a GRPCRoute has port {_listed(sorted(lost))}")
    for reason, room in _ROOM.items():
        if there := sorted(port for port, over in full.items() if over == reason):
            why.append(f"older routes leave too few of the {room} of port {_listed(there)}")
    got = [port for port in places if port not in {*lost, *full}]
    if not got:
        return _no(next(iter(full.values()), "Conflicted"), "; ".join(why))
    return _yes("Accepted", "; ".join([f"applies to port {_listed(got)}", *why]))


def _listed(ports: Iterable[int]) -> str:
    return ", ".join(map(str, ports))


class _Wanted:
    """Which routes of one kind want which port, for whom."""

    def __init__(self) -> None:
        self._by_place: dict[tuple[str, str, int], list[tuple[model.Route, model.Parent]]] = {}
        self._taken: dict[tuple[str, str, int], tuple[int, int]] = {}
        self._over: dict[tuple[str, str, tuple[str, str, int]], str] = {}

    def __contains__(self, place: tuple[str, str, int]) -> bool:
        return place in self._by_place

    def take(self, route: model.Route, parent: model.Parent, port: int) -> None:
        """Note that a route wants a port. The oldest comes first: one for which there is no room left is left out."""
        place = _place(route, parent, port)
        if any(each is route for each, _ in self._by_place.get(place, ())):
            return
        matches, size = self._taken.get(place, (0, 0))
        matches, size = matches + sum(len(rule.matches) for rule in route.rules), size + route.size
        if matches > MAX_ENTRIES or size > MAX_BYTES:
            reason = _TOO_MANY if matches > MAX_ENTRIES else _TOO_LARGE
            self._over[route.namespace, route.name, place] = reason
            return
        self._taken[place] = matches, size
        self._by_place.setdefault(place, []).append((route, parent))

    def over(self, route: model.Route, place: tuple[str, str, int]) -> str:
        """Say of what there was no room for a route; empty: there was room."""
        return self._over.get((route.namespace, route.name, place), "")

    def without(self, others: "_Wanted") -> "_Wanted":
        """Leave out the ports that others want."""
        left = _Wanted()
        left._by_place = {place: each for place, each in self._by_place.items() if place not in others}
        return left

    def rules(self, maker: "_Maker") -> dict[tuple[str, str, int], Rules]:
        """Merge the routes of each port."""
        return {
            place: tuple(sorted(maker.entries(there), key=_before))  # sorted is stable: by age, then as written
            for place, there in self._by_place.items()
        }


def _before(entry: Entry) -> precedence.Key:
    return (precedence.http if entry.bound.kind is model.Kind.HTTP else precedence.grpc)(entry.match)


class _Maker:
    """Looks for what routes refer to, each rule once."""

    def __init__(self, services: Mapping[str, cluster.Service], grants: Sequence[model.Grant]) -> None:
        self._services = services
        self._grants = grants

    def entries(self, routes: Iterable[tuple[model.Route, model.Parent]]) -> Iterator[Entry]:
        """Give the matches of routes, unsorted."""
        for route, parent in routes:
            for number, rule in enumerate(route.rules, start=1):
                bound = self._bound(route, parent, rule, number)
                yield from (Entry(match, bound) for match in rule.matches)

    def _bound(self, route: model.Route, parent: model.Parent, rule: model.Rule, number: int) -> Bound:
        mirrors = ((each, self._found(route, parent, each.reference)) for each in rule.mirrors)
        return Bound(
            kind=route.kind,
            origin=Origin(namespace=route.namespace, name=route.name, number=number),
            rule=rule,
            targets=tuple(
                Target(backend=each, port=found if isinstance(found, tuple) else None)
                for each in rule.backends
                for found in (self._found(route, parent, each.reference),)
            ),
            mirrors=tuple((each, found) for each, found in mirrors if isinstance(found, tuple)),
        )

    def resolved(self, route: model.Route, parent: model.Parent) -> Condition:
        """Say whether everything that a route refers to is there, and may be sent to."""
        written = [each.reference for rule in route.rules for each in rule.backends]
        written += [each.reference for rule in route.rules for each in rule.mirrors]
        wrong = [found for each in written if isinstance(found := self._found(route, parent, each), Condition)]
        if not wrong:
            return _yes("ResolvedRefs", "every backend is there")
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        return dataclasses.replace(wrong[0], message=f"{wrong[0].message}{more}")

    def _found(self, route: model.Route, parent: model.Parent, to: model.Reference) -> tuple[str, int] | Condition:
        """Find a backend; a condition says why it cannot be sent to.

        Whoever may call a Service may also say so in a route: backends in the parent's namespace need no grant.
        """
        if (to.group, to.kind) != ("", model.SERVICE):
            return _no("InvalidKind", f"{to} is not a Service, and nothing else can be sent to")
        if to.namespace not in {route.namespace, parent.namespace} and not any(
            each.allows(route.kind, route.namespace, to) for each in self._grants
        ):
            text = f"no ReferenceGrant in {to.namespace} lets a {route.kind} of {route.namespace} send to {to}"
            return _no("RefNotPermitted", text)
        return self._port(to, self._services.get(f"{to.namespace}/{to.name}"))

    @staticmethod
    def _port(to: model.Reference, there: cluster.Service | None) -> tuple[str, int] | Condition:
        if there is None:
            return _no("BackendNotFound", f"there is no {to}")
        if there.external_name:
            return _no("BackendNotFound", f"{to} is an ExternalName, and has no endpoints")
        port = next((each for each in there.ports if each.port == to.port), None)
        if port is None:
            return _no("BackendNotFound", f"{to}: it has no such TCP port")
        if port.protocol not in _ROUTED:
            return _no("UnsupportedProtocol", f"{to} is said to speak something else than HTTP")
        return there.key, port.port
