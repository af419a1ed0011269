"""Every metric that Prometheus can read from the agent: name, kind, unit, help, labels.

Here because a metric's name is a promise to whoever wrote a dashboard: it is made in one place, and ``docs/metrics.md``
is held against it by a test. Leaves out the values (``metrics``, ``health``) and the text on the wire (``exposition``).
"""

import dataclasses
import enum
from typing import Final


class Kind(enum.StrEnum):
    """Prometheus' own word for a metric's kind."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One row of the table."""

    name: str
    """Without the ``_total`` that a counter gets when it is written."""
    kind: Kind
    help: str
    unit: str = ""
    labels: tuple[str, ...] = ()
    """For a flow metric: besides ``flow_labels``."""

    @property
    def exposed(self) -> str:
        """The name that a query uses."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name


SENT: Final = Metric(
    name="ipseity_flow_sent_bytes",
    kind=Kind.COUNTER,
    unit="bytes",
    help="Payload from source to destination, as the transport acknowledged it.",
)
RECEIVED: Final = Metric(
    name="ipseity_flow_received_bytes",
    kind=Kind.COUNTER,
    unit="bytes",
    help="Payload from destination to source, as the transport acknowledged it.",
)
SENT_SEGMENTS: Final = Metric(
    name="ipseity_flow_sent_segments",
    kind=Kind.COUNTER,
    unit="segments",
    help="TCP segments or UDP datagrams from source to destination.",
)
RECEIVED_SEGMENTS: Final = Metric(
    name="ipseity_flow_received_segments",
    kind=Kind.COUNTER,
    unit="segments",
    help="TCP segments or UDP datagrams from destination to source.",
)
OPENED: Final = Metric(
    name="ipseity_flow_connections_opened", kind=Kind.COUNTER, help="Connections that were established."
)
CLOSED: Final = Metric(
    name="ipseity_flow_connections_closed",
    kind=Kind.COUNTER,
    help="Established connections that ended, however they ended.",
)
FAILED: Final = Metric(
    name="ipseity_flow_connections_failed",
    kind=Kind.COUNTER,
    labels=("cause",),
    help="Attempts that never established, and established connections that broke, by cause.",
)
RETRANSMITS: Final = Metric(
    name="ipseity_flow_retransmits",
    kind=Kind.COUNTER,
    help="Segments that the end on this node sent again.",
)
RTT: Final = Metric(
    name="ipseity_flow_rtt_seconds",
    kind=Kind.HISTOGRAM,
    unit="seconds",
    help="Smoothed round-trip time at the end of each connection, as the end on this node measured it.",
)
CONNECT: Final = Metric(
    name="ipseity_flow_connect_seconds",
    kind=Kind.HISTOGRAM,
    unit="seconds",
    help="Time from SYN to established, as the source measured it.",
)
FLOW_TABLE: Final = (
    SENT,
    RECEIVED,
    SENT_SEGMENTS,
    RECEIVED_SEGMENTS,
    OPENED,
    CLOSED,
    FAILED,
    RETRANSMITS,
    RTT,
    CONNECT,
)
"""Metrics that carry ``flow_labels``."""

ENDS: Final = Metric(
    name="ipseity_attributed_ends",
    kind=Kind.COUNTER,
    labels=("end", "kind", "evidence", "reason"),
    help="Ends of drained edges, by what their name rests on and why they have no better one.",
)
CHECKED: Final = Metric(
    name="ipseity_attribution_checked",
    kind=Kind.COUNTER,
    labels=("end", "method"),
    help="Ends of drained edges whose name by another method was held against what kernel or handshake know.",
)
MISMATCH: Final = Metric(
    name="ipseity_attribution_mismatch",
    kind=Kind.COUNTER,
    labels=("end", "reason", "method"),
    help="Those of them that the method named wrongly, by why.",
)
SERIES: Final = Metric(
    name="ipseity_flow_label_sets",
    kind=Kind.GAUGE,
    help="Label sets that the flow metrics hold, without the bucket other.",
)
OVERFLOWED: Final = Metric(
    name="ipseity_flow_label_sets_overflowed",
    kind=Kind.COUNTER,
    help="Drained edges that were counted under other because the cap on label sets was reached.",
)
UNREADABLE: Final = Metric(
    name="ipseity_flow_totals_unreadable",
    kind=Kind.COUNTER,
    help="Saved totals that did not fit this agent (other labels, other buckets, damaged) and were dropped.",
)
EDGES: Final = Metric(name="ipseity_edges", kind=Kind.GAUGE, help="Edges that the kernel's table holds.")
EDGES_MAX: Final = Metric(name="ipseity_edges_max", kind=Kind.GAUGE, help="Edges that the kernel's table can hold.")
CROWDED: Final = Metric(
    name="ipseity_crowded_owners",
    kind=Kind.GAUGE,
    help="Cgroups that fill the table of edges: what they reach anew is counted together.",
)
MAP_ENTRIES: Final = Metric(
    name="ipseity_map_entries", kind=Kind.GAUGE, labels=("map",), help="Entries in a BPF map at the last drain."
)
MAP_CAPACITY: Final = Metric(
    name="ipseity_map_entries_max", kind=Kind.GAUGE, labels=("map",), help="Entries that a BPF map can hold."
)
PROGRAMS: Final = Metric(
    name="ipseity_programs_attached",
    kind=Kind.GAUGE,
    labels=("program",),
    help="1 if the BPF program is attached, else 0.",
)
DRAIN: Final = Metric(
    name="ipseity_drain_seconds",
    kind=Kind.HISTOGRAM,
    unit="seconds",
    help="Time to read the kernel's tables and name every changed edge.",
)
DROPS: Final = Metric(
    name="ipseity_agent_drops",
    kind=Kind.COUNTER,
    labels=("stage",),
    help="What a stage could not take and let go, counted where it happened.",
)
STALENESS: Final = Metric(
    name="ipseity_kubernetes_watch_staleness_seconds",
    kind=Kind.GAUGE,
    unit="seconds",
    labels=("resource",),
    help="Time since the API server last told anything about a resource; -1 if it never did.",
)
OTLP_SENT: Final = Metric(
    name="ipseity_otlp_sent",
    kind=Kind.COUNTER,
    labels=("signal",),
    help="Log records and data points that the OTLP endpoint has taken.",
)
OTLP_FAILED: Final = Metric(
    name="ipseity_otlp_requests_failed",
    kind=Kind.COUNTER,
    labels=("signal", "reason"),
    help="Requests that the OTLP endpoint did not take, by why; most are tried again.",
)
OTLP_WAITING: Final = Metric(
    name="ipseity_otlp_flows_waiting",
    kind=Kind.GAUGE,
    help="Flows that wait for the OTLP endpoint.",
)
BUILD: Final = Metric(
    name="ipseity_build_info", kind=Kind.GAUGE, labels=("version", "kernel"), help="Always 1; the labels tell."
)
HEALTH_TABLE: Final = (
    ENDS,
    CHECKED,
    MISMATCH,
    SERIES,
    OVERFLOWED,
    UNREADABLE,
    EDGES,
    EDGES_MAX,
    CROWDED,
    MAP_ENTRIES,
    MAP_CAPACITY,
    PROGRAMS,
    DRAIN,
    DROPS,
    STALENESS,
    OTLP_SENT,
    OTLP_FAILED,
    OTLP_WAITING,
    BUILD,
)
TABLE: Final = FLOW_TABLE + HEALTH_TABLE
