"""LDS towards a pod: one listener, and in it a filter chain for each port and each identity that is let in.

Here because Envoy cuts exactly the connections of a chain that is gone or changed, and leaves those of an equal one: so
an identity that is refused from now on loses its connections at once, and nobody else does. Who has no chain of its
own (unknown, refused, beyond the bound) shares one that judges each connection or request by the policies.

- mTLS is told by what the handshake offers (``names.ALPN_*``), so it is on the application's own port;
- what a port speaks is the server's to say: on a port that is said to be HTTP every client's bytes are read as HTTP, so
  ``x-forwarded-client-cert`` cannot be forged; where nobody said, the client's offer tells;
- anything else is plaintext or the application's own TLS: passed on where policy admits it, else closed, but for the
  pod's own probes by HTTP; by HTTPS too, for the kubelet looks at nobody's certificate: the probe's TLS ends here and
  begins anew towards the application, and in between it is judged as any probe;
- the application is reached at the address that the client meant, so it sees what it would see without a proxy when it
  listens on the pod's address only. The proxy's user is not redirected, so this is no circle; its own ports are closed.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Final

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2

from injector import names
from injector.cluster import model, protocols
from injector.discovery import counted, http, matchers, naming, outbound, resource, settings, tapped, tcp, tls
from injector.policy import accesslog, match, rbac
from injector.policy import model as policy
from ipseity import identity

TLS_INSPECTOR: Final = "envoy.filters.listener.tls_inspector"


@dataclasses.dataclass(frozen=True, slots=True)
class Port:
    """One port as its chains are made from it."""

    label: str
    """The number, or ``naming.OTHER``."""
    protocol: model.Protocol
    decided: match.Inbound
    identities: tuple[identity.SpiffeId, ...]
    """Let in without a remark, and few enough to have a chain each."""
    overheard: tuple[identity.SpiffeId, ...] = ()
    """Let in, but a policy that is only audited would refuse them."""


def ports(
    pod: model.Pod,
    services: Sequence[model.Service],
    policies: Sequence[policy.AuthorizationPolicy],
    known: Iterable[identity.SpiffeId],
    config: settings.Settings,
) -> tuple[Port, ...]:
    """Decide about each port of a pod that is named; the last one stands for all others.

    ``known``: the identities that there are; the first of those that are let in have a chain each.
    """
    everybody = tuple(known)
    governing = [each for each in policies if each.selects(pod.ref.namespace, pod.labels)]
    found = []
    for number in (*sorted(match.named_ports(pod, services, governing)), match.UNNAMED):
        decided = match.inbound(governing, pod, number)
        verdicts = [(who, decided.verdict(who)) for who in everybody]
        first = [(who, verdict) for who, verdict in verdicts if verdict.allowed][: config.max_identities]
        chosen = sorted(first, key=lambda each: str(each[0]))  # whoever has ended, or is back, changes nothing by it
        label = str(number) if number else naming.OTHER
        spoken = protocols.of_pod(pod, number, services) if number else model.Protocol.DETECT
        clean = tuple(who for who, verdict in chosen if not verdict.audited)
        found.append(Port(label, spoken, decided, clean, tuple(who for who, verdict in chosen if verdict.audited)))
    return tuple(found)


def listener(given: Sequence[Port], *, ipv6: bool, config: settings.Settings) -> resource.Resource:
    """Make the listener. The same bytes for pods of which the same is decided."""
    chains: dict[str, Any] = {}
    trees: dict[int, Any] = {}
    for each in given:
        built, tree = _port(each, config)
        chains |= built
        if each.label != naming.OTHER:
            trees[int(each.label)] = tree
        else:
            otherwise = tree
    chains[naming.REFUSED] = _chain(naming.REFUSED, [tcp.proxy(naming.REFUSED, naming.REFUSED)])
    trees |= dict.fromkeys((names.OUTBOUND_PORT, names.INBOUND_PORT), matchers.always(naming.REFUSED))
    message = outbound.redirected(naming.INBOUND_LISTENER, names.INBOUND_PORT, ipv6=ipv6)
    inspector = resource.typed(tls_inspector_pb2.TlsInspector())
    message.listener_filters.extend(
        [listener_components_pb2.ListenerFilter(name=TLS_INSPECTOR, typed_config=inspector), outbound.inspect_http()]
    )
    message.listener_filters_timeout.CopyFrom(outbound.milliseconds(config.inbound_wait_s))
    message.continue_on_listener_filters_timeout = True
    message.traffic_direction = base_pb2.INBOUND
    message.access_log.append(accesslog.of_listener())
    message.filter_chains.extend(chains[name] for name in sorted(chains))
    message.filter_chain_matcher.CopyFrom(matchers.by_port(trees, otherwise))
    clusters = [naming.INBOUND, naming.REFUSED]
    if any(_https(each) in chains for each in given):
        clusters.append(naming.INBOUND_TLS)
    return resource.pack(message.name, message, [(resource.CLUSTER, each) for each in clusters])


def _port(port: Port, config: settings.Settings) -> tuple[dict[str, Any], Any]:
    """Make the chains of a port, and the tree that leads to them."""
    chains: dict[str, Any] = {}
    protocol = port.protocol
    speaks_http = protocol in {model.Protocol.HTTP, model.Protocol.HTTP2}
    by_http = _secured(port, chains, config, http_too=True) if protocol is not model.Protocol.OPAQUE else None
    by_bytes = _secured(port, chains, config, http_too=False) if not speaks_http else by_http
    offers = {names.ALPN_HTTP: by_http or by_bytes, names.ALPN_TCP: by_bytes}
    bare = _plain(port, chains)
    if speaks_http:
        silent = _plain_http(port, chains)
    elif protocol is model.Protocol.DETECT or port.decided.probes:
        silent = matchers.by_protocol(dict.fromkeys(outbound.PLAIN_HTTP, _plain_http(port, chains)), bare)
    else:
        silent = bare
    foreign = _probed(port, chains, config) if bare == naming.REFUSED and port.decided.secured_probes else bare
    return chains, matchers.by_transport({"tls": matchers.by_protocol(offers, foreign)}, silent)


def _secured(port: Port, chains: dict[str, Any], config: settings.Settings, *, http_too: bool) -> Any:
    """Add the chains for mTLS, and give the tree over server names. ``http_too``: what is inside is read as HTTP."""
    kind = "http" if http_too else "tcp"
    branches: dict[str, str] = {}
    for who in _apart(port, http_too=http_too):
        name = f"{port.label}|{kind}|{tls.tag(who)}"
        filters = _requests_of(port, who) if http_too else _bytes_of(port, who)
        chains[name] = _chain(name, filters, tls.server(tls.only(who), config))
        branches[tls.server_name(tls.tag(who))] = name
    return matchers.by_server_name(branches, _anybody(port, chains, config, http_too=http_too))


def _apart(port: Port, *, http_too: bool) -> tuple[identity.SpiffeId, ...]:
    """Give who gets a chain alone. A chain is 70 kB of Envoy's memory.

    What is audited of a request is counted by the filter of the common chain; of bytes, by one in the own chain. On
    ports that nobody has declared, clients do not offer HTTP.
    """
    if not http_too:
        return (*port.identities, *port.overheard)
    return () if port.label == naming.OTHER else port.identities


def _requests_of(port: Port, who: identity.SpiffeId) -> list[Any]:
    prefix = naming.inbound(port.label, str(who.account))
    extras = http.Extras(
        local_reply=http.undelivered(), logs=(*counted.inbound(port.label, secured=True), tapped.INBOUND)
    )
    return [http.manager(prefix, _route(), http.ClientCert.WRITTEN, extras)]


def _bytes_of(port: Port, who: identity.SpiffeId) -> list[Any]:
    prefix = naming.inbound(port.label, str(who.account))
    audited = who in port.overheard
    logs = accesslog.of_chain(port.decided, http=False, identified=True) if audited else ()
    return [*_judge(rbac.network_for(port.decided, who)), tcp.proxy(prefix, naming.INBOUND, logs)]


def _anybody(port: Port, chains: dict[str, Any], config: settings.Settings, *, http_too: bool) -> str:
    """Add the chain for those without one of their own: requests are judged singly, connections in the handshake."""
    name = f"{port.label}|{'http' if http_too else 'tcp'}|{naming.ANYBODY}"
    prefix = naming.inbound(port.label, naming.ANYBODY)
    trusted = tls.anybody(config.trust_domain)
    decided = port.decided
    if http_too:
        extras = _judged(port, identified=True)
        filters = [http.manager(prefix, _route(), http.ClientCert.WRITTEN, extras)]
        chains[name] = _chain(name, filters, tls.server(trusted, config))
        return name
    accepted = rbac.client_names(decided)
    if accepted == ():
        return naming.REFUSED
    logs = accesslog.of_chain(decided, http=False, identified=True)
    filters = [*_judge(rbac.network(decided)), tcp.proxy(prefix, naming.INBOUND, logs)]
    chains[name] = _chain(name, filters, tls.server(accepted or trusted, config))
    return name


def _plain(port: Port, chains: dict[str, Any]) -> str:
    """Add the chain for whoever proves nothing and is not seen to speak HTTP."""
    if port.decided.needs_identity:
        return naming.REFUSED
    name = f"{port.label}|tcp|{naming.NOBODY}"
    logs = accesslog.of_chain(port.decided, http=False, identified=False)
    carried = tcp.proxy(naming.inbound(port.label, naming.NOBODY), naming.INBOUND, logs)
    chains[name] = _chain(name, [*_judge(rbac.network(port.decided)), carried])
    return name


def _plain_http(port: Port, chains: dict[str, Any]) -> str:
    """Add the chain for HTTP without an identity: the pod's probes, and whoever needs none."""
    name = f"{port.label}|http|{naming.NOBODY}"
    prefix = naming.inbound(port.label, naming.NOBODY)
    extras = _judged(port, identified=False)
    chains[name] = _chain(name, [http.manager(prefix, _route(), http.ClientCert.DROPPED, extras)])
    return name


def _probed(port: Port, chains: dict[str, Any], config: settings.Settings) -> str:
    """Add the chain for TLS that is not ours where none is admitted: the pod's HTTPS probes pass, whoever asks."""
    name = _https(port)
    prefix = naming.inbound(port.label, naming.NOBODY)
    extras = http.Extras(
        filters=((rbac.HTTP_FILTER, rbac.only(port.decided.secured_probes)),),
        local_reply=http.undelivered(rbac.local_reply(port.decided, identified=False)),
        logs=accesslog.of_chain(port.decided, http=True, identified=False),
    )
    manager = http.manager(prefix, _route(naming.INBOUND_TLS), http.ClientCert.DROPPED, extras)
    chains[name] = _chain(name, [manager], tls.probed(config))
    return name


def _https(port: Port) -> str:
    return f"{port.label}|https|{naming.NOBODY}"


def _judged(port: Port, *, identified: bool) -> http.Extras:
    decided = port.decided
    judge = rbac.http(decided)
    # Probes come without an identity.
    probes = () if identified else tuple(each.path for each in decided.probes)
    return http.Extras(
        filters=() if judge is None else ((rbac.HTTP_FILTER, judge),),
        local_reply=http.undelivered(None if judge is None else rbac.local_reply(decided, identified=identified)),
        logs=(
            *accesslog.of_chain(decided, http=True, identified=identified),
            *counted.inbound(port.label, secured=identified, probes=probes),
            tapped.INBOUND,
        ),
    )


def _judge(judge: Any) -> list[Any]:
    if judge is None:
        return []
    return [listener_components_pb2.Filter(name=rbac.NETWORK_FILTER, typed_config=resource.typed(judge))]


def _route(cluster: str = naming.INBOUND) -> Any:
    return http.routes(cluster, cluster, application=True, without=http.LOOKALIKES)


def _chain(name: str, filters: Iterable[Any], socket: Any = None) -> Any:
    return listener_components_pb2.FilterChain(name=name, filters=filters, transport_socket=socket)
