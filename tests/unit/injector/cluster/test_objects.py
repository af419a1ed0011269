"""Kubernetes' JSON in, records out; what is not as the API promises is malformed, never a crash.

Leaves out what records mean together (``test_index``).
"""

import contextlib
import json
import pathlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from injector.cluster import model, objects, workloads
from tests.fakes import cluster_objects

VECTORS = pathlib.Path(__file__).parents[3] / "vectors/kubernetes"


def test_a_pod_of_a_real_api_server_is_read() -> None:
    """Every pod of the recorded list, with its owner as a person would name it."""
    listed = json.loads((VECTORS / "pod-list.json").read_text())["items"]
    found = [objects.pod(each) for each in listed]
    assert found
    assert all(each is None or each.pod.ref.uid for each in found)


def test_a_slice_of_a_real_api_server_is_read() -> None:
    """Every slice of the recorded list."""
    listed = json.loads((VECTORS / "endpointslice-list.json").read_text())["items"]
    assert listed
    for each in listed:
        assert each["addressType"] == objects.endpoint_slice(each).family


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_is_over_is_gone(phase: str) -> None:
    """Its address may be another's already."""
    assert None is objects.pod(cluster_objects.pod("web", "10.0.0.1", phase=phase))


def test_probes_are_read_with_named_ports_and_without_the_proxys_own() -> None:
    """HTTP, HTTPS and gRPC; a TCP one sends nothing."""
    spec = {
        "containers": [
            {
                "name": "app",
                "ports": [{"name": "web", "containerPort": 8080}],
                "livenessProbe": {"httpGet": {"port": "web", "path": "live"}},
                "readinessProbe": {"grpc": {"port": 9090}},
                "startupProbe": {"httpGet": {"port": 8443, "path": "/", "scheme": "HTTPS"}},
            },
            {"name": "other", "readinessProbe": {"tcpSocket": {"port": 7000}}},
            {"name": "third", "livenessProbe": {"httpGet": {"port": "nowhere"}}},
            {"name": "ipseity-proxy", "readinessProbe": {"httpGet": {"port": 15020, "path": "/ready"}}},
        ]
    }
    record = objects.pod(cluster_objects.pod("web", spec=spec))
    assert record is not None
    assert (
        model.HttpProbe(port=8080, path="/live"),
        model.HttpProbe(port=8443, path="/", secured=True),
        model.HttpProbe(port=9090, path="/grpc.health.v1.Health/Check"),
    ) == record.pod.probes


def test_a_pod_on_its_nodes_network_is_never_meshed() -> None:
    """The label cannot be the webhook's: it skips such pods."""
    record = objects.pod(cluster_objects.pod("web", "10.0.0.1", spec={"hostNetwork": True}))
    assert record is not None
    assert (True, False) == (record.pod.host_network, record.pod.meshed)


@pytest.mark.parametrize(
    ("expected", "addresses", "headless", "external", "spec"),
    [
        ("cluster IP", ("10.96.0.1",), False, "", {}),
        ("dual stack", ("10.96.0.1", "fd00::1"), False, "", {"clusterIPs": ["10.96.0.1", "fd00:0::1"]}),
        ("headless", (), True, "", {"clusterIP": "None", "clusterIPs": ["None"]}),
        ("elsewhere", (), False, "example.com", {"type": "ExternalName", "externalName": "example.com"}),
        ("no address yet", (), False, "", {"clusterIP": "", "clusterIPs": []}),
    ],
)
def test_a_service_of_each_kind_is_read(
    expected: str,
    addresses: tuple[str, ...],
    headless: bool,  # noqa: FBT001  # a column of the table above
    external: str,
    spec: dict[str, Any],
) -> None:
    """Only what has a cluster IP is answered at one."""
    item = cluster_objects.service("web")
    item["spec"].update(spec)
    record = objects.service(item)
    assert (addresses, headless, external) == (record.addresses, record.headless, record.external_name), expected


def test_ports_that_are_not_tcp_are_none_of_ours() -> None:
    """UDP passes by."""
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "web", "port": 80, "targetPort": "http"}]
    record = objects.service(cluster_objects.service("web", ports=ports))
    assert [("web", 80, "http")] == [(each.name, each.port, each.target) for each in record.ports]


@pytest.mark.parametrize(
    ("expected", "conditions"),
    [
        ([False], {}),
        ([True], {"ready": False, "serving": True, "terminating": True}),
        ([], {"ready": False, "serving": False, "terminating": True}),
        ([], {"ready": False, "serving": True, "terminating": False}),
    ],
)
def test_what_serves_stays_while_it_ends(expected: list[bool], conditions: dict[str, bool]) -> None:
    """Ready, or ending and still serving; the values are whether it drains."""
    record = objects.endpoint_slice(
        cluster_objects.endpoint_slice("web", [cluster_objects.endpoint("10.0.0.1", **conditions)])
    )
    assert expected == [place.draining for place in record.places]


def test_a_pod_named_without_a_uid_is_none_in_particular() -> None:
    """The API lets it be left out, and so do slices that people write."""
    item = cluster_objects.endpoint_slice("web", [cluster_objects.endpoint("10.0.0.1", "web-1")])
    del item["endpoints"][0]["targetRef"]["uid"]
    assert [("10.0.0.1", None)] == [(each.address, each.pod) for each in objects.endpoint_slice(item).places]


def test_an_endpoint_without_conditions_is_ready() -> None:
    """As the API says of what is absent."""
    record = objects.endpoint_slice(cluster_objects.endpoint_slice("web", [{"addresses": ["10.0.0.1"]}]))
    assert [False] == [place.draining for place in record.places]


@pytest.mark.parametrize(
    ("expected", "labels", "owner"),
    [
        ("deployment/web", {"pod-template-hash": "7c9"}, ("ReplicaSet", "web-7c9")),
        ("rollout/web", {"rollouts-pod-template-hash": "7c9"}, ("ReplicaSet", "web-7c9")),
        ("replicaset/web-7c9", {}, ("ReplicaSet", "web-7c9")),
        ("cronjob/nightly", {}, ("Job", "nightly-29123456")),
        ("job/once", {}, ("Job", "once")),
        ("statefulset/db", {}, ("StatefulSet", "db")),
        ("etcd", {}, ("Node", "node-1")),
    ],
)
def test_a_workload_is_named_as_people_name_it(expected: str, labels: dict[str, str], owner: tuple[str, str]) -> None:
    """From the pod alone: no watch of ReplicaSets."""
    owners = [{"kind": owner[0], "name": owner[1], "controller": True}]
    assert expected == workloads.name("etcd-node-1", labels, owners, node="node-1")


_KEYS = st.sampled_from(
    [
        "metadata",
        "spec",
        "status",
        "name",
        "namespace",
        "uid",
        "ports",
        "port",
        "endpoints",
        "addresses",
        "containers",
        "labels",
        "annotations",
        "podIPs",
        "clusterIPs",
        "addressType",
        "httpGet",
        "livenessProbe",
        "targetRef",
        "kind",
        "conditions",
        "targetPort",
        "protocol",
    ]  # a table of words
)
_NONSENSE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=6),
    max_leaves=20,
)


@pytest.mark.parametrize("read", [objects.pod, objects.service, objects.endpoint_slice, objects.namespace])
@given(item=st.dictionaries(_KEYS, _NONSENSE, max_size=6))
@settings(deadline=None)
def test_nonsense_is_malformed_and_never_a_crash(read: Any, item: Any) -> None:
    """Whatever is in an object, a record comes out, or None, or Malformed."""
    with contextlib.suppress(objects.Malformed):
        read(item)
