"""The flow record: what the flow log and the API write, one JSON object per line.

Here because it is a format that others read: shaped as Hubble's flows are (``source`` and ``destination`` endpoints,
``traffic_direction``, ``l4``), plus what each name rests on. These classes are the schema: ``docs/flow.schema.json`` is
made from them, and a test holds it and ``docs/flow-record.md`` against them. Fields are added, never changed.

``source`` opened the flow and ``destination`` was listening, whichever of them is on the reporting node. Sent and
received are seen from the source. Fields with their default value are left out. Leaves out files and sockets.
"""

from typing import Annotated, Any, Final, Literal

import msgspec

from agent import mesh, model, verdicts, walltime

_LABEL_PREFIX: Final = "k8s:"

Time = Annotated[
    str,
    msgspec.Meta(pattern=r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z)?$", description="RFC 3339, UTC, to the ns."),
]
Count = Annotated[int, msgspec.Meta(ge=0)]


class _Format(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is left out has its default value."""


class Workload(_Format, frozen=True):
    """What a person deployed."""

    name: str
    kind: str


class Answer(_Format, frozen=True):
    """Who one kind of evidence says that an end is."""

    kind: model.Kind
    namespace: str = ""
    name: str = ""
    """Of the pod, Service, node or unit."""
    uid: str = ""
    workloads: tuple[Workload, ...] = ()
    service_account: str = ""


Same = Literal["same"]
"""In place of an answer that is the endpoint as it is named beside it."""


class Attribution(_Format, frozen=True):
    """All answers for one end. What is left out has nothing to say of it."""

    kernel: Answer | Same | None = None
    handshake: Answer | Same | None = None
    ip: Answer | Literal["same", "nobody"] | None = None
    ip_read: Answer | Literal["same", "nobody"] | None = None
    match: verdicts.Match = verdicts.Match.UNCHECKED
    """Of ``ip``."""
    mismatch_reason: verdicts.Mismatch = verdicts.Mismatch.NONE
    read_match: verdicts.Match = verdicts.Match.UNCHECKED
    """Of ``ip_read``."""
    read_mismatch_reason: verdicts.Mismatch = verdicts.Mismatch.NONE
    handshake_match: verdicts.Match = verdicts.Match.UNCHECKED
    """Of ``handshake``, where the kernel knows the end too."""


class Endpoint(_Format, frozen=True):
    """One end of a flow: who it is, and what that rests on."""

    kind: model.Kind
    evidence: model.Evidence
    reason: model.Reason = model.Reason.NAMED
    namespace: str = ""
    pod_name: str = ""
    pod_uid: str = ""
    workloads: tuple[Workload, ...] = ()
    service_account: str = ""
    labels: tuple[str, ...] = ()
    name: str = ""
    container_id: str = ""
    cgroup_id: Count = 0
    attribution: Attribution | None = None


class Addresses(_Format, frozen=True, rename={"ip_version": "ipVersion"}):
    """Addresses as the socket on the reporting node saw them, before or after translation as may be."""

    source: str = ""
    destination: str = ""
    ip_version: Literal["IPv4", "IPv6", ""] = ""


class Ports(_Format, frozen=True):
    """Transport ports; an edge has many source ports and keeps none."""

    source_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    destination_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0


class Transport(_Format, frozen=True, rename="upper"):
    """Exactly one of them is there."""

    tcp: Ports | None = None
    udp: Ports | None = None


class Histogram(_Format, frozen=True):
    """Log2 buckets: the first counts what is under 64 us, each next one has twice the bound, the last has none."""

    count: Count
    sum_us: Count
    buckets: tuple[Count, ...]


class Counters(_Format, frozen=True):
    """What happened in the interval. Differences, never totals."""

    opened: Count = 0
    closed: Count = 0
    failed: dict[str, Count] = {}
    sent_bytes: Count = 0
    received_bytes: Count = 0
    sent_segments: Count = 0
    received_segments: Count = 0
    retransmits: Count = 0
    rtt: Histogram | None = None
    connect: Histogram | None = None


class Connection(_Format, frozen=True):
    """Of the record of one ended connection."""

    duration_us: Count
    end_reason: str


class Flow(_Format, frozen=True):
    """One line of the flow log, of ``/flows`` and of ``ipseity observe -o jsonl``."""

    time: Time
    start_time: Time
    node_name: str
    type: Literal["edge", "connection"]
    traffic_direction: Literal["EGRESS", "INGRESS"]
    ip: Addresses = msgspec.field(name="IP")
    l4: Transport
    source: Endpoint
    destination: Endpoint
    counters: Counters
    connection: Connection | None = None
    partial: bool = False
    tls: mesh.Tls = mesh.Tls.UNKNOWN


class Lost(_Format, frozen=True):
    """In a stream, in place of flows that this reader was too slow for."""

    num_events_lost: Count


class Owner(_Format, frozen=True):
    """Somebody who owned an address, from when to when."""

    kind: model.Kind
    evidence: model.Evidence
    start_time: Time = ""
    """Not before this; empty: since before anything was known."""
    end_time: Time = ""
    """Empty: up to now, as far as is known."""
    proven_start_time: Time = ""
    """From here to ``proven_end_time`` a socket on this node proves it; empty: there is only the API server's word."""
    proven_end_time: Time = ""
    namespace: str = ""
    name: str = ""
    workloads: tuple[Workload, ...] = ()
    service_account: str = ""
    uid: str = ""


class Owners(_Format, frozen=True):
    """The answer of ``/owners``: everybody known to have owned an address, oldest first; an overlap is not decided."""

    address: str
    time: Time
    node_name: str
    owners: tuple[Owner, ...] = ()


_encoder: Final = msgspec.json.Encoder()
_flows: Final = msgspec.json.Decoder(Flow)
_owners: Final = msgspec.json.Decoder(Owners)
_losses: Final = msgspec.json.Decoder(dict[Literal["lost_events"], Lost])
_LOST_START: Final = b'{"lost_events"'


def encode(record: Flow | Owners) -> bytes:
    """Write one object, without a line end."""
    return _encoder.encode(record)


def encode_lost(count: int) -> bytes:
    """Write the line that stands for flows that a reader lost."""
    return _encoder.encode({"lost_events": Lost(num_events_lost=count)})


def decode(line: bytes) -> Flow | Lost:
    """Read one line of a stream. Raises msgspec.DecodeError with what is wrong and where."""
    if line.startswith(_LOST_START):
        return _losses.decode(line)["lost_events"]
    return _flows.decode(line)


def decode_owners(text: bytes) -> Owners:
    """Read the answer of ``/owners``. Raises msgspec.DecodeError."""
    return _owners.decode(text)


def schema() -> dict[str, Any]:
    """Give the JSON Schema of a flow."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Flow)}


def from_flow(flow: model.Flow, *, node_name: str) -> Flow:
    """Turn what this node's agent saw into a record."""
    egress = flow.direction is model.Direction.EGRESS
    source, destination = (flow.local, flow.remote) if egress else (flow.remote, flow.local)
    source_port = flow.local_port if egress else flow.remote_port
    ports = Ports(source_port=source_port, destination_port=flow.port)
    return Flow(
        time=walltime.text(flow.end_wall_ns),
        start_time=walltime.text(flow.start_wall_ns),
        node_name=node_name,
        type="connection" if flow.end_reason else "edge",
        traffic_direction="EGRESS" if egress else "INGRESS",
        ip=_addresses(source.address, destination.address),
        l4=Transport(tcp=ports) if flow.protocol is model.Protocol.TCP else Transport(udp=ports),
        source=_endpoint(source),
        destination=_endpoint(destination),
        counters=_counters(flow.counters, egress=egress),
        connection=Connection(duration_us=flow.duration_us, end_reason=flow.end_reason) if flow.end_reason else None,
        partial=flow.partial,
        tls=mesh.tls(flow),
    )


def _addresses(source: str, destination: str) -> Addresses:
    known = source or destination
    version: Literal["IPv4", "IPv6", ""] = "" if not known else "IPv6" if ":" in known else "IPv4"
    return Addresses(source=source, destination=destination, ip_version=version)


def _endpoint(end: model.End) -> Endpoint:
    pod = end.kind is model.Kind.POD
    return Endpoint(
        kind=end.kind,
        evidence=end.evidence,
        reason=end.reason,
        namespace=end.namespace,
        pod_name=end.name if pod else "",
        pod_uid=end.pod_uid,
        workloads=(Workload(name=end.workload, kind=end.workload_kind),) if end.workload else (),
        service_account=end.service_account,
        labels=tuple(f"{_LABEL_PREFIX}{key}={value}" for key, value in end.labels),
        name="" if pod else readable(end.name),
        container_id=end.container_id,
        cgroup_id=end.cgroup,
        attribution=_attribution(end, end.views) if end.views is not None else None,
    )


def _attribution(end: model.End, views: model.Views) -> Attribution:
    judged = views.judged
    return Attribution(
        kernel=_known(end, views.kernel),
        handshake=_known(end, views.handshake),
        ip=_said(end, views.ip),
        ip_read=_said(end, views.ip_read),
        match=judged.ip.match,
        mismatch_reason=judged.ip.reason,
        read_match=judged.ip_read.match,
        read_mismatch_reason=judged.ip_read.reason,
        handshake_match=judged.handshake.match,
    )


def _said(end: model.End, who: model.Who | None) -> Answer | Literal["same", "nobody"] | None:
    return "nobody" if who == model.NOBODY else _known(end, who)


def _known(end: model.End, who: model.Who | None) -> Answer | Same | None:
    if who is None:
        return None
    if who.kind is end.kind and (who.uid, who.namespace, who.name) == (end.pod_uid, end.namespace, end.name):
        return "same"
    return answer(who)


def answer(who: model.Who) -> Answer:
    """Write an answer in full."""
    return Answer(
        kind=who.kind,
        namespace=who.namespace,
        name=readable(who.name),
        uid=who.uid,
        workloads=(Workload(name=who.workload, kind=who.workload_kind),) if who.workload else (),
        service_account=who.service_account,
    )


def readable(name: str) -> str:
    """Spell a unit or cgroup path, which may hold any byte, so that it can be written as UTF-8."""
    return name if name.isascii() else name.encode(errors="backslashreplace").decode()


def _counters(counters: model.Counters, *, egress: bool) -> Counters:
    sent, received = (
        (counters.sent_bytes, counters.sent_segments),
        (counters.received_bytes, counters.received_segments),
    )
    to_destination, to_source = (sent, received) if egress else (received, sent)
    return Counters(
        opened=counters.opened,
        closed=counters.closed,
        failed={cause.name.lower(): counters.failed[cause] for cause in model.FailCause if counters.failed[cause]},
        sent_bytes=to_destination[0],
        sent_segments=to_destination[1],
        received_bytes=to_source[0],
        received_segments=to_source[1],
        retransmits=counters.retransmits,
        rtt=_histogram(counters.rtt_us_buckets, counters.rtt_us_sum),
        connect=_histogram(counters.connect_us_buckets, counters.connect_us_sum),
    )


def _histogram(buckets: tuple[int, ...], sum_us: int) -> Histogram | None:
    count = sum(buckets)
    return Histogram(count=count, sum_us=sum_us, buckets=buckets) if count else None
