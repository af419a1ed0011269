"""What proxies count of each answered request: series with the names and labels that Linkerd's have.

    request_total, response_total{classification}, response_latency_ms        direction="outbound" | "inbound"

Here because Flagger's Linkerd provider and Linkerd's dashboards query them, and because a gRPC call that failed has the
HTTP status 200. Every label is of the configuration (``docs/metrics.md``), none of a request's own: whoever calls
cannot make series. Envoy puts ``envoy_ipseity_`` in front; the scrape takes it away (``deploy/prometheus``). Leaves out
the rest of what Envoy counts (``naming``).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.access_loggers.stats.v3 import stats_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from google.protobuf import struct_pb2, wrappers_pb2

from injector.discovery import resource

PREFIX: Final = "ipseity"
"""Of the series, and the key of our metadata."""
_LOGGER: Final = "envoy.access_loggers.stats"
_OUTBOUND: Final = {
    "direction": "outbound",
    "tls": "%METADATA(UPSTREAM_HOST:ipseity:tls)%",
    **{
        name: f"%METADATA({where}:ipseity:{name})%"
        for where, names in (
            ("VIRTUAL_HOST", ("parent_namespace", "parent_name", "parent_port")),
            ("ROUTE", ("route_kind", "route_namespace", "route_name", "route_rule")),
            ("CLUSTER", ("dst_namespace", "dst_service")),
            ("UPSTREAM_HOST", ("dst_deployment",)),
        )
        for name in names
    },
}
"""What metadata does not have is empty, which in Prometheus is as if there were no such label."""
_SECURED, _BARE = "true", "no_identity"
"""Linkerd's values of ``tls``."""
_FAILED_CALLS: Final = ("UNKNOWN", "DEADLINE_EXCEEDED", "PERMISSION_DENIED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
"""gRPC statuses that Linkerd counts as failures."""
_Logs = tuple[accesslog_pb2.AccessLog, ...]


def of(said: Mapping[str, str]) -> Any:
    """Give metadata of ours: what series are labelled with."""
    fields = {key: struct_pb2.Value(string_value=value) for key, value in said.items()}
    return base_pb2.Metadata(filter_metadata={PREFIX: struct_pb2.Struct(fields=fields)})


def parent(key: str, port: int) -> Any:
    """Give the metadata of what a client called: a Service (``namespace/name``) and its port."""
    namespace, _, name = key.partition("/")
    return of({"parent_namespace": namespace, "parent_name": name, "parent_port": str(port)})


def service(key: str) -> Any:
    """Give the metadata of the Service that got the request."""
    namespace, _, name = key.partition("/")
    return of({"dst_namespace": namespace, "dst_service": name})


def endpoint(workload: str, *, secured: bool) -> Any:
    """Give the metadata of one endpoint. ``workload``: ``deployment/web``; others than Deployments are not named."""
    kind, _, name = workload.partition("/")
    said = {"dst_deployment": name} if kind == "deployment" else {}
    return of({**said, "tls": _SECURED if secured else _BARE})


def outbound() -> _Logs:
    """Give the logs of a manager towards others."""
    return _LOGS_OUT


def inbound(port: str, *, secured: bool, probes: Iterable[str] = ()) -> _Logs:
    """Give the logs of a manager towards the application.

    ``port``: as in names of statistics. ``probes``: paths by which the kubelet asks: a pod that nobody calls has no
    success rate.
    """
    labels = {"direction": "inbound", "tls": _SECURED if secured else _BARE, "target_port": port}
    asked = tuple(probes)
    return _logs(labels, _not_of(asked)) if asked else _logs(labels)


def _logs(labels: Mapping[str, str], *only: Any) -> _Logs:
    """Give a log for what failed and one for what did not; a request without an answer is in neither."""
    return tuple(
        accesslog_pb2.AccessLog(
            name=_LOGGER, filter=_all(*only, outcome), typed_config=resource.typed(_config(labels, name))
        )
        for name, outcome in (("failure", _failed()), ("success", _succeeded()))
    )


def _not_of(probes: Iterable[str]) -> Any:
    """Match requests for other paths, whatever their query."""
    paths = "|".join(re.escape(each) for each in sorted(set(probes)))
    pattern = regex_pb2.RegexMatcher(regex=rf"(?:{paths})(?:\?.*)?")
    header = route_components_pb2.HeaderMatcher(
        name=":path", string_match=string_pb2.StringMatcher(safe_regex=pattern), invert_match=True
    )
    return accesslog_pb2.AccessLogFilter(header_filter=accesslog_pb2.HeaderFilter(header=header))


def _config(labels: Mapping[str, str], outcome: str) -> Any:
    one = wrappers_pb2.UInt64Value(value=1)
    counter, config = stats_pb2.Config.Counter, stats_pb2.Config
    return config(
        # Deprecated in Envoy 1.40 for "stats_scope", which the generated classes do not know yet.
        stat_prefix=PREFIX,
        counters=[
            counter(stat=_stat("request_total", labels), value_fixed=one),
            counter(stat=_stat("response_total", {**labels, "classification": outcome}), value_fixed=one),
        ],
        histograms=[
            config.Histogram(
                stat=_stat("response_latency_ms", labels), unit=config.Histogram.Milliseconds, value_format="%DURATION%"
            )
        ],
    )


def _stat(name: str, labels: Mapping[str, str]) -> Any:
    tags = [stats_pb2.Config.Tag(name=key, value_format=value) for key, value in labels.items()]
    return stats_pb2.Config.Stat(name=name, tags=tags)


def _failed() -> Any:
    calls = accesslog_pb2.GrpcStatusFilter(statuses=_FAILED_CALLS)
    return _any(_status("GE", 500), _all(_is_call(), accesslog_pb2.AccessLogFilter(grpc_status_filter=calls)))


def _succeeded() -> Any:
    calls = accesslog_pb2.GrpcStatusFilter(statuses=_FAILED_CALLS, exclude=True)
    others = _any(_is_call(invert=True), accesslog_pb2.AccessLogFilter(grpc_status_filter=calls))
    return _all(_status("GE", 100), _status("LE", 499), others)


def _is_call(*, invert: bool = False) -> Any:
    """Match a gRPC call: of anything else Envoy would make up a gRPC status."""
    header = route_components_pb2.HeaderMatcher(
        name="content-type",
        string_match=string_pb2.StringMatcher(prefix="application/grpc"),
        treat_missing_header_as_empty=True,
        invert_match=invert,
    )
    return accesslog_pb2.AccessLogFilter(header_filter=accesslog_pb2.HeaderFilter(header=header))


def _status(how: str, code: int) -> Any:
    value = base_pb2.RuntimeUInt32(default_value=code, runtime_key="ipseity.unused")
    compared = accesslog_pb2.ComparisonFilter(op=how, value=value)
    return accesslog_pb2.AccessLogFilter(status_code_filter=accesslog_pb2.StatusCodeFilter(comparison=compared))


def _any(*filters: Any) -> Any:
    return accesslog_pb2.AccessLogFilter(or_filter=accesslog_pb2.OrFilter(filters=filters))


def _all(*filters: Any) -> Any:
    """Match what all match; Envoy wants two at least."""
    if len(filters) == 1:
        return filters[0]
    return accesslog_pb2.AccessLogFilter(and_filter=accesslog_pb2.AndFilter(filters=filters))


_LOGS_OUT: Final[_Logs] = _logs(_OUTBOUND)
