"""What Envoy is started with: how it reaches the control plane, and what it shows of itself. Pure, as plain JSON.

Here because everything else comes from the control plane (``discovery``), so this is all that a proxy must believe
before it has heard anything:

- one cluster ``xds``: delta ADS by mTLS, with the pod's certificate, to exactly the control plane's SPIFFE ID;
- a listener for ``/ready`` and ``/metrics`` on 15020, in front of the admin socket. Exact paths, GET only: the rest of
  Envoy's admin interface can stop it, and stays on a Unix socket that only the proxy's user can open;
- limits: connections, memory, and what a metric may cost.

JSON, because in YAML a key ``n`` or a value ``on`` is a boolean. Leaves out the process (``envoy``).
"""

from typing import Any, Final, NamedTuple

from injector import names
from injector.sidecar import files, orders

Json = dict[str, Any]
XDS: Final = "xds"
"""Cluster: the control plane. Discovery must not use the name."""
ADMIN: Final = "admin"
"""Cluster and stat prefix: Envoy's own admin socket."""
TAP: Final = "tap"
"""Cluster: whoever taps this pod, if somebody does. Discovery refers to it, and Envoy wants it to be here."""
STATUS: Final = "status"
"""Listener and stat prefix: 15020."""
_TYPE: Final = "type.googleapis.com/envoy"
_TLS_1_3: Final = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}
"""Both: Envoy's default maximum as a client is TLS 1.2, and then it offers nothing at all."""
_BUCKETS_MS: Final = (1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 5000, 10_000, 30_000)
"""Linkerd's grid of latencies, thinned and without its top: 20 series per histogram, comparable."""
_UNWANTED: Final = (
    r"^cluster\.(admin|tap)\..*",
    r"^access_logs\..*",
    r"^runtime\..*",
    r"^server\.(hot_restart.*|dropped_stat_flushes|stats_recent_lookups)$",
    r"^(cluster|listener)\..*\.ssl\.(curves|sigalgs|ciphers)\..*",
    r"^cluster\..*\.(update_no_rebuild|assignment_.*|retry_or_shadow_abandoned|original_dst_host_invalid)$",
    r"^cluster\..*\.circuit_breakers\.high\..*",
    r"^http\.(status|admin)\..*",
    r"^listener\..*\.worker_\d+\..*",
)
"""Statistics that nobody can act on, and that would be paid for with memory in every pod."""


class Facts(NamedTuple):
    """Of the pod that Envoy starts in."""

    ipv6: bool
    """The pod's kernel has IPv6."""
    heap_bytes: int
    """What Envoy may allocate; 0: no limit is known."""


def make(told: orders.Orders, facts: Facts) -> Json:
    """Make the whole bootstrap."""
    ads = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}  # 0: ready means configured
    return {
        "node": {
            "id": f"{told.pod_name}.{told.pod_namespace}",
            "cluster": f"{told.service_account}.{told.pod_namespace}",
            "metadata": {
                "pod_uid": told.pod_uid,
                "node_name": told.node_name,
                "ipv6": facts.ipv6,
                "taps": True,  # it has the cluster TAP
                "version": told.version,
            },
        },
        "admin": {
            "address": {"pipe": {"path": files.admin_socket(told.workload_dir), "mode": 0o600}},
            "ignore_global_conn_limit": True,
        },
        "static_resources": {
            "listeners": [_status_listener(facts)],
            "clusters": [
                _xds_cluster(told),
                _pipe(ADMIN, files.admin_socket(told.workload_dir)),
                _pipe(TAP, files.tap_socket(told.workload_dir)),
            ],
        },
        "dynamic_resources": {"ads_config": _ads_config(), "lds_config": ads, "cds_config": ads},
        # The layer in which the admin socket may set values: how many requests a tap is told of.
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
        "stats_config": _stats_config(),
        "stats_flush_on_admin": True,
        "overload_manager": _overload_manager(told, facts),
    }


def _ads_config() -> Json:
    return {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [
            {
                "envoy_grpc": {
                    "cluster_name": XDS,
                    # Full jitter between; so a control plane that comes back is not met by everybody at once.
                    "retry_policy": {"retry_back_off": {"base_interval": "0.5s", "max_interval": "5s"}},
                }
            }
        ],
    }


def _xds_cluster(told: orders.Orders) -> Json:
    host, _, port = told.discovery_address.rpartition(":")
    return {
        "name": XDS,
        # LOGICAL_DNS keeps its connection when a name server fails, and takes a changed address for the next one.
        "type": "LOGICAL_DNS",
        "dns_lookup_family": "ALL",
        "connect_timeout": "5s",
        "load_assignment": _one_endpoint(
            XDS, {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}
        ),
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{_TYPE}.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": told.control_plane,
                "common_tls_context": _identity(told),
            },
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {
                    "http2_protocol_options": {"connection_keepalive": {"interval": "20s", "timeout": "10s"}}
                },
            }
        },
        "upstream_connection_options": {
            "tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 30, "keepalive_interval": 5}
        },
    }


def _identity(told: orders.Orders) -> Json:
    by_id = {"san_type": "URI", "matcher": {"exact": told.control_plane_id}}
    return {
        "tls_params": dict(_TLS_1_3),
        "alpn_protocols": ["h2"],
        "tls_certificate_sds_secret_configs": [
            {"name": files.WORKLOAD, "sds_config": _file(files.sds_workload(told.workload_dir), told)}
        ],
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": [by_id]},
            "validation_context_sds_secret_config": {
                "name": files.TRUST,
                "sds_config": _file(files.sds_trust(told.workload_dir), told),
            },
        },
    }


def _file(path: str, told: orders.Orders) -> Json:
    return {
        "path_config_source": {"path": path, "watched_directory": {"path": told.workload_dir}},
        "resource_api_version": "V3",
    }


def _pipe(name: str, path: str) -> Json:
    """Make a cluster of one socket in the pod's own directory."""
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": _one_endpoint(name, {"pipe": {"path": path}}),
    }


def _one_endpoint(cluster: str, address: Json) -> Json:
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}


def _status_listener(facts: Facts) -> Json:
    anywhere = {"address": "::", "ipv4_compat": True} if facts.ipv6 else {"address": "0.0.0.0"}  # noqa: S104  # probes come from the node
    manager = {
        "@type": f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": STATUS,
        "codec_type": "HTTP1",
        "generate_request_id": False,
        "common_http_protocol_options": {"idle_timeout": "60s", "max_connection_duration": "600s"},
        "request_headers_timeout": "5s",
        "request_timeout": "10s",
        "route_config": {
            "name": STATUS,
            "virtual_hosts": [
                {
                    "name": STATUS,
                    "domains": ["*"],
                    "routes": [_route("/ready", "/ready"), _route("/metrics", "/stats/prometheus?usedonly")],
                }
            ],
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    return {
        "name": STATUS,
        "stat_prefix": STATUS,
        "address": {"socket_address": {"port_value": names.STATUS_PORT, **anywhere}},
        "ignore_global_conn_limit": True,
        "bypass_overload_manager": True,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def _route(path: str, admin_path: str) -> Json:
    get = {"name": ":method", "string_match": {"exact": "GET"}}
    return {
        "match": {"path": path, "headers": [get]},
        "route": {"cluster": ADMIN, "prefix_rewrite": admin_path, "timeout": "10s"},
    }


def _stats_config() -> Json:
    return {
        "stats_matcher": {"exclusion_list": {"patterns": [{"safe_regex": {"regex": regex}} for regex in _UNWANTED]}},
        "histogram_bucket_settings": [
            {"match": {"safe_regex": {"regex": ".*"}}, "buckets": [float(ms) for ms in _BUCKETS_MS]}
        ],
    }


def _overload_manager(told: orders.Orders, facts: Facts) -> Json:
    prefix = f"{_TYPE}.extensions.resource_monitors"
    monitors = [
        {
            "name": "envoy.resource_monitors.global_downstream_max_connections",
            "typed_config": {
                "@type": f"{prefix}.downstream_connections.v3.DownstreamConnectionsConfig",
                "max_active_downstream_connections": told.max_connections,
            },
        }
    ]
    if not facts.heap_bytes:
        return {"resource_monitors": monitors}
    heap = "envoy.resource_monitors.fixed_heap"
    config = {"@type": f"{prefix}.fixed_heap.v3.FixedHeapConfig", "max_heap_size_bytes": facts.heap_bytes}
    return {
        "refresh_interval": "1s",
        "resource_monitors": [*monitors, {"name": heap, "typed_config": config}],
        "actions": [
            {"name": f"envoy.overload_actions.{action}", "triggers": [{"name": heap, "threshold": {"value": share}}]}
            for action, share in (
                ("shrink_heap", 0.90),
                ("disable_http_keepalive", 0.93),
                ("stop_accepting_connections", 0.97),
            )
        ],
    }
