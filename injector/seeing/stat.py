"""Golden metrics by workload: success rate, request rate, latency, connections and bytes, as its own proxies counted.

Here because these are what a person looks at first, and any service has them without a line of code. Measured at the
server's side: what a caller waited for on the way is not in the latency. Leaves out reading (``scrape``).
"""

import collections
import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from injector.cluster import model as cluster
from injector.seeing import measured
from ipseity import identity, table

_GOOD, _FAIR = 0.999, 0.99
"""Success rates that are shown in green and in yellow; arbitrary, as everywhere."""
_US_PER_MS: Final = 1000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One workload in one window."""

    workload: str
    """``namespace/name``."""
    pods: int
    meshed: int
    """Of its pods, those with a proxy."""
    answered: int
    """Of its proxies, those that could be read twice."""
    requests: int
    failed: int
    rps: float
    """Requests a second."""
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    """None: no request. Where a quantile is beyond the longest time that is told apart, that time."""
    connections_per_s: float
    received_bps: float
    sent_bps: float
    """Bytes a second."""

    @property
    def success(self) -> float | None:
        """Share of requests that did not fail; None: none."""
        return 1 - self.failed / self.requests if self.requests else None


def rows(
    state: cluster.ClusterState, grown: Mapping[identity.PodRef, measured.Measured], window_s: float, *, namespace: str
) -> list[Row]:
    """Add up by workload. ``grown`` is what each proxy counted in the window; "" is every namespace."""
    pods: dict[str, list[cluster.Pod]] = {}
    for pod in state.pods.values():
        if pod.ref.namespace == namespace or not namespace:
            pods.setdefault(name(pod), []).append(pod)
    return [_row(key, members, grown, window_s) for key, members in sorted(pods.items())]


def name(pod: cluster.Pod) -> str:
    """Give the workload of a pod as ``namespace/name``."""
    return f"{pod.ref.namespace}/{pod.workload.rpartition('/')[2] or pod.ref.name}"


def _row(
    workload: str, pods: Sequence[cluster.Pod], grown: Mapping[identity.PodRef, measured.Measured], window_s: float
) -> Row:
    read = [grown[pod.ref] for pod in pods if pod.ref in grown]
    served = [each for one in read for each in one.inbound.values()]
    within: collections.Counter[float] = collections.Counter()
    for each in served:
        within.update(each.within)
    requests = sum(each.requests for each in served)
    return Row(
        workload=workload,
        pods=len(pods),
        meshed=sum(pod.meshed for pod in pods),
        answered=len(read),
        requests=requests,
        failed=sum(each.failed for each in served),
        rps=requests / window_s,
        p50_ms=quantile(within, 0.50),
        p95_ms=quantile(within, 0.95),
        p99_ms=quantile(within, 0.99),
        connections_per_s=sum(each.connections for each in served) / window_s,
        received_bps=sum(each.received_bytes for each in served) / window_s,
        sent_bps=sum(each.sent_bytes for each in served) / window_s,
    )


def quantile(within: Mapping[float, int], q: float) -> float | None:
    """Estimate a quantile from a cumulative histogram, as PromQL's ``histogram_quantile`` does. None: it is empty."""
    bounds = sorted(within)
    total = within[bounds[-1]] if bounds else 0
    if total <= 0:
        return None
    rank = q * total
    for low, high in itertools.pairwise([0.0, *bounds]):
        below = within.get(low, 0)
        if within[high] >= rank:
            if math.isinf(high):
                return low
            share = (rank - below) / (within[high] - below) if within[high] > below else 1.0
            return low + (high - low) * share
    return bounds[-1]


def lines(found: Sequence[Row], *, width: int | None, colour: bool) -> list[str]:
    """Lay out the table."""
    right = {"right": True}
    columns = [
        table.Column(title="WORKLOAD", shrinks=True),
        table.Column(title="MESHED", **right),
        table.Column(title="SUCCESS", **right),
        table.Column(title="RPS", **right),
        *(table.Column(title=title, **right) for title in ("P50", "P95", "P99")),
        table.Column(title="CONNS/S", **right),
        table.Column(title="IN/S", **right),
        table.Column(title="OUT/S", **right),
    ]
    return table.lines(columns, [_cells(row) for row in found], width=width, colour=colour)


def _cells(row: Row) -> list[table.Cell]:
    meshed = table.Cell(
        f"{row.meshed}/{row.pods}", table.Colour.NONE if row.meshed == row.pods else table.Colour.YELLOW
    )
    if not row.answered:
        why = "-" if not row.meshed else "not read"
        return [table.Cell(row.workload), meshed, table.Cell(why, table.Colour.DIM), *[NOTHING] * 7]
    return [
        table.Cell(row.workload),
        meshed,
        success(row.success),
        table.Cell(f"{row.rps:.1f}") if row.requests else NOTHING,
        *(latency(each) for each in (row.p50_ms, row.p95_ms, row.p99_ms)),
        table.Cell(f"{row.connections_per_s:.1f}"),
        table.Cell(table.size(round(row.received_bps))),
        table.Cell(table.size(round(row.sent_bps))),
    ]


NOTHING: Final = table.Cell("-", table.Colour.DIM)


def success(share: float | None) -> table.Cell:
    """Show a success rate; None: there was no request."""
    if share is None:
        return NOTHING
    colour = table.Colour.GREEN if share >= _GOOD else table.Colour.YELLOW if share >= _FAIR else table.Colour.RED
    return table.Cell(f"{math.floor(share * 10_000) / 100:.2f}%", colour)  # 99.999 % is not 100 %


def latency(ms: float | None) -> table.Cell:
    """Show a time; None: nobody knows."""
    return NOTHING if ms is None else table.Cell(table.duration(ms * _US_PER_MS))


def document(found: Sequence[Row], window_s: float) -> dict[str, Any]:
    """Give everything for programs."""
    return {
        "windowSeconds": window_s,
        "workloads": [
            {
                "workload": row.workload,
                "pods": row.pods,
                "meshed": row.meshed,
                "read": row.answered,
                "requests": row.requests,
                "failed": row.failed,
                "successRate": row.success,
                "requestsPerSecond": row.rps,
                "latencyMs": {"p50": row.p50_ms, "p95": row.p95_ms, "p99": row.p99_ms},
                "connectionsPerSecond": row.connections_per_s,
                "receivedBytesPerSecond": row.received_bps,
                "sentBytesPerSecond": row.sent_bps,
            }
            for row in found
        ],
    }
