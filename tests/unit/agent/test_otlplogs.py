"""Flows as log records, read with OpenTelemetry's own types.

Left out: how they get there (test_otlp.py).
"""

from typing import Any

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.logs.v1 import logs_pb2

from agent import model, otlplogs, otlpwords, verdicts
from tests.fakes import collector, flows

RESOURCE = otlpwords.resource("node-a", "0.1.0", {})


def written(*given: model.Flow) -> list[logs_pb2.LogRecord]:
    """Write flows and read them as a collector does."""
    made = otlplogs.request(given, resource=RESOURCE, version="0.1.0", read_wall_ns=flows.T0 + 7)
    read = logs_service_pb2.ExportLogsServiceRequest.FromString(made.SerializeToString())
    return list(read.resource_logs[0].scope_logs[0].log_records)


def attributes(flow: model.Flow) -> dict[str, Any]:
    return collector.values(written(flow)[0].attributes)


def test_a_connection_is_one_record_with_everything_known() -> None:
    """Every attribute, so that a new one is a decision."""
    (record,) = written(flows.connection())
    assert (flows.T0 + 10**9, flows.T0 + 7) == (record.time_unix_nano, record.observed_time_unix_nano)
    assert ("ipseity.connection", "INFO", 9) == (record.event_name, record.severity_text, record.severity_number)
    assert record.body.string_value == "shop/client-7f9c -> shop/web-5d44:8080 tcp closed"
    assert collector.values(record.attributes) == {
        "source.address": "10.7.0.4",
        "source.port": 40123,
        "source.k8s.namespace.name": "shop",
        "source.k8s.pod.name": "client-7f9c",
        "source.k8s.pod.uid": "5b0f3f0e-0a52-4c3a-9f0f-2f6f0d6b6d01",
        "source.k8s.pod.label.app": "client",
        "source.k8s.pod.label.tier": "front",
        "source.k8s.workload.name": "client",
        "source.k8s.workload.kind": "Deployment",
        "source.k8s.serviceaccount.name": "client",
        "source.container.id": "c0ffee",
        "source.ipseity.kind": "pod",
        "source.ipseity.evidence": "kernel",
        "destination.address": "10.7.1.9",
        "destination.port": 8080,
        "destination.k8s.namespace.name": "shop",
        "destination.k8s.pod.name": "web-5d44",
        "destination.k8s.pod.uid": "a91e77aa-52e0-4a43-8a2c-f1ad01b2a7e3",
        "destination.k8s.pod.label.app": "web",
        "destination.k8s.workload.name": "web",
        "destination.k8s.workload.kind": "Deployment",
        "destination.k8s.serviceaccount.name": "web",
        "destination.ipseity.kind": "pod",
        "destination.ipseity.evidence": "ip",
        "network.transport": "tcp",
        "network.type": "ipv4",
        "ipseity.direction": "egress",
        "ipseity.end_reason": "closed",
        "ipseity.flow.start_time_unix_nano": flows.T0,
        "ipseity.flow.duration": 0.0015,
        "ipseity.flow.sent_bytes": 13,
        "ipseity.flow.received_bytes": 17,
        "ipseity.flow.connections_opened": 1,
        "ipseity.flow.connections_closed": 1,
    }


def test_both_ends_tell_the_same() -> None:
    """Whichever node reports, the source is who opened it, and sent is what it sent."""
    ours, theirs = attributes(flows.edge()), attributes(flows.mirrored())
    same = [name for name in ours if name.startswith("ipseity.flow.") and not name.endswith("connect")]
    same += [f"{side}.k8s.{name}" for side in ("source", "destination") for name in ("pod.name", "workload.name")]
    assert len(same) > 10
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    assert ("egress", "ingress") == (ours["ipseity.direction"], theirs["ipseity.direction"])


def test_a_failure_has_the_name_that_the_conventions_have_for_it() -> None:
    """``error.type`` is there where something went wrong, and only there."""
    failed = attributes(flows.connection(end_reason="refused", counters=model.Counters(failed=(1, 0, 0, 0, 0))))
    assert ("refused", 1) == (failed["error.type"], failed["ipseity.flow.connections_failed.refused"])
    assert "error.type" not in attributes(flows.connection())
    assert "error.type" not in attributes(flows.edge())


def test_an_edge_has_means_and_says_so_by_its_name() -> None:
    """Histograms are in the metrics."""
    (record,) = written(flows.edge())
    found = collector.values(record.attributes)
    assert record.event_name == "ipseity.edge"
    assert (0.0002, 0.0003) == (found["ipseity.flow.rtt"], found["ipseity.flow.connect"])
    assert not {"ipseity.end_reason", "ipseity.flow.duration", "source.port"} & found.keys()


def test_what_is_no_pod_has_a_name_too() -> None:
    """A prefix is no address, and a unit's name may hold any byte."""
    unit = model.End(kind=model.Kind.HOST, evidence=model.Evidence.KERNEL, name="odd\udcff.service")
    found = attributes(flows.edge(local=unit, remote=flows.OUTSIDE, port=53, protocol=model.Protocol.UDP))
    assert ("odd\\udcff.service", "host") == (found["source.k8s.workload.name"], found["source.k8s.workload.kind"])
    assert ("0.0.0.0/0", "external") == (
        found["destination.k8s.workload.name"],
        found["destination.k8s.workload.kind"],
    )
    assert "destination.address" not in found
    assert found["network.transport"] == "udp"


def test_a_wrong_address_is_told_with_its_reason() -> None:
    """The product's headline, in every record."""
    wrong = verdicts.Verdict(verdicts.Match.DIFFERENT, verdicts.Mismatch.IP_REUSED)
    views = model.Views(judged=verdicts.Verdicts(ip=wrong))
    end = model.End(kind=model.Kind.POD, evidence=model.Evidence.KERNEL, name="a", namespace="b", views=views)
    found = attributes(flows.edge(local=end))
    assert ("mismatch", "ip_reused") == (
        found["source.ipseity.attribution.match"],
        found["source.ipseity.attribution.mismatch_reason"],
    )


def test_an_end_that_is_both_source_and_destination_is_spelled_for_each() -> None:
    """Two flows of one end, in one request."""
    first, second = written(flows.edge(), flows.edge(local=flows.WEB, remote=flows.CLIENT))
    assert "client-7f9c" == collector.values(first.attributes)["source.k8s.pod.name"]
    assert "client-7f9c" == collector.values(second.attributes)["destination.k8s.pod.name"]


def test_the_resource_is_the_agent_and_what_the_user_says() -> None:
    """By OpenTelemetry's own variables, percent signs and all."""
    said = {"OTEL_RESOURCE_ATTRIBUTES": "k8s.cluster.name=west%2C1, deployment.environment.name=prod,junk"}
    found = collector.values(otlpwords.resource("node-a", "0.1.0", {**said, "OTEL_SERVICE_NAME": "flows"}).attributes)
    assert found == {
        "service.name": "flows",
        "service.version": "0.1.0",
        "service.instance.id": "node-a",
        "k8s.node.name": "node-a",
        "k8s.cluster.name": "west,1",
        "deployment.environment.name": "prod",
    }
