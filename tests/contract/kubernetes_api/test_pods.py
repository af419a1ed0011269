"""Pods: defaults, binding, graceful deletion, eviction, logs."""

import contextlib
import json
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


async def test_defaults(api: cluster.Cluster, pods: str) -> None:
    """What a pod has that was not said."""
    made = await api.create(pods, cluster.pod(schedulerName="nobody"))
    spec = made["spec"]
    wanted = {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30}
    wanted |= {"serviceAccountName": "default", "enableServiceLinks": True, "securityContext": {}}
    assert wanted.items() <= spec.items()
    container = spec["containers"][0]
    assert (container["imagePullPolicy"], container["terminationMessagePath"]) == (
        "IfNotPresent",
        "/dev/termination-log",
    )
    assert (made["status"]["phase"], made["status"]["qosClass"]) == ("Pending", "BestEffort")


async def test_limits_are_requests(api: cluster.Cluster, pods: str) -> None:
    """And make a pod Guaranteed. Numbers are quantities, too."""
    limited = cluster.pod(schedulerName="nobody")
    limited["spec"]["containers"][0]["resources"] = {"limits": {"cpu": 1, "memory": "64Mi"}}
    made = await api.create(pods, limited)
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1", "memory": "64Mi"}
    assert made["status"]["qosClass"] == "Guaranteed"


async def test_a_service_account_is_needed(api: cluster.Cluster, pods: str, namespace: str) -> None:
    """403, as the admission of the real server words it."""
    body = (await api.call("POST", pods, cluster.pod(serviceAccountName="nobody"))).refused(403, "Forbidden")
    wanted = (
        f'pods "p" is forbidden: error looking up service account {namespace}/nobody: serviceaccount "nobody" not found'
    )
    assert body["message"] == wanted


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"containers": []}, "spec.containers"),
        ({"restartPolicy": "Sometimes"}, "spec.restartPolicy"),
        ({"containers": [{"name": "c", "image": "x"}, {"name": "c", "image": "x"}]}, "spec.containers[1].name"),
        ({"containers": [{"name": "C_", "image": "x"}]}, "spec.containers[0].name"),
        ({"containers": [{"name": "c"}]}, "spec.containers[0].image"),
        (
            {"containers": [{"name": "c", "image": "x", "ports": [{"containerPort": 70000}]}]},
            "spec.containers[0].ports[0].containerPort",
        ),
        (
            {"containers": [{"name": "c", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]},
            "spec.containers[0].volumeMounts[0].name",
        ),
    ],
)
async def test_impossible_pods(api: cluster.Cluster, pods: str, change: dict[str, Any], field: str) -> None:
    """422 with the field."""
    body = (await api.call("POST", pods, cluster.pod(**change))).refused(422, "Invalid")
    assert field in [cause["field"] for cause in body["details"]["causes"]]


async def test_a_pod_spec_is_fixed(api: cluster.Cluster, pods: str) -> None:
    """But for images and the deadline."""
    await api.create(pods, cluster.pod(schedulerName="nobody"))
    (await api.patch(f"{pods}/p", {"spec": {"hostNetwork": True}})).refused(422, "Invalid")
    change = {"spec": {"activeDeadlineSeconds": 70, "containers": [{"name": "c", "image": "other:2"}]}}
    changed = (await api.patch(f"{pods}/p", change, cluster.STRATEGIC)).expect(200)
    assert changed["spec"]["containers"][0]["image"] == "other:2"


async def test_binding(api: cluster.Cluster, pods: str) -> None:
    """Gives a node once; the generation stays."""
    await api.create(pods, cluster.pod(schedulerName="nobody"))
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "node-7"}}
    await api.create(f"{pods}/p/binding", binding)
    found = (await api.get(f"{pods}/p")).expect(200)
    assert (found["spec"]["nodeName"], found["metadata"]["generation"]) == ("node-7", 1)
    assert found["status"]["conditions"][0]["type"] == "PodScheduled"
    body = (await api.call("POST", f"{pods}/p/binding", binding)).refused(409, "Conflict")
    assert 'already assigned to node "node-7"' in body["message"]


async def test_a_pod_without_a_node_goes_at_once(api: cluster.Cluster, pods: str) -> None:
    """Nobody is there to let go of it."""
    await api.create(pods, cluster.pod(schedulerName="nobody"))
    (await api.delete(f"{pods}/p")).expect(200)
    (await api.get(f"{pods}/p")).refused(404, "NotFound")


async def test_graceful_deletion(api: cluster.Cluster, pods: str) -> None:
    """The first DELETE marks, a shorter one shortens, a longer one does not lengthen, zero ends it."""
    await api.create(pods, cluster.pod(nodeName="node-7"))
    marked = (await api.delete(f"{pods}/p")).expect(200)
    assert (marked["metadata"]["deletionGracePeriodSeconds"], marked["metadata"]["generation"]) == (30, 2)
    assert marked["kind"] == "Pod"
    for grace, wanted in ((7, 7), (60, 7)):
        again = (await api.delete(f"{pods}/p", {"gracePeriodSeconds": grace})).expect(200)
        assert again["metadata"]["deletionGracePeriodSeconds"] == wanted
    (await api.delete(f"{pods}/p", {"gracePeriodSeconds": 0})).expect(200)
    (await api.get(f"{pods}/p")).refused(404, "NotFound")


async def test_a_pod_that_ended_goes_at_once(api: cluster.Cluster, pods: str) -> None:
    """There is nothing to wait for."""
    await api.create(pods, cluster.pod(nodeName="node-7"))
    (await api.patch(f"{pods}/p/status", {"status": {"phase": "Succeeded"}})).expect(200)
    (await api.delete(f"{pods}/p")).expect(200)
    (await api.get(f"{pods}/p")).refused(404, "NotFound")


async def test_the_last_event_says_how_it_was(api: cluster.Cluster, pods: str) -> None:
    """A DELETED event has the deletion's mark and a grace of 0, as recorded."""
    await api.create(pods, cluster.pod(nodeName="node-7"))
    version = (await api.get(pods)).expect(200)["metadata"]["resourceVersion"]
    (await api.delete(f"{pods}/p", {"gracePeriodSeconds": 0})).expect(200)
    async with contextlib.aclosing(api.events(pods, resourceVersion=version)) as events:
        async for event in events:
            if event["type"] == "DELETED":
                meta = event["object"]["metadata"]
                assert (meta["deletionGracePeriodSeconds"], bool(meta["deletionTimestamp"])) == (0, True)
                return


async def test_eviction(api: cluster.Cluster, pods: str) -> None:
    """Is a deletion by another name."""
    await api.create(pods, cluster.pod(nodeName="node-7"))
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "p"},
        "deleteOptions": {"gracePeriodSeconds": 7},
    }
    assert (await api.create(f"{pods}/p/eviction", body))["status"] == "Success"
    assert (await api.get(f"{pods}/p")).expect(200)["metadata"]["deletionGracePeriodSeconds"] == 7


async def test_scheduling_and_logs(api: cluster.Cluster, pods: str, node: lab_node.FakeNode) -> None:
    """A pod goes to the node that its selector names, runs there, and its log comes from there."""
    await api.create(pods, cluster.pod(nodeSelector=node.hostname))
    found = await api.until(pods, lambda pod: pod["status"]["phase"] == "Running")
    assert found["spec"]["nodeName"] == node.name
    log = json.loads((await api.get(f"{pods}/p/log", tailLines=7)).expect(200))
    assert log == {"pod": "p", "container": "c", "query": {"tailLines": "7"}}
    (await api.get(f"{pods}/p/log", container="nope")).refused(400, "BadRequest")


async def test_no_node_is_said(api: cluster.Cluster, pods: str) -> None:
    """A pod that fits nowhere says so, and goes where it fits as soon as it can."""
    name = f"contract-{uuid.uuid4().hex[:8]}"
    await api.create(pods, cluster.pod(nodeSelector={"kubernetes.io/hostname": name}))

    def unschedulable(pod: dict[str, Any]) -> bool:
        return any(each.get("reason") == "Unschedulable" for each in pod["status"].get("conditions", ()))

    await api.until(pods, unschedulable)
    async with lab_node.running(api, name):
        await api.until(pods, lambda pod: pod["status"]["phase"] == "Running")
