"""The configuration of a node's Envoy: two listeners in each pod's network namespace, and where they lead. Pure.

- out: to an address of a pod that takes part, mTLS with the calling pod's certificate, to exactly that pod's account;
  to anything else the bytes as they are. Sent from within the pod's namespace, so under the pod's address.
- in: mTLS, judged by the policies; plaintext only where no policy governs the pod. To the application as it is.

Bytes, not requests: what a ztunnel does without its waypoint. Leaves out the process (``running``).
"""

import pathlib
from collections.abc import Iterable
from typing import Any, Final

from comparisons.node_proxy import model, redirect

Json = dict[str, Any]
ALPN: Final = "ipseity-node"
_TYPE: Final = "type.googleapis.com/envoy"
_TLS: Final = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}
_SOL_SOCKET, _SO_MARK = 1, 36


def bootstrap(node: str, state: pathlib.Path) -> Json:
    """Write what Envoy is started with: everything else comes from two files that change."""
    return {
        "node": {"id": node, "cluster": "node-proxy"},
        "admin": {"address": {"pipe": {"path": str(state / "admin.sock"), "mode": 0o600}}},
        "dynamic_resources": {
            "cds_config": {"path_config_source": {"path": str(state / "cds.json")}, "resource_api_version": "V3"},
            "lds_config": {"path_config_source": {"path": str(state / "lds.json")}, "resource_api_version": "V3"},
        },
    }


def clusters(node: model.Node) -> Json:
    """Write where connections may lead, for each of the node's pods."""
    found: list[Json] = []
    accounts = sorted({it.account for it in node.everybody}, key=str)
    for pod, netns in node.local:
        found.append(_cluster(f"plain|{pod.uid}", pod, netns))
        for account in accounts:
            name = model.server_name(pod.spiffe_id)
            socket = _socket("Upstream", _common(node, pod, [model.spiffe_id(account)]), sni=name, max_session_keys=0)
            found.append(_cluster(f"to|{account}|{pod.uid}", pod, netns, socket))
    return _resources("config.cluster.v3.Cluster", found)


def listeners(node: model.Node) -> Json:
    """Write what listens in each of the node's pods."""
    found: list[Json] = []
    for pod, netns in node.local:
        found += [_outbound(node, pod, netns), _inbound(node, pod, netns)]
    return _resources("config.listener.v3.Listener", found)


def _outbound(node: model.Node, pod: model.Pod, netns: pathlib.Path) -> Json:
    addresses: dict[str, list[str]] = {}
    for other in node.everybody:
        if other.address and other.uid != pod.uid:
            addresses.setdefault(str(other.account), []).append(other.address)
    chains = [
        {
            "name": f"to|{account}",
            "filter_chain_match": {
                "prefix_ranges": [{"address_prefix": each, "prefix_len": 32} for each in sorted(set(mine))]
            },
            "filters": [_carried(f"to|{account}|{pod.uid}")],
        }
        for account, mine in sorted(addresses.items())
    ]
    plain = {"name": "plain", "filters": [_carried(f"plain|{pod.uid}")]}
    return {
        **_listener("out", pod, netns, redirect.OUTBOUND),
        "filter_chains": chains,
        "default_filter_chain": plain,
    }


def _inbound(node: model.Node, pod: model.Pod, netns: pathlib.Path) -> Json:
    """Have a chain for each identity that is admitted: one that is not any more loses its connections, and no other."""
    governing = [it for it in node.policies if it.namespace == pod.account.namespace and it.pods.matches(pod.labels)]
    rules = [rule for policy in governing for rule in policy.rules]
    chains = [
        _secured(node, pod, who, [_judged([rule for rule in rules if who in rule.callers])])
        for who in sorted({who for rule in rules for who in rule.callers})
    ]
    made = _listener("in", pod, netns, redirect.INBOUND)
    inspector = _filter("listener.tls_inspector", "filters.listener.tls_inspector.v3.TlsInspector")
    made["listener_filters"].insert(0, inspector)
    if not governing:
        chains = [_secured(node, pod, "", [])]
        made["default_filter_chain"] = {"name": "plain", "filters": [_carried(f"plain|{pod.uid}")]}
    return {**made, "filter_chains": chains}


def _secured(node: model.Node, pod: model.Pod, who: str, judged: list[Json]) -> Json:
    """Make the chain of one identity, found by the name that it says in the handshake; of anybody, if it is empty."""
    match: Json = {"transport_protocol": "tls", "application_protocols": [ALPN]}
    if who:
        match["server_names"] = [model.server_name(who)]
    return {
        "name": f"mtls|{who}",
        "filter_chain_match": match,
        "filters": [*judged, _carried(f"plain|{pod.uid}")],
        "transport_socket": _socket(
            "Downstream",
            _common(node, pod, [who] if who else []),
            require_client_certificate=True,
            disable_stateless_session_resumption=True,
            disable_stateful_session_resumption=True,
        ),
    }


def _listener(which: str, pod: model.Pod, netns: pathlib.Path, port: int) -> Json:
    where = {"address": "0.0.0.0", "port_value": port, "network_namespace_filepath": str(netns)}  # noqa: S104  # in a pod
    original = _filter("listener.original_dst", "filters.listener.original_dst.v3.OriginalDst")
    return {"name": f"{which}|{pod.uid}", "address": {"socket_address": where}, "listener_filters": [original]}


def _judged(rules: Iterable[model.Rule]) -> Json:
    """Admit to the ports that any rule names; one that names none is for every port."""
    every: Json = {"any": True}
    ports = [{"destination_port": port} if port else every for rule in rules for port in rule.ports or (0,)]
    policies = {"admitted": {"principals": [every], "permissions": ports}}
    said = {"action": "ALLOW", "policies": policies}
    return _filter("network.rbac", "filters.network.rbac.v3.RBAC", stat_prefix="in", rules=said)


def _carried(cluster: str) -> Json:
    return _filter("network.tcp_proxy", "filters.network.tcp_proxy.v3.TcpProxy", stat_prefix="bytes", cluster=cluster)


def _cluster(name: str, pod: model.Pod, netns: pathlib.Path, socket: Json | None = None) -> Json:
    """Lead to the address that was called, from within the pod."""
    here = {"address": pod.address, "port_value": 0, "network_namespace_filepath": str(netns)}
    mark = {"level": _SOL_SOCKET, "name": _SO_MARK, "int_value": redirect.MARK, "state": "STATE_PREBIND"}
    made = {
        "name": name,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "5s",
        "upstream_bind_config": {"source_address": here, "socket_options": [mark]},
    }
    return made if socket is None else {**made, "transport_socket": socket}


def _common(node: model.Node, pod: model.Pod, expected: Iterable[str]) -> Json:
    """Speak as a pod, to some others; to anybody of the trust domain if none is said."""
    names = [{"exact": who} for who in expected] or [{"prefix": f"spiffe://{model.DOMAIN}/"}]
    path = str(node.keys / model.folder(pod.account) / "sds-workload.json")
    source = {"path_config_source": {"path": path}, "resource_api_version": "V3"}
    return {
        "tls_params": _TLS,
        "alpn_protocols": [ALPN],
        "tls_certificate_sds_secret_configs": [{"name": "workload", "sds_config": source}],
        "validation_context": {
            "trusted_ca": {"filename": str(node.trust)},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": it} for it in names],
        },
    }


def _socket(side: str, common: Json, **more: Any) -> Json:
    kind = f"{_TYPE}.extensions.transport_sockets.tls.v3.{side}TlsContext"
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": kind, "common_tls_context": common, **more},
    }


def _filter(name: str, kind: str, **said: Any) -> Json:
    return {"name": f"envoy.filters.{name}", "typed_config": {"@type": f"{_TYPE}.extensions.{kind}", **said}}


def _resources(kind: str, found: Iterable[Json]) -> Json:
    return {"resources": [{"@type": f"{_TYPE}.{kind}", **each} for each in found]}
