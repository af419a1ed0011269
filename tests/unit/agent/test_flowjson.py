"""agent/flowjson: from a flow to one line and back. Left out: the schema file and the docs (tests/contract/agent)."""

import dataclasses
import json

import msgspec
import pytest

from agent import flowjson, ledger, model, verdicts, walltime
from tests.fakes import flows


def line(flow: model.Flow) -> dict[str, object]:
    return json.loads(flowjson.encode(flowjson.from_flow(flow, node_name="node-a")))


def test_an_edge() -> None:
    """Every field of an edge, and none that says nothing."""
    assert line(flows.edge()) == {
        "time": "2026-11-22T13:00:01.000000000Z",
        "start_time": "2026-11-22T13:00:00.000000000Z",
        "node_name": "node-a",
        "type": "edge",
        "traffic_direction": "EGRESS",
        "IP": {"source": "10.7.0.4", "destination": "10.7.1.9", "ipVersion": "IPv4"},
        "l4": {"TCP": {"destination_port": 8080}},
        "source": {
            "kind": "pod",
            "evidence": "kernel",
            "namespace": "shop",
            "pod_name": "client-7f9c",
            "pod_uid": "5b0f3f0e-0a52-4c3a-9f0f-2f6f0d6b6d01",
            "workloads": [{"name": "client", "kind": "Deployment"}],
            "service_account": "client",
            "labels": ["k8s:app=client", "k8s:tier=front"],
            "container_id": "c0ffee",
            "cgroup_id": 4528,
        },
        "destination": {
            "kind": "pod",
            "evidence": "ip",
            "namespace": "shop",
            "pod_name": "web-5d44",
            "pod_uid": "a91e77aa-52e0-4a43-8a2c-f1ad01b2a7e3",
            "workloads": [{"name": "web", "kind": "Deployment"}],
            "service_account": "web",
            "labels": ["k8s:app=web"],
        },
        "counters": {
            "opened": 23,
            "closed": 19,
            "failed": {"refused": 7, "timed_out": 5, "reset": 3},
            "sent_bytes": 1009,
            "received_bytes": 2003,
            "sent_segments": 101,
            "received_segments": 103,
            "retransmits": 2,
            "rtt": {"count": 23, "sum_us": 4600, "buckets": [0, 0, 23, *[0] * 13]},
            "connect": {"count": 23, "sum_us": 6900, "buckets": [0, 0, 0, 23, *[0] * 12]},
        },
    }


def test_the_other_end_s_view_tells_the_same_story() -> None:
    """Source, destination and who sent what do not depend on which node reports."""
    here, there = line(flows.edge()), line(flows.mirrored())
    assert (here["traffic_direction"], there["traffic_direction"]) == ("EGRESS", "INGRESS")
    assert here["IP"] == there["IP"]
    assert here["l4"] == there["l4"]
    for name in ("opened", "sent_bytes", "received_bytes", "sent_segments", "received_segments"):
        assert here["counters"][name] == there["counters"][name]
    assert (there["source"]["evidence"], there["destination"]["evidence"]) == ("ip", "kernel")
    assert there["source"]["pod_name"] == "client-7f9c"


@pytest.mark.parametrize("direction", list(model.Direction))
def test_a_connection(direction: model.Direction) -> None:
    """A connection record has both ports, how long it took and how it ended; a failed one too."""
    ports = (40123, 8080) if direction is model.Direction.EGRESS else (8080, 40123)
    flow = flows.connection(direction=direction, local_port=ports[0], remote_port=ports[1], end_reason="refused")
    written = line(flow)
    assert written["type"] == "connection"
    assert written["l4"] == {"TCP": {"source_port": 40123, "destination_port": 8080}}
    assert written["connection"] == {"duration_us": 1500, "end_reason": "refused"}


def test_udp_ipv6_partial() -> None:
    """The rarer values of the common fields."""
    local = dataclasses.replace(flows.CLIENT, address="fd00::4")
    written = line(flows.edge(local=local, protocol=model.Protocol.UDP, partial=True))
    assert list(written["l4"]) == ["UDP"]
    assert written["IP"]["ipVersion"] == "IPv6"
    assert written["partial"] is True


def test_an_address_that_the_kernel_did_not_keep() -> None:
    """No address: no version is claimed."""
    bare = dataclasses.replace(flows.CLIENT, address="")
    assert line(flows.edge(local=bare, remote=bare))["IP"] == {}


def test_who_is_not_a_pod() -> None:
    """Services, nodes, units and prefixes have a name; an unknown end has a reason."""
    service = model.End(kind=model.Kind.SERVICE, evidence=model.Evidence.IP, namespace="shop", name="web")
    unknown = model.End(kind=model.Kind.UNKNOWN, evidence=model.Evidence.NONE, reason=model.Reason.NO_OWNER)
    written = line(flows.edge(local=service, remote=unknown))
    assert written["source"] == {"kind": "service", "evidence": "ip", "namespace": "shop", "name": "web"}
    assert written["destination"] == {"kind": "unknown", "evidence": "none", "reason": "no_owner"}


@pytest.mark.parametrize("flow", [flows.edge(), flows.mirrored(), flows.connection()])
def test_what_is_written_is_read(flow: model.Flow) -> None:
    """A reader of the line has the same record."""
    record = flowjson.from_flow(flow, node_name="node-a")
    assert record == flowjson.decode(flowjson.encode(record))


def test_fields_of_a_later_version_are_passed_over() -> None:
    """An older reader reads a newer agent."""
    record = flowjson.from_flow(flows.edge(), node_name="node-a")
    later = flowjson.encode(record)[:-1] + b',"verdict":"FORWARDED"}'
    assert record == flowjson.decode(later)


@pytest.mark.parametrize("damaged", [b"", b"{", b"{}", b"[]", b'{"time":7}', b'{"lost_events":7}'])
def test_a_damaged_line_says_what_is_wrong(damaged: bytes) -> None:
    """One kind of error for everything that is no record."""
    with pytest.raises(msgspec.DecodeError):
        flowjson.decode(damaged)


def test_lost() -> None:
    """Hubble's shape of a gap."""
    assert flowjson.encode_lost(7) == b'{"lost_events":{"num_events_lost":7}}'
    assert flowjson.Lost(num_events_lost=7) == flowjson.decode(flowjson.encode_lost(7))


def test_owners() -> None:
    """The answer of /owners, there and back."""
    answer = flowjson.Owners(
        address="10.7.0.9",
        time=walltime.text(flows.T0),
        node_name="node-a",
        owners=(
            flowjson.Owner(
                kind=model.Kind.POD,
                evidence=model.Evidence.KERNEL,
                start_time=walltime.text(flows.T0),
                namespace="shop",
                name="report-28x4k",
            ),
        ),
    )
    assert answer == flowjson.decode_owners(flowjson.encode(answer))


def test_all_answers_stand_side_by_side() -> None:
    """The end itself is not spelled again; somebody else is; nobody is a word; what has nothing to say is left out."""
    former = model.Who(model.Kind.POD, "shop", "report-1", "6f0c", "report", "Job", "batch")
    wrong = verdicts.Verdict(verdicts.Match.DIFFERENT, verdicts.Mismatch.IP_REUSED)
    late = verdicts.Verdict(verdicts.Match.DIFFERENT, verdicts.Mismatch.LATE_EVENT)
    views = model.Views(ledger.who(flows.WEB), None, former, model.NOBODY, verdicts.Verdicts(wrong, late))
    flow = flows.edge(remote=dataclasses.replace(flows.WEB, views=views))
    record = flowjson.from_flow(flow, node_name="node-a")
    assert json.loads(flowjson.encode(record))["destination"]["attribution"] == {
        "kernel": "same",
        "ip": {
            "kind": "pod",
            "namespace": "shop",
            "name": "report-1",
            "uid": "6f0c",
            "workloads": [{"name": "report", "kind": "Job"}],
            "service_account": "batch",
        },
        "ip_read": "nobody",
        "match": "mismatch",
        "mismatch_reason": "ip_reused",
        "read_match": "mismatch",
        "read_mismatch_reason": "late_event",
    }
    assert record == flowjson.decode(flowjson.encode(record))
