"""CDS: where connections go. One cluster per Service port, one per meshed account for its pods' own addresses.

Here because how an endpoint is reached is said once, for all who reach it. The name under which a cluster asks for its
endpoints holds a digest of the cluster: endpoints that expect an account never meet the cluster of a moment ago, which
has no way to that account and would fall back to plaintext. Leaves out the endpoints (``endpoints``).
"""

import socket
from collections.abc import Iterable
from typing import Any, Final

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2, outlier_detection_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, socket_option_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf import duration_pb2, struct_pb2, wrappers_pb2

from injector.cluster import balancing, model
from injector.discovery import counted, http, naming, resource, settings, tls
from injector.sidecar import redirect
from ipseity import identity

METADATA: Final = "envoy.transport_socket_match"
ACCOUNT: Final = "account"
"""Key of an endpoint's metadata: whom to expect there."""
RETRY_BUDGET: Final = 0.2
"""Retries for each first attempt under way to a Service port by rules that want retries, and at least one. Linkerd's
default ratio."""
_IDLE_S: Final = 300
"""Less than a server's own manager waits (Envoy's default: an hour), so that the client's end closes first."""
_APPLICATION_IDLE_S: Final = 4
"""Towards the pod's own application: less than the 5 s after which common servers close an unused connection."""
_SO_PRIORITY: Final = 12
"""Linux, on every architecture that Envoy is built for."""
_EVERY: Final = wrappers_pb2.UInt32Value(value=2**32 - 1)
_FAILURES: Final = wrappers_pb2.UInt32Value(value=5)
_OFF: Final = wrappers_pb2.UInt32Value(value=0)
_MOST_ACCRUAL_SWEEP_S: Final = 5.0
_POLICIES: Final = {
    balancing.Policy.LEAST_REQUEST: cluster_pb2.Cluster.LEAST_REQUEST,
    balancing.Policy.ROUND_ROBIN: cluster_pb2.Cluster.ROUND_ROBIN,
    balancing.Policy.RANDOM: cluster_pb2.Cluster.RANDOM,
}
_Clusters = list[resource.Resource]


def accounts(endpoints: Iterable[model.Endpoint]) -> tuple[identity.ServiceAccount, ...]:
    """Give whom one may meet behind a port, sorted."""
    return tuple(sorted({each.account for each in endpoints if each.account is not None}))


def service(item: model.Service, port: model.ServicePort, config: settings.Settings) -> resource.Resource:
    """Make the cluster of a Service port."""
    name = naming.service(port.port, item.key)
    cluster = _plain(name, config)
    cluster.type = cluster_pb2.Cluster.EDS
    cluster.lb_policy = _POLICIES[item.balance.policy]
    if item.balance.accrual is None:
        cluster.outlier_detection.CopyFrom(_outliers())
    else:
        _accrue(cluster, item.balance.accrual)
    cluster.transport_socket_matches.extend(_ways(accounts(item.endpoints.get(port.name, ())), config))
    cluster.circuit_breakers.thresholds.append(_budgeted())
    for each in cluster.circuit_breakers.thresholds:
        _limit(each, item.balance)
    cluster.metadata.CopyFrom(counted.service(item.key))
    cluster.ignore_health_on_host_removal = True
    cluster.upstream_bind_config.CopyFrom(_leaving())
    cluster.eds_cluster_config.eds_config.CopyFrom(http.ads())
    asked = f"{name}@{resource.digest(cluster)}"
    cluster.eds_cluster_config.service_name = asked
    return resource.pack(name, cluster, [(resource.ENDPOINT, asked)])


def direct(account: identity.ServiceAccount, config: settings.Settings) -> resource.Resource:
    """Make the cluster of an account's pods, at whatever address the client means: mTLS with exactly that account."""
    cluster = _as_meant(naming.direct(account), config)
    cluster.transport_socket.CopyFrom(tls.client(identity.SpiffeId(config.trust_domain, account), config))
    cluster.upstream_bind_config.CopyFrom(_leaving())
    cluster.metadata.CopyFrom(counted.of({"dst_namespace": account.namespace}))
    return resource.pack(cluster.name, cluster)


def common(config: settings.Settings) -> _Clusters:
    """Make those that every proxy has."""
    application = _as_meant(naming.INBOUND, config, idle_s=_APPLICATION_IDLE_S)
    secured = _as_meant(naming.INBOUND_TLS, config, idle_s=_APPLICATION_IDLE_S)
    secured.transport_socket.CopyFrom(tls.application())
    refused = _plain(naming.REFUSED, config)
    refused.type = cluster_pb2.Cluster.STATIC
    made = (application, secured, _as_meant(naming.PASSTHROUGH, config), refused)
    return [resource.pack(each.name, each) for each in made]


def _plain(name: str, config: settings.Settings, *, idle_s: int = _IDLE_S) -> Any:
    """Begin a cluster: no limits of ours, for those are the application's; broken connections are noticed."""
    wait = duration_pb2.Duration()
    wait.FromMilliseconds(int(config.connect_timeout_s * 1000))
    limits = circuit_breaker_pb2.CircuitBreakers.Thresholds(
        max_connections=_EVERY, max_pending_requests=_EVERY, max_requests=_EVERY, max_retries=_EVERY
    )
    number = wrappers_pb2.UInt32Value
    return cluster_pb2.Cluster(
        name=name,
        connect_timeout=wait,
        circuit_breakers=circuit_breaker_pb2.CircuitBreakers(thresholds=[limits]),
        upstream_connection_options=cluster_pb2.UpstreamConnectionOptions(
            tcp_keepalive=address_pb2.TcpKeepalive(
                keepalive_probes=number(value=3), keepalive_time=number(value=300), keepalive_interval=number(value=10)
            )
        ),
        typed_extension_protocol_options={http.PROTOCOL_OPTIONS: http.upstream(idle_s)},
    )


def _budgeted() -> Any:
    """Limit what routes want tried again, and nothing else: they use the priority HIGH.

    What was never begun is tried again without a limit, since it adds no load; a failure that is tried again does.
    """
    return circuit_breaker_pb2.CircuitBreakers.Thresholds(
        priority=base_pb2.HIGH,
        max_connections=_EVERY,
        max_pending_requests=_EVERY,
        max_requests=_EVERY,
        retry_budget=circuit_breaker_pb2.CircuitBreakers.Thresholds.RetryBudget(
            # Envoy counts retries among what is under way.
            budget_percent=percent_pb2.Percent(value=100 * RETRY_BUDGET / (1 + RETRY_BUDGET)),
            min_retry_concurrency=wrappers_pb2.UInt32Value(value=1),
        ),
    )


def _as_meant(name: str, config: settings.Settings, *, idle_s: int = _IDLE_S) -> Any:
    cluster = _plain(name, config, idle_s=idle_s)
    cluster.type = cluster_pb2.Cluster.ORIGINAL_DST
    cluster.lb_policy = cluster_pb2.Cluster.CLUSTER_PROVIDED
    return cluster


def _leaving() -> Any:
    """Mark sockets that leave for an endpoint: where that is this very pod, they are led to its inbound side."""
    priority = socket_option_pb2.SocketOption(
        description="hairpin",
        level=socket.SOL_SOCKET,
        name=_SO_PRIORITY,
        int_value=redirect.HAIRPIN_PRIORITY,
        state=socket_option_pb2.SocketOption.STATE_PREBIND,
    )
    return address_pb2.BindConfig(socket_options=[priority])


def _ways(expected: Iterable[identity.ServiceAccount], config: settings.Settings) -> list[Any]:
    """Give a way for each account, and one for endpoints that expect nobody: that one says so, and matches no other."""
    found = [
        cluster_pb2.Cluster.TransportSocketMatch(
            name=naming.match(account),
            match=marked(account),
            transport_socket=tls.client(identity.SpiffeId(config.trust_domain, account), config),
        )
        for account in expected
    ]
    plain = cluster_pb2.Cluster.TransportSocketMatch(
        name=naming.PLAINTEXT, match=marked(None), transport_socket=tls.plaintext()
    )
    return [*found, plain]


def marked(account: identity.ServiceAccount | None) -> Any:
    """Give the metadata of an endpoint by which its way is found."""
    value = struct_pb2.Value(string_value=naming.PLAINTEXT if account is None else str(account))
    return struct_pb2.Struct(fields={ACCOUNT: value})


def _outliers() -> Any:
    """Leave out for a while what cannot be reached or answers for nobody (502, 503, 504); never over half of it.

    An application's own 500 says nothing about the endpoint, and ejecting for it would spread a bug into an outage.
    """
    return outlier_detection_pb2.OutlierDetection(
        split_external_local_origin_errors=True,
        consecutive_local_origin_failure=_FAILURES,
        enforcing_consecutive_local_origin_failure=wrappers_pb2.UInt32Value(value=100),
        consecutive_gateway_failure=_FAILURES,
        enforcing_consecutive_gateway_failure=wrappers_pb2.UInt32Value(value=100),
        enforcing_consecutive_5xx=_OFF,
        enforcing_success_rate=_OFF,
        enforcing_local_origin_success_rate=_OFF,
        interval=duration_pb2.Duration(seconds=5),
        base_ejection_time=duration_pb2.Duration(seconds=10),
        max_ejection_percent=wrappers_pb2.UInt32Value(value=50),
    )


def _accrue(cluster: Any, accrual: balancing.Accrual) -> None:
    """Break the circuit to an endpoint as its Service says: every 5xx counts, and all endpoints may be left out.

    A gRPC status counts as the HTTP status that Envoy takes it for. Where all are left out requests fail at once,
    instead of going to endpoints of which it is known that they fail.
    """
    number = wrappers_pb2.UInt32Value
    failures, always = number(value=accrual.max_failures), number(value=100)
    cluster.outlier_detection.CopyFrom(
        outlier_detection_pb2.OutlierDetection(
            split_external_local_origin_errors=True,
            consecutive_5xx=failures,
            enforcing_consecutive_5xx=always,
            consecutive_local_origin_failure=failures,
            enforcing_consecutive_local_origin_failure=always,
            enforcing_consecutive_gateway_failure=_OFF,  # they are among the 5xx
            enforcing_success_rate=_OFF,
            enforcing_local_origin_success_rate=_OFF,
            # Envoy lets endpoints back in when it looks, so it looks as often as the shortest penalty is long.
            interval=_duration(min(accrual.min_penalty_s, _MOST_ACCRUAL_SWEEP_S)),
            base_ejection_time=_duration(accrual.min_penalty_s),
            max_ejection_time=_duration(accrual.max_penalty_s),
            max_ejection_time_jitter=_duration(accrual.jitter_ratio * accrual.min_penalty_s),
            max_ejection_percent=always,
        )
    )
    # Both are 0, which is not the same as nothing: no panic, and no second of waiting between two endpoints' turns.
    cluster.common_lb_config.healthy_panic_threshold.SetInParent()
    cluster.common_lb_config.update_merge_window.SetInParent()


def _limit(thresholds: Any, said: balancing.Balancing) -> None:
    """Set the limits that a Service names."""
    for field in ("max_connections", "max_pending_requests", "max_requests"):
        most = getattr(said, field)
        if most is not None:
            getattr(thresholds, field).value = most


def _duration(seconds: float) -> Any:
    found = duration_pb2.Duration()
    found.FromMilliseconds(max(1, round(seconds * 1000)))
    return found
