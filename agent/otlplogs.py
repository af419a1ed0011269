"""Flows as OpenTelemetry's log records: one for each ended connection, or for what an edge did in one interval.

Here because a flow log per node is not where people look: a store for logs is. Leaves out names (``otlpwords``) and how
it gets there (``otlp``).
"""

from collections.abc import Sequence
from typing import Final

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2

from agent import flowjson, mesh, model, otlpwords

_US_PER_S: Final = 1_000_000
_CLOSED: Final = "closed"


def wanted(flow: model.Flow, which: str) -> bool:
    """Tell whether a flow is exported. ``connections``: each thing once, so of edges only those that are no TCP."""
    match which:
        case "all":
            return True
        case "edges":
            return not flow.end_reason
        case _:
            return bool(flow.end_reason) or flow.protocol is not model.Protocol.TCP


def request(
    flows: Sequence[model.Flow], *, resource: resource_pb2.Resource, version: str, read_wall_ns: int
) -> logs_service_pb2.ExportLogsServiceRequest:
    """Write flows, in order. An end that many of them share is spelled once."""
    made = logs_service_pb2.ExportLogsServiceRequest()
    whole = made.resource_logs.add(resource=resource)
    scope = whole.scope_logs.add(scope=common_pb2.InstrumentationScope(name=otlpwords.SCOPE, version=version))
    spelled: dict[tuple[int, str], bytes] = {}
    for flow in flows:
        record = scope.log_records.add()
        for end, side in zip(_ends(flow), otlpwords.SIDES, strict=True):
            known = spelled.get((id(end), side))
            if known is None:
                known = logs_pb2.LogRecord(attributes=otlpwords.end(end, side)).SerializeToString()
                spelled[id(end), side] = known
            record.MergeFromString(known)
        _write(flow, record, read_wall_ns)
    return made


def _ends(flow: model.Flow) -> tuple[model.End, model.End]:
    egress = flow.direction is model.Direction.EGRESS
    return (flow.local, flow.remote) if egress else (flow.remote, flow.local)


def _write(flow: model.Flow, record: logs_pb2.LogRecord, read_wall_ns: int) -> None:
    source, destination = _ends(flow)
    protocol = flow.protocol.name.lower()
    record.time_unix_nano = flow.end_wall_ns
    record.observed_time_unix_nano = read_wall_ns
    record.severity_number = logs_pb2.SEVERITY_NUMBER_INFO
    record.severity_text = "INFO"
    record.event_name = "ipseity.connection" if flow.end_reason else "ipseity.edge"
    said = f"{_name(source)} -> {_name(destination)}:{flow.port} {protocol} {flow.end_reason}"
    record.body.string_value = said.rstrip()
    named = [*_transport(flow, protocol), *_counted(flow)]
    record.attributes.extend(otlpwords.attributes((name, value) for name, value in named if value))


def _name(end: model.End) -> str:
    name = flowjson.readable(end.name) or end.address or end.kind.value
    return f"{end.namespace}/{name}" if end.namespace else name


def _transport(flow: model.Flow, protocol: str) -> list[tuple[str, otlpwords.Value]]:
    egress = flow.direction is model.Direction.EGRESS
    address = flow.local.address or flow.remote.address
    return [
        ("network.transport", protocol),
        ("network.type", ("ipv6" if ":" in address else "ipv4") if address else ""),
        ("source.port", flow.local_port if egress else flow.remote_port),
        ("destination.port", flow.port),
        ("ipseity.direction", flow.direction.name.lower()),
        ("error.type", "" if flow.end_reason in ("", _CLOSED) else flow.end_reason),
        ("ipseity.end_reason", flow.end_reason),
        ("ipseity.tls", mesh.tls(flow).value),
        ("ipseity.partial", flow.partial),
        ("ipseity.flow.start_time_unix_nano", flow.start_wall_ns),
        ("ipseity.flow.duration", flow.duration_us / _US_PER_S),
    ]


def _counted(flow: model.Flow) -> list[tuple[str, otlpwords.Value]]:
    counters = flow.counters
    ours = (counters.sent_bytes, counters.sent_segments)
    theirs = (counters.received_bytes, counters.received_segments)
    sent, received = (ours, theirs) if flow.direction is model.Direction.EGRESS else (theirs, ours)
    failed = zip(model.FailCause, counters.failed, strict=True)
    return [
        ("ipseity.flow.sent_bytes", sent[0]),
        ("ipseity.flow.received_bytes", received[0]),
        ("ipseity.flow.sent_segments", sent[1]),
        ("ipseity.flow.received_segments", received[1]),
        ("ipseity.flow.retransmits", counters.retransmits),
        ("ipseity.flow.connections_opened", counters.opened),
        ("ipseity.flow.connections_closed", counters.closed),
        *((f"ipseity.flow.connections_failed.{cause.name.lower()}", count) for cause, count in failed),
        ("ipseity.flow.rtt", _mean_s(counters.rtt_us_buckets, counters.rtt_us_sum)),
        ("ipseity.flow.connect", _mean_s(counters.connect_us_buckets, counters.connect_us_sum)),
    ]


def _mean_s(buckets: tuple[int, ...], sum_us: int) -> float:
    count = sum(buckets)
    return sum_us / count / _US_PER_S if count else 0.0
