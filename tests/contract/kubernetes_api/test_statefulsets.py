"""StatefulSets: names that last, one pod after the other, updates from the last to the first, and ``kubectl`` on them.

The pods run on a node without containers (``lab_node``). Leaves out volume claims, which the lab refuses.
"""

import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.kubernetes_api import cluster
from tests.contract.kubernetes_api.kubectl import Kubectl
from tests.fakes import lab_node

Value = dict[str, Any]


@pytest.fixture
async def node(api: cluster.Cluster) -> AsyncIterator[lab_node.FakeNode]:
    """Yield a node on which pods run at once."""
    async with lab_node.running(api, f"contract-{uuid.uuid4().hex[:8]}") as made:
        yield made


@pytest.fixture
def sets(namespace: str) -> str:
    """Return the path of the namespace's StatefulSets."""
    return f"/apis/apps/v1/namespaces/{namespace}/statefulsets"


def workload(node: lab_node.FakeNode, image: str = "x:1", replicas: int = 3, **spec: Any) -> Value:
    """Return a StatefulSet whose pods run on the node."""
    labels = {"app": "db"}
    containers = [{"name": "c", "image": image, "ports": [{"name": "sql", "containerPort": 5432}]}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers, "nodeSelector": node.hostname}}
    said = {"serviceName": "db", "replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": said | spec}


def ready(replicas: int) -> Any:
    def holds(found: Value) -> bool:
        status = found["status"]
        counts = (status.get("replicas"), status.get("readyReplicas", 0), status.get("updatedReplicas", 0))
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        return current and counts == (replicas,) * 3 and status["currentRevision"] == status["updateRevision"]

    return holds


async def history(api: cluster.Cluster, pods: str, version: str, until: tuple[str, str]) -> list[tuple[str, str]]:
    """Return what was added and deleted since a version, up to an event."""
    seen: list[tuple[str, str]] = []
    async with contextlib.aclosing(api.events(pods, resourceVersion=version)) as events:
        async for event in events:
            if event["type"] in {"ADDED", "DELETED"}:
                seen.append((event["type"], event["object"]["metadata"]["name"]))
                if seen[-1] == until:
                    return seen
    raise AssertionError(f"{until} has not come: {seen}")


async def now(api: cluster.Cluster, path: str) -> str:
    found: str = (await api.get(path)).expect(200)["metadata"]["resourceVersion"]
    return found


async def test_pods_have_names(api: cluster.Cluster, sets: str, pods: str, node: lab_node.FakeNode) -> None:
    """Name, hostname, subdomain, labels."""
    made = await api.create(sets, workload(node, replicas=1))
    assert ("OrderedReady", "RollingUpdate") == (
        made["spec"]["podManagementPolicy"],
        made["spec"]["updateStrategy"]["type"],
    )
    await api.until(sets, ready(1))
    pod = (await api.get(f"{pods}/db-0")).expect(200)
    assert ("db-0", "db") == (pod["spec"]["hostname"], pod["spec"]["subdomain"])
    labels = pod["metadata"]["labels"]
    assert ("db-0", "0") == (labels["statefulset.kubernetes.io/pod-name"], labels["apps.kubernetes.io/pod-index"])
    assert labels["controller-revision-hash"].startswith("db-")
    assert ("StatefulSet", "db", True) == tuple(
        pod["metadata"]["ownerReferences"][0][key] for key in ("kind", "name", "controller")
    )


async def test_one_after_the_other(api: cluster.Cluster, sets: str, pods: str, node: lab_node.FakeNode) -> None:
    """Each is ready before the next is made; fewer means the last goes first."""
    version = await now(api, pods)
    await api.create(sets, workload(node))
    await api.until(sets, ready(3))
    seen = await history(api, pods, version, ("ADDED", "db-2"))
    assert [("ADDED", f"db-{number}") for number in range(3)] == seen
    found = {pod["metadata"]["name"]: pod for pod in (await api.get(pods)).expect(200)["items"]}
    version = await now(api, pods)
    (await api.patch(f"{sets}/db/scale", {"spec": {"replicas": 1}})).expect(200)
    assert [("DELETED", "db-2"), ("DELETED", "db-1")] == await history(api, pods, version, ("DELETED", "db-1"))
    left = (await api.get(f"{pods}/db-0")).expect(200)
    assert found["db-0"]["metadata"]["uid"] == left["metadata"]["uid"]


async def test_all_at_once(api: cluster.Cluster, sets: str, pods: str, node: lab_node.FakeNode) -> None:
    """``Parallel`` waits for nobody: not even for pods that no node takes."""
    nowhere = workload(node, podManagementPolicy="Parallel")
    nowhere["spec"]["template"]["spec"]["nodeSelector"] = {"is": "nowhere"}
    version = await now(api, pods)
    await api.create(sets, nowhere)
    seen = await history(api, pods, version, ("ADDED", "db-2"))
    assert {("ADDED", f"db-{number}") for number in range(3)} >= set(seen)


async def test_a_pod_that_is_not_ready_holds_up_the_rest(
    api: cluster.Cluster, sets: str, pods: str, node: lab_node.FakeNode
) -> None:
    """In order there is no second pod before the first is ready."""
    nowhere = workload(node)
    nowhere["spec"]["template"]["spec"]["nodeSelector"] = {"is": "nowhere"}
    await api.create(sets, nowhere)
    await api.until(sets, lambda found: found["status"].get("replicas") == 1)
    await api.until(pods, lambda found: bool(found["status"].get("conditions")))
    assert ["db-0"] == [pod["metadata"]["name"] for pod in (await api.get(pods)).expect(200)["items"]]


async def test_an_update_begins_at_the_end(api: cluster.Cluster, sets: str, pods: str, node: lab_node.FakeNode) -> None:
    """One by one, each back and ready before the next goes; names stay."""
    await api.create(sets, workload(node))
    before = await api.until(sets, ready(3))
    version = await now(api, pods)
    change = {"spec": {"template": workload(node, "x:2")["spec"]["template"]}}
    (await api.patch(f"{sets}/db", change)).expect(200)
    after = await api.until(
        sets, lambda found: ready(3)(found) and found["status"]["updateRevision"] != before["status"]["updateRevision"]
    )
    assert after["status"]["currentRevision"] != before["status"]["currentRevision"]
    seen = await history(api, pods, version, ("ADDED", "db-0"))
    steps = [(what, f"db-{number}") for number in (2, 1, 0) for what in ("DELETED", "ADDED")]
    assert steps == seen
    images = {pod["spec"]["containers"][0]["image"] for pod in (await api.get(pods)).expect(200)["items"]}
    assert {"x:2"} == images


async def test_a_partition(api: cluster.Cluster, sets: str, pods: str, node: lab_node.FakeNode) -> None:
    """Below it nothing is updated."""
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    await api.create(sets, workload(node, updateStrategy=strategy))
    await api.until(sets, ready(3))
    change = {"spec": {"template": workload(node, "x:2")["spec"]["template"]}}
    (await api.patch(f"{sets}/db", change)).expect(200)

    def partly(found: Value) -> bool:
        status = found["status"]
        return status.get("updatedReplicas") == 1 and status.get("readyReplicas") == 3

    await api.until(sets, partly)
    found = (await api.get(pods)).expect(200)["items"]
    images = {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in found}
    assert {"db-0": "x:1", "db-1": "x:1", "db-2": "x:2"} == images


async def test_a_lost_pod_comes_back(api: cluster.Cluster, sets: str, pods: str, node: lab_node.FakeNode) -> None:
    """Under its old name."""
    await api.create(sets, workload(node, replicas=2))
    await api.until(sets, ready(2))
    lost = (await api.get(f"{pods}/db-0")).expect(200)["metadata"]["uid"]
    (await api.delete(f"{pods}/db-0")).expect(200)
    await api.until(pods, lambda found: found["metadata"]["name"] == "db-0" and found["metadata"]["uid"] != lost)
    await api.until(sets, ready(2))


async def test_a_headless_service_names_each_pod(
    api: cluster.Cluster, namespace: str, sets: str, node: lab_node.FakeNode
) -> None:
    """Its endpoints carry the pods' hostnames."""
    ports = [{"name": "sql", "port": 5432, "targetPort": "sql"}]
    service = {"metadata": {"name": "db"}, "spec": {"clusterIP": "None", "selector": {"app": "db"}, "ports": ports}}
    await api.create(f"/api/v1/namespaces/{namespace}/services", service)
    await api.create(sets, workload(node, replicas=2))
    await api.until(sets, ready(2))
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    found = await api.until(slices, lambda each: len(each.get("endpoints") or ()) == 2)
    assert ["db-0", "db-1"] == sorted(each["hostname"] for each in found["endpoints"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"podManagementPolicy": "Sometimes"}, 'Unsupported value: "Sometimes"'),
        ({"updateStrategy": {"type": "Never"}}, 'Unsupported value: "Never"'),
        ({"replicas": -1}, "must be greater than or equal to 0"),
    ],
)
async def test_what_is_impossible(
    api: cluster.Cluster, sets: str, node: lab_node.FakeNode, change: Value, words: str
) -> None:
    """422."""
    refused = (await api.call("POST", sets, workload(node, **change))).refused(422, "Invalid")
    assert words in refused["message"]


async def test_what_may_not_change(api: cluster.Cluster, sets: str, node: lab_node.FakeNode) -> None:
    """The service and the selector."""
    await api.create(sets, workload(node, replicas=0))
    refused = (await api.patch(f"{sets}/db", {"spec": {"serviceName": "other"}})).refused(422, "Invalid")
    assert "updates to statefulset spec for fields other than" in refused["message"]


async def test_kubectl_rolls_them_out(kubectl: Kubectl, node: lab_node.FakeNode) -> None:
    """apply, rollout status, get, scale, restart, delete."""
    await kubectl("apply", "-f", "-", stdin=json.dumps(workload(node, replicas=2)))
    said = await kubectl("rollout", "status", "sts/db", "--timeout=30s")
    assert "partitioned roll out complete" in said or "rolling update complete" in said
    shown = (await kubectl("get", "sts")).splitlines()
    assert ["NAME", "READY", "AGE"] == shown[0].split()
    assert ["db", "2/2"] == shown[1].split()[:2]
    assert "statefulset.apps/db" in await kubectl("get", "all")
    await kubectl("scale", "sts/db", "--replicas=3")
    await kubectl("rollout", "status", "sts/db", "--timeout=30s")
    await kubectl("rollout", "restart", "sts/db")
    assert "complete" in await kubectl("rollout", "status", "sts/db", "--timeout=30s")
    assert "create Pod db-0 in StatefulSet db successful" in await kubectl("events", "--for=sts/db")
    assert "deleted" in await kubectl("delete", "sts", "db", "--timeout=30s")
