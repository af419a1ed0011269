"""Workloads become pods and follow their changes; what belongs to them comes and goes with them.

On a node without containers, so that only API and controllers are at work. Their arithmetic is in tests/unit/lab.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.kubernetes_api import cluster
from tests.fakes import lab_node


@pytest.fixture
async def node(api: cluster.Cluster) -> AsyncIterator[lab_node.FakeNode]:
    """Yield a node on which pods run at once."""
    async with lab_node.running(api, f"contract-{uuid.uuid4().hex[:8]}") as made:
        yield made


def template(node: lab_node.FakeNode, image: str = "x:1", **labels: str) -> dict[str, Any]:
    """Return a pod template for the node."""
    ports = [{"name": "http", "containerPort": 8080}]
    spec = {"containers": [{"name": "c", "image": image, "ports": ports}], "nodeSelector": node.hostname}
    return {"metadata": {"labels": labels or {"app": "d"}}, "spec": spec}


def workload(node: lab_node.FakeNode, **spec: Any) -> dict[str, Any]:
    """Return a Deployment, ReplicaSet or DaemonSet."""
    return {
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"app": "d"}}, "template": template(node), **spec},
    }


def names(found: dict[str, Any]) -> set[str]:
    """Names of a list's items."""
    return {item["metadata"]["name"] for item in found["items"]}


def rolled_out(image_pods: int) -> Any:
    """Whether a Deployment says that it is where it should be."""

    def holds(found: dict[str, Any]) -> bool:
        status = found.get("status", {})
        counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
        return status.get("observedGeneration") == found["metadata"]["generation"] and counts == [image_pods] * 3

    return holds


async def test_a_deployment(api: cluster.Cluster, deployments: str, pods: str, node: lab_node.FakeNode) -> None:
    """Comes up, rolls to another image without falling below its least, and keeps its history."""
    await api.create(deployments, workload(node, replicas=3))
    await api.until(deployments, rolled_out(3))
    first = names((await api.get(pods)).expect(200))
    change = {"spec": {"template": template(node, "x:2")}}
    (await api.patch(f"{deployments}/d", change)).expect(200)
    done = await api.until(deployments, rolled_out(3))
    conditions = {each["type"]: (each["status"], each["reason"]) for each in done["status"]["conditions"]}
    assert conditions["Progressing"] == ("True", "NewReplicaSetAvailable")
    assert conditions["Available"] == ("True", "MinimumReplicasAvailable")
    assert done["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    for name in first:
        await api.until_gone(pods, name)
    found = (await api.get(pods)).expect(200)["items"]
    assert {pod["spec"]["containers"][0]["image"] for pod in found} == {"x:2"}
    sets = (await api.get(deployments.replace("deployments", "replicasets"))).expect(200)["items"]
    assert sorted(each["spec"]["replicas"] for each in sets) == [0, 3]


async def test_scaling(api: cluster.Cluster, deployments: str, node: lab_node.FakeNode) -> None:
    """Up and down, through ``/scale``."""
    await api.create(deployments, workload(node, replicas=1))
    for replicas in (7, 2):
        (await api.patch(f"{deployments}/d/scale", {"spec": {"replicas": replicas}})).expect(200)
        await api.until(deployments, rolled_out(replicas))


async def test_recreate(api: cluster.Cluster, deployments: str, pods: str, node: lab_node.FakeNode) -> None:
    """No pod of the new template while one of the old is there."""
    await api.create(deployments, workload(node, replicas=2, strategy={"type": "Recreate"}))
    await api.until(deployments, rolled_out(2))
    version = (await api.get(pods)).expect(200)["metadata"]["resourceVersion"]
    old = names((await api.get(pods)).expect(200))
    (await api.patch(f"{deployments}/d", {"spec": {"template": template(node, "x:2")}})).expect(200)
    async with contextlib.aclosing(api.events(pods, resourceVersion=version)) as events:
        async for event in events:
            name = event["object"]["metadata"]["name"]
            if event["type"] == "DELETED":
                old.discard(name)
            elif event["type"] == "ADDED":
                assert not old, "a new pod came before the old ones were gone"
                break


async def test_a_lost_pod_is_replaced(
    api: cluster.Cluster, deployments: str, pods: str, node: lab_node.FakeNode
) -> None:
    """The ReplicaSet keeps its number."""
    await api.create(deployments, workload(node, replicas=2))
    await api.until(deployments, rolled_out(2))
    lost = min(names((await api.get(pods)).expect(200)))
    (await api.delete(f"{pods}/{lost}")).expect(200)
    await api.until_gone(pods, lost)
    await api.until(deployments, rolled_out(2))


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
async def test_deletion_takes_what_is_owned(
    api: cluster.Cluster, deployments: str, pods: str, node: lab_node.FakeNode, policy: str
) -> None:
    """Deployment, ReplicaSets and pods; in the foreground the Deployment goes last."""
    await api.create(deployments, workload(node, replicas=3))
    await api.until(deployments, rolled_out(3))
    found = names((await api.get(pods)).expect(200))
    (await api.delete(f"{deployments}/d", {"propagationPolicy": policy})).expect(200)
    if policy == "Foreground":
        await api.until_gone(deployments, "d")
        assert (await api.get(deployments.replace("deployments", "replicasets"))).expect(200)["items"] == []
    for name in found:
        await api.until_gone(pods, name)


async def test_orphans_stay(api: cluster.Cluster, deployments: str, node: lab_node.FakeNode) -> None:
    """Without their owner's name on them."""
    await api.create(deployments, workload(node, replicas=1))
    await api.until(deployments, rolled_out(1))
    (await api.delete(f"{deployments}/d", {"propagationPolicy": "Orphan"})).expect(200)
    await api.until_gone(deployments, "d")
    sets = (await api.get(deployments.replace("deployments", "replicasets"))).expect(200)["items"]
    assert [each["metadata"].get("ownerReferences") for each in sets] == [None]


async def test_an_object_whose_owner_never_was(api: cluster.Cluster, maps: str) -> None:
    """Is garbage, too; one of two owners is enough to stay."""
    owner = await api.create(maps, cluster.config_map("owner"))
    real, never = owner["metadata"]["uid"], "11111111-2222-3333-4444-555555555555"
    for name, uids in (("garbage", [never]), ("kept", [real, never])):
        made = cluster.config_map(name)
        head = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner"}
        made["metadata"]["ownerReferences"] = [{**head, "uid": uid} for uid in uids]
        await api.create(maps, made)
    await api.until_gone(maps, "garbage")
    await api.until(maps, lambda found: _owners(found) == [real], fieldSelector="metadata.name=kept")


def _owners(found: dict[str, Any]) -> list[str]:
    return [owner["uid"] for owner in found["metadata"].get("ownerReferences", ())]


async def test_a_job(api: cluster.Cluster, namespace: str, pods: str, node: lab_node.FakeNode) -> None:
    """Runs until enough pods have succeeded, no more at a time than it may."""
    node.outcomes["good"] = 0
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    one = template(node, outcome="good")
    one["spec"]["restartPolicy"] = "Never"
    body = {"metadata": {"name": "j"}, "spec": {"completions": 7, "parallelism": 3, "template": one}}
    made = await api.create(path, body)
    uid = made["metadata"]["uid"]
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    done = await api.until(path, lambda job: "completionTime" in job.get("status", {}))
    assert done["status"]["succeeded"] == 7
    assert len((await api.get(pods)).expect(200)["items"]) == 7


async def test_a_job_that_fails(api: cluster.Cluster, namespace: str, node: lab_node.FakeNode) -> None:
    """Says why, after its back-off limit."""
    node.outcomes["bad"] = 1
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    one = template(node, outcome="bad")
    one["spec"]["restartPolicy"] = "Never"
    await api.create(path, {"metadata": {"name": "j"}, "spec": {"backoffLimit": 0, "template": one}})

    def failed(job: dict[str, Any]) -> bool:
        return any(each["type"] == "Failed" for each in job.get("status", {}).get("conditions", ()))

    found = await api.until(path, failed)
    assert found["status"]["failed"] == 1
    assert {each["reason"] for each in found["status"]["conditions"]} >= {"BackoffLimitExceeded"}


async def test_a_daemon_set(api: cluster.Cluster, namespace: str, pods: str, node: lab_node.FakeNode) -> None:
    """One pod on every node that fits, also on one that comes later; an update replaces them one by one."""
    path = f"/apis/apps/v1/namespaces/{namespace}/daemonsets"
    label = {"contract": node.name}
    (await api.patch(f"/api/v1/nodes/{node.name}", {"metadata": {"labels": label}})).expect(200)
    body = workload(node)
    body["spec"]["template"]["spec"]["nodeSelector"] = label
    await api.create(path, body)
    await api.until(path, lambda found: found.get("status", {}).get("numberReady") == 1)
    async with lab_node.running(api, f"{node.name}-b", "10.99.1.10") as second:
        (await api.patch(f"/api/v1/nodes/{second.name}", {"metadata": {"labels": label}})).expect(200)
        await api.until(path, lambda found: found["status"].get("numberReady") == 2)
        change = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "x:2"}]}}}}
        (await api.patch(f"{path}/d", change)).expect(200)
        await api.until(path, _daemons_updated)
        found = (await api.get(pods)).expect(200)["items"]
        live = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        assert {pod["spec"]["nodeName"]: pod["spec"]["containers"][0]["image"] for pod in live} == dict.fromkeys(
            (node.name, second.name), "x:2"
        )


def _daemons_updated(found: dict[str, Any]) -> bool:
    status = found["status"]
    current = status.get("observedGeneration") == found["metadata"]["generation"]
    return current and status.get("updatedNumberScheduled") == 2 == status["numberReady"]


async def test_endpoint_slices(
    api: cluster.Cluster, namespace: str, deployments: str, pods: str, node: lab_node.FakeNode
) -> None:
    """Name the ready pods of a Service with the port that each gave the name to; go with the Service."""
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    service = {
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "d"}, "ports": [{"port": 80, "targetPort": "http"}]},
    }
    await api.create(f"/api/v1/namespaces/{namespace}/services", service)
    await api.create(deployments, workload(node, replicas=2))

    def ready(found: dict[str, Any]) -> bool:
        return sum(each["conditions"]["ready"] for each in found.get("endpoints") or ()) == 2

    found = await api.until(slices, ready)
    assert found["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
    assert found["ports"] == [{"name": "", "protocol": "TCP", "port": 8080}]
    by_name = {each["targetRef"]["name"]: each["addresses"] for each in found["endpoints"]}
    assert by_name == {
        pod["metadata"]["name"]: [pod["status"]["podIP"]] for pod in (await api.get(pods)).expect(200)["items"]
    }
    assert {each["nodeName"] for each in found["endpoints"]} == {node.name}
    (await api.delete(f"/api/v1/namespaces/{namespace}/services/web")).expect(200)
    await api.until_gone(slices, found["metadata"]["name"])


async def test_a_namespace_takes_everything_along(api: cluster.Cluster, node: lab_node.FakeNode) -> None:
    """Nothing new comes in meanwhile, and nothing is left."""
    name = f"contract-{uuid.uuid4().hex[:10]}"
    await api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    pods = f"/api/v1/namespaces/{name}/pods"
    held = cluster.config_map("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await api.create(f"/api/v1/namespaces/{name}/configmaps", held)
    await api.create(f"/apis/apps/v1/namespaces/{name}/deployments", workload(node, replicas=3))
    await api.until(f"/apis/apps/v1/namespaces/{name}/deployments", rolled_out(3))
    marked = (await api.delete(f"/api/v1/namespaces/{name}")).expect(200)
    assert marked["status"]["phase"] == "Terminating"
    body = (await api.call("POST", f"/api/v1/namespaces/{name}/configmaps", cluster.config_map("late"))).refused(
        403, "Forbidden"
    )
    assert "because it is being terminated" in body["message"]
    let_go = {"metadata": {"finalizers": None}}
    (await api.patch(f"/api/v1/namespaces/{name}/configmaps/held", let_go)).expect(200)
    await api.until_gone("/api/v1/namespaces", name)
    assert (await api.get(pods)).expect(200)["items"] == []


async def test_two_hundred_pods_come_and_go(api: cluster.Cluster, pods: str, node: lab_node.FakeNode) -> None:
    """Each is seen running by a watch, and gone; none is forgotten."""
    version = (await api.get(pods)).expect(200)["metadata"]["resourceVersion"]
    node.outcomes["good"] = 0
    count, ran, gone = 199, set(), set()
    every = [cluster.pod(f"p{n}", nodeSelector=node.hostname) for n in range(count)]
    made = [api.create(pods, each) for each in every]
    task = asyncio.gather(*made)
    async with contextlib.aclosing(api.events(pods, seconds=60, resourceVersion=version)) as events:
        async for event in events:
            name = event["object"]["metadata"]["name"]
            if event["type"] == "DELETED":
                gone.add(name)
            elif event["object"]["status"]["phase"] == "Running" and name not in ran:
                ran.add(name)
                await api.delete(f"{pods}/{name}")
            if len(gone) == count:
                break
    await task
    assert (len(ran), len(gone)) == (count, count)
