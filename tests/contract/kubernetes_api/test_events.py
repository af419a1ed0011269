"""Events and Leases as clients make them: in both groups, and as ``kubectl`` shows them.

Events of the controllers are in ``test_controllers`` and ``test_kubectl``.
"""

from typing import Any

from tests.contract.kubernetes_api import cluster
from tests.contract.kubernetes_api.kubectl import Kubectl

Value = dict[str, Any]


def event(namespace: str) -> Value:
    """Return an Event of ``events.k8s.io`` about a pod."""
    about = {"apiVersion": "v1", "kind": "Pod", "name": "p", "namespace": namespace, "uid": "u"}
    return {
        "metadata": {"generateName": "p."},
        "eventTime": "2026-01-02T03:04:05.000006Z",
        "reason": "Injected",
        "note": "got a sidecar",
        "type": "Normal",
        "action": "Inject",
        "reportingController": "contract.test/injector",
        "reportingInstance": "injector-0",
        "regarding": about,
    }


async def test_one_event_under_two_names(api: cluster.Cluster, namespace: str, kubectl: Kubectl) -> None:
    """What is made in ``events.k8s.io`` is in the core group, under its names, and the other way round."""
    view, core = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", f"/api/v1/namespaces/{namespace}/events"
    made = await api.create(view, event(namespace))
    assert ("events.k8s.io/v1", "got a sidecar") == (made["apiVersion"], made["note"])
    found = (await api.get(f"{core}/{made['metadata']['name']}")).expect(200)
    assert ("v1", "got a sidecar", "Pod") == (found["apiVersion"], found["message"], found["involvedObject"]["kind"])
    assert "contract.test/injector" == found["reportingComponent"]
    listed = (await api.get(view, fieldSelector="regarding.name=p,reason=Injected")).expect(200)["items"]
    assert [made["metadata"]["uid"]] == [each["metadata"]["uid"] for each in listed]
    for resource in ("events", "events.events.k8s.io"):
        shown = await kubectl("get", resource)
        assert ["Normal", "Injected", "pod/p", "got", "a", "sidecar"] == shown.splitlines()[1].split()[1:]
    (await api.delete(f"{view}/{made['metadata']['name']}")).expect(200)
    assert [] == (await api.get(core)).expect(200)["items"]


async def test_events_that_are_not_whole_are_refused(api: cluster.Cluster, namespace: str) -> None:
    """In ``events.k8s.io`` everything must be said, and nothing of what the core group had before."""
    view = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
    required = {"reportingController", "reportingInstance", "action", "reason"}
    bare = {key: value for key, value in event(namespace).items() if key not in required}
    body = (await api.call("POST", view, bare)).refused(422, "Invalid")
    assert required <= {cause["field"] for cause in body["details"]["causes"]}
    for change, field in (
        ({"eventTime": None}, "eventTime"),
        ({"type": "Odd"}, "type"),
        ({"note": "x" * 1025}, "note"),
        ({"reportingController": "no such/name/here"}, "reportingController"),
        ({"regarding": {"kind": "Pod", "name": "p", "namespace": "kube-system"}}, "involvedObject.namespace"),
        ({"deprecatedCount": 3}, "deprecatedCount"),
    ):
        body = (await api.call("POST", view, {**event(namespace), **change})).refused(422, "Invalid")
        assert [field] == [cause["field"] for cause in body["details"]["causes"]], change


async def test_events_of_a_client(api: cluster.Cluster, namespace: str, kubectl: Kubectl) -> None:
    """In the core group; counted up by a patch."""
    core = f"/api/v1/namespaces/{namespace}/events"
    about = {"apiVersion": "v1", "kind": "Pod", "name": "p", "namespace": namespace}
    body = {
        "metadata": {"name": "p.1"},
        "involvedObject": about,
        "reason": "Skipped",
        "message": "host network",
        "type": "Warning",
        "source": {"component": "injector"},
        "firstTimestamp": "2026-01-02T03:04:05Z",
        "lastTimestamp": "2026-01-02T03:04:05Z",
        "count": 1,
    }
    await api.create(core, body)
    (await api.patch(f"{core}/p.1", {"count": 7}, cluster.STRATEGIC)).expect(200)
    said = await kubectl("events", "--for=pod/p")
    assert "host network" in said
    assert "Skipped" in said
    assert 7 == (await api.get(f"{core}/p.1")).expect(200)["count"]


async def test_leases(api: cluster.Cluster, namespace: str, kubectl: Kubectl) -> None:
    """Held, renewed by whoever has the newest version, and shown."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    spec = {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2026-01-02T03:04:05.000006Z"}
    made = await api.create(path, {"metadata": {"name": "leader"}, "spec": spec})
    mine = {**made, "spec": {**made["spec"], "renewTime": "2026-01-02T03:04:15.000006Z"}}
    (await api.call("PUT", f"{path}/leader", mine)).expect(200)
    theirs = {**made, "spec": {**made["spec"], "holderIdentity": "other"}}
    (await api.call("PUT", f"{path}/leader", theirs)).refused(409, "Conflict")
    assert "me" in (await kubectl("get", "lease", "leader")).split()
