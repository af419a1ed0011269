"""The mesh's golden metrics, by who called; what was refused, what was not secured; and the control plane."""

from typing import Final

from deploy.dashboards import board
from deploy.dashboards.board import RATE, Panel, ask

_POD: Final = 'namespace=~"$namespace", pod=~"$pod"'
_INBOUND: Final = f'{_POD}, envoy_http_conn_manager_prefix=~"inbound.*"'
_OUTBOUND: Final = f'{_POD}, envoy_cluster_name=~"(outbound|direct|passthrough).*"'
_CALLER: Final = r'"caller", "$1", "envoy_http_conn_manager_prefix", "inbound.[0-9]+.(.*)"'
"""``inbound|<port>|<namespace>/<account>``: by whom, as the certificate says; ``-``: nobody that was proven."""


def _by_caller(expr: str) -> str:
    return f"label_replace({expr}, {_CALLER})"


def _answered(*more: str, by: str = "envoy_http_conn_manager_prefix") -> str:
    which = ", ".join((_INBOUND, *more))
    return f"sum by ({by}) (rate(envoy_http_downstream_rq_xx{{{which}}}{RATE}))"


def _within(share: float) -> str:
    buckets = f"rate(envoy_http_downstream_rq_time_bucket{{{_INBOUND}}}{RATE})"
    return f"histogram_quantile({share}, sum by (le) ({buckets}))"


_CALLS: Final = (
    Panel(
        title="Requests",
        doc="Answered, by the calling account that was proven; -: plaintext.",
        unit="reqps",
        width=8,
        queries=(ask(_by_caller(_answered()), "{{caller}}"),),
    ),
    Panel(
        title="Success",
        doc="Share that was not answered with 5xx.",
        unit="percentunit",
        width=8,
        low=None,
        queries=(
            ask(
                _by_caller(
                    f"""1 - ({_answered('envoy_response_code_class="5"')} or 0 * {_answered()}) / ({_answered()} > 0)"""
                ),
                "{{caller}}",
            ),
        ),
    ),
    Panel(
        title="Time to answer",
        unit="ms",
        width=8,
        queries=tuple(ask(_within(share), name) for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))),
    ),
    Panel(
        title="Answers by class of status",
        kind="stack",
        unit="reqps",
        width=8,
        queries=(ask(_answered(by="envoy_response_code_class"), "{{envoy_response_code_class}}xx"),),
    ),
    Panel(
        title="Refused by policy",
        doc="Requests that an AuthorizationPolicy did not let in.",
        unit="reqps",
        width=8,
        none="none",
        queries=(
            ask(
                _by_caller(
                    f"""sum by (namespace, pod, envoy_http_conn_manager_prefix)
                    (rate(envoy_http_rbac_denied{{{_INBOUND}}}{RATE}))"""
                ),
                "{{namespace}}/{{pod}} ← {{caller}}",
            ),
        ),
    ),
    Panel(
        title="Bytes of TCP",
        doc="Of ports whose protocol is not looked into.",
        unit="Bps",
        width=8,
        queries=(
            ask(f"sum(rate(envoy_tcp_downstream_cx_rx_bytes_total{{{_POD}}}{RATE}))", "from callers"),
            ask(f"sum(rate(envoy_tcp_downstream_cx_tx_bytes_total{{{_POD}}}{RATE}))", "to callers"),
        ),
    ),
)
_BACKEND: Final = "parent_namespace, parent_name, route_name, dst_service"
_BACKEND_NAME: Final = "{{parent_namespace}}/{{parent_name}} {{route_name}} → {{dst_service}}"


def _routed(*more: str, name: str = "response_total", by: str = _BACKEND) -> str:
    which = ", ".join((_POD, 'direction="outbound"', *more))
    return f"sum by ({by}) (rate({name}{{{which}}}{RATE}))"


_ROUTES: Final = (
    Panel(
        title="Requests, by Service, route and backend",
        doc="As callers count them. No backend: none answered, as for a redirect.",
        unit="reqps",
        width=8,
        queries=(ask(f"topk(20, {_routed()})", _BACKEND_NAME),),
    ),
    Panel(
        title="Success, by backend",
        doc="As callers saw it, retries done; gRPC's own status counts.",
        unit="percentunit",
        width=8,
        low=None,
        queries=(
            ask(
                f"""bottomk(20, ({_routed('classification="success"')} or 0 * {_routed()}) / ({_routed()} > 0))""",
                _BACKEND_NAME,
            ),
        ),
    ),
    Panel(
        title="Time to answer, 99th percentile, by backend",
        unit="ms",
        width=8,
        queries=(
            ask(
                f"""topk(20, histogram_quantile(0.99,
                {_routed(name="response_latency_ms_bucket", by=f"{_BACKEND}, le")}))""",
                _BACKEND_NAME,
            ),
        ),
    ),
)
_CONNECTIONS: Final = (
    Panel(
        title="Begun, by where they lead",
        unit="cps",
        width=8,
        queries=(
            ask(
                f"sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_cx_total{{{_OUTBOUND}}}{RATE}))",
                "{{envoy_cluster_name}}",
            ),
        ),
    ),
    Panel(
        title="Not secured",
        doc="Begun less those in which both ends have proven who they are: plaintext, to what is no pod of the mesh.",
        unit="cps",
        width=8,
        queries=(
            ask(
                f"""sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_cx_total{{{_OUTBOUND}}}{RATE}))
                - (sum by (envoy_cluster_name) (rate(envoy_cluster_ssl_handshake{{{_OUTBOUND}}}{RATE}))
                   or 0 * sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_cx_total{{{_OUTBOUND}}}{RATE})))""",
                "{{envoy_cluster_name}}",
            ),
        ),
    ),
    Panel(
        title="Never established",
        unit="cps",
        width=8,
        none="none",
        queries=(
            ask(
                f"sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_cx_connect_fail{{{_POD}}}{RATE}))",
                "{{envoy_cluster_name}}",
            ),
        ),
    ),
)
_CONTROL: Final = (
    Panel(
        title="Proxies",
        doc="synced: they act on what is; behind, refusing: on what was.",
        kind="stack",
        unit="short",
        width=8,
        queries=(ask("sum by (state) (ipseity_discovery_proxies)", "{{state}}"),),
    ),
    Panel(
        title="From a change to a proxy",
        unit="s",
        width=8,
        queries=tuple(
            ask(f"histogram_quantile({share}, sum by (le) (rate(ipseity_discovery_push_seconds_bucket{RATE})))", name)
            for share, name in ((0.5, "p50"), (0.99, "p99"))
        ),
    ),
    Panel(
        title="Refused by proxies, and not consistent",
        doc="Both are defects of ours: proxies go on with what they had.",
        unit="short",
        width=8,
        none="0",
        levels=(("red", 0.5),),
        queries=(
            ask("sum by (type) (increase(ipseity_discovery_nacks_total[$__range]))", "refused {{type}}"),
            ask("sum(increase(ipseity_discovery_inconsistent_total[$__range]))", "not served"),
        ),
    ),
    Panel(
        title="Who decides",
        doc="Of the replicas: exactly one.",
        kind="number",
        unit="short",
        width=8,
        height=6,
        levels=(("red", -1), ("green", 1), ("red", 1.5)),
        queries=(ask("sum(ipseity_control_leads)"),),
    ),
    Panel(
        title="Pods asked about",
        doc="By the webhook.",
        unit="cps",
        width=8,
        height=6,
        queries=(ask(f"sum by (result) (rate(ipseity_injection_reviews_total{RATE}))", "{{result}}"),),
    ),
    Panel(
        title="Objects that cannot be read",
        doc="Annotations, Services, or what the API server told: see ipseity check.",
        unit="short",
        width=8,
        height=6,
        levels=(("orange", 0.5),),
        queries=(
            ask("max(ipseity_discovery_misconfigured_pods)", "pods"),
            ask("max(ipseity_discovery_misconfigured_services)", "services"),
            ask("max by (resource) (ipseity_discovery_malformed_objects)", "{{resource}}"),
        ),
    ),
)

BOARD: Final = board.Board(
    uid="ipseity-mesh",
    title="mesh",
    doc="What proxies count of calls, by proven identity; and the control plane. Metrics: docs/metrics.md.",
    hours=1,
    variables=(
        board.Variable(name="namespace", label="Namespace", metric="envoy_server_live", of="namespace"),
        board.Variable(name="pod", label="Pod", metric="envoy_server_live", of="pod"),
    ),
    rows=(
        ("Calls", _CALLS),
        ("Routes", _ROUTES),
        ("Connections that leave", _CONNECTIONS),
        ("Control plane", _CONTROL),
    ),
)
