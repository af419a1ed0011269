"""Why something is not ready: the words of scheduler, kubelet and controllers, found in the objects.

Leaves out asking for them: ``tests/contract/deploy/test_installing.py``.
"""

from typing import Any

import pytest

from ipseity.installing import trouble

READY = {"type": "Ready", "status": "True"}
NOT_READY = {"type": "Ready", "status": "False", "message": "containers with unready status: [agent]"}


def pod(*conditions: dict[str, str], containers: tuple[dict[str, Any], ...] = (), **more: Any) -> dict[str, Any]:
    status = {"conditions": list(conditions), "containerStatuses": list(containers), "phase": "Pending"}
    return {"metadata": {"name": "one", **more.get("metadata", {})}, "spec": {"nodeName": "a"}, "status": status}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (pod(READY), ""),
        (
            pod({"type": "PodScheduled", "status": "False", "message": "0/1 nodes: 1 had untolerated taint"}),
            "is on no node: 0/1 nodes: 1 had untolerated taint",
        ),
        (
            pod(
                NOT_READY,
                containers=(
                    {"name": "c", "state": {"waiting": {"reason": "ErrImagePull", "message": "not\nfound"}}},
                    {"name": "d", "state": {"waiting": {"reason": "ContainerCreating"}}},
                ),
            ),
            "container c waits: ErrImagePull: not found",
        ),
        (
            pod(
                NOT_READY,
                containers=(
                    {
                        "name": "c",
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "lastState": {"terminated": {"exitCode": 2, "message": "no cgroup2"}},
                    },
                ),
            ),
            "container c waits: CrashLoopBackOff, after it ended with 2: no cgroup2",
        ),
        (
            pod(NOT_READY, containers=({"name": "c", "state": {"running": {}}, "ready": False},)),
            "container c runs and is not ready",
        ),
        (pod(NOT_READY), "containers with unready status: [agent]"),
        (
            pod(READY, metadata={"deletionTimestamp": "2026-11-27T00:00:00Z"}),
            "is being deleted, and its node's kubelet has not said that it is gone",
        ),
        (pod(), "is Pending"),
    ],
)
def test_a_pod_says_why_it_is_not_ready(found: dict[str, Any], said: str) -> None:
    assert said == trouble.of_pod(found)


def test_the_first_tell_for_many() -> None:
    told = trouble.of_pods([pod()] * 23)
    assert (["pod one on a: is Pending"] * 5, "and 18 more pods") == (told[:5], told[5])


def test_events_tell_what_the_status_does_not() -> None:
    """A volume that cannot be mounted is a container that is being created, for ever. The last one counts."""
    waiting = pod(NOT_READY, metadata={"uid": "u"})
    about = {"kind": "Pod", "uid": "u"}
    said = {"type": "Warning", "reason": "FailedMount", "involvedObject": about}
    old = {**said, "message": "old", "lastTimestamp": "2026-11-27T14:00:00Z"}
    new = {**said, "message": "hostPath type check failed", "lastTimestamp": "2026-11-27T14:01:00Z"}
    (told,) = trouble.of_pods([waiting], [new, old, {**new, "involvedObject": {"uid": "other"}, "message": "not mine"}])
    assert told.endswith("[agent]; FailedMount: hostPath type check failed")


def test_a_kind_that_stays_says_what_keeps_it() -> None:
    found = {"metadata": {"finalizers": ["customresourcecleanup.apiextensions.k8s.io"]}, "status": {}}
    assert ["finalizers: customresourcecleanup.apiextensions.k8s.io"] == trouble.of_definition(found)


def test_a_workload_without_pods_says_who_refuses_them() -> None:
    """A Deployment in its conditions, a DaemonSet only by an Event; once each."""
    refused = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    found = {"metadata": {"name": "ipseity-agent"}, "status": {"conditions": [refused]}}
    about = {"kind": "DaemonSet", "name": "ipseity-agent"}
    event = {"type": "Warning", "reason": "FailedCreate", "message": "violates PodSecurity", "involvedObject": about}
    other = {**event, "involvedObject": {"kind": "DaemonSet", "name": "somebody"}}
    told = trouble.of_workload(found, [event, event, other, {**event, "type": "Normal"}])
    assert ["FailedCreate: exceeded quota", "FailedCreate: violates PodSecurity"] == told
    assert ["it is not there"] == trouble.of_workload(None, [event])


def test_a_namespace_that_stays_says_what_keeps_it() -> None:
    condition = {"type": "NamespaceDeletionDiscoveryFailure", "status": "True", "reason": "DiscoveryFailed"}
    found = {
        "status": {"conditions": [{**condition, "message": "metrics.k8s.io/v1beta1"}, {**condition, "status": "False"}]}
    }
    assert ["DiscoveryFailed: metrics.k8s.io/v1beta1"] == trouble.of_namespace(found)
    assert [] == trouble.of_namespace(None)
