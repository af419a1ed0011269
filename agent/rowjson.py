"""Rows of the graph as JSON: what ``-o json`` writes. Every number exact.

Here because what scripts read must not change with the look of a table. Records keep the form of the flow log
(``flowjson``). Leaves out which rows there are (``graph``).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from agent import flowjson, graph

_SEEN_BY: Final = {"EGRESS": "source", "INGRESS": "destination"}


class End(msgspec.Struct, frozen=True, kw_only=True):
    """One end of a row."""

    kind: str
    namespace: str
    name: str
    service_account: str
    evidence: str
    reason: str


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """How many samples, and their sum."""

    count: int
    sum_us: int


class Wrong(msgspec.Struct, frozen=True, kw_only=True):
    """A look-up of an address that named somebody else."""

    end: str
    """"source" or "destination"."""
    said: str
    """Whom, or "nobody"."""
    reason: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row, as the table shows it."""

    source: End
    destination: End
    protocol: str
    port: int
    opened: int
    closed: int
    failed: dict[str, int]
    sent_bytes: int
    received_bytes: int
    sent_segments: int
    received_segments: int
    retransmits: int
    rtt: Sum
    connect: Sum
    partial: bool
    tls: tuple[str, ...]
    """"mtls", "none", or both where it was not always the same; empty: it cannot be told."""
    mismatches: tuple[Wrong, ...]
    seen_by: tuple[str, ...]
    """"source", "destination" or both: whose agents reported."""


def document(found: Sequence[graph.Row | flowjson.Flow]) -> str:
    """Write one JSON array."""
    return msgspec.json.format(msgspec.json.encode([_shape(each) for each in found]), indent=2).decode()


def line(found: graph.Row | flowjson.Flow) -> str:
    """Write one JSON object in one line."""
    return msgspec.json.encode(_shape(found)).decode()


def _shape(found: graph.Row | flowjson.Flow) -> Row | flowjson.Flow:
    if isinstance(found, flowjson.Flow):
        return found
    totals = found.totals
    return Row(
        source=_end(found.key.source, found.source),
        destination=_end(found.key.destination, found.destination),
        protocol=found.key.protocol,
        port=found.key.port,
        opened=totals.opened,
        closed=totals.closed,
        failed=totals.failed,
        sent_bytes=totals.sent_bytes,
        received_bytes=totals.received_bytes,
        sent_segments=totals.sent_segments,
        received_segments=totals.received_segments,
        retransmits=totals.retransmits,
        rtt=Sum(count=totals.rtt[0], sum_us=totals.rtt[1]),
        connect=Sum(count=totals.connect[0], sum_us=totals.connect[1]),
        partial=totals.partial,
        tls=tuple(sorted(totals.tls)),
        mismatches=tuple(Wrong(**each._asdict()) for each in sorted(totals.wrong)),
        seen_by=tuple(sorted(_SEEN_BY[view] for view in found.views)),
    )


def _end(name: graph.Name, end: flowjson.Endpoint) -> End:
    return End(
        kind=name.kind,
        namespace=name.namespace,
        name=name.name,
        service_account=end.service_account,
        evidence=end.evidence,
        reason=end.reason,
    )
