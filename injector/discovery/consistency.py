"""Whether a snapshot may be served: everything that is referred to is there, and nobody falls back to plaintext.

    consistency.faults(told)      # () or it must not be served

Here because Envoy believes what it is told: a cluster that is not there is an outage, and an endpoint whose way is not
there would be spoken to in plaintext. The bytes are read back, so that a slip in what makes them shows. What was found
about a resource is remembered with it: a push costs what changed. Leaves out whether Envoy itself accepts it: tests ask
Envoy.
"""

import functools
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from google.protobuf import message as protobuf
from xds.type.matcher.v3 import ip_pb2

from injector.discovery import clusters, http, resource, routing, snapshot, tcp

_MESSAGES: Final = {
    resource.CLUSTER: cluster_pb2.Cluster,
    resource.ENDPOINT: endpoint_pb2.ClusterLoadAssignment,
    resource.LISTENER: listener_pb2.Listener,
    resource.ROUTE: route_pb2.RouteConfiguration,
}
_MAX_FAULTS: Final = 10
"""Told: who made one made many."""


class Findings(NamedTuple):
    """What one resource says, read back."""

    faults: tuple[str, ...]
    refers: frozenset[tuple[str, str]]
    """Type and name of other resources."""
    marks: frozenset[str]
    """A cluster: accounts that it has a way to. Endpoints: those they expect."""
    place: str
    """A listener: address and port."""


def decode(kind: str, item: resource.Resource) -> Any:
    """Give the message that a resource is the bytes of. Raises DecodeError."""
    return _MESSAGES[kind].FromString(item.body)


def faults(told: snapshot.Snapshot) -> tuple[str, ...]:
    """Tell what is wrong with a snapshot; () if nothing is."""
    found = [*_shared(_Layer(told.shared)), *_faults(told, told.own)]
    return tuple(found[:_MAX_FAULTS])


class _Layer:
    """A layer that is hashed by which one it is: it is looked through once, however many proxies share it."""

    __slots__ = ("of",)

    def __init__(self, of: resource.Layer) -> None:
        self.of = of

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Layer) and self.of is other.of

    def __hash__(self) -> int:
        return id(self.of)


@functools.lru_cache(maxsize=16)
def _shared(layer: _Layer) -> tuple[str, ...]:
    alone = snapshot.Snapshot(revision=0, caller="", shared=layer.of, own={})
    return tuple(_faults(alone, layer.of))


def _faults(told: snapshot.Snapshot, layer: resource.Layer) -> Iterator[str]:
    places: set[str] = set()
    for kind, items in layer.items():
        for name, each in items.items():
            findings = _findings(kind, each)
            if name != each.name:
                yield f"{name}: holds {each.name}"
            yield from (f"{name}: {fault}" for fault in findings.faults)
            for needed in sorted(findings.refers | frozenset(each.needs)):
                if told.get(*needed) is None:
                    yield f"{name}: refers to {needed[1]}, which is not there"
            if findings.place and findings.place in places:
                yield f"{name}: another listener has {findings.place}"
            places.add(findings.place)
    for each in layer.get(resource.CLUSTER, {}).values():
        yield from _without_way(told, each)


def _without_way(told: snapshot.Snapshot, cluster: resource.Resource) -> Iterator[str]:
    """Find endpoints that expect whom their cluster has no way to."""
    for kind, name in cluster.needs:
        there = told.get(kind, name)
        if kind == resource.ENDPOINT and there is not None:
            missing = _findings(kind, there).marks - _findings(resource.CLUSTER, cluster).marks
            yield from (f"{cluster.name}: an endpoint expects {each}, and there is no way to it" for each in missing)


@functools.lru_cache(maxsize=1 << 14)
def _findings(kind: str, item: resource.Resource) -> Findings:
    try:
        message = decode(kind, item)
    except protobuf.DecodeError as error:
        return Findings((f"cannot be read: {error}",), frozenset(), frozenset(), "")
    match kind:
        case resource.CLUSTER:
            return _cluster(message)
        case resource.ENDPOINT:
            return _endpoints(message)
        case resource.LISTENER:
            return _listener(message)
        case _:
            return Findings((), frozenset(_routed(message)), frozenset(), "")


def _cluster(message: Any) -> Findings:
    asked = message.eds_cluster_config.service_name
    ways = frozenset(each.match.fields[clusters.ACCOUNT].string_value for each in message.transport_socket_matches)
    return Findings((), frozenset({(resource.ENDPOINT, asked)} if asked else ()), ways, "")


def _endpoints(message: Any) -> Findings:
    found = [
        each.metadata.filter_metadata[clusters.METADATA].fields[clusters.ACCOUNT].string_value
        for locality in message.endpoints
        for each in locality.lb_endpoints
    ]
    bad = () if all(found) else ("an endpoint does not say whom to expect",)
    return Findings(bad, frozenset(), frozenset(filter(None, found)), "")


def _listener(message: Any) -> Findings:
    names = [chain.name for chain in message.filter_chains]
    wrong = [f"chain {name!r} twice" for name in sorted({name for name in names if names.count(name) > 1})]
    if message.HasField("filter_chain_matcher"):
        wrong += [f"no chain {name!r}" for name in sorted(set(_leaves(message.filter_chain_matcher)) - set(names))]
    elif len(names) != 1:
        wrong.append(f"{len(names)} chains and no matcher")
    refers = frozenset(found for chain in message.filter_chains for each in chain.filters for found in _filtered(each))
    where = message.address.socket_address
    return Findings(tuple(wrong), refers, frozenset(), f"{where.address}|{where.port_value}")


def _filtered(item: Any) -> Iterable[tuple[str, str]]:
    if item.name == tcp.PROXY:
        yield resource.CLUSTER, tcp_proxy_pb2.TcpProxy.FromString(item.typed_config.value).cluster
    elif item.name == http.MANAGER:
        manager = hcm_pb2.HttpConnectionManager.FromString(item.typed_config.value)
        if manager.HasField("rds"):
            yield resource.ROUTE, manager.rds.route_config_name
        else:
            yield from _routed(manager.route_config)


def _routed(message: Any) -> Iterable[tuple[str, str]]:
    return ((resource.CLUSTER, each) for each in routing.referred(message))


def _leaves(matcher: Any) -> Iterator[str]:
    """Give the names of the chains that a tree leads to."""
    tree = matcher.matcher_tree
    branches = [*tree.exact_match_map.map.values()]
    if tree.HasField("custom_match"):
        addresses = ip_pb2.IPMatcher.FromString(tree.custom_match.typed_config.value)
        branches += [each.on_match for each in addresses.range_matchers]
    if matcher.HasField("on_no_match"):
        branches.append(matcher.on_no_match)
    for each in branches:
        if each.HasField("matcher"):
            yield from _leaves(each.matcher)
        else:
            yield each.action.name
