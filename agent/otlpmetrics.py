"""The agent's metrics as OpenTelemetry's: the same families, with the names of its conventions.

Outcome: requests of bounded size, whatever the number of label sets. Totals are cumulative, so a request that is lost
costs resolution and no count. Leaves out names (``otlpwords``), when (``outlets``) and how it gets there (``otlp``).
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from prometheus_client import metrics_core

from agent import catalogue, model, otlpwords, series

_SETS: Final = 200
"""Label sets in one request: 2,800 data points at most, some 1 MB before compression."""
_US_PER_S: Final = 1_000_000
_CUMULATIVE: Final = metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
_CAUSES: Final = tuple(cause.name.lower() for cause in model.FailCause)
_KEPT: Final = frozenset({metric.name for metric in (catalogue.ENDS, catalogue.CHECKED, catalogue.MISMATCH)})
"""Totals that a restarted agent goes on from, as it does from those of flows."""
_LEFT_OUT: Final = frozenset({catalogue.BUILD.name})
"""Said by the resource."""
_BY_NAME: Final = {metric.name: metric for metric in catalogue.TABLE}
_Distribution = tuple[Sequence[int], float]
"""Counts of each bucket, and the sum in seconds."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All totals at one moment; nothing in it changes any more."""

    wall_ns: int
    labels: tuple[str, ...]
    bounds_us: tuple[int, ...]
    flows: Sequence[series.Saved]
    families: Sequence[metrics_core.Metric]
    """The agent's own."""


class Starts:
    """Since when each total counts: a label set that went and came back begins anew."""

    def __init__(self, *, boot_wall_ns: int, agent_wall_ns: int) -> None:
        """``boot_wall_ns``: what a former agent has saved counts since then. All are Unix nanoseconds."""
        self.boot_wall_ns = boot_wall_ns
        self.agent_wall_ns = agent_wall_ns
        self._of: dict[tuple[str, ...], int] = {}
        self._before_ns = boot_wall_ns

    def learn(self, snapshot: Snapshot) -> Mapping[tuple[str, ...], int]:
        """Give the start of each label set of a snapshot: what was not in the last one has begun after that."""
        self._of = {each.labels: self._of.get(each.labels, self._before_ns) for each in snapshot.flows}
        self._before_ns = snapshot.wall_ns
        return self._of


def requests(
    snapshot: Snapshot, starts: Starts, *, resource: resource_pb2.Resource, version: str
) -> Iterator[tuple[metrics_service_pb2.ExportMetricsServiceRequest, int]]:
    """Give requests, and how many data points each has."""
    since = starts.learn(snapshot)
    flows = iter(snapshot.flows)
    while some := list(itertools.islice(flows, _SETS)):
        yield _request(_of_flows(snapshot, some, since), resource, version)
    yield _request(_of_agent(snapshot, starts), resource, version)


def _request(
    metrics: Iterable[metrics_pb2.Metric], resource: resource_pb2.Resource, version: str
) -> tuple[metrics_service_pb2.ExportMetricsServiceRequest, int]:
    made = metrics_service_pb2.ExportMetricsServiceRequest()
    whole = made.resource_metrics.add(resource=resource)
    scope = whole.scope_metrics.add(scope=common_pb2.InstrumentationScope(name=otlpwords.SCOPE, version=version))
    scope.metrics.extend(metric for metric in metrics if points(metric))
    return made, sum(points(metric) for metric in scope.metrics)


def points(metric: metrics_pb2.Metric) -> int:
    """Count a metric's data points."""
    return sum(len(each.data_points) for each in (metric.sum, metric.gauge, metric.histogram))


def _empty(metric: catalogue.Metric) -> metrics_pb2.Metric:
    made = metrics_pb2.Metric(name=otlpwords.metric_name(metric), description=metric.help, unit=otlpwords.unit(metric))
    match metric.kind:
        case catalogue.Kind.COUNTER:
            made.sum.is_monotonic = True
            made.sum.aggregation_temporality = _CUMULATIVE
        case catalogue.Kind.HISTOGRAM:
            made.histogram.aggregation_temporality = _CUMULATIVE
        case catalogue.Kind.GAUGE:
            made.gauge.SetInParent()
    return made


def _of_flows(
    snapshot: Snapshot, some: Sequence[series.Saved], since: Mapping[tuple[str, ...], int]
) -> list[metrics_pb2.Metric]:
    made = {metric.name: _empty(metric) for metric in catalogue.FLOW_TABLE}
    bounds_s = [bound / _US_PER_S for bound in snapshot.bounds_us]
    for each in some:
        named = otlpwords.of_labels(snapshot.labels, each.labels)
        start_ns, at_ns = since[each.labels], snapshot.wall_ns
        blank = metrics_pb2.NumberDataPoint(attributes=named, start_time_unix_nano=start_ns, time_unix_nano=at_ns)
        for name, total in series.TOTALS.items():
            made[name].sum.data_points.add(as_int=each.totals[total]).MergeFrom(blank)
        for cause, count in zip(_CAUSES, each.failed, strict=True):
            if count:
                point = made[catalogue.FAILED.name].sum.data_points.add(as_int=count)
                point.MergeFrom(blank)
                point.attributes.append(otlpwords.attribute(otlpwords.OF_LABEL["cause"], cause))
        for metric, counts, sum_us in (
            (catalogue.RTT, each.rtt, each.rtt_us),
            (catalogue.CONNECT, each.connect, each.connect_us),
        ):
            if any(counts):
                held = made[metric.name].histogram.data_points.add(attributes=named)
                held.start_time_unix_nano, held.time_unix_nano = start_ns, at_ns
                _fill(held, bounds_s, (counts, sum_us / _US_PER_S))
    return list(made.values())


def _fill(point: metrics_pb2.HistogramDataPoint, bounds_s: Sequence[float], held: _Distribution) -> None:
    counts, point.sum = held
    point.count = sum(counts)
    point.bucket_counts.extend(counts)
    point.explicit_bounds.extend(bounds_s)


def _of_agent(snapshot: Snapshot, starts: Starts) -> Iterator[metrics_pb2.Metric]:
    for family in snapshot.families:
        metric = _BY_NAME[family.name]
        if family.name in _LEFT_OUT:
            continue
        made = _empty(metric)
        start = starts.boot_wall_ns if family.name in _KEPT else starts.agent_wall_ns
        if metric.kind is catalogue.Kind.HISTOGRAM:
            held = made.histogram.data_points.add(start_time_unix_nano=start, time_unix_nano=snapshot.wall_ns)
            _fill(held, *_distribution(family))
        else:
            into = made.sum if metric.kind is catalogue.Kind.COUNTER else made.gauge
            for sample in family.samples:
                named = otlpwords.attributes((f"ipseity.{name}", value) for name, value in sample.labels.items())
                point = into.data_points.add(attributes=named, time_unix_nano=snapshot.wall_ns)
                if float(sample.value).is_integer():
                    point.as_int = int(sample.value)
                else:
                    point.as_double = sample.value
                if metric.kind is catalogue.Kind.COUNTER:
                    point.start_time_unix_nano = start
        yield made


def _distribution(family: metrics_core.Metric) -> tuple[list[float], _Distribution]:
    """Undo what Prometheus' text adds up: buckets that count what is in them, and the bounds between them."""
    rows = [(float(sample.labels["le"]), int(sample.value)) for sample in family.samples if "le" in sample.labels]
    total = next(sample.value for sample in family.samples if sample.name.endswith("_sum"))
    upto = [count for _, count in rows]
    counts = [after - before for before, after in itertools.pairwise([0, *upto])]
    return [bound for bound, _ in rows[:-1]], (counts, total)
