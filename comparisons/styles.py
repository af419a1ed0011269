"""Styles of mesh side by side: what was measured here, and what others have published, never in one cell.

Here because a reader asks how this compares with what they have. A cited number was taken on another machine with
another load: it is shown with its source and date, and in a column of its own.
"""

import dataclasses
from collections.abc import Sequence
from typing import Final

from comparisons import results


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cited:
    """What others say of a style."""

    style: str
    example: str
    number: str
    source: str
    url: str
    date: str


CITED: Final[Sequence[Cited]] = (
    Cited(
        style="sidecar, light",
        example="Linkerd",
        number="latency +33 % at 3,200 requests/s with mTLS (percentile not verified)",
        source="Bremler-Barr et al., arXiv 2411.02267",
        url="https://arxiv.org/abs/2411.02267",
        date="2024-11",
    ),
    Cited(
        style="sidecar, rich",
        example="Istio",
        number="latency +166 % at 3,200 requests/s with mTLS (percentile not verified)",
        source="Bremler-Barr et al., arXiv 2411.02267",
        url="https://arxiv.org/abs/2411.02267",
        date="2024-11",
    ),
    Cited(
        style="sidecar, rich",
        example="Istio 1.24",
        number="0.20 vCPU and 60 MB for each proxy at 1,000 requests/s",
        source="Istio, Performance and Scalability",
        url="https://istio.io/latest/docs/ops/deployment/performance-and-scalability/",
        date="2024-11",
    ),
    Cited(
        style="one proxy per node",
        example="Istio ambient",
        number="latency +8 % at 3,200 requests/s with mTLS (percentile not verified)",
        source="Bremler-Barr et al., arXiv 2411.02267",
        url="https://arxiv.org/abs/2411.02267",
        date="2024-11",
    ),
    Cited(
        style="one proxy per node",
        example="Istio ambient 1.24 (ztunnel)",
        number="0.06 vCPU and 12 MB at 1,000 requests/s",
        source="Istio, Performance and Scalability",
        url="https://istio.io/latest/docs/ops/deployment/performance-and-scalability/",
        date="2024-11",
    ),
    Cited(
        style="kernel and node agent",
        example="Cilium",
        number="latency +99 % at 3,200 requests/s with mTLS (percentile not verified)",
        source="Bremler-Barr et al., arXiv 2411.02267",
        url="https://arxiv.org/abs/2411.02267",
        date="2024-11",
    ),
)


STYLES: Final = {"sidecar": "sidecar", "node": "one proxy per node"}
EXAMPLES: Final = {"sidecar": "Ipseity", "node": "of Ipseity's parts, in this lab only"}
"""By contender."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured here of a style that runs here."""

    style: str
    example: str
    pods: int
    rate: float
    p50_ms: float
    p99_ms: float
    proxy_cpu_ms_per_s: float
    proxy_memory_mb: float


def table(costs: results.Costs) -> Sequence[Measured]:
    """Give the measured rows."""
    return [
        Measured(
            style=STYLES[it.contender],
            example=EXAMPLES[it.contender],
            pods=it.pods,
            rate=it.rate,
            p50_ms=it.p50_ms,
            p99_ms=it.p99_ms,
            proxy_cpu_ms_per_s=it.cpu_ms_per_s.get("proxy", 0.0),
            proxy_memory_mb=it.memory_mb.get("proxy", 0.0),
        )
        for it in costs.usages
        if it.contender in STYLES
    ]
