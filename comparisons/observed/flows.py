"""Flow records as agents write them (``docs/flow-record.md``), as far as an observation asks.

Here because the record is a format: whoever reads it needs no agent. What cannot be read is counted, with the first
reason; a field that is not known is passed over. Pure. Leaves out where lines come from (``sources``).
"""

import dataclasses
import datetime as dt
import ipaddress
from collections.abc import Iterable
from typing import Final

import msgspec

PROXY_PORT: Final = 15006
"""Where a connection arrives that a sidecar answers (``docs/flow-record.md``): the port that was called is not told."""
_LABEL: Final = "k8s:"


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """What a person deployed."""

    name: str
    kind: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a look-up named."""

    kind: str
    namespace: str = ""
    name: str = ""
    uid: str = ""
    workloads: tuple[Workload, ...] = ()
    service_account: str = ""


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """What a look-up of the address said, and whether it was right."""

    ip: Answer | str | None = None
    match: str = ""
    mismatch_reason: str = ""
    read_match: str = ""


_NONE: Final = Attribution()


class End(msgspec.Struct, frozen=True, kw_only=True):
    """One end."""

    kind: str
    evidence: str
    reason: str = ""
    namespace: str = ""
    pod_name: str = ""
    pod_uid: str = ""
    workloads: tuple[Workload, ...] = ()
    service_account: str = ""
    labels: tuple[str, ...] = ()
    name: str = ""
    attribution: Attribution = _NONE

    @property
    def proven(self) -> bool:
        """Whether the name rests on no address."""
        return self.evidence in {"kernel", "handshake"}

    @property
    def workload(self) -> Workload:
        """The top owner; the account where the pod is not known."""
        return self.workloads[0] if self.workloads else Workload(name=self.service_account, kind="ServiceAccount")

    @property
    def tags(self) -> dict[str, str]:
        """Labels as Kubernetes has them."""
        return {key: value for key, _, value in (each.removeprefix(_LABEL).partition("=") for each in self.labels)}

    def __str__(self) -> str:
        """As a person calls it."""
        if self.kind == "pod":
            return f"{self.namespace}/{self.workload.name}"
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}".strip()


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """As the socket saw them; of what is outside, the prefix."""

    source: str = ""
    destination: str = ""


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Which port was listened on."""

    destination_port: int = 0


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """What happened."""

    opened: int = 0
    closed: int = 0
    failed: dict[str, int] = {}
    sent_bytes: int = 0
    received_bytes: int = 0
    sent_segments: int = 0


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line; its ends are decoded once for all lines that have the same."""

    time: dt.datetime
    start_time: dt.datetime
    node_name: str
    type: str
    traffic_direction: str
    ip: Addresses = msgspec.field(name="IP")
    l4: dict[str, Ports]
    source: msgspec.Raw
    destination: msgspec.Raw
    counters: Counters = Counters()


class _Lost(msgspec.Struct, frozen=True, kw_only=True):
    num_events_lost: int


class _Loss(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    lost_events: _Lost


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What two ends did in one interval."""

    start_s: float
    """Seconds since 1970."""
    end_s: float
    node: str
    egress: bool
    """Whether the caller's node reports; else the server's."""
    source_address: str
    destination_address: str
    protocol: str
    port: int
    source: End
    destination: End
    opened: int
    went: bool
    """Whether anything passed; False: only attempts that failed."""

    @property
    def within(self) -> bool:
        """Whether a pod speaks with itself."""
        same = bool(self.source.pod_uid) and self.source.pod_uid == self.destination.pod_uid
        return same or _loopback(self.source_address) or _loopback(self.destination_address)


@dataclasses.dataclass(slots=True, kw_only=True)
class Read:
    """What was read, and what could not be."""

    flows: list[Flow] = dataclasses.field(default_factory=list)
    unreadable: int = 0
    why: str = ""
    """Of the first that could not be read."""
    lost: int = 0
    """Flows that an agent says were lost on the way."""


def read(lines: Iterable[bytes]) -> Read:
    """Read records; those of single connections are passed over, since edges contain them."""
    found, ends = Read(), {}
    decode = msgspec.json.Decoder(_Line).decode

    def end(raw: msgspec.Raw) -> End:
        text = bytes(raw)
        if text not in ends:
            ends[text] = msgspec.json.decode(text, type=End)
        return ends[text]

    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            if line.startswith(b'{"lost_events"'):
                found.lost += msgspec.json.decode(line, type=_Loss).lost_events.num_events_lost
                continue
            said = decode(line)
            if said.type == "edge":
                found.flows.append(_flow(said, end(said.source), end(said.destination)))
        except (msgspec.MsgspecError, ValueError) as error:
            found.unreadable += 1
            found.why = found.why or f"line {number}: {error}"
    return found


def _flow(said: _Line, source: End, destination: End) -> Flow:
    if len(said.l4) != 1:
        raise ValueError(f"l4 has {len(said.l4)} protocols, not one")
    (protocol, ports), did = next(iter(said.l4.items())), said.counters
    return Flow(
        start_s=said.start_time.timestamp(),
        end_s=said.time.timestamp(),
        node=said.node_name,
        egress=said.traffic_direction == "EGRESS",
        source_address=said.ip.source,
        destination_address=said.ip.destination,
        protocol=protocol,
        port=ports.destination_port,
        source=source,
        destination=destination,
        opened=did.opened,
        went=bool(did.opened or did.closed or did.sent_bytes or did.received_bytes)
        or (protocol == "UDP" and did.sent_segments > 0),
    )


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:  # a prefix of what is outside
        return False
