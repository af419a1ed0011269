"""Server-side apply: owners, conflicts, force, and what goes when it is stated no more."""

from typing import Any

from tests.contract.kubernetes_api import cluster


async def apply(api: cluster.Cluster, path: str, body: dict[str, Any], manager: str, **query: str) -> cluster.Answer:
    """One apply."""
    whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, **body}
    return await api.patch(f"{path}/a", whole, cluster.APPLY, fieldManager=manager, **query)


async def test_the_first_apply_creates(api: cluster.Cluster, maps: str) -> None:
    """201, and an entry of the applier; the second is a 200 that changes nothing."""
    made = (await apply(api, maps, {"data": {"k": "1"}}, "one")).expect(201)
    entry = next(each for each in made["metadata"]["managedFields"] if each["manager"] == "one")
    assert (entry["operation"], entry["apiVersion"], entry["fieldsType"]) == ("Apply", "v1", "FieldsV1")
    assert entry["fieldsV1"] == {"f:data": {"f:k": {}}}
    again = (await apply(api, maps, {"data": {"k": "1"}}, "one")).expect(200)
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_what_is_stated_no_more_goes(api: cluster.Cluster, maps: str) -> None:
    """Unless another manager holds it."""
    await apply(api, maps, {"data": {"k": "1", "gone": "1", "shared": "1"}}, "one")
    await apply(api, maps, {"data": {"shared": "1"}}, "two")
    found = (await apply(api, maps, {"data": {"k": "1"}}, "one")).expect(200)
    assert found["data"] == {"k": "1", "shared": "1"}


async def test_conflict(api: cluster.Cluster, maps: str) -> None:
    """Another value for a field that somebody else owns is a 409 that says whose; force takes it."""
    await apply(api, maps, {"data": {"k": "1"}}, "one")
    body = (await apply(api, maps, {"data": {"k": "2"}}, "two")).refused(409, "Conflict")
    assert body["message"] == 'Apply failed with 1 conflict: conflict with "one" using v1: .data.k'
    cause = {"reason": "FieldManagerConflict", "message": 'conflict with "one" using v1', "field": ".data.k"}
    assert body["details"]["causes"] == [cause]
    forced = (await apply(api, maps, {"data": {"k": "2"}}, "two", force="true")).expect(200)
    assert forced["data"] == {"k": "2"}
    assert [each["manager"] for each in forced["metadata"]["managedFields"]] == ["two"]


async def test_an_update_takes_the_fields_that_it_changes(api: cluster.Cluster, maps: str) -> None:
    """Then applying the old value is a conflict with the updater."""
    await apply(api, maps, {"data": {"k": "1", "l": "1"}}, "one")
    (await api.patch(f"{maps}/a", {"data": {"k": "2"}}, fieldManager="editor")).expect(200)
    body = (await apply(api, maps, {"data": {"k": "1", "l": "1"}}, "one")).refused(409, "Conflict")
    assert 'conflict with "editor" using v1' in body["message"]


async def test_items_of_a_list_have_owners_of_their_own(api: cluster.Cluster, deployments: str) -> None:
    """A second manager's container stays when the first applies again."""
    one = _deployment([{"name": "a", "image": "x:1"}])
    two = {**_deployment([{"name": "b", "image": "x:1"}])}
    await api.patch(f"{deployments}/d", one, cluster.APPLY, fieldManager="one")
    await api.patch(f"{deployments}/d", two, cluster.APPLY, fieldManager="two")
    found = (await api.patch(f"{deployments}/d", one, cluster.APPLY, fieldManager="one")).expect(200)
    assert sorted(each["name"] for each in found["spec"]["template"]["spec"]["containers"]) == ["a", "b"]
    three = _deployment([{"name": "c", "image": "x:1"}])
    found = (await api.patch(f"{deployments}/d", three, cluster.APPLY, fieldManager="two")).expect(200)
    assert sorted(each["name"] for each in found["spec"]["template"]["spec"]["containers"]) == ["a", "c"]


async def test_a_manager_is_needed(api: cluster.Cluster, maps: str) -> None:
    """422 without ``fieldManager``; 400 for a body that brings managedFields along."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    refused = (await api.patch(f"{maps}/a", body, cluster.APPLY)).refused(422, "Invalid")
    assert "fieldManager: Required value" in refused["message"]
    brought = {**body, "metadata": {"name": "a", "managedFields": [{"manager": "x"}]}}
    (await api.patch(f"{maps}/a", brought, cluster.APPLY, fieldManager="one")).refused(400, "BadRequest")


async def test_a_plain_write_is_recorded(api: cluster.Cluster, maps: str) -> None:
    """With the program's name, when no manager is said."""
    made = await api.create(maps, cluster.config_map("a", {"k": "v"}))
    entry = made["metadata"]["managedFields"][0]
    assert (entry["manager"], entry["operation"]) == ("contract", "Update")
    assert "f:k" in entry["fieldsV1"]["f:data"]


async def test_status_has_owners_of_its_own(api: cluster.Cluster, pods: str) -> None:
    """The subresource is part of the entry."""
    await api.create(pods, cluster.pod(schedulerName="nobody"))
    (await api.patch(f"{pods}/p/status", {"status": {"podIP": "10.1.2.3"}}, fieldManager="kubelet")).expect(200)
    found = (await api.get(f"{pods}/p")).expect(200)
    entry = next(each for each in found["metadata"]["managedFields"] if each["manager"] == "kubelet")
    assert (entry["subresource"], entry["fieldsV1"]) == ("status", {"f:status": {"f:podIP": {}}})


def _deployment(containers: list[dict[str, str]]) -> dict[str, Any]:
    labels = {"app": "d"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
