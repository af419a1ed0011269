"""What a proxy tells of a request while somebody taps it: a fixed, short record, and nothing at any other time.

Here because what may leave a pod is decided in one place: no body, no query, no header but the host that was asked for.
What is not listed here never reaches whoever taps. Envoy writes it to ``sidecar.tap``; how many requests it tells of is
a number of its runtime that is 0 unless that runs. A proxy that was started before there were taps would refuse such a
listener, whole: it gets one ``without``. Leaves out counting (``counted``).
"""

import functools
from typing import Any, Final

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import backoff_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.access_loggers.fluentd.v3 import fluentd_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf import duration_pb2, struct_pb2, wrappers_pb2

from injector.discovery import http, resource
from injector.sidecar import bootstrap, tap

_LOGGER: Final = "envoy.access_loggers.fluentd"
_COMMON: Final = {
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "method": "%REQ(:METHOD):32%",
    "path": "%PATH(NQ):256%",
    "authority": "%REQ(:AUTHORITY):256%",
    "protocol": "%PROTOCOL%",
    "port": "%DOWNSTREAM_LOCAL_PORT%",
    "status": "%RESPONSE_CODE%",
    "grpcStatus": "%GRPC_STATUS_NUMBER%",
    "milliseconds": "%DURATION%",
    "flags": "%RESPONSE_FLAGS%",
    "requestBytes": "%BYTES_RECEIVED%",
    "responseBytes": "%BYTES_SENT%",
}
"""Without the query: it may hold what is nobody's business."""
_INBOUND: Final = {"direction": "inbound", "source": "%DOWNSTREAM_PEER_URI_SAN%"}
_OUTBOUND: Final = {
    "direction": "outbound",
    "destination": "%UPSTREAM_PEER_URI_SAN%",
    "backend": "%UPSTREAM_CLUSTER_RAW%",
    "routeKind": "%METADATA(ROUTE:ipseity:route_kind)%",
    "routeNamespace": "%METADATA(ROUTE:ipseity:route_namespace)%",
    "routeName": "%METADATA(ROUTE:ipseity:route_name)%",
    "routeRule": "%METADATA(ROUTE:ipseity:route_rule)%",
}
_EVERY_MS: Final = 200
_PIECE_BYTES: Final = 16_384


def _log(said: dict[str, str]) -> accesslog_pb2.AccessLog:
    record = struct_pb2.Struct()
    record.update({**_COMMON, **said})
    config = fluentd_pb2.FluentdAccessLogConfig(
        cluster=bootstrap.TAP,
        tag="tap",
        stat_prefix="tap",
        buffer_flush_interval=duration_pb2.Duration(nanos=_EVERY_MS * 1_000_000),
        buffer_size_bytes=wrappers_pb2.UInt32Value(value=_PIECE_BYTES),
        retry_options=fluentd_pb2.FluentdAccessLogConfig.RetryOptions(
            backoff_options=backoff_pb2.BackoffStrategy(
                base_interval=duration_pb2.Duration(seconds=1), max_interval=duration_pb2.Duration(seconds=60)
            )
        ),
        record=record,
    )
    sampled = accesslog_pb2.RuntimeFilter(
        runtime_key=tap.RUNTIME_KEY,
        percent_sampled=percent_pb2.FractionalPercent(denominator=percent_pb2.FractionalPercent.TEN_THOUSAND),
        use_independent_randomness=True,
    )
    return accesslog_pb2.AccessLog(
        name=_LOGGER,
        filter=accesslog_pb2.AccessLogFilter(runtime_filter=sampled),
        typed_config=resource.typed(config),
    )


INBOUND: Final[Any] = _log(_INBOUND)
"""Of calls to this pod; the same for all of its ports, so that they share one connection."""
OUTBOUND: Final[Any] = _log(_OUTBOUND)


@functools.lru_cache(maxsize=4096)
def without(listener: resource.Resource) -> resource.Resource:
    """Give a listener of which nobody can be told; the same one each time."""
    message = listener_pb2.Listener.FromString(listener.body)
    managers = [each for chain in message.filter_chains for each in chain.filters if each.name == http.MANAGER]
    for each in managers:
        manager = hcm_pb2.HttpConnectionManager.FromString(each.typed_config.value)
        kept = [log for log in manager.access_log if log.name != _LOGGER]
        del manager.access_log[:]
        manager.access_log.extend(kept)
        each.typed_config.CopyFrom(resource.typed(manager))
    return resource.pack(listener.name, message, listener.needs)
