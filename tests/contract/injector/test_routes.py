"""Routes in a Kubernetes API: what the control plane writes back, and what the delivered definitions refuse.

Leaves out what becomes of requests: ``tests/functional/injector/test_routes``.
"""

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from injector.kube import rest
from injector.routes import features, meshes
from ipseity import kube
from tests.contract.injector import test_control_plane as plane
from tests.contract.kubernetes_api import own
from tests.scene import routed

pytestmark = pytest.mark.asyncio(loop_scope="module")
GATEWAY = "/apis/gateway.networking.k8s.io"
ROUTES = f"{GATEWAY}/v1/namespaces/shop/httproutes"
PATIENCE_S = 20.0
GOOD = {"backendRefs": [routed.to("web")]}
OTHERS = {
    "parentRef": {"name": "gate"},
    "controllerName": "example.org/gate",
    "conditions": [
        {
            "type": "Accepted",
            "status": "True",
            "reason": "Accepted",
            "message": "by somebody else",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ],
}
Json = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """Have an API server with our definitions, a Service ``shop/web`` and a control plane that follows it."""
    tmp_path = tmp_path_factory.mktemp("routes")
    with own.served(tmp_path / "api") as kubeconfig:
        await plane.install(kubeconfig)
        running = plane.running(kubeconfig, tmp_path)
        await asyncio.to_thread(running.__enter__)
        try:
            await plane.define(kubeconfig, "gateway-api/*.yaml")  # later than the control plane: it finds them
            async with await kube.connect(str(kubeconfig)) as connected:
                for name in ("shop", "pay"):
                    await rest.create(connected, "/api/v1/namespaces", {"metadata": {"name": name}})
                    service = {"metadata": {"name": "web"}, "spec": {"ports": [{"name": "http", "port": 8080}]}}
                    await rest.create(connected, f"/api/v1/namespaces/{name}/services", service)
                yield connected
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


def item(*rules: Json, name: str = "r", **parent: Any) -> Json:
    made = routed.http(*rules, name=name, **parent)
    del made["metadata"]["creationTimestamp"]
    return {"apiVersion": "gateway.networking.k8s.io/v1", **made}


async def told(api: Any, name: str, holds: Callable[[list[Json]], bool]) -> list[Json]:
    """Wait until what the status says of parents is so."""
    found: list[Json] = []
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        read = await rest.get(api, f"{ROUTES}/{name}") or {}
        found = read.get("status", {}).get("parents", [])
        if holds(found):
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(found)


def reasons(parents: list[Json]) -> list[list[str]]:
    ours = [each for each in parents if each["controllerName"] == "ipseity.io/mesh"]
    return [[condition["reason"] for condition in each["conditions"]] for each in ours]


async def test_every_route_hears_how_it_stands(api: Any) -> None:
    """Good ones, and each kind of bad one; a grant changes the answer, and so does the Service that comes later."""
    strange = {"backendRefs": [routed.to("web", kind="Deployment", group="apps")]}
    away = {"backendRefs": [routed.to("web", namespace="pay")]}
    asked = {
        "good": (item(GOOD, name="good"), ["Accepted", "ResolvedRefs"]),
        "nobody": (item({"backendRefs": [routed.to("nobody")]}, name="nobody"), ["Accepted", "BackendNotFound"]),
        "strange": (item(strange, name="strange"), ["Accepted", "InvalidKind"]),
        "away": (item(away, name="away"), ["Accepted", "RefNotPermitted"]),
        "port": (item(GOOD, name="port", port=81), ["NoMatchingParent", "ResolvedRefs"]),
        "late": (item(GOOD, name="late", service="late"), ["NoMatchingParent", "ResolvedRefs"]),
        "more": (item({**GOOD, "retry": {"attempts": 1000}}, name="more"), ["UnsupportedValue"]),
    }
    for each, _ in asked.values():
        await rest.create(api, ROUTES, each)
    for name, (_, expected) in asked.items():
        await told(api, name, lambda parents, expected=expected: reasons(parents) == [expected])  # type: ignore[misc]  # a default binds it
    grant = {"apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant", **routed.grant()}
    await rest.create(api, f"{GATEWAY}/v1beta1/namespaces/pay/referencegrants", grant)
    await told(api, "away", lambda parents: reasons(parents) == [["Accepted", "ResolvedRefs"]])
    service = {"metadata": {"name": "late"}, "spec": {"ports": [{"name": "http", "port": 8080}]}}
    await rest.create(api, "/api/v1/namespaces/shop/services", service)
    await told(api, "late", lambda parents: reasons(parents) == [["Accepted", "ResolvedRefs"]])


async def test_what_another_controller_says_stays(api: Any) -> None:
    """Both write into one list, before and after."""
    both = item(GOOD)
    both["spec"]["parentRefs"].append({"name": "gate"})
    await rest.create(api, ROUTES, both)
    await told(api, "r", lambda parents: reasons(parents) == [["Accepted", "ResolvedRefs"]])
    ours = (await rest.get(api, f"{ROUTES}/r") or {})["status"]["parents"]
    patch = {"status": {"parents": [OTHERS, *ours]}}
    await rest.patch(api, f"{ROUTES}/r/status", patch, rest.Patch.MERGE)
    changed = [{"op": "replace", "path": "/spec/rules/0/backendRefs/0/name", "value": "gone"}]
    await rest.patch(api, f"{ROUTES}/r", changed, rest.Patch.JSON)
    found = await told(api, "r", lambda parents: reasons(parents) == [["Accepted", "BackendNotFound"]])
    assert "by somebody else" == found[0]["conditions"][0]["message"]


@pytest.mark.parametrize(
    "rule",
    [
        {**GOOD, "timeouts": {"request": "5"}},
        {**GOOD, "retry": {"backoff": "1.5s"}},
        {**GOOD, "matches": [routed.path("a")]},
        {**GOOD, "matches": [{"method": "get"}]},
        {"backendRefs": [{"name": "web"}]},
        {"filters": [{"type": "RequestMirror", "urlRewrite": {}}]},
        {"filters": [routed.changed("RequestRedirect", "requestRedirect", statusCode=304)]},
    ],
)
async def test_the_definitions_refuse_what_nobody_can_mean(api: Any, rule: Json) -> None:
    """When it is written, in the words of Kubernetes."""
    with pytest.raises(kube.KubernetesError) as caught:
        await rest.create(api, ROUTES, copy.deepcopy(item(rule)))
    assert 422 == caught.value.status


async def test_a_mesh_says_what_it_can_do(api: Any) -> None:
    """The one that names us, in the order of the alphabet; another one is left alone."""
    made = {"apiVersion": "gateway.networking.x-k8s.io/v1alpha1", "kind": "XMesh"}
    for name in ("ipseity.io/mesh", "example.org/mesh"):
        metadata = {"name": name.partition("/")[0]}
        await rest.create(api, meshes.PATH, {**made, "metadata": metadata, "spec": {"controllerName": name}})
    found: Json = {}
    async with asyncio.timeout(PATIENCE_S):
        while not found.get("supportedFeatures"):  # another process: no event of ours
            await asyncio.sleep(0.05)
            found = dict((await rest.get(api, f"{meshes.PATH}/ipseity.io") or {})["status"])
    assert sorted(features.FEATURES) == [each["name"] for each in found["supportedFeatures"]]
    assert [("Accepted", "True")] == [(each["type"], each["status"]) for each in found["conditions"]]
    other = (await rest.get(api, f"{meshes.PATH}/example.org") or {})["status"]
    assert ["Unknown"] == [each["status"] for each in other["conditions"]]


async def test_a_balancer_annotation_that_cannot_be_read_is_told_on_its_service(api: Any) -> None:
    """As an Event, with what is allowed; the Service is served all the same, and so are routes for it."""
    bad = {"balancer.ipseity.io/failure-accrual": "unified"}
    service = {"metadata": {"name": "odd", "annotations": bad}, "spec": {"ports": [{"name": "http", "port": 8080}]}}
    made = await rest.create(api, "/api/v1/namespaces/shop/services", service)
    route = item({"backendRefs": [routed.to("odd")]}, name="odd", service="odd")
    await rest.create(api, ROUTES, route)
    await told(api, "odd", lambda parents: "Accepted" in str(parents))
    until_s, found = time.monotonic() + PATIENCE_S, []
    while not found and time.monotonic() < until_s:
        listed = await rest.get(api, "/apis/events.k8s.io/v1/namespaces/shop/events") or {}
        found = [each for each in listed["items"] if each["reason"] == "InvalidAnnotation"]
        await asyncio.sleep(0.05)
    (event,) = found
    assert ("Service", "odd", made["metadata"]["uid"], "Warning") == (
        event["regarding"]["kind"], event["regarding"]["name"], event["regarding"]["uid"], event["type"]
    )  # fmt: skip
    assert "value 'unified' is not allowed and is ignored; allowed: consecutive" in event["note"]
