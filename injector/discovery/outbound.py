"""LDS towards others: a listener for each address and port of a Service, and one for every other destination.

Here because the way out is the same for all proxies, so it is made once. What the application connects to arrives at
15001 and is handed to the listener of exactly that address and port, if there is one; so a Service that comes, goes or
changes touches its own listeners only, and each has a protocol of its own: only where nobody said what is spoken does a
listener wait for the client's first bytes. What is left at 15001 is told apart by address: a meshed pod's own address
leads to mTLS with its account, and anything else passes as it is, or is refused where plaintext may not leave.
Connections to the proxy's own ports are refused: they would go round in circles.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.listener.http_inspector.v3 import http_inspector_pb2
from envoy.extensions.filters.listener.original_dst.v3 import original_dst_pb2
from google.protobuf import duration_pb2, wrappers_pb2

from injector import names
from injector.cluster import model, protocols
from injector.discovery import counted, http, matchers, naming, resource, routing, settings, tapped, tcp
from injector.routes import attach
from ipseity import identity

ORIGINAL_DST: Final = "envoy.filters.listener.original_dst"
HTTP_INSPECTOR: Final = "envoy.filters.listener.http_inspector"
PLAIN_HTTP: Final = ("http/1.1", "http/1.0", "h2c")
"""What the HTTP inspector calls what it has seen."""
UNKNOWN: Final = "unknown"
"""Chain for destinations that are nobody's we know."""
ANYWHERE: Final = "0.0.0.0"  # noqa: S104  # redirected connections have any address
ANYWHERE_6: Final = "::"
_COUNTED: Final = http.Extras(logs=(*counted.outbound(), tapped.OUTBOUND))
_NO = wrappers_pb2.BoolValue(value=False)
_YES = wrappers_pb2.BoolValue(value=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Meshed pods that are reached alike by their own addresses."""

    account: identity.ServiceAccount
    plain_ports: frozenset[int]
    """Not redirected to the pod's proxy."""
    http_ports: frozenset[int]
    """Said to be HTTP; on all others bytes are carried, for nothing may wait here for what a client says first."""


def service(item: model.Service, port: model.ServicePort, config: settings.Settings) -> list[resource.Resource]:
    """Make the listeners of a Service port: one for each of its addresses."""
    name = naming.service(port.port, item.key)
    chains = _chains(name, port.protocol)
    needs = [(resource.ROUTE if each == "http" else resource.CLUSTER, name) for each in chains]
    return [
        resource.pack(
            f"{name}|{address}", _service_listener(f"{name}|{address}", (address, port), chains, config), needs
        )
        for address in item.addresses
    ]


def _service_listener(
    name: str, place: tuple[str, model.ServicePort], chains: Mapping[str, Any], config: settings.Settings
) -> Any:
    address, port = place
    listener = listener_pb2.Listener(
        name=name,
        address=http.socket(address, port.port),
        bind_to_port=_NO,
        stat_prefix=naming.OUTBOUND_STATS,
        traffic_direction=base_pb2.OUTBOUND,
        filter_chains=[chains[each] for each in sorted(chains)],
    )
    if port.protocol is model.Protocol.DETECT:
        listener.listener_filters.append(inspect_http())
        listener.filter_chain_matcher.CopyFrom(matchers.by_protocol(dict.fromkeys(PLAIN_HTTP, "http"), "tcp"))
        listener.listener_filters_timeout.CopyFrom(milliseconds(config.outbound_wait_s))
        listener.continue_on_listener_filters_timeout = True
    return listener


def _chains(name: str, protocol: model.Protocol) -> dict[str, Any]:
    """Give the chains that a protocol needs, by name."""
    found = {}
    if protocol is not model.Protocol.OPAQUE:
        manager = http.manager(naming.OUTBOUND_STATS, name, http.ClientCert.DROPPED, _COUNTED)
        found["http"] = listener_components_pb2.FilterChain(name="http", filters=[manager])
    if protocol in {model.Protocol.OPAQUE, model.Protocol.DETECT}:
        carried = [tcp.marked(), tcp.proxy(naming.OUTBOUND_STATS, name)]
        found["tcp"] = listener_components_pb2.FilterChain(name="tcp", filters=carried)
    return found


def route(item: model.Service, port: model.ServicePort, rules: attach.Rules | None = None) -> resource.Resource | None:
    """Make the route of a Service port, apart from its listeners: what it says may change, and no connection ends."""
    if port.protocol is model.Protocol.OPAQUE:
        return None
    name = naming.service(port.port, item.key)
    if rules is not None:
        return routing.route(item.key, rules, port=port.port)
    plain = http.routes(name, name, metadata=counted.parent(item.key, port.port))
    return resource.pack(name, plain, [(resource.CLUSTER, name)])


def group(pod: model.Pod, services: Iterable[model.Service]) -> Group:
    """Say how a meshed pod is reached by its own address."""
    behind = tuple(services)
    ports = {each.port for each in pod.ports if each.protocol == "TCP"}
    ports |= {each.target for service in behind for each in service.ports if isinstance(each.target, int)}
    spoken = {port: protocols.of_pod(pod, port, behind) for port in ports - pod.skip_inbound_ports}
    http_ports = (port for port, each in spoken.items() if each in {model.Protocol.HTTP, model.Protocol.HTTP2})
    return Group(pod.account, pod.skip_inbound_ports, frozenset(http_ports))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Where pods' own addresses lead, made once for all kinds of proxies."""

    matcher: Any
    chains: Mapping[str, Any]
    clusters: tuple[str, ...]


def table(reached: Mapping[Group, Iterable[str]]) -> Table:
    """Make the table. ``reached``: pods' addresses by how they are reached."""
    chains: dict[str, Any] = {}
    branches = []
    for each in sorted(reached, key=lambda one: (one.account, sorted(one.plain_ports), sorted(one.http_ports))):
        cluster = naming.direct(each.account)
        chains[cluster] = _to(cluster, cluster, secured=True)
        towards: dict[int, str] = dict.fromkeys(each.plain_ports, UNKNOWN)
        if each.http_ports:
            chains[f"{cluster}|http"] = _http_to(f"{cluster}|http", cluster)
            towards |= dict.fromkeys(each.http_ports, f"{cluster}|http")
        branches.append((sorted(reached[each]), matchers.by_port(towards, cluster)))
    own = dict.fromkeys((names.OUTBOUND_PORT, names.INBOUND_PORT), naming.REFUSED)
    matcher = matchers.by_port(own, matchers.by_address(branches, UNKNOWN))
    clusters = tuple(sorted({naming.direct(each.account) for each in reached}))
    return Table(matcher=matcher, chains=chains, clusters=clusters)


def everything(given: Table, *, strict: bool, ipv6: bool) -> resource.Resource:
    """Make the listener that all outgoing connections arrive at."""
    unknown = naming.REFUSED if strict else naming.PASSTHROUGH
    chains = {**given.chains, UNKNOWN: _to(UNKNOWN, unknown), naming.REFUSED: _to(naming.REFUSED, naming.REFUSED)}
    listener = redirected(naming.OUTBOUND_LISTENER, names.OUTBOUND_PORT, ipv6=ipv6)
    listener.traffic_direction = base_pb2.OUTBOUND
    listener.use_original_dst.value = True
    listener.filter_chains.extend(chains[name] for name in sorted(chains))
    listener.filter_chain_matcher.CopyFrom(given.matcher)
    needed = {unknown, naming.REFUSED, *given.clusters}
    return resource.pack(listener.name, listener, [(resource.CLUSTER, each) for each in needed])


def redirected(name: str, port: int, *, ipv6: bool) -> Any:
    """Begin a listener for redirected connections, of both families where the proxy's kernel has both."""
    listener = listener_pb2.Listener(
        name=name,
        address=http.socket(ANYWHERE, port),
        stat_prefix=name,
        listener_filters=[_filter(ORIGINAL_DST, original_dst_pb2.OriginalDst())],
    )
    if ipv6:
        listener.additional_addresses.append(listener_pb2.AdditionalAddress(address=http.socket(ANYWHERE_6, port)))
    return listener


def inspect_http() -> Any:
    """Give the listener filter that looks for HTTP."""
    return _filter(HTTP_INSPECTOR, http_inspector_pb2.HttpInspector())


def milliseconds(seconds: float) -> Any:
    """Give a duration."""
    found = duration_pb2.Duration()
    found.FromMilliseconds(int(seconds * 1000))
    return found


def _to(name: str, cluster: str, *, secured: bool = False) -> Any:
    filters = [*([tcp.marked()] if secured else []), tcp.proxy(naming.OUTBOUND_STATS, cluster)]
    return listener_components_pb2.FilterChain(name=name, filters=filters)


def _http_to(name: str, cluster: str) -> Any:
    manager = http.manager(naming.OUTBOUND_STATS, http.routes(cluster, cluster), http.ClientCert.DROPPED, _COUNTED)
    return listener_components_pb2.FilterChain(name=name, filters=[manager])


def _filter(name: str, message: Any) -> Any:
    return listener_components_pb2.ListenerFilter(name=name, typed_config=resource.typed(message))
