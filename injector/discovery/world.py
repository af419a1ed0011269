"""What all proxies share: Services as clusters, endpoints, listeners and routes, made once for each state.

    shared = world.Builder(settings)
    now = shared.build(state)

Here because with a thousand Services and two thousand proxies the cost must be of what changed, not of what there is:
what an unchanged Service became is kept, and a table in which nothing changed is the very same object, so that nobody
has to compare it. Leaves out what differs between proxies (``snapshot``).
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import structlog

from injector.cluster import model
from injector.discovery import clusters, endpoints, naming, outbound, resource, routing, settings
from injector.routes import attach
from ipseity import identity

T = TypeVar("T")
MOST_ENDED: Final = 64
"""Identities without a pod that are still taken for callers: the last that ended. A server that hears late of the end
of an identity's last pod, after a link was down, would else cut its next one, which is connected already. Arbitrary: a
chain is 70 kB of a proxy's memory, and news are under way for 40 s at most (then a stream is given up)."""
_log = structlog.get_logger("discovery")
_Table = Mapping[str, resource.Resource]
_EMPTY: Final[_Table] = MappingProxyType({})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What decides which of the shared parts a proxy gets."""

    strict: bool
    """Plaintext may not leave the pod."""
    ipv6: bool
    """The pod's kernel has IPv6."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What became of one Service."""

    source: model.Service
    clusters: tuple[resource.Resource, ...]
    listeners: tuple[resource.Resource, ...]
    routes: tuple[resource.Resource, ...]
    endpoints: tuple[resource.Resource, ...]
    secured: tuple[resource.Resource, ...]
    """Endpoints for proxies that may not speak plaintext."""
    ruled: tuple[attach.Rules | None, ...] = ()
    """Of each port: the rules for all clients."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The shared resources of one state."""

    state: model.ClusterState
    identities: tuple[identity.SpiffeId, ...]
    """Who may come calling, the first before others where not all can have a chain: identities of meshed pods, by name;
    then those that have none any more, the last that ended before others."""
    parts: Mapping[str, Part]
    layers: Mapping[Kind, resource.Layer]
    consumed: Mapping[str, _Table] = dataclasses.field(default_factory=dict)
    """By namespace of the client: routes that win over the shared ones."""
    shadowed: tuple[str, ...] = ()
    """Listeners left out because another Service has their address and port."""
    failing: frozenset[str] = frozenset()
    """Services of which something could not be made, by a defect of ours: what was made before is told still."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Grouped:
    """How a pod is reached, and from what that follows, with the ports of the services behind."""

    pod: model.Pod
    behind: tuple[tuple[str, ...], ...]
    """Of each of its addresses: the services that lead there."""
    group: outbound.Group


class Builder:
    """Makes worlds, and remembers the last one. Not thread-safe."""

    def __init__(self, config: settings.Settings) -> None:
        self._config = config
        self._common = {each.name: each for each in clusters.common(config)}
        self._parts: dict[str, Part] = {}
        self._groups: dict[identity.PodRef, _Grouped] = {}
        self._ports: dict[str, tuple[model.ServicePort, ...]] = {}
        self._tables: dict[str, _Table] = {}
        self._direct: dict[identity.ServiceAccount, resource.Resource] = {}
        self._table: Mapping[outbound.Group, tuple[str, ...]] = {}
        self._made: outbound.Table | None = None
        self._everything: dict[Kind, resource.Resource] = {}
        self._live: frozenset[identity.SpiffeId] = frozenset()
        self._ended: tuple[identity.SpiffeId, ...] = ()
        self._identities: tuple[identity.SpiffeId, ...] = ()
        self._consumed: Mapping[str, _Table] = {}
        self._routed = attach.NOTHING
        self._last: World | None = None
        self._unmade: set[str] = set()
        self._unrouted: set[str] = set()
        self._failing: frozenset[str] = frozenset()

    def build(self, state: model.ClusterState, routed: attach.Attached = attach.NOTHING) -> World:
        """Make the world of a state and what routes come to in it; the last one where both are the last ones."""
        if self._last is not None and self._last.state is state and self._routed is routed:
            return self._last
        self._unmade = set()
        self._parts = {key: self._part(state.services[key], routed) for key in sorted(state.services)}
        if routed is not self._routed:
            self._unrouted = set()
            self._routed, self._consumed = routed, self._for_consumers(routed)
        self._failing = frozenset(self._unmade | self._unrouted)
        table = self._reached(state)
        if table != self._table or self._made is None:
            self._table, self._made = table, outbound.table(table)
            self._everything.clear()
        accounts = {group.account for group in table}
        self._direct = {each: self._direct.get(each) or clusters.direct(each, self._config) for each in accounts}
        self._note(frozenset(identity.SpiffeId(state.trust_domain, account) for account in accounts))
        listeners, shadowed = self._listeners()
        layers = {kind: self._layer(kind, listeners, self._made) for kind in _KINDS}
        self._last = World(
            state=state,
            identities=self._identities,
            parts=self._parts,
            layers=layers,
            consumed=self._consumed,
            shadowed=shadowed,
            failing=self._failing,
        )
        return self._last

    def _note(self, live: frozenset[identity.SpiffeId]) -> None:
        """Take the identities that have pods, and remember those that had."""
        if live != self._live:
            went = sorted(self._live - live, key=str)
            self._ended = (*went, *(each for each in self._ended if each not in live))[:MOST_ENDED]
            self._live = live
            self._identities = (*sorted(live, key=str), *self._ended)

    def _part(self, item: model.Service, routed: attach.Attached) -> Part:
        ruled = tuple(routed.produced.get((item.key, port.port)) for port in item.ports)
        known = self._parts.get(item.key)
        if known is not None and (known.source is item or known.source == item) and known.ruled == ruled:
            return known
        try:
            return _made(item, ruled, self._config, known)
        except Exception:  # noqa: BLE001  # a defect of ours in one Service must not end the telling of all others
            self._say(item.key)
            self._unmade.add(item.key)
        return known or Part(source=item, clusters=(), listeners=(), routes=(), endpoints=(), secured=())

    def _for_consumers(self, routed: attach.Attached) -> Mapping[str, _Table]:
        """Make the routes that differ for the clients of a namespace."""
        made: dict[str, _Table] = {}
        for client, table in routed.consumed.items():
            there = {}
            for (key, port), rules in table.items():
                name = naming.service(port, key)
                try:
                    found = routing.route(key, rules, port=port)
                except Exception:  # noqa: BLE001  # as for a Service
                    self._say(key)
                    self._unrouted.add(key)
                    before = self._consumed.get(client, _EMPTY).get(name)
                    if before is None:
                        continue
                    found = before
                there[name] = found
            made[client] = there
        return made

    def _say(self, key: str) -> None:
        """Log a defect once for as long as it lasts."""
        if key not in self._failing | self._unmade | self._unrouted:
            _log.exception("service not made: what was made of it before stays", service=key)

    def _reached(self, state: model.ClusterState) -> Mapping[outbound.Group, tuple[str, ...]]:
        """Sort the meshed pods' addresses by how they are reached."""
        groups: dict[identity.PodRef, _Grouped] = {}
        table: dict[outbound.Group, list[str]] = {}
        ports = {key: each.ports for key, each in state.services.items()}
        stale = {key for key in ports.keys() | self._ports.keys() if ports.get(key) != self._ports.get(key)}
        for ref, pod in state.pods.items():
            if not pod.meshed or not pod.addresses:
                continue
            behind = tuple(state.behind.get(address, ()) for address in pod.addresses)
            known = self._groups.get(ref)
            moved = any(not stale.isdisjoint(keys) for keys in behind)
            if known is None or known.pod is not pod or known.behind != behind or moved:
                group = outbound.group(pod, state.services_of(pod))
                known = _Grouped(pod=pod, behind=behind, group=group)
            groups[ref] = known
            own = [address for address in pod.addresses if state.addresses.get(address) == ref]
            table.setdefault(known.group, []).extend(own)
        self._groups, self._ports = groups, ports
        return {group: tuple(sorted(addresses)) for group, addresses in table.items() if addresses}

    def _listeners(self) -> tuple[list[resource.Resource], tuple[str, ...]]:
        """Give the Services' listeners; the first by name where two want one address and port."""
        taken: dict[str, resource.Resource] = {}
        shadowed = []
        for part in self._parts.values():
            for each in part.listeners:
                _, port, _, address = each.name.split("|")
                if taken.setdefault(f"{address}|{port}", each) is not each:
                    shadowed.append(each.name)
        return list(taken.values()), tuple(shadowed)

    def _layer(self, kind: Kind, listeners: Iterable[resource.Resource], table: outbound.Table) -> resource.Layer:
        if kind not in self._everything:
            self._everything[kind] = outbound.everything(table, strict=kind.strict, ipv6=kind.ipv6)
        shared = [*self._common.values(), *self._direct.values(), *self._of_all(lambda part: part.clusters)]
        said = self._of_all(lambda part: part.secured if kind.strict else part.endpoints)
        return {
            resource.CLUSTER: self._kept("clusters", shared),
            resource.ENDPOINT: self._kept(f"endpoints {kind.strict}", said),
            resource.LISTENER: self._kept(f"listeners {kind}", [*listeners, self._everything[kind]]),
            resource.ROUTE: self._kept("routes", self._of_all(lambda part: part.routes)),
        }

    def _of_all(self, field: Callable[[Part], tuple[resource.Resource, ...]]) -> list[resource.Resource]:
        return [each for part in self._parts.values() for each in field(part)]

    def _kept(self, name: str, found: Iterable[resource.Resource]) -> _Table:
        """Give a table by name: the last one where nothing changed."""
        table = {each.name: each for each in found}
        before = self._tables.get(name, _EMPTY)
        if table != before:
            self._tables[name] = table
            return table
        return before


_KINDS: Final = tuple(Kind(strict=strict, ipv6=ipv6) for strict in (False, True) for ipv6 in (False, True))


def _made(
    item: model.Service, ruled: tuple[attach.Rules | None, ...], config: settings.Settings, known: Part | None
) -> Part:
    """Make everything of a Service; a resource whose content is as before is the one of before."""
    found = [clusters.service(item, port, config) for port in item.ports]
    listeners = [each for port in item.ports for each in outbound.service(item, port, config)]
    routes = [
        each
        for port, rules in zip(item.ports, ruled, strict=True)
        if (each := outbound.route(item, port, rules)) is not None
    ]
    behind = [(asked(each), item.endpoints.get(port.name, ())) for each, port in zip(found, item.ports, strict=True)]
    ready = [endpoints.assignment(name, there) for name, there in behind]
    secured = [endpoints.assignment(name, there, secured_only=True) for name, there in behind]
    return Part(
        source=item,
        ruled=ruled,
        clusters=_reused(found, () if known is None else known.clusters),
        listeners=_reused(listeners, () if known is None else known.listeners),
        routes=_reused(routes, () if known is None else known.routes),
        endpoints=_reused(ready, () if known is None else known.endpoints),
        secured=_reused(secured, () if known is None else known.secured),
    )


def asked(cluster: resource.Resource) -> str:
    """Give the name under which a Service's cluster asks for its endpoints."""
    return next(name for kind, name in cluster.needs if kind == resource.ENDPOINT)


def _reused(found: Iterable[resource.Resource], before: tuple[resource.Resource, ...]) -> tuple[resource.Resource, ...]:
    known = {each.name: each for each in before}
    return tuple(known[each.name] if known.get(each.name) == each else each for each in found)
