"""Custom objects: the verbs, patches, apply, subresources, tables, selectors and watches, as of any other kind.

What a schema does to them is in ``test_crds_schemas``; how they end in ``test_crds_life``.
"""

import contextlib
import json
import pathlib
import re
from collections.abc import AsyncIterator

import pytest
from kubernetes.aio import client, config

from tests.contract.kubernetes_api import cluster, definitions
from tests.contract.kubernetes_api.kubectl import Kubectl

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


async def test_the_verbs(group: definitions.Group) -> None:
    """Create, get, list, replace, delete; each object says its kind."""
    await group.define()
    made = await group.api.create(group.path(), group.gate())
    assert ("Gate", f"{group.name}/v1", 1) == (made["kind"], made["apiVersion"], made["metadata"]["generation"])
    assert made == (await group.api.get(f"{group.path()}/g")).expect(200)
    listed = (await group.api.get(group.path())).expect(200)
    assert ("GateList", [made]) == (listed["kind"], listed["items"])
    assert [made] == (await group.api.get(f"/apis/{group.name}/v1/gates")).expect(200)["items"]
    made["spec"]["action"] = "Audit"
    changed = (await group.api.call("PUT", f"{group.path()}/g", made)).expect(200)
    assert ("Audit", 2) == (changed["spec"]["action"], changed["metadata"]["generation"])
    (await group.api.call("PUT", f"{group.path()}/g", made)).refused(409, "Conflict")
    gone = (await group.api.delete(f"{group.path()}/g")).expect(200)
    assert ("Success", "gates", "g") == (gone["status"], gone["details"]["kind"], gone["details"]["name"])
    message = (await group.api.get(f"{group.path()}/g")).refused(404, "NotFound")["message"]
    assert f'gates.{group.name} "g" not found' == message


async def test_patches(group: definitions.Group) -> None:
    """JSON patch and merge patch; a strategic one is refused, since nobody knows how lists merge."""
    await group.define()
    await group.api.create(group.path(), group.gate(tags=["x"]))
    path = f"{group.path()}/g"
    operations = [{"op": "add", "path": "/spec/tags/-", "value": "y"}]
    changed = (await group.api.patch(path, operations, cluster.JSON_PATCH)).expect(200)
    assert ["x", "y"] == changed["spec"]["tags"]
    changed = (await group.api.patch(path, {"spec": {"tags": ["z"], "name": "abc"}})).expect(200)
    assert (["z"], "abc") == (changed["spec"]["tags"], changed["spec"]["name"])
    refused = (await group.api.patch(path, {}, cluster.STRATEGIC)).refused(415, "UnsupportedMediaType")
    assert "application/merge-patch+json" in refused["message"]
    assert cluster.STRATEGIC not in refused["message"]


async def test_apply(group: definitions.Group) -> None:
    """Owners by field, by key in lists that have keys; what one no longer states goes, what another has conflicts."""
    await group.define()
    path = f"{group.path()}/g"

    def stated(**spec: object) -> definitions.Value:
        return {**group.gate(**spec), "metadata": {"name": "g"}}

    first = stated(ports=[{"number": 1}], labels={"a": "1"}, raw={"x": {"y": 1}})
    made = await group.api.patch(path, first, cluster.APPLY, fieldManager="one")
    assert [{"number": 1, "protocol": "TCP"}] == made.expect(201)["spec"]["ports"]
    second = {**stated(ports=[{"number": 2}], labels={"b": "2"}, raw={"z": 1})}
    del second["spec"]["action"]
    both = (await group.api.patch(path, second, cluster.APPLY, fieldManager="two", force="true")).expect(200)["spec"]
    assert ([1, 2], {"a": "1", "b": "2"}) == ([port["number"] for port in both["ports"]], both["labels"])
    assert {"x": {"y": 1}, "z": 1} == both["raw"]
    conflict = await group.api.patch(path, stated(labels={"b": "3"}), cluster.APPLY, fieldManager="one")
    assert 'conflict with "two"' in conflict.refused(409, "Conflict")["message"]
    left = (await group.api.patch(path, stated(), cluster.APPLY, fieldManager="one")).expect(200)["spec"]
    assert ([2], {"b": "2"}) == ([port["number"] for port in left["ports"]], left["labels"])
    assert {"z": 1} == left["raw"]


async def test_apply_finds_items_by_their_defaults(group: definitions.Group) -> None:
    """A key that is not said is its default: no second item is made."""
    item = {
        "type": "object",
        "required": ["number"],
        "properties": {
            "number": {"type": "integer"},
            "side": {"type": "string", "default": "in"},
            "note": {"type": "string"},
        },
    }
    keys = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["number", "side"]}
    spec = {"type": "object", "properties": {"doors": {"type": "array", "items": item, **keys}}}
    await group.define(definitions.version(spec=spec))
    path = f"{group.path()}/g"
    for note in ("a", "b"):
        stated = {**group.gate(), "spec": {"doors": [{"number": 1, "note": note}]}}
        answer = await group.api.patch(path, stated, cluster.APPLY, fieldManager="one")
        assert answer.code in {200, 201}, answer
    found = (await group.api.get(path)).expect(200)["spec"]
    assert [{"number": 1, "side": "in", "note": "b"}] == found["doors"]


async def test_apply_owns_what_its_path_changes(group: definitions.Group) -> None:
    """A status that is applied with the rest is nobody's; through ``/status`` only the status is."""
    await group.define()
    path = f"{group.path()}/g"
    both = {**group.gate(), "status": {"replicas": 1}}
    made = (await group.api.patch(path, both, cluster.APPLY, fieldManager="one")).expect(201)
    assert "status" not in made
    said = (await group.api.patch(f"{path}/status", both, cluster.APPLY, fieldManager="two")).expect(200)
    owned = {entry["manager"]: set(entry["fieldsV1"]) for entry in said["metadata"]["managedFields"]}
    assert {"one": {"f:spec"}, "two": {"f:status"}} == owned


async def test_a_deprecated_version_warns(group: definitions.Group) -> None:
    """Whoever uses it."""
    old = definitions.version("v1alpha1", storage=False, deprecated=True)
    await group.define(definitions.version(), old)
    answer = await group.api.get(group.path("v1alpha1"))
    assert f"{group.name}/v1alpha1 Gate is deprecated" in answer.headers["Warning"]
    assert "Warning" not in (await group.api.get(group.path())).headers


async def test_the_status_is_another_path(group: definitions.Group) -> None:
    """Neither path changes the other's part; only the spec is counted."""
    await group.define()
    made = await group.api.create(group.path(), {**group.gate(), "status": {"replicas": 9}})
    assert "status" not in made
    both = {"metadata": {"labels": {"a": "b"}}, "spec": {"action": "Audit"}, "status": {"replicas": 5}}
    said = (await group.api.patch(f"{group.path()}/g/status", both)).expect(200)
    assert ("Allow", 5, 1) == (said["spec"]["action"], said["status"]["replicas"], said["metadata"]["generation"])
    assert "labels" not in said["metadata"]
    both = {"spec": {"action": "Audit"}, "status": {"replicas": 6}}
    said = (await group.api.patch(f"{group.path()}/g", both)).expect(200)
    assert ("Audit", 5, 2) == (said["spec"]["action"], said["status"]["replicas"], said["metadata"]["generation"])
    refused = await group.api.patch(f"{group.path()}/g/status", {"status": {"replicas": "many"}})
    assert "status.replicas in body must be of type integer" in refused.refused(422, "Invalid")["message"]
    owners = {each.get("subresource", "") for each in said["metadata"]["managedFields"]}
    assert {"", "status"} == owners


async def test_scale(group: definitions.Group) -> None:
    """Where the definition says that replicas and the selector are."""
    await group.define()
    await group.api.create(group.path(), group.gate())
    said = {"status": {"replicas": 2, "selector": "a=b"}}
    (await group.api.patch(f"{group.path()}/g/status", said)).expect(200)
    found = (await group.api.get(f"{group.path()}/g/scale")).expect(200)
    assert ("Scale", 3) == (found["kind"], found["spec"]["replicas"])
    assert {"replicas": 2, "selector": "a=b"} == found["status"]
    (await group.api.patch(f"{group.path()}/g/scale", {"spec": {"replicas": 5}})).expect(200)
    assert 5 == (await group.api.get(f"{group.path()}/g")).expect(200)["spec"]["replicas"]
    (await group.api.patch(f"{group.path()}/g/scale", {"spec": {"replicas": 8}})).refused(422, "Invalid")


async def test_tables(group: definitions.Group) -> None:
    """The definition's columns, in the types that it gives them; what is not there is null."""
    await group.define()
    await group.api.create(group.path(), group.gate())
    async with group.api.session.get(group.path(), headers={"Accept": TABLE}) as answer:
        table = await answer.json()
    shown = [(each["name"], each["type"], each["priority"]) for each in table["columnDefinitions"]]
    assert [("Name", "string", 0), ("Action", "string", 0)] == shown[:2]
    assert ("Replicas", "integer", 1) in shown
    assert ["g", "Allow", None, 3, None] == table["rows"][0]["cells"]
    status = {"seen": "2001-02-03T04:05:06Z", "conditions": [{"type": "Ready", "status": "True"}]}
    (await group.api.patch(f"{group.path()}/g/status", {"status": status})).expect(200)
    async with group.api.session.get(f"{group.path()}/g", headers={"Accept": TABLE}) as answer:
        cells = (await answer.json())["rows"][0]["cells"]
    assert ["g", "Allow", "True", 3] == cells[:4]
    assert re.fullmatch(r"\d+y(\d+d)?", cells[4])


async def test_selectors(group: definitions.Group) -> None:
    """Labels; the name and namespace; and the fields that the definition names."""
    version = definitions.version(selectableFields=[{"jsonPath": ".spec.action"}])
    await group.define(version)
    for name, action in (("a", "Allow"), ("b", "Audit")):
        body = group.gate(name, action=action)
        body["metadata"]["labels"] = {"is": name}
        await group.api.create(group.path(), body)

    async def found(**query: str) -> list[str]:
        items = (await group.api.get(group.path(), **query)).expect(200)["items"]
        return [item["metadata"]["name"] for item in items]

    assert ["a"] == await found(labelSelector="is=a")
    assert ["b"] == await found(fieldSelector="metadata.name=b")
    assert ["b"] == await found(fieldSelector="spec.action=Audit")
    refused = await group.api.get(group.path(), fieldSelector="spec.replicas=3")
    assert "field label not supported: spec.replicas" in refused.refused(400, "BadRequest")["message"]


async def test_watches(group: definitions.Group) -> None:
    """Each change, in the version that is watched."""
    await group.define(definitions.version(), definitions.version("v2", storage=False))
    version = (await group.api.get(group.path())).expect(200)["metadata"]["resourceVersion"]
    await group.api.create(group.path(), group.gate())
    (await group.api.patch(f"{group.path()}/g", {"spec": {"action": "Audit"}})).expect(200)
    (await group.api.delete(f"{group.path()}/g")).expect(200)
    seen = []
    events = group.api.events(group.path("v2"), resourceVersion=version)
    async with contextlib.aclosing(events):
        async for event in events:
            said = event["object"]
            seen.append((event["type"], said["apiVersion"].rpartition("/")[2], said["spec"]["action"]))
            if event["type"] == "DELETED":
                break
    assert [("ADDED", "v2", "Allow"), ("MODIFIED", "v2", "Audit"), ("DELETED", "v2", "Audit")] == seen


async def test_versions(group: definitions.Group) -> None:
    """One object under each version, with that version's defaults; what a version does not know it does not show."""
    spec = {
        "type": "object",
        "properties": {"action": {"type": "string"}, "color": {"type": "string", "default": "red"}},
    }
    await group.define(definitions.version(), definitions.version("v2", storage=False, spec=spec))
    await group.api.create(group.path(), group.gate(tags=["x"]))
    shown = (await group.api.get(f"{group.path('v2')}/g")).expect(200)
    assert (f"{group.name}/v2", {"action": "Allow", "color": "red"}) == (shown["apiVersion"], shown["spec"])
    wrong = await group.api.call("POST", group.path("v2"), group.gate("h"))
    assert "does not match the expected API version" in wrong.refused(400, "BadRequest")["message"]
    await group.api.create(group.path("v2"), group.gate("h", version="v2"))
    assert 3 == (await group.api.get(f"{group.path()}/h")).expect(200)["spec"]["replicas"]


async def test_a_cluster_s_own(group: definitions.Group) -> None:
    """Without namespaces."""
    await group.define(scope="Cluster")
    path = f"/apis/{group.name}/v1/gates"
    made = await group.api.create(path, group.gate())
    assert "namespace" not in made["metadata"]
    assert (await group.api.get(group.path())).code == 404


async def test_kubectl_works_with_them(kubectl: Kubectl, group: definitions.Group) -> None:
    """apply, get, short names, categories, patch, scale, delete."""
    await group.define()
    body = json.dumps(group.gate())
    assert f"gate.{group.name}/g created" in await kubectl("apply", "-f", "-", stdin=body)
    assert f"gate.{group.name}/g unchanged" in await kubectl("apply", "-f", "-", stdin=body)
    changed = json.dumps(group.gate(labels={"a": "b"}))
    assert f"gate.{group.name}/g configured" in await kubectl("apply", "-f", "-", stdin=changed)
    shown = (await kubectl("get", f"gt.{group.name}")).splitlines()
    assert ["NAME", "ACTION", "READY", "SEEN"] == shown[0].split()
    assert ["g", "Allow"] == shown[1].split()
    assert f"gate.{group.name}/g" in await kubectl("get", "all")
    assert "patched" in await kubectl(
        "patch", f"gates.{group.name}", "g", "--type=merge", "-p", '{"spec":{"tags":["a"]}}'
    )
    assert "scaled" in await kubectl("scale", f"gates.{group.name}/g", "--replicas=7")
    said = await kubectl("apply", "-f", "-", stdin=json.dumps(group.gate(action="Deny")), code=1)
    assert 'The Gate "g" is invalid: spec.action: Unsupported value: "Deny": supported values: "Allow", "Audit"' in said
    said = await kubectl("apply", "-f", "-", stdin=json.dumps(group.gate(actoin="Deny")), code=1)
    assert 'strict decoding error: unknown field "spec.actoin"' in said
    assert "serverside-applied" in await kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=changed
    )
    assert "action: Allow" in await kubectl("get", f"gates.{group.name}", "g", "-o", "yaml")
    assert "deleted" in await kubectl("delete", f"gates.{group.name}", "g", "--timeout=30s")


@pytest.fixture
async def dynamic(kubeconfig: pathlib.Path) -> AsyncIterator[client.CustomObjectsApi]:
    """Return the official client's way to custom objects."""
    settings = client.Configuration()
    await config.load_kube_config(str(kubeconfig), client_configuration=settings, persist_config=False)
    async with client.ApiClient(settings) as made:
        yield client.CustomObjectsApi(made)


async def test_the_python_client(dynamic: client.CustomObjectsApi, group: definitions.Group) -> None:
    """``CustomObjectsApi`` and ``ApiextensionsV1Api``."""
    await group.define()
    place = (group.name, "v1", group.namespace, "gates")
    made = await dynamic.create_namespaced_custom_object(*place, group.gate())
    assert 3 == made["spec"]["replicas"]
    listed = await dynamic.list_namespaced_custom_object(*place)
    assert ["g"] == [item["metadata"]["name"] for item in listed["items"]]
    with pytest.raises(client.ApiException) as caught:
        await dynamic.create_namespaced_custom_object(*place, group.gate("h", action="Deny"))
    assert 422 == caught.value.status
    crds = await client.ApiextensionsV1Api(dynamic.api_client).list_custom_resource_definition()
    assert f"gates.{group.name}" in [item.metadata.name for item in crds.items]
