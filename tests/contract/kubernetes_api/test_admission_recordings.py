"""What a real API server (v1.36.2) sent to a webhook, as golden requests: the same pods give the same reviews.

Leaves out what differs by nature (UIDs, times, hashes) and what a lab has not: tolerations that eviction by taints
would need, the finalizer by which a Job counts its pods, a service account of its own for each controller.
"""

import copy
import json
import re
from typing import Any

import pytest

from tests.contract.kubernetes_api import cluster, hooked, test_recordings
from tests.fakes import admission_webhook, recordings

Value = dict[str, Any]

BARE = ("bare-pod", "bare-pod-dry-run", "bare-pod-generatename", "bare-pod-hostnetwork-privileged")
ABSENT = ("/f:metadata/f:finalizers", "/f:spec/f:tolerations")
HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


def stated(recorded: Value) -> Value:
    """Return the pod as whoever created it stated it."""
    pod = test_recordings._without_injected(copy.deepcopy(recorded))
    meta = {key: value for key, value in pod["metadata"].items() if key not in {"managedFields", "namespace"}}
    spec = test_recordings.bare(pod["spec"])
    if spec["serviceAccountName"] == "default":
        spec.pop("serviceAccountName")
    return {"metadata": meta, "spec": spec}


def comparable(request: Value, namespace: str) -> Value:
    """Return a request without what is different every time."""
    found = copy.deepcopy(request)
    found.pop("uid")
    found.pop("userInfo")
    found["object"]["spec"].pop("tolerations", None)
    for entry in found["object"]["metadata"]["managedFields"]:
        entry["manager"] = entry["time"] = ""
        entry["fieldsV1"] = sorted(
            leaf for leaf in test_recordings._leaves(entry["fieldsV1"]) if not leaf.startswith(ABSENT)
        )
    found["object"]["metadata"].pop("finalizers", None)
    text = json.dumps(found).replace(f'"{namespace}"', '"rec"')
    text = re.sub(r"kube-api-access-\w{5}\b", "kube-api-access", text)
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID", text)
    text = re.sub(r"(web|db)-[0-9a-z]{8,10}\b", r"\1-HASH", text)
    text = re.sub(r'("pod-template-hash": )"\w+"', r'\1"HASH"', text)
    made: Value = json.loads(text)
    return made


async def account(api: cluster.Cluster, namespace: str, pod: Value) -> None:
    """Make the service account that a recorded pod has."""
    name = pod["spec"].get("serviceAccountName", "default")
    if name != "default":
        await api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})


@pytest.mark.parametrize("name", BARE)
async def test_a_pod_by_itself(api: cluster.Cluster, pods: str, hooks: hooked.Hooked, name: str) -> None:
    """Head and body of the request are the recorded ones."""
    recorded = recordings.load(f"admissionreview-{name}")
    wanted = recorded["body"]["request"]
    hooks.webhook.react = admission_webhook.annotate("rec.example.com/seen", "yes")
    await hooks.put(hooks.hook())
    manifest = stated(wanted["object"])
    await account(api, hooks.namespace, manifest)
    await api.create(pods, manifest, **({"dryRun": "All"} if wanted["dryRun"] else {}))
    (call,) = hooks.webhook.calls
    assert comparable(wanted, "rec") == comparable(call.body["request"], hooks.namespace)
    assert set(recorded["body"]) == set(call.body)
    assert list(wanted) == list(call.body["request"])
    assert ("POST", "/mutate?timeout=5s", "HTTP/1.1") == (call.method, call.path, call.version)
    assert {key: recorded["http"]["headers"][key] for key in HEADERS} == {key: call.headers[key] for key in HEADERS}
    assert set(recorded["http"]["headers"]) == set(call.headers)
    assert {"username", "groups"} <= set(call.body["request"]["userInfo"])


async def test_a_pod_of_a_deployment(api: cluster.Cluster, deployments: str, hooks: hooked.Hooked) -> None:
    """Without a name, with its owner: controllers go through admission like everybody."""
    wanted = recordings.load("admissionreview-deployment-pod")["body"]["request"]
    await hooks.put(hooks.hook())
    manifest = stated(wanted["object"])
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": manifest["spec"]}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    await api.create(deployments, {"metadata": {"name": "web"}, "spec": spec})
    await _reviewed(api, hooks)
    assert comparable(wanted, "rec") == comparable(hooks.webhook.requests[0], hooks.namespace)


async def test_a_pod_of_a_job(api: cluster.Cluster, namespace: str, hooks: hooked.Hooked) -> None:
    """With the Job's labels."""
    wanted = recordings.load("admissionreview-job-pod")["body"]["request"]
    await hooks.put(hooks.hook())
    template = {"spec": stated(wanted["object"])["spec"]}
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    await api.create(path, {"metadata": {"name": "once"}, "spec": {"template": template}})
    await _reviewed(api, hooks)
    assert comparable(wanted, "rec") == comparable(hooks.webhook.requests[0], hooks.namespace)


async def test_a_pod_of_a_stateful_set(api: cluster.Cluster, namespace: str, hooks: hooked.Hooked) -> None:
    """With its own name, and the prefix of all their names."""
    wanted = recordings.load("admissionreview-statefulset-pod")["body"]["request"]
    await hooks.put(hooks.hook())
    labels = {"app": wanted["object"]["metadata"]["labels"]["app"]}
    spec = {
        key: value for key, value in stated(wanted["object"])["spec"].items() if key not in {"hostname", "subdomain"}
    }
    name = wanted["object"]["metadata"]["generateName"].rstrip("-")
    body = {"replicas": 1, "serviceName": wanted["object"]["spec"]["subdomain"], "selector": {"matchLabels": labels}}
    body |= {"template": {"metadata": {"labels": labels}, "spec": spec}}
    path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"
    await api.create(path, {"metadata": {"name": name}, "spec": body})
    await _reviewed(api, hooks)
    assert comparable(wanted, "rec") == comparable(hooks.webhook.requests[0], hooks.namespace)


async def _reviewed(api: cluster.Cluster, hooks: hooked.Hooked) -> None:
    await api.until(f"/api/v1/namespaces/{hooks.namespace}/pods", lambda _pod: True)


async def test_the_recorded_configuration_is_taken_as_it_is(api: cluster.Cluster, namespace: str) -> None:
    """Its defaults, and who owns what, are the recorded ones."""
    recorded = recordings.load("mutatingwebhookconfiguration")
    (wanted,) = recorded["webhooks"]
    said = {key: wanted[key] for key in ("name", "clientConfig", "sideEffects", "timeoutSeconds")}
    said |= {key: wanted[key] for key in ("rules", "namespaceSelector", "admissionReviewVersions")}
    path = hooked.path(hooked.MUTATING)
    made = await api.create(path, {"metadata": {"name": namespace}, "webhooks": [said]}, fieldManager="unknown")
    await api.delete(f"{path}/{namespace}")
    assert [wanted] == made["webhooks"]
    assert 1 == made["metadata"]["generation"]
    (entry,), (mine,) = (each["metadata"]["managedFields"] for each in (recorded, made))
    assert test_recordings._leaves(entry["fieldsV1"]) == test_recordings._leaves(mine["fieldsV1"])


async def test_a_webhook_that_is_down(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """The recorded refusal, but for the port."""
    recorded = recordings.load("webhook-down-failurepolicy-fail")
    client = {**hooks.webhook.client(), "url": "https://127.0.0.1:1/mutate"}
    await hooks.put(hooks.hook("rec.example.com", clientConfig=client))
    answer = await api.call("POST", pods, cluster.pod())
    body = json.loads(json.dumps(answer.expect(recorded["status"])).replace("127.0.0.1:1", "127.0.0.1:9443"))
    assert recorded["body"] == body
