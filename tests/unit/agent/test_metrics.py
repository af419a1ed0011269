"""agent/metrics, agent/series, agent/health and agent/exposition: totals by label set and the text they become.

Left out: what promtool says of the text, and the documentation (tests/contract/agent/test_metric_docs.py).
"""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import prometheus_client
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import exposition as their_exposition
from prometheus_client import metrics_core, parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from agent import catalogue, exposition, health, metrics, model, verdicts
from tests.fakes import flows

MINUTE_NS = 60 * 10**9


def new(**changes: Any) -> metrics.FlowMetrics:
    settings = {"max_series": 100, "grace_s": 60, "pod_labels": False, "bounds_us": flows.BOUNDS_US}
    return metrics.FlowMetrics(**(settings | changes))


def samples(held: metrics.FlowMetrics, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Give the samples of one metric by their labels."""
    found = {}
    for family in held.collect():
        for sample in family.samples:
            if sample.name == name:
                found[tuple(sample.labels.items())] = sample.value
    return found


def value(held: metrics.FlowMetrics, name: str, **labels: str) -> float:
    """Give the one sample of a metric that has these labels."""
    matching = [v for k, v in samples(held, name).items() if labels.items() <= dict(k).items()]
    assert len(matching) == 1, (name, labels, matching)
    return matching[0]


def test_counts_what_a_source_sent_and_received() -> None:
    """Sent and received are the source's, whichever end is local."""
    held = new()
    held.add(flows.edge(), 1)
    held.add(flows.mirrored(), 1)
    for direction in ("egress", "ingress"):
        assert value(held, "ipseity_flow_sent_bytes_total", direction=direction) == 1009
        assert value(held, "ipseity_flow_received_bytes_total", direction=direction) == 2003
        assert value(held, "ipseity_flow_sent_segments_total", direction=direction) == 101
        assert value(held, "ipseity_flow_received_segments_total", direction=direction) == 103


def test_adds_up() -> None:
    """A second drain of the same edge adds to the same series."""
    held = new()
    for _ in range(3):
        held.add(flows.edge(), 1)
    assert len(held) == 1
    assert value(held, "ipseity_flow_connections_opened_total") == 69
    assert value(held, "ipseity_flow_connections_closed_total") == 57
    assert value(held, "ipseity_flow_retransmits_total") == 6
    assert value(held, "ipseity_flow_connections_failed_total", cause="refused") == 21
    assert value(held, "ipseity_flow_connections_failed_total", cause="timed_out") == 15


def test_causes_that_never_happened_are_not_written() -> None:
    """Most edges never fail: their zeros would double the scrape."""
    held = new()
    held.add(flows.edge(), 1)
    causes = {dict(labels)["cause"] for labels in samples(held, "ipseity_flow_connections_failed_total")}
    assert causes == {"refused", "timed_out", "reset"}


def test_histograms_are_in_seconds_and_cumulative() -> None:
    """23 connections of 200 us fall into the bucket up to 256 us."""
    held = new()
    held.add(flows.edge(), 1)
    assert value(held, "ipseity_flow_rtt_seconds_bucket", le="0.000128") == 0
    assert value(held, "ipseity_flow_rtt_seconds_bucket", le="0.000256") == 23
    assert value(held, "ipseity_flow_rtt_seconds_bucket", le="+Inf") == 23
    assert value(held, "ipseity_flow_rtt_seconds_count") == 23
    assert value(held, "ipseity_flow_rtt_seconds_sum") == pytest.approx(0.0046)
    assert value(held, "ipseity_flow_connect_seconds_sum") == pytest.approx(0.0069)


def test_no_histogram_without_a_sample() -> None:
    """UDP has no round trips; no empty buckets are written for it."""
    held = new()
    held.add(flows.edge(protocol=model.Protocol.UDP, counters=model.Counters(sent_bytes=17)), 1)
    assert samples(held, "ipseity_flow_rtt_seconds_bucket") == {}


def test_labels_name_both_ends_and_the_evidence() -> None:
    """Every label of the default set."""
    held = new()
    held.add(flows.edge(), 1)
    (labels,) = samples(held, "ipseity_flow_sent_bytes_total")
    assert dict(labels) == {
        "source_namespace": "shop",
        "source_workload": "client",
        "source_kind": "Deployment",
        "source_service_account": "client",
        "source_evidence": "kernel",
        "destination_namespace": "shop",
        "destination_workload": "web",
        "destination_kind": "Deployment",
        "destination_service_account": "web",
        "destination_evidence": "ip",
        "port": "8080",
        "protocol": "tcp",
        "direction": "egress",
    }


@pytest.mark.parametrize(
    ("kind", "name", "workload"),
    [
        ("service", "web", "web"),
        ("node", "node-a", "node-a"),
        ("external", "0.0.0.0/0", "0.0.0.0/0"),
        ("unknown", "", ""),
    ],
)
def test_what_is_no_workload_is_named_by_its_kind(kind: str, name: str, workload: str) -> None:
    """A Service, a node, a prefix or nobody stands where a workload would."""
    held = new()
    remote = model.End(kind=model.Kind(kind), evidence=model.Evidence.IP, name=name)
    held.add(flows.edge(remote=remote), 1)
    (labels,) = samples(held, "ipseity_flow_sent_bytes_total")
    assert (kind, workload) == (dict(labels)["destination_kind"], dict(labels)["destination_workload"])


def test_pods_are_labels_only_if_asked_for() -> None:
    """Two pods of a workload are one series by default and two with pod_labels."""
    second = flows.edge(local=dataclasses.replace(flows.CLIENT, name="client-8aaa"))
    for pod_labels, expected in ((False, 1), (True, 2)):
        held = new(pod_labels=pod_labels)
        held.add(flows.edge(), 1)
        held.add(second, 1)
        assert expected == len(held)
    found = {
        (dict(k)["source_pod"], dict(k)["destination_pod"]) for k in samples(held, "ipseity_flow_sent_bytes_total")
    }
    assert found == {("client-7f9c", "web-5d44"), ("client-8aaa", "web-5d44")}


def test_cap_sends_the_rest_to_other_and_sums_stay_right() -> None:
    """Beyond the cap: one bucket per protocol and direction, counted; no byte is lost."""
    held = new(max_series=7)
    for port in range(23):
        held.add(flows.edge(port=1000 + port), 1)
    held.add(flows.mirrored(), 1)
    assert len(held) == 7
    assert held.overflowed == 17
    assert value(held, "ipseity_flow_sent_bytes_total", source_workload="other", direction="egress") == 16 * 1009
    assert value(held, "ipseity_flow_sent_bytes_total", port="other", direction="ingress") == 1009
    assert sum(samples(held, "ipseity_flow_sent_bytes_total").values()) == 24 * 1009


def test_series_of_a_gone_workload_goes_after_the_grace() -> None:
    """Not before the grace, and only if an end is gone."""
    held = new()
    held.add(flows.edge(), MINUTE_NS)
    both = {("shop", "Deployment", "client"), ("shop", "Deployment", "web")}
    only_client = {("shop", "Deployment", "client")}
    assert held.expire(100 * MINUTE_NS, both) == 0
    assert held.expire(2 * MINUTE_NS - 1, only_client) == 0
    assert held.expire(2 * MINUTE_NS, only_client) == 1
    assert samples(held, "ipseity_flow_sent_bytes_total") == {}


def test_ends_that_are_no_workload_are_never_gone() -> None:
    """A prefix and a host process have no Kubernetes object that could vanish."""
    held = new()
    held.add(flows.edge(remote=flows.OUTSIDE), 0)
    assert held.expire(100 * MINUTE_NS, {("shop", "Deployment", "client")}) == 0
    assert held.expire(100 * MINUTE_NS, set()) == 1


def test_pod_series_go_with_the_pod() -> None:
    """With pod labels it is the pod that must be gone, not its workload."""
    held = new(pod_labels=True)
    held.add(flows.edge(), 0)
    assert held.expire(MINUTE_NS, {("shop", "Pod", "client-7f9c"), ("shop", "Pod", "web-5d44")}) == 0
    assert held.expire(MINUTE_NS, {("shop", "Pod", "client-7f9c"), ("shop", "Deployment", "web")}) == 1


def test_a_gone_series_makes_room() -> None:
    """What expired does not count against the cap."""
    held = new(max_series=1)
    held.add(flows.edge(), 0)
    held.expire(2 * MINUTE_NS, set())
    held.add(flows.edge(port=9), 2 * MINUTE_NS)
    assert held.overflowed == 0


@pytest.mark.parametrize("pod_labels", [False, True])
def test_totals_survive_a_restart(pod_labels: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """dump, JSON, load: the next agent goes on where this one stopped, the bucket other included."""
    before = new(max_series=2, pod_labels=pod_labels)
    for port in (80, 443, 5432):
        before.add(flows.edge(port=port), 5)
    after = new(max_series=2, pod_labels=pod_labels)
    after.load(json.loads(json.dumps(before.dump())))
    assert list(before.collect()) == list(after.collect())
    assert (0, 1) == (after.unreadable, after.overflowed)
    before.add(flows.edge(port=80), 6)
    after.add(flows.edge(port=80), 6)
    assert list(before.collect()) == list(after.collect())


@pytest.mark.parametrize(
    "dumped", [None, {}, [], {"labels": []}, "x", {"labels": [], "bounds_us": [], "overflowed": 0, "series": [{}]}]
)
def test_damaged_totals_are_counted_not_raised(dumped: object) -> None:
    """A checkpoint from nowhere must not stop an agent."""
    held = new()
    held.load(dumped)
    assert (1, 0) == (held.unreadable, len(held))


def test_totals_with_other_labels_are_not_taken() -> None:
    """Pod labels switched on between two runs: the old totals do not fit and say so."""
    before = new()
    before.add(flows.edge(), 1)
    after = new(pod_labels=True)
    after.load(before.dump())
    assert (1, 0) == (after.unreadable, len(after))


@pytest.mark.parametrize(
    "damage",
    [
        lambda one: one["labels"].pop(),
        lambda one: one["labels"].__setitem__(-3, "http"),
        lambda one: one["labels"].__setitem__(-2, "sctp"),
        lambda one: one["rtt"].pop(),
        lambda one: one["failed"].append(0),
        lambda one: one["totals"].pop("opened"),
    ],
)
def test_one_damaged_series_does_not_take_the_others(damage: Callable[[Any], object]) -> None:
    """Each series is judged alone."""
    before = new()
    before.add(flows.edge(), 1)
    before.add(flows.edge(port=9), 1)
    dumped = json.loads(json.dumps(before.dump()))
    damage(dumped["series"][0])
    after = new()
    after.load(dumped)
    assert (1, 1) == (after.unreadable, len(after))


def test_ends_tell_what_names_rest_on() -> None:
    """Every drained edge counts both of its ends."""
    held = new()
    unknown = model.End(kind=model.Kind.UNKNOWN, evidence=model.Evidence.NONE, reason=model.Reason.NO_TAG)
    held.add(flows.edge(), 1)
    held.add(flows.edge(local=unknown), 1)
    assert held.ends() == [
        (("local", "pod", "kernel", ""), 1),
        (("local", "unknown", "none", "no_tag"), 1),
        (("remote", "pod", "ip", ""), 2),
    ]


def test_verdicts_are_counted_by_method() -> None:
    """What could not be checked is in neither counter; a mismatch is also checked."""
    held = new()
    same = verdicts.Verdict(verdicts.Match.SAME)
    wrong = verdicts.Verdict(verdicts.Match.DIFFERENT, verdicts.Mismatch.IP_REUSED)
    good = dataclasses.replace(flows.CLIENT, views=model.Views(judged=verdicts.Verdicts(same, same)))
    bad = dataclasses.replace(flows.WEB, views=model.Views(judged=verdicts.Verdicts(wrong, same)))
    for _ in range(3):
        held.add(flows.edge(local=good), 1)
    held.add(flows.edge(local=good, remote=bad), 1)
    assert held.checked() == [
        (("local", "ip"), 4),
        (("local", "ip_read"), 4),
        (("remote", "ip"), 1),
        (("remote", "ip_read"), 1),
    ]
    assert [(("remote", "ip_reused", "ip"), 1)] == [each for each in held.mismatches() if each[1]]
    zeros = {reason for (end, reason, method), _ in held.mismatches() if (end, method) == ("local", "ip")}
    assert {reason.value for reason in verdicts.Mismatch if reason} == zeros, "so that the first one is an increase"
    assert [4, 4] == [count for _, count in held.ends()], "verdicts do not split ends"
    after = new()
    after.load(held.dump())
    assert (held.ends(), held.checked(), held.mismatches()) == (after.ends(), after.checked(), after.mismatches())


def text(held: metrics.FlowMetrics, *others: metrics_core.Metric, openmetrics: bool = False) -> str:
    return b"".join(exposition.pieces(held, others, openmetrics=openmetrics)).decode()


names = st.text(st.characters(blacklist_categories=("Cs",)), max_size=8)


@settings(deadline=None)  # a busy machine is no defect
@given(namespace=names, name=names, port=st.integers(0, 65535), bytes_=st.integers(0, 2**53))
def test_own_text_says_what_prometheus_client_says(namespace: str, name: str, port: int, bytes_: int) -> None:
    """The quick writer and the library's agree, whatever names hold, up to the last integer of a float."""
    held = new()
    local = dataclasses.replace(flows.CLIENT, namespace=namespace, workload=name)
    held.add(flows.edge(local=local, port=port, counters=dataclasses.replace(flows.COUNTERS, sent_bytes=bytes_)), 1)
    theirs = their_exposition.generate_latest(held).decode()
    assert list(parser.text_string_to_metric_families(theirs)) == list(
        parser.text_string_to_metric_families(text(held))
    )


def test_openmetrics_is_what_its_parser_takes() -> None:
    """The strict parser reads everything, health included, and finds the same samples."""
    held = new()
    held.add(flows.edge(), 1)
    state = health.Health(version="0.1.0", kernel="6.1.0", drops={"ring": 3})
    written = text(held, *health.families(state, held), openmetrics=True)
    families = {family.name: family for family in openmetrics_parser.text_string_to_metric_families(written)}
    assert {metric.name for metric in catalogue.TABLE} == set(families)
    assert families["ipseity_flow_sent_bytes"].samples[0].value == 1009
    assert families["ipseity_flow_sent_bytes"].unit == "bytes"


def test_a_large_scrape_comes_in_pieces() -> None:
    """No piece is as large as the scrape, so that a drain can run in between."""
    held = new(max_series=1000)
    for port in range(1, 400):
        held.add(flows.edge(port=port), 1)
    pieces = list(exposition.pieces(held, [], openmetrics=False))
    assert max(map(len, pieces)) < 400_000 < sum(map(len, pieces))


def test_a_name_that_is_no_utf8_is_spelled() -> None:
    """Cgroup names are bytes; a scrape is UTF-8."""
    held = new()
    held.add(
        flows.edge(local=model.End(kind=model.Kind.HOST, evidence=model.Evidence.KERNEL, name="run-\udcff.scope")), 1
    )
    (family, *_) = parser.text_string_to_metric_families(text(held))
    assert family.samples[0].labels["source_workload"] == "run-\\udcff.scope"


def test_health_has_every_row_of_the_table() -> None:
    """A scrape of a fresh agent already has all of the agent's own metrics, in the table's order."""
    state = health.Health(version="0.1.0", kernel="6.1.0")
    written = [family.name for family in health.families(state, new())]
    assert [metric.name for metric in catalogue.HEALTH_TABLE] == written


def test_health_values() -> None:
    """What app.py puts in comes out under its labels."""
    drain = health.Histogram()
    drain.observe(0.014)
    drain.observe(7)
    state = health.Health(
        version="0.1.0",
        kernel="6.1.0",
        edges=41,
        max_edges=65536,
        drops={"ring": 3, "flow_log_no_space": 5},
        drain=drain,
        watch_staleness_s={"pods": 2.5},
        map_entries={"edges": 41},
        map_capacity={"edges": 65536},
        programs_attached={"tcp": True, "udp": False},
    )
    registry = prometheus_client.CollectorRegistry()
    registry.register(type("Own", (), {"collect": lambda _: health.families(state, new())})())
    get = registry.get_sample_value
    assert get("ipseity_edges") == 41
    assert get("ipseity_agent_drops_total", {"stage": "ring"}) == 3
    assert get("ipseity_kubernetes_watch_staleness_seconds", {"resource": "pods"}) == 2.5
    assert get("ipseity_programs_attached", {"program": "udp"}) == 0
    assert get("ipseity_drain_seconds_bucket", {"le": "0.025"}) == 1
    assert get("ipseity_drain_seconds_count") == 2
    assert get("ipseity_build_info", {"version": "0.1.0", "kernel": "6.1.0"}) == 1


@pytest.mark.parametrize(
    ("accept", "expected"),
    [("", False), ("text/plain", False), ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", True)],
)
def test_accept_header_chooses_the_format(accept: str, expected: bool) -> None:  # noqa: FBT001  # a parameter
    """Prometheus asks for OpenMetrics; a person with curl gets text."""
    assert expected == exposition.wants_openmetrics(accept)
