"""The agent's own state, as Prometheus reads it: how full, how late, how stale, and what was dropped where.

Here because the numbers of ``metrics`` are worth as much as these say. Leaves out where they come from: ``app``
collects them from their owners at every scrape.
"""

import bisect
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import metrics_core

from agent import catalogue, metrics

DRAIN_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Around the 50 ms that a full table may take."""


class Histogram:
    """A distribution of measured seconds."""

    def __init__(self, bounds_s: Sequence[float] = DRAIN_BOUNDS_S) -> None:
        self._bounds_s = tuple(bounds_s)
        self._counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one measurement."""
        self._counts[bisect.bisect_left(self._bounds_s, seconds)] += 1
        self.sum_s += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Give (upper bound, measurements up to it), the infinite one last."""
        total, rows = 0, []
        for bound, count in zip((*map(repr, self._bounds_s), "+Inf"), self._counts, strict=True):
            total += count
            rows.append((bound, float(total)))
        return rows


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The agent's state at the moment of a scrape."""

    version: str
    kernel: str
    """``uname -r``."""
    edges: int = 0
    max_edges: int = 0
    crowded: int = 0
    drops: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """By stage, since the agent started."""
    drain: Histogram = dataclasses.field(default_factory=Histogram)
    watch_staleness_s: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """By resource ("pods"); -1 if the API server never answered."""
    map_entries: Mapping[str, int] = dataclasses.field(default_factory=dict)
    map_capacity: Mapping[str, int] = dataclasses.field(default_factory=dict)
    programs_attached: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    otlp_sent: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """By signal; empty where nothing is exported."""
    otlp_failed: Mapping[tuple[str, str], int] = dataclasses.field(default_factory=dict)
    """By signal and reason."""
    otlp_waiting: int | None = None
    """None where nothing is exported."""


def families(health: Health, flows: metrics.FlowMetrics) -> Iterator[metrics_core.Metric]:
    """Give the families of ``catalogue.HEALTH_TABLE``, in its order."""
    yield _family(catalogue.ENDS, flows.ends())
    yield _family(catalogue.CHECKED, flows.checked())
    yield _family(catalogue.MISMATCH, flows.mismatches())
    yield _family(catalogue.SERIES, [((), len(flows))])
    yield _family(catalogue.OVERFLOWED, [((), flows.overflowed)])
    yield _family(catalogue.UNREADABLE, [((), flows.unreadable)])
    yield _family(catalogue.EDGES, [((), health.edges)])
    yield _family(catalogue.EDGES_MAX, [((), health.max_edges)])
    yield _family(catalogue.CROWDED, [((), health.crowded)])
    yield _family(catalogue.MAP_ENTRIES, _rows(health.map_entries))
    yield _family(catalogue.MAP_CAPACITY, _rows(health.map_capacity))
    yield _family(catalogue.PROGRAMS, _rows(health.programs_attached))
    yield _drain(health.drain)
    yield _family(catalogue.DROPS, _rows(health.drops))
    yield _family(catalogue.STALENESS, _rows(health.watch_staleness_s))
    yield _family(catalogue.OTLP_SENT, _rows(health.otlp_sent))
    yield _family(catalogue.OTLP_FAILED, [(key, float(count)) for key, count in sorted(health.otlp_failed.items())])
    yield _family(catalogue.OTLP_WAITING, [] if health.otlp_waiting is None else [((), health.otlp_waiting)])
    yield _family(catalogue.BUILD, [((health.version, health.kernel), 1)])


def _rows(values: Mapping[str, float]) -> list[tuple[tuple[str, ...], float]]:
    return [((name,), float(value)) for name, value in sorted(values.items())]


def _family(metric: catalogue.Metric, rows: Sequence[tuple[Sequence[str], float]]) -> metrics_core.Metric:
    family = metrics_core.Metric(metric.name, metric.help, metric.kind, metric.unit)
    for labels, value in rows:
        family.add_sample(metric.exposed, dict(zip(metric.labels, labels, strict=True)), value)
    return family


def _drain(histogram: Histogram) -> metrics_core.Metric:
    metric = catalogue.DRAIN
    return metrics_core.HistogramMetricFamily(
        metric.name, metric.help, histogram.buckets(), histogram.sum_s, unit=metric.unit
    )
