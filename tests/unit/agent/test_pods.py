"""Kubernetes objects as the agent keeps them, from what a real API server sent.

Leaves out the watch itself (``tests/unit/ipseity/test_informer``).
"""

import asyncio
import contextlib
import ipaddress
import json
from typing import Any

import msgspec
import pytest
from kubernetes.aio import client

from agent import model, pods
from tests.fakes import kube_api, recordings

RECORDED = {
    item["metadata"]["name"]: item for item in recordings.load("pod-list-fieldselector-node")["response"]["items"]
}


def trimmed(obj: dict[str, Any]) -> model.Pod:
    return pods.to_pod(msgspec.json.decode(json.dumps(obj).encode(), type=pods.PodShape))


def made(owner: tuple[str, str] | None = None, *, name: str = "p", node: str = "node-a", **meta: Any) -> model.Pod:
    references = [{"kind": owner[0], "name": owner[1], "controller": True}] if owner else []
    metadata = {"uid": "u", "name": name, "namespace": "shop", "ownerReferences": references, **meta}
    return trimmed({"metadata": metadata, "spec": {"nodeName": node}})


def test_a_recorded_pod_is_trimmed_to_what_is_asked_for() -> None:
    """Of 6 kB of JSON this much is kept."""
    assert model.Pod(
        uid=model.PodUid("2ac6461f-ac84-4647-9e5c-9b980ae8da9c"),
        namespace="rec",
        name="web-b975d49dd-hl2rf",
        node="vm",
        workload_kind="Deployment",
        workload="web",
        service_account="default",
        ips=(ipaddress.ip_address("10.244.0.7"),),
        labels=(("app", "web"),),
    ) == trimmed(RECORDED["web-b975d49dd-hl2rf"])


def test_a_sidecar_is_known_by_its_container() -> None:
    """Only of a meshed pod: containers that have started, without the runtime's name, and what goes past its proxy."""
    status = {
        "initContainerStatuses": [{"name": "ipseity-proxy", "containerID": "containerd://beef"}],
        "containerStatuses": [{"name": "app", "containerID": "cri-o://c0ffee"}, {"name": "late", "containerID": ""}],
    }
    said = {"config.ipseity.io/skip-inbound-ports": "25"}
    meta = {"uid": "u", "name": "p", "namespace": "shop", "annotations": said}
    meshed = trimmed({"metadata": {**meta, "labels": {"ipseity.io/meshed": "true"}}, "status": status})
    containers = (("beef", "ipseity-proxy"), ("c0ffee", "app"))
    assert model.Mesh(containers=containers, skip_inbound="25") == meshed.mesh
    assert trimmed({"metadata": meta, "status": status}).mesh is None


def test_every_recorded_pod_is_read() -> None:
    """Bare, of a Job and finished, on the host's network, of a StatefulSet, with another service account."""
    read = {name: trimmed(obj) for name, obj in RECORDED.items()}
    assert ("Job", "once", True) == (
        read["once-jnbvk"].workload_kind,
        read["once-jnbvk"].workload,
        read["once-jnbvk"].terminal,
    )
    assert (True, "StatefulSet", "app") == (
        read["hostnet"].host_network, read["db-0"].workload_kind, read["bare"].service_account
    )  # fmt: skip
    assert read["web-b975d49dd-hl2rf"].labels is read["web-b975d49dd-b65j5"].labels


@pytest.mark.parametrize(
    ("pod", "kind", "workload"),
    [
        (made(), "Pod", "p"),
        (made(("ReplicaSet", "web-7d9f"), labels={"pod-template-hash": "7d9f"}), "Deployment", "web"),
        (made(("ReplicaSet", "web-7d9f")), "ReplicaSet", "web-7d9f"),
        (made(("ReplicaSet", "web-7d9f"), labels={"pod-template-hash": "other"}), "ReplicaSet", "web-7d9f"),
        (made(("ReplicaSet", "web-55c"), labels={"rollouts-pod-template-hash": "55c"}), "Rollout", "web"),
        (made(("Job", "backup-29384756")), "CronJob", "backup"),
        (made(("Job", "backup-1700000000")), "CronJob", "backup"),
        (made(("Job", "migrate-v2")), "Job", "migrate-v2"),
        (made(("DaemonSet", "ds")), "DaemonSet", "ds"),
        (made(("Node", "node-a"), name="etcd-node-a"), "Pod", "etcd"),
        (made(("Kafka", "events")), "Kafka", "events"),
    ],
)
def test_a_workload_is_named_as_a_person_would(pod: model.Pod, kind: str, workload: str) -> None:
    """From the pod alone: no watch of ReplicaSets and Jobs."""
    assert (kind, workload) == (pod.workload_kind, pod.workload)


def test_an_owner_that_does_not_control_is_not_the_workload() -> None:
    """Garbage collection has owners of its own."""
    references = [{"kind": "ConfigMap", "name": "x"}]
    assert ("Pod", "p") == (made(ownerReferences=references).workload_kind, made(ownerReferences=references).workload)


def test_a_static_pod_brings_the_hash_of_its_cgroup() -> None:
    """From the annotation of its mirror."""
    pod = made(("Node", "node-a"), annotations={"kubernetes.io/config.hash": "ab" * 16})
    assert "ab" * 16 == pod.static_hash


def test_addresses_of_both_families_are_kept_and_mapped_ones_unmapped() -> None:
    """An IPv4-mapped IPv6 address is an IPv4 address."""
    status = {"podIP": "10.7.0.9", "podIPs": [{"ip": "10.7.0.9"}, {"ip": "fd00::9"}, {"ip": "::ffff:10.7.0.10"}]}
    pod = trimmed({"metadata": {"uid": "u", "name": "p"}, "status": status})
    assert ["10.7.0.9", "fd00::9", "10.7.0.10"] == [str(ip) for ip in pod.ips]


def test_an_address_that_is_none_is_an_error_of_that_object() -> None:
    """The informer counts it."""
    with pytest.raises(ValueError, match="not-an-ip"):
        trimmed({"metadata": {"uid": "u", "name": "p"}, "status": {"podIP": "not-an-ip"}})


def service(spec: dict[str, Any], status: dict[str, Any] | None = None) -> model.Service | None:
    raw = {"metadata": {"uid": "s", "name": "db", "namespace": "shop"}, "spec": spec, "status": status or {}}
    return pods.to_service(msgspec.json.decode(json.dumps(raw).encode(), type=pods.ServiceShape))


def test_a_service_has_its_cluster_and_balancer_addresses() -> None:
    """Host names of balancers are none."""
    found = service(
        {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00:96::7"], "externalIPs": ["203.0.113.7"]},
        {"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}, {"hostname": "lb.example"}]}},
    )
    assert found is not None
    assert ["10.96.0.7", "fd00:96::7", "203.0.113.7", "198.51.100.7"] == [str(ip) for ip in found.ips]


@pytest.mark.parametrize("spec", [{"clusterIP": "None", "clusterIPs": ["None"]}, {"externalName": "db.example"}])
def test_a_service_without_an_address_is_not_kept(spec: dict[str, Any]) -> None:
    """Headless, or a name only."""
    assert service(spec) is None


def test_a_node_has_its_addresses_and_ranges() -> None:
    """Host names are no addresses."""
    raw = {
        "metadata": {"uid": "n", "name": "node-a"},
        "spec": {"podCIDR": "10.7.0.0/24", "podCIDRs": ["10.7.0.0/24", "fd00::/64"]},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "192.168.1.5"}, {"type": "Hostname", "address": "a"}]
        },
    }
    node = pods.to_node(msgspec.json.decode(json.dumps(raw).encode(), type=pods.NodeShape))
    assert (("192.168.1.5",), 2) == (tuple(str(ip) for ip in node.ips), len(node.pod_cidrs))


async def test_the_cluster_is_followed_and_its_events_are_the_agent_s() -> None:
    """What the watch tells arrives as the agent's vocabulary; resources that fail do not hold up the others."""
    server = kube_api.FakeKube()
    await server.start()
    server.put(RECORDED["web-b975d49dd-hl2rf"])
    settings = client.Configuration()
    settings.host = f"http://127.0.0.1:{server.port}"
    async with client.ApiClient(settings) as api:
        cluster = pods.Cluster(api, clock=lambda: 42)
        delivered: asyncio.Queue[model.ObjectEvent] = asyncio.Queue()
        task = asyncio.create_task(cluster.follow(delivered.put_nowait))
        event = await asyncio.wait_for(delivered.get(), 10)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await server.stop()
    assert (model.Change.SEEN, trimmed(RECORDED["web-b975d49dd-hl2rf"]), 42, 0) == (
        event.change, event.object, event.boot_ns, event.since_boot_ns
    )  # fmt: skip
    assert not cluster.synced  # this API server has no nodes and services
    assert {"nodes": 0.0, "services": 0.0, "pods": 0.0} == cluster.staleness_s(42)
    assert {"nodes": 0, "services": 0, "pods": 0} == cluster.malformed()


def test_the_cluster_says_of_each_resource_what_it_has_told() -> None:
    """Whoever goes on from there is told the rest, of each."""
    cluster = pods.Cluster(None, clock=lambda: 42, told_boot_ns={"pods": 7, "nodes": 3})  # type: ignore[arg-type]  # nothing is asked
    assert {"pods": 7, "nodes": 3, "services": 0} == cluster.told_ns
    cluster.informers[0]._since.listed(5, 6)
    assert {"pods": 7, "nodes": 5, "services": 0} == cluster.told_ns
