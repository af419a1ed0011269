"""Totals as OpenTelemetry's metrics: the same numbers as a scrape has.

Left out: how they get there (test_otlp.py); names against docs (tests/contract/agent/test_otlp_names.py).
"""

from typing import Any

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2

from agent import health, metrics, otlpmetrics, otlpwords
from tests.fakes import collector, flows

RESOURCE = otlpwords.resource("node-a", "0.1.0", {})


def totals(*given: Any, max_series: int = 1000) -> metrics.FlowMetrics:
    held = metrics.FlowMetrics(max_series=max_series, grace_s=60, pod_labels=False, bounds_us=flows.BOUNDS_US)
    for flow in given:
        held.add(flow, 1)
    return held


def starts() -> otlpmetrics.Starts:
    return otlpmetrics.Starts(boot_wall_ns=100, agent_wall_ns=200)


def snapshot(held: metrics.FlowMetrics, wall_ns: int = 1000, state: health.Health | None = None) -> Any:
    return otlpmetrics.Snapshot(
        wall_ns=wall_ns,
        labels=held.labels,
        bounds_us=held.bounds_us,
        flows=[each.save() for each in held.held()],
        families=list(health.families(state, held)) if state else [],
    )


def sent(taken: Any, since: otlpmetrics.Starts | None = None) -> dict[str, metrics_pb2.Metric]:
    """Give all metrics of a snapshot by name, as a collector puts them together."""
    found: dict[str, metrics_pb2.Metric] = {}
    for request, points in otlpmetrics.requests(taken, since or starts(), resource=RESOURCE, version="0.1.0"):
        read = metrics_service_pb2.ExportMetricsServiceRequest.FromString(request.SerializeToString())
        here = list(read.resource_metrics[0].scope_metrics[0].metrics)
        assert points == sum(otlpmetrics.points(each) for each in here)
        for each in here:
            if each.name in found:
                found[each.name].MergeFrom(each)
            else:
                found[each.name] = each
    return found


def test_a_label_set_is_what_a_scrape_has() -> None:
    """Names, numbers, attributes; a port is a number."""
    found = sent(snapshot(totals(flows.edge())))
    (point,) = found["ipseity.flow.sent"].sum.data_points
    assert (1009, 100, 1000) == (point.as_int, point.start_time_unix_nano, point.time_unix_nano)
    assert collector.values(point.attributes) == {
        "source.k8s.namespace.name": "shop",
        "source.k8s.workload.name": "client",
        "source.k8s.workload.kind": "Deployment",
        "source.k8s.serviceaccount.name": "client",
        "source.ipseity.evidence": "kernel",
        "destination.k8s.namespace.name": "shop",
        "destination.k8s.workload.name": "web",
        "destination.k8s.workload.kind": "Deployment",
        "destination.k8s.serviceaccount.name": "web",
        "destination.ipseity.evidence": "ip",
        "destination.port": 8080,
        "network.transport": "tcp",
        "ipseity.direction": "egress",
    }
    whole = found["ipseity.flow.sent"]
    assert ("By", True) == (whole.unit, whole.sum.is_monotonic)
    assert whole.sum.aggregation_temporality == metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
    failed = {collector.values(each.attributes)["error.type"]: each.as_int
              for each in found["ipseity.flow.connections_failed"].sum.data_points}  # fmt: skip
    assert {"refused": 7, "timed_out": 5, "reset": 3} == failed


def test_a_histogram_has_its_buckets_and_not_their_sums() -> None:
    """One count more than bounds."""
    (point,) = sent(snapshot(totals(flows.edge())))["ipseity.flow.rtt"].histogram.data_points
    assert [0, 0, 23, *[0] * 13] == list(point.bucket_counts)
    assert [bound / 1e6 for bound in flows.BOUNDS_US] == list(point.explicit_bounds)
    assert (23, 0.0046) == (point.count, point.sum)


def test_the_agents_own_are_there_as_well() -> None:
    """Counters, gauges, a histogram; what the resource says is not said again."""
    drained = health.Histogram()
    for seconds in (0.0005, 0.003, 7.0):
        drained.observe(seconds)
    state = health.Health(
        version="0.1.0", kernel="6.1", drops={"ring": 3}, drain=drained, watch_staleness_s={"pods": 1.5}
    )
    found = sent(snapshot(totals(flows.edge()), state=state))
    (point,) = found["ipseity.agent_drops"].sum.data_points
    assert (3, {"ipseity.stage": "ring"}, 200) == (
        point.as_int,
        collector.values(point.attributes),
        point.start_time_unix_nano,
    )
    assert 100 == found["ipseity.attributed_ends"].sum.data_points[0].start_time_unix_nano
    assert 1.5 == found["ipseity.kubernetes_watch_staleness"].gauge.data_points[0].as_double
    (drain,) = found["ipseity.drain"].histogram.data_points
    assert (3, 1, 1) == (drain.count, drain.bucket_counts[0], drain.bucket_counts[-1])
    assert len(drain.bucket_counts) == len(drain.explicit_bounds) + 1
    assert "ipseity.build_info" not in found


def test_many_label_sets_are_several_requests() -> None:
    """None of them large, and all of them there."""
    held = totals(*(flows.edge(port=port) for port in range(1, 602)))
    requests = list(otlpmetrics.requests(snapshot(held), starts(), resource=RESOURCE, version="0.1.0"))
    assert len(requests) == 5  # four of flows, one of the agent's own
    assert max(points for _, points in requests) <= 200 * 14
    assert max(len(request.SerializeToString()) for request, _ in requests) < 4 * 1024 * 1024
    assert len(sent(snapshot(held))["ipseity.flow.sent"].sum.data_points) == 601


def test_a_label_set_that_came_back_begins_anew() -> None:
    """It counts since the export before the one that it is in again; the others since boot."""
    since, stays = starts(), flows.edge(port=1)
    went = totals(stays, flows.edge(port=2))
    seen = [sent(snapshot(held, at), since) for held, at in ((went, 1000), (totals(stays), 2000), (went, 3000))]
    found = [
        {int(collector.values(each.attributes)["destination.port"]): each.start_time_unix_nano  # type: ignore[call-overload]  # a number
         for each in one["ipseity.flow.sent"].sum.data_points}
        for one in seen
    ]  # fmt: skip
    assert [{1: 100, 2: 100}, {1: 100}, {1: 100, 2: 2000}] == found


def test_a_snapshot_does_not_change() -> None:
    """It is written in another thread, while drains go on."""
    held = totals(flows.edge())
    taken = snapshot(held)
    held.add(flows.edge(), 2)
    assert 1009 == sent(taken)["ipseity.flow.sent"].sum.data_points[0].as_int
    assert [7, 5, 3] == [each.as_int for each in sent(taken)["ipseity.flow.connections_failed"].sum.data_points]
    assert 23 == sent(taken)["ipseity.flow.rtt"].histogram.data_points[0].count
