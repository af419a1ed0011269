"""Two sidecars as a person would write them: Envoy without a control plane, for the same traffic as ours.

The same features: mTLS 1.3 on the application's own port with both SPIFFE IDs checked, authorization by SPIFFE ID, HTTP
with ``x-forwarded-client-cert``, retries of what was never begun, least-request balancing with outlier detection, one
worker. Here as the yardstick: what ours costs beyond these is the price of generating it.
"""

import json
from typing import Any

from injector import names

Json = dict[str, Any]
HTTP, BYTES, PLAIN, DIRECT = 8080, 7000, 7001, 7002
"""Ports: HTTP by mTLS, bytes by mTLS, bytes without TLS, and one that is not redirected."""
CLIENT_ID, SERVER_ID = (f"spiffe://cluster.local/ns/bench/sa/static-{end}" for end in ("client", "server"))
_EXTENSIONS = "type.googleapis.com/envoy.extensions"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def client(folder: str, server: str) -> str:
    """Give the caller's side. ``folder``: where key.pem, cert.pem and ca.pem are; ``server``: the callee's address."""
    chains = [
        _chain(HTTP, [_http("out", _EVERY_HEADER_DROPPED, "http", [])]),
        _chain(BYTES, [_tcp("out", "bytes")]),
        _chain(PLAIN, [_tcp("out", "plain")]),
    ]
    towards = _tls(folder, "Upstream", {"exact": SERVER_ID})
    clusters = [_balanced("http", server, HTTP, towards), _balanced("bytes", server, BYTES, towards), _meant("plain")]
    return _envoy(_listener(names.OUTBOUND_PORT, chains, []), clusters)


def server(folder: str) -> str:
    """Give the callee's side."""
    by = {"principal_name": {"exact": CLIENT_ID}}
    rules = {
        "action": "ALLOW",
        "policies": {"client": {"permissions": [{"any": True}], "principals": [{"authenticated": by}]}},
    }
    judged = _filter("network.rbac.v3.RBAC", {"rules": rules, "stat_prefix": "in"})
    from_client = _tls(folder, "Downstream", {"prefix": "spiffe://cluster.local/"})
    requests = _http("in", _CERTIFICATE_TOLD, "application", [_filter("http.rbac.v3.RBAC", {"rules": rules})])
    chains = [
        _chain(HTTP, [requests], from_client),
        _chain(BYTES, [judged, _tcp("in", "application")], from_client),
        _chain(PLAIN, [_tcp("in", "application")]),
    ]
    inspector = _filter("listener.tls_inspector.v3.TlsInspector", {}, kind="filters")
    return _envoy(_listener(names.INBOUND_PORT, chains, [inspector]), [_meant("application")])


def redirect(hook: str) -> str:
    """Give the nftables rules of one side: ``output`` the caller's, ``prerouting`` the callee's."""
    port = names.OUTBOUND_PORT if hook == "output" else names.INBOUND_PORT
    exempt = f"meta skuid {names.PROXY_UID} return\n oif lo return" if hook == "output" else "iif lo return"
    priority = -100
    ports = f"{HTTP}, {BYTES}, {PLAIN}"
    return f"""
table ip static {{
 chain {hook} {{
  type nat hook {hook} priority {priority};
  {exempt}
  tcp dport {{ {ports} }} redirect to :{port}
 }}
}}
"""


_EVERY_HEADER_DROPPED: Json = {"forward_client_cert_details": "SANITIZE"}
_CERTIFICATE_TOLD: Json = {
    "forward_client_cert_details": "SANITIZE_SET",
    "set_current_client_cert_details": {"uri": True},
}


def _envoy(listener: Json, clusters: list[Json]) -> str:
    return json.dumps({"static_resources": {"listeners": [listener], "clusters": clusters}})


def _listener(port: int, chains: list[Json], inspectors: list[Json]) -> Json:
    original = _filter("listener.original_dst.v3.OriginalDst", {}, kind="filters")
    return {
        "name": str(port),
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": port}},
        "listener_filters": [original, *inspectors],
        "filter_chains": chains,
    }


def _chain(port: int, filters: list[Json], socket: Json | None = None) -> Json:
    made = {"filter_chain_match": {"destination_port": port}, "filters": filters}
    return made if socket is None else {**made, "transport_socket": socket}


def _filter(name: str, config: Json, *, kind: str = "filters") -> Json:
    return {"name": name, "typed_config": {"@type": f"{_EXTENSIONS}.{kind}.{name}", **config}}


def _tcp(prefix: str, cluster: str) -> Json:
    return _filter("network.tcp_proxy.v3.TcpProxy", {"stat_prefix": prefix, "cluster": cluster})


def _http(prefix: str, certificate: Json, cluster: str, before: list[Json]) -> Json:
    retry = {"retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 2}
    route = {"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s", "retry_policy": retry}}
    manager = {
        "stat_prefix": prefix,
        "codec_type": "AUTO",
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [*before, _filter("http.router.v3.Router", {})],
        **certificate,
    }
    return _filter("network.http_connection_manager.v3.HttpConnectionManager", manager)


def _meant(name: str) -> Json:
    """Give a cluster that goes where the client meant to go."""
    return {"name": name, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "5s"}


def _balanced(name: str, address: str, port: int, socket: Json) -> Json:
    endpoint = {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}
    options = {"use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}}}
    return {
        "name": name,
        "type": "STATIC",
        "lb_policy": "LEAST_REQUEST",
        "connect_timeout": "5s",
        "outlier_detection": {"consecutive_gateway_failure": 5},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "transport_socket": socket,
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {"@type": f"type.googleapis.com/{_HTTP_OPTIONS}", **options}
        },
    }


def _tls(folder: str, side: str, expected: Json) -> Json:
    common = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [
            {
                "certificate_chain": {"filename": f"{folder}/cert.pem"},
                "private_key": {"filename": f"{folder}/key.pem"},
            }
        ],
        "validation_context": {
            "trusted_ca": {"filename": f"{folder}/ca.pem"},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": expected}],
        },
    }
    context: Json = {"common_tls_context": common}
    if side == "Downstream":
        context["require_client_certificate"] = True
    return _filter(f"tls.v3.{side}TlsContext", context, kind="transport_sockets")
