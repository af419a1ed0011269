"""What a real API server (v1.36.2) said, as golden answers: the same questions get the same words.

Leaves out what a lab has not: default tolerations, priority classes.
"""

import contextlib
import copy
import json
import re
from typing import Any

import pytest

from tests.contract.kubernetes_api import cluster
from tests.fakes import recordings

DEFAULTED = {
    *(
        "restartPolicy",
        "terminationGracePeriodSeconds",
        "dnsPolicy",
        "securityContext",
        "schedulerName",
        "enableServiceLinks",
    ),
    *("serviceAccount", "priority", "preemptionPolicy", "terminationMessagePath", "terminationMessagePolicy"),
    *("imagePullPolicy", "successThreshold", "scheme", "defaultMode", "protocol"),
}
"""Fields that the real server filled in, where their value is the default."""
KEPT = {("restartPolicy", "Never"), ("imagePullPolicy", "Never"), ("securityContext", '{"privileged": true}')}


def recorded_pods() -> list[Any]:
    """Return the pods of the recorded list."""
    return [pytest.param(pod, id=pod["metadata"]["name"]) for pod in recordings.load("pod-list")["items"]]


def _without_injected(pod: dict[str, Any]) -> dict[str, Any]:
    pod = copy.deepcopy(pod)
    spec = pod["spec"]
    spec.pop("tolerations")
    spec["volumes"] = [each for each in spec["volumes"] if not each["name"].startswith("kube-api-access")]
    for container in [*spec["containers"], *spec.get("initContainers", ())]:
        mounts = [each for each in container.pop("volumeMounts") if not each["name"].startswith("kube-api-access")]
        container.update({"volumeMounts": mounts} if mounts else {})
    if not spec["volumes"]:
        spec.pop("volumes")
    return pod


def _unnamed(spec: dict[str, Any]) -> Any:
    """Return a spec without the random end of the injected volume's name."""
    return json.loads(re.sub(r"kube-api-access-\w{5}\b", "kube-api-access", json.dumps(spec)))


def bare(value: Any) -> Any:
    """Return a manifest as a person would write it: without the defaults."""
    if isinstance(value, list):
        return [bare(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        k: bare(v)
        for k, v in value.items()
        if k not in DEFAULTED or (k, v if isinstance(v, str) else "") in KEPT or v == {"privileged": True}
    }


@pytest.mark.parametrize("recorded", recorded_pods())
async def test_a_pod_gets_the_recorded_defaults(
    api: cluster.Cluster, pods: str, namespace: str, recorded: dict[str, Any]
) -> None:
    """A manifest without them comes back exactly as the real server's."""
    account = recorded["spec"]["serviceAccountName"]
    if account != "default":
        await api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": account}})
    spec = bare(_without_injected(recorded)["spec"])
    made = await api.create(pods, {"metadata": {"name": "p"}, "spec": spec})
    wanted = {key: value for key, value in recorded["spec"].items() if key != "tolerations"}
    assert _unnamed(made["spec"]) == _unnamed(wanted)
    assert made["status"]["qosClass"] == recorded["status"]["qosClass"]
    assert made["metadata"]["generation"] == recorded["metadata"]["generation"]


async def test_the_fields_that_a_recorded_writer_owns(api: cluster.Cluster, pods: str, namespace: str) -> None:
    """Every leaf that the real server gave to the creator is the creator's here, too."""
    recorded = next(pod for pod in recordings.load("pod-list")["items"] if pod["metadata"]["name"] == "bare")
    entry = next(each for each in recorded["metadata"]["managedFields"] if each["manager"] == "unknown")
    await api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "app"}})
    spec = bare(_without_injected(recorded)["spec"])
    spec.pop("nodeName")
    labels = recorded["metadata"]["labels"]
    made = await api.create(
        pods, {"metadata": {"name": "p", "labels": labels}, "spec": {**spec, "schedulerName": "nobody"}}
    )
    mine = made["metadata"]["managedFields"][0]
    assert _leaves(entry["fieldsV1"]) <= _leaves(mine["fieldsV1"])


def _leaves(trie: dict[str, Any], above: str = "") -> set[str]:
    found = set()
    for part, below in trie.items():
        if part != ".":
            found |= _leaves(below, f"{above}/{part}") if below else {f"{above}/{part}"}
    return found


async def test_too_large_a_version(api: cluster.Cluster, pods: str) -> None:
    """The recorded 504, but for the current version in its text."""
    recorded = recordings.load("list-504-rv-in-the-future")
    answer = await api.get(pods, resourceVersion="999999999")
    said, wanted = answer.expect(recorded["status"]), recorded["body"]
    assert said["message"].rpartition(" ")[0] == wanted["message"].rpartition(" ")[0]
    assert {**said, "message": ""} == {**wanted, "message": ""}
    for header in ("Retry-After", "Cache-Control", "Content-Type"):
        assert answer.headers[header].partition(";")[0] == recorded["headers"][header]


async def test_unauthorized(api: cluster.Cluster, pods: str) -> None:
    """The recorded 401, word for word."""
    recorded = recordings.load("api-401-wrong-audience")
    async with api.session.get(pods, headers={"Authorization": "Bearer other"}) as answer:
        assert (answer.status, await answer.json()) == (recorded["status"], recorded["body"])


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("watch-pod-sendinitialevents", "api/v1/{}/pods"),
        ("watch-endpointslice-sendinitialevents", "apis/discovery.k8s.io/v1/{}/endpointslices"),
    ],
)
async def test_the_first_bookmark(api: cluster.Cluster, namespace: str, name: str, path: str) -> None:
    """Equal to the recorded one but for the version: with Go's zero values for fields that are never left out."""
    wanted = next(
        event for line in recordings.lines(name) if (event := recordings.json.loads(line))["type"] == "BOOKMARK"
    )
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with contextlib.aclosing(
        api.events("/" + path.format(f"namespaces/{namespace}"), seconds=3, **query)
    ) as events:
        async for event in events:
            event["object"]["metadata"]["resourceVersion"] = wanted["object"]["metadata"]["resourceVersion"]
            assert event == wanted
            return


async def test_a_recorded_slice_is_taken_as_it_is(api: cluster.Cluster, namespace: str) -> None:
    """Every field of a real EndpointSlice is known here."""
    recorded = recordings.load("endpointslice-list")["items"][0]
    body = {key: recorded[key] for key in ("addressType", "endpoints", "ports")}
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    made = await api.create(path, {"metadata": {"generateName": "web-"}, **body}, fieldValidation="Strict")
    assert {key: made[key] for key in body} == body


@pytest.mark.parametrize("recorded", recordings.load("pod-list")["items"], ids=lambda pod: pod["metadata"]["name"])
async def test_a_recorded_status_is_taken_as_it_is(api: cluster.Cluster, pods: str, recorded: dict[str, Any]) -> None:
    """Every field of a real kubelet's status is known here, and comes back unchanged."""
    await api.create(pods, cluster.pod(nodeName="vm"))
    body = {"status": recorded["status"]}
    answer = await api.patch(f"{pods}/p/status", body, fieldValidation="Strict")
    found = answer.expect(200)["status"]
    assert {key: found[key] for key in recorded["status"]} == _without_nulls(recorded["status"])


def _without_nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return value
