"""What admission webhooks do to a write: patches, refusals, warnings, order, and asking again.

Leaves out which writes they are asked about (``test_admission_matching``) and what goes wrong with one
(``test_admission_failures``).
"""

from typing import Any

import pytest

from tests.contract.kubernetes_api import cluster, hooked
from tests.fakes import admission_webhook

Value = dict[str, Any]


def annotations(value: Value) -> Value:
    """Return an object's annotations."""
    found: Value = value["metadata"].get("annotations") or {}
    return found


async def test_a_patch_is_applied(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """What comes back and what is stored is the patched object."""
    hooks.webhook.react = admission_webhook.annotate("example.com/seen", "yes")
    await hooks.put(hooks.hook())
    made = await api.create(pods, cluster.pod())
    assert annotations(made) == {"example.com/seen": "yes"}
    assert annotations((await api.get(f"{pods}/p")).expect(200)) == {"example.com/seen": "yes"}
    assert hooks.webhook.names == ["p"]


async def test_what_a_webhook_adds_is_nobodys(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """The creator owns what it stated, not the webhook's fields."""
    hooks.webhook.react = admission_webhook.annotate("example.com/seen", "yes")
    await hooks.put(hooks.hook())
    made = await api.create(pods, cluster.pod())
    (entry,) = made["metadata"]["managedFields"]
    assert "f:annotations" not in entry["fieldsV1"].get("f:metadata", {})
    assert "f:containers" in entry["fieldsV1"]["f:spec"]


async def test_a_patched_container_gets_defaults_and_the_token(
    api: cluster.Cluster, pods: str, hooks: hooked.Hooked
) -> None:
    """A container that a webhook adds is completed as if the client had sent it."""
    sidecar = {"name": "sidecar", "image": "none:2"}
    hooks.webhook.react = lambda _request: admission_webhook.patch(
        {"op": "add", "path": "/spec/containers/-", "value": sidecar}
    )
    await hooks.put(hooks.hook())
    first, second = (await api.create(pods, cluster.pod()))["spec"]["containers"]
    assert ("sidecar", "IfNotPresent") == (second["name"], second["imagePullPolicy"])
    assert first["volumeMounts"] == second["volumeMounts"]


async def test_a_patched_object_is_validated(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """A webhook cannot make an object that nobody may make."""
    hooks.webhook.react = lambda _request: admission_webhook.patch(
        {"op": "replace", "path": "/spec/containers/0/name", "value": "Not A Name"}
    )
    await hooks.put(hooks.hook())
    refused = (await api.call("POST", pods, cluster.pod())).refused(422, "Invalid")
    assert "spec.containers[0].name" in refused["message"]


async def test_unknown_fields_of_a_patch_are_dropped(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """As those of a client."""
    hooks.webhook.react = lambda _request: admission_webhook.patch(
        {"op": "add", "path": "/spec/colour", "value": "blue"}
    )
    await hooks.put(hooks.hook())
    assert "colour" not in (await api.create(pods, cluster.pod()))["spec"]


async def test_a_patch_cannot_move_an_object(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """The namespace is the request's."""
    hooks.webhook.react = lambda _request: admission_webhook.patch(
        {"op": "replace", "path": "/metadata/namespace", "value": "default"}
    )
    await hooks.put(hooks.hook())
    refused = (await api.call("POST", pods, cluster.pod())).refused(400, "BadRequest")
    assert "the namespace of the provided object does not match" in refused["message"]


REFUSALS: list[tuple[Value, int, str | None, str]] = [
    ({}, 400, None, "denied the request without explanation"),
    ({"message": "too big"}, 400, None, "denied the request: too big"),
    ({"reason": "Forbidden"}, 400, "Forbidden", "denied the request: Forbidden"),
    ({"message": "no", "reason": "Forbidden", "code": 403}, 403, "Forbidden", "denied the request: no"),
    ({"message": "fine?", "code": 200, "status": "Success"}, 400, None, "denied the request: fine?"),
]
"""The webhook's status; the code, reason and words that the client gets."""


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
@pytest.mark.parametrize("kind", [hooked.MUTATING, hooked.VALIDATING])
async def test_a_refusal(
    api: cluster.Cluster, pods: str, hooks: hooked.Hooked, kind: str, refusal: tuple[Value, int, str | None, str]
) -> None:
    """The webhook's own status, with its name; never less than an error."""
    result, code, reason, words = refusal
    hooks.webhook.react = lambda _request: {"allowed": False, "status": result}
    await hooks.put(hooks.hook(), kind=kind)
    body = (await api.call("POST", pods, cluster.pod())).expect(code)
    assert (f'admission webhook "first.example.com" {words}', reason) == (body["message"], body.get("reason"))
    assert ("Failure", code) == (body["status"], body["code"])
    (await api.get(f"{pods}/p")).refused(404, "NotFound")


@pytest.mark.parametrize("allowed", [True, False])
async def test_warnings_reach_the_client(
    api: cluster.Cluster, pods: str, hooks: hooked.Hooked, *, allowed: bool
) -> None:
    """In headers, each once, whether or not the write is admitted."""
    hooks.webhook.react = lambda _request: {"allowed": allowed, "warnings": ['say "so"', "twice", "twice"]}
    await hooks.put(hooks.hook())
    async with api.session.post(pods, json=cluster.pod()) as answer:
        assert answer.status == (201 if allowed else 400)
        assert ['299 - "say \\"so\\""', '299 - "twice"'] == answer.headers.getall("Warning")


async def test_the_order_is_that_of_the_names(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """Of the configurations; within one, as they are listed. Each sees what the one before left."""
    seen: list[str] = []

    def react(request: Value) -> Value:
        seen.append(",".join(annotations(request["object"])))
        return admission_webhook.annotate(f"example.com/{len(seen)}", "yes")(request)

    hooks.webhook.react = react
    await hooks.put(hooks.hook("c.example.com"), name=f"{hooks.namespace}-b")
    await hooks.put(hooks.hook("b.example.com"), hooks.hook("a.example.com"), name=f"{hooks.namespace}-a")
    await api.create(pods, cluster.pod())
    assert ["", "example.com/1", "example.com/1,example.com/2"] == seen


async def test_a_webhook_that_wishes_is_asked_again(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """Once, if a later one changed the object; one that does not wish it is not."""
    paths: list[str] = []

    def react(request: Value) -> Value:
        paths.append(hooks.webhook.calls[-1].path.partition("?")[0])
        if paths[-1] == "/last" and "example.com/last" not in annotations(request["object"]):
            return admission_webhook.annotate("example.com/last", "yes")(request)
        return {"allowed": True}

    def at(path: str) -> Value:
        base = f"https://{hooks.webhook.address}:{hooks.webhook.port}"
        return {**hooks.webhook.client(), "url": base + path}

    hooks.webhook.react = react
    await hooks.put(
        hooks.hook("first.example.com", clientConfig=at("/again"), reinvocationPolicy="IfNeeded"),
        hooks.hook("second.example.com", clientConfig=at("/once")),
        hooks.hook("third.example.com", clientConfig=at("/last"), reinvocationPolicy="IfNeeded"),
    )
    await api.create(pods, cluster.pod())
    assert ["/again", "/once", "/last", "/again"] == paths


async def test_nobody_is_asked_again_without_a_change(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """Nor by an idempotent patch that changes nothing."""
    hooks.webhook.react = lambda _request: admission_webhook.patch(
        {"op": "replace", "path": "/spec/containers/0/name", "value": "c"}
    )
    again = {"reinvocationPolicy": "IfNeeded"}
    await hooks.put(hooks.hook("first.example.com", **again), hooks.hook("second.example.com", **again))
    await api.create(pods, cluster.pod())
    assert 2 == len(hooks.webhook.calls)


async def test_a_dry_run_is_reviewed_and_not_stored(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """The answer has the patch, the store has nothing."""
    hooks.webhook.react = admission_webhook.annotate("example.com/seen", "yes")
    await hooks.put(hooks.hook(sideEffects="NoneOnDryRun"))
    made = await api.create(pods, cluster.pod(), dryRun="All")
    assert annotations(made) == {"example.com/seen": "yes"}
    assert [True] == [request["dryRun"] for request in hooks.webhook.requests]
    (await api.get(f"{pods}/p")).refused(404, "NotFound")


async def test_validating_webhooks_see_the_final_object(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """With its identity, its generated name, and everybody's patches; they may not patch."""
    hooks.webhook.react = admission_webhook.annotate("example.com/seen", "yes")
    await hooks.put(hooks.hook())
    await api.create(pods, {**cluster.pod(), "metadata": {"generateName": "p-"}}, dryRun="All")
    hooks.webhook.react = lambda _request: {"allowed": True}
    await hooks.put(hooks.hook(), kind=hooked.VALIDATING)
    made = await api.create(pods, {**cluster.pod(), "metadata": {"generateName": "p-"}})
    mutating, validating = hooks.webhook.requests[-2:]
    assert "name" not in mutating
    assert "uid" not in mutating["object"]["metadata"]
    assert made["metadata"]["name"] == validating["name"] == validating["object"]["metadata"]["name"]
    assert made["metadata"]["uid"] == validating["object"]["metadata"]["uid"]


async def test_an_update_carries_both_states(api: cluster.Cluster, maps: str, hooks: hooked.Hooked) -> None:
    """PUT and PATCH are updates; the patch of a webhook counts there, too."""
    rule = {"operations": ["UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    await hooks.put(hooks.hook(rules=[rule]))
    made = await api.create(maps, cluster.config_map("m", {"k": "1"}))
    hooks.webhook.react = admission_webhook.annotate("example.com/seen", "yes")
    found = (await api.patch(f"{maps}/m", {"data": {"k": "2"}}, fieldManager="me")).expect(200)
    (request,) = hooks.webhook.requests
    assert ("UPDATE", "m", "UpdateOptions") == (request["operation"], request["name"], request["options"]["kind"])
    assert "me" == request["options"]["fieldManager"]
    assert ({"k": "1"}, {"k": "2"}) == (request["oldObject"]["data"], request["object"]["data"])
    assert made["metadata"]["uid"] == request["object"]["metadata"]["uid"]
    assert annotations(found) == {"example.com/seen": "yes"}
    (await api.call("PUT", f"{maps}/m", {**made, "metadata": {"name": "m"}})).expect(200)
    assert 2 == len(hooks.webhook.calls)


async def test_server_side_apply_is_a_create_and_then_an_update(
    api: cluster.Cluster, maps: str, hooks: hooked.Hooked
) -> None:
    """As it turns out to be."""
    rule = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["configmaps"]}
    await hooks.put(hooks.hook(rules=[rule]))
    hooks.webhook.calls.clear()
    hooks.webhook.react = admission_webhook.annotate("example.com/seen", "yes")
    for text in ("1", "2"):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": text}}
        found = await api.patch(f"{maps}/m", body, cluster.APPLY, fieldManager="me")
        assert annotations(found.expect(201 if text == "1" else 200)) == {"example.com/seen": "yes"}
    assert [("CREATE", "CreateOptions"), ("UPDATE", "UpdateOptions")] == [
        (request["operation"], request["options"]["kind"]) for request in hooks.webhook.requests
    ]


async def test_a_deletion_has_an_old_object_only(api: cluster.Cluster, maps: str, hooks: hooked.Hooked) -> None:
    """It can be refused, and not patched."""
    rule = {"operations": ["DELETE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    await hooks.put(hooks.hook(rules=[rule]))
    await api.create(maps, cluster.config_map("m", {"k": "1"}))
    hooks.webhook.react = lambda _request: {"allowed": False, "status": {"message": "stay"}}
    said = (await api.delete(f"{maps}/m", {"propagationPolicy": "Background"})).expect(400)
    assert said["message"].endswith("denied the request: stay")
    (request,) = hooks.webhook.requests
    assert (None, {"k": "1"}) == (request["object"], request["oldObject"]["data"])
    assert {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "propagationPolicy": "Background"} == (
        request["options"]
    )
    hooks.webhook.react = lambda _request: admission_webhook.patch({"op": "add", "path": "/data", "value": {}})
    said = (await api.delete(f"{maps}/m")).refused(500, "InternalError")
    assert "attempted to modify the object, which is not supported for this operation" in said["message"]
    hooks.webhook.react = lambda _request: {"allowed": True}
    (await api.delete(f"{maps}/m")).expect(200)


async def test_a_deleted_collection_is_reviewed_one_by_one(
    api: cluster.Cluster, maps: str, hooks: hooked.Hooked
) -> None:
    """Without a name in the request, since it named none."""
    rule = {"operations": ["DELETE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    await hooks.put(hooks.hook(rules=[rule], objectSelector={"matchLabels": {"mine": "yes"}}))
    for name in ("a", "b"):
        await api.create(maps, cluster.config_map(name, mine="yes"))
    (await api.delete(maps, labelSelector="mine=yes")).expect(200)
    assert [("a", False), ("b", False)] == sorted(
        (request["oldObject"]["metadata"]["name"], "name" in request) for request in hooks.webhook.requests
    )


async def test_subresources(api: cluster.Cluster, namespace: str, hooks: hooked.Hooked) -> None:
    """Those that a rule names, with the body that they have: the object, a Scale.

    A patch that meets a controller's own write is tried again, and reviewed again: the last review counts.
    """
    resources = ["deployments/status", "deployments/scale"]
    rule = {"operations": ["UPDATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": resources}
    await hooks.put(hooks.hook(rules=[rule]))
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": cluster.pod()["spec"]}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template, "paused": True}
    await api.create(path, {"metadata": {"name": "d"}, "spec": spec})
    await api.patch(f"{path}/d", {"spec": {"minReadySeconds": 1}})

    condition = {"type": "Odd", "status": "True"}
    (await api.patch(f"{path}/d/status", {"status": {"conditions": [condition]}}, fieldManager="me")).expect(200)
    hooks.webhook.react = lambda _request: admission_webhook.patch(
        {"op": "replace", "path": "/spec/replicas", "value": 0}
    )
    scaled = (await api.patch(f"{path}/d/scale", {"spec": {"replicas": 3}}, fieldManager="me")).expect(200)
    assert 0 == scaled["spec"]["replicas"]
    own = [each for each in hooks.webhook.requests if each["options"].get("fieldManager") == "me"]
    assert {("status", "Deployment", "deployments"), ("scale", "Scale", "deployments")} == {_what(each) for each in own}
    scale = own[-1]
    assert (0, 3) == (scale["oldObject"]["spec"].get("replicas", 0), scale["object"]["spec"]["replicas"])


def _what(request: Value) -> tuple[str, str, str]:
    return request["subResource"], request["kind"]["kind"], request["resource"]["resource"]


async def test_bindings_and_evictions(api: cluster.Cluster, pods: str, hooks: hooked.Hooked) -> None:
    """Both are creations of something that is no pod; an eviction is no deletion of one."""
    rules = [
        {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/binding", "pods/eviction"]},
        {"operations": ["DELETE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]},
    ]
    await hooks.put(hooks.hook(rules=rules))
    await api.create(pods, cluster.pod(schedulerName="nobody"))
    target = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "nowhere"}}
    await api.create(f"{pods}/p/binding", {"apiVersion": "v1", "kind": "Binding", **target})
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    await api.create(f"{pods}/p/eviction", {**eviction, "deleteOptions": {"gracePeriodSeconds": 0}})
    assert [("binding", "Binding", "pods"), ("eviction", "Eviction", "pods")] == [
        _what(request) for request in hooks.webhook.requests[:2]
    ]
    assert ["CREATE", "CREATE"] == [request["operation"] for request in hooks.webhook.requests[:2]]


async def test_another_write_meanwhile(api: cluster.Cluster, maps: str, hooks: hooked.Hooked) -> None:
    """A change is stated anew on what another writer left while the webhook was asked."""
    rule = {"operations": ["UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    await hooks.put(hooks.hook(rules=[rule]))
    await api.create(maps, cluster.config_map("m", {"k": "1"}))
    rivals = iter([{"rival": "yes"}])

    async def react(request: Value) -> Value:
        if "mine" in request["object"]["data"] and (rival := next(rivals, None)):
            (await api.patch(f"{maps}/m", {"data": rival})).expect(200)
        return {"allowed": True}

    hooks.webhook.react = react
    found = (await api.patch(f"{maps}/m", {"data": {"mine": "yes"}})).expect(200)
    assert {"k": "1", "mine": "yes", "rival": "yes"} == found["data"]


async def test_controllers_try_again(
    api: cluster.Cluster, namespace: str, deployments: str, hooks: hooked.Hooked
) -> None:
    """What a webhook refuses a controller is an Event, and made later, when it is admitted."""
    hooks.webhook.react = lambda _request: {"allowed": False, "status": {"message": "not now"}}
    await hooks.put(hooks.hook())
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": cluster.pod()["spec"]}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    await api.create(deployments, {"metadata": {"name": "web"}, "spec": spec})
    event = await api.until(f"/api/v1/namespaces/{namespace}/events", lambda found: found["reason"] == "FailedCreate")
    assert 'admission webhook "first.example.com" denied the request: not now' in event["message"]
    hooks.webhook.react = admission_webhook.annotate("example.com/seen", "yes")
    pod = await api.until(f"/api/v1/namespaces/{namespace}/pods", lambda _pod: True)
    assert {"example.com/seen": "yes"} == annotations(pod)
