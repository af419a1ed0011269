"""A line of JSON on the proxy's stdout for each connection or request that is refused, or would be.

Here because a policy is tried in audit before it is enforced, and these lines are what is read then. What is allowed
leaves none. Leaves out the filters that decide (``rbac``) and counters: Envoy has those by itself.
"""

from collections.abc import Mapping
from typing import Final

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import substitution_format_string_pb2
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2
from envoy.extensions.access_loggers.stream.v3 import stream_pb2
from envoy.type.matcher.v3 import metadata_pb2, string_pb2, value_pb2
from google.protobuf import any_pb2, message, struct_pb2, wrappers_pb2

from injector.policy import match, rbac

_REQUEST: Final = {"method": "%REQ(:METHOD)%", "path": "%PATH(NQ)%", "authority": "%REQ(:AUTHORITY)%"}
"""Without the query: it may hold what is nobody's business."""
_HANDSHAKE: Final = "connection.transport_failure_reason.contains('CERTIFICATE_VERIFY_FAILED')"
_NETWORK: Final = "connection.termination_details.startsWith('rbac_access_denied')"
"""The network filter writes metadata for what is audited only; of a refusal it leaves these words."""


def of_chain(inbound: match.Inbound, *, http: bool, identified: bool) -> tuple[accesslog_pb2.AccessLog, ...]:
    """Give the access logs of a chain's connection manager or TCP proxy; none where there is nothing to tell.

    ``identified``: of a chain in which clients have proven an identity.
    """
    request = _REQUEST if http else {}
    found = []
    if inbound.enforced.needs_identity:
        only = _metadata(rbac.HTTP_FILTER, "enforced_engine_result") if http else _expression(_NETWORK)
        reason = inbound.enforced.refusal(identified=identified)
        found.append(_log("refused", only, {"reason": reason.value, "port": inbound.port, **request}))
    if inbound.audited is not None:
        name = rbac.HTTP_FILTER if http else rbac.NETWORK_FILTER
        only = _metadata(name, f"{rbac.AUDIT_PREFIX}shadow_engine_result")
        reason = inbound.audited.refusal(identified=identified)
        found.append(_log("audited", only, {"reason": reason.value, "port": inbound.port, **request}))
    return tuple(found)


def of_listener() -> accesslog_pb2.AccessLog:
    """Give the access log of a listener: clients whose certificate is refused in the handshake, and why.

    The same for every policy, so that no change of one touches the listener.
    """
    said = {
        "reason": "certificate",
        "port": "%DOWNSTREAM_LOCAL_PORT%",
        "detail": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
    }
    return _log("refused", _expression(_HANDSHAKE), said)


def _log(event: str, only: accesslog_pb2.AccessLogFilter, said: Mapping[str, str | int]) -> accesslog_pb2.AccessLog:
    line = struct_pb2.Struct()
    line.update(
        {
            "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
            "event": event,
            "source_identity": "%DOWNSTREAM_PEER_URI_SAN%",
            "source_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
            **said,
        }
    )
    form = substitution_format_string_pb2.SubstitutionFormatString(json_format=line)
    return accesslog_pb2.AccessLog(
        name="envoy.access_loggers.stdout",
        filter=only,
        typed_config=_packed(stream_pb2.StdoutAccessLog(log_format=form)),
    )


def _metadata(name: str, key: str) -> accesslog_pb2.AccessLogFilter:
    """Let through what an RBAC filter has judged as denied."""
    wanted = metadata_pb2.MetadataMatcher(
        filter=name,
        path=[metadata_pb2.MetadataMatcher.PathSegment(key=key)],
        value=value_pb2.ValueMatcher(string_match=string_pb2.StringMatcher(exact="denied")),
    )
    only = accesslog_pb2.MetadataFilter(matcher=wanted, match_if_key_not_found=wrappers_pb2.BoolValue(value=False))
    return accesslog_pb2.AccessLogFilter(metadata_filter=only)


def _expression(text: str) -> accesslog_pb2.AccessLogFilter:
    extension = accesslog_pb2.ExtensionFilter(
        name="envoy.access_loggers.extension_filters.cel",
        typed_config=_packed(cel_pb2.ExpressionFilter(expression=text)),
    )
    return accesslog_pb2.AccessLogFilter(extension_filter=extension)


def _packed(config: message.Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(config)
    return packed
