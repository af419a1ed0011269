"""Create, read, update and delete: identity, versions, generations, and how each refusal reads.

Leaves out patches, lists, watches and pods, which have their own files.
"""

import re

import pytest

from tests.contract.kubernetes_api import cluster


async def test_a_created_object_gets_its_identity(api: cluster.Cluster, namespace: str, maps: str) -> None:
    """uid, creationTimestamp, resourceVersion and namespace are the server's."""
    made = await api.create(maps, cluster.config_map("a", {"k": "v"}))
    assert (made["kind"], made["apiVersion"]) == ("ConfigMap", "v1")
    assert made["metadata"]["namespace"] == namespace
    assert re.fullmatch(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", made["metadata"]["uid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["metadata"]["creationTimestamp"])
    assert (await api.get(f"{maps}/a")).expect(200) == made


async def test_generate_name(api: cluster.Cluster, maps: str) -> None:
    """A prefix gets five letters that spell nothing."""
    made = await api.create(maps, {"metadata": {"generateName": "gen-"}})
    assert re.fullmatch(r"gen-[bcdfghjklmnpqrstvwxz2456789]{5}", made["metadata"]["name"])
    assert made["metadata"]["generateName"] == "gen-"


async def test_a_second_create_is_refused(api: cluster.Cluster, maps: str) -> None:
    """409 AlreadyExists names the object."""
    await api.create(maps, cluster.config_map("a"))
    body = (await api.call("POST", maps, cluster.config_map("a"))).refused(409, "AlreadyExists")
    assert body["message"] == 'configmaps "a" already exists'
    assert body["details"] == {"name": "a", "kind": "configmaps"}


async def test_not_found(api: cluster.Cluster, namespace: str, maps: str) -> None:
    """404 names the object and its group."""
    body = (await api.get(f"{maps}/nope")).refused(404, "NotFound")
    assert body["message"] == 'configmaps "nope" not found'
    body = (await api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/nope")).refused(404, "NotFound")
    assert body["message"] == 'deployments.apps "nope" not found'
    assert body["details"] == {"name": "nope", "group": "apps", "kind": "deployments"}


async def test_a_namespace_that_is_not_there(api: cluster.Cluster) -> None:
    """Creating in it is a 404 of the namespace."""
    answer = await api.call("POST", "/api/v1/namespaces/contract-nowhere/configmaps", cluster.config_map("a"))
    assert answer.refused(404, "NotFound")["message"] == 'namespaces "contract-nowhere" not found'


async def test_update_needs_the_present_version(api: cluster.Cluster, maps: str) -> None:
    """A PUT of an older version is a 409 Conflict; of the present one it stores and raises the version."""
    first = await api.create(maps, cluster.config_map("a", {"k": "1"}))
    second = (await api.call("PUT", f"{maps}/a", {**first, "data": {"k": "2"}})).expect(200)
    assert second["data"] == {"k": "2"}
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    body = (await api.call("PUT", f"{maps}/a", {**first, "data": {"k": "3"}})).refused(409, "Conflict")
    assert body["message"].startswith('Operation cannot be fulfilled on configmaps "a": the object has been modified')


async def test_an_update_that_changes_nothing_keeps_the_version(api: cluster.Cluster, maps: str) -> None:
    """Nobody who watches needs to be told of it."""
    first = await api.create(maps, cluster.config_map("a", {"k": "1"}))
    again = (await api.call("PUT", f"{maps}/a", first)).expect(200)
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_update_of_another_object_of_that_name(api: cluster.Cluster, maps: str) -> None:
    """A uid in the body is a precondition."""
    made = await api.create(maps, cluster.config_map("a"))
    other = {
        **made,
        "metadata": {**made["metadata"], "uid": "11111111-2222-3333-4444-555555555555", "resourceVersion": ""},
    }
    (await api.call("PUT", f"{maps}/a", other)).refused(409, "Conflict")


async def test_generation_counts_changes_of_the_spec_only(api: cluster.Cluster, namespace: str) -> None:
    """Labels and status do not raise it. The Deployment is paused, so that no controller touches it."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    made = await api.create(path, deployment("d", replicas=0))
    assert made["metadata"]["generation"] == 1
    labelled = (await api.patch(f"{path}/d", {"metadata": {"labels": {"x": "y"}}})).expect(200)
    assert labelled["metadata"]["generation"] == 1
    changed = (await api.patch(f"{path}/d", {"spec": {"minReadySeconds": 7}})).expect(200)
    assert changed["metadata"]["generation"] == 2


async def test_status_is_written_through_its_own_path_only(api: cluster.Cluster, namespace: str) -> None:
    """A spec update cannot change the status, a status update cannot change the spec."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    made = await api.create(path, {**cluster.pod(schedulerName="nobody"), "status": {"phase": "Running"}})
    assert made["status"]["phase"] == "Pending"
    body = {"spec": {"activeDeadlineSeconds": 7}, "status": {"phase": "Running", "podIP": "10.1.2.3"}}
    through_status = (await api.patch(f"{path}/p/status", body)).expect(200)
    assert through_status["status"]["phase"] == "Running"
    assert "activeDeadlineSeconds" not in through_status["spec"]
    through_spec = (await api.patch(f"{path}/p", {"status": {"phase": "Failed"}})).expect(200)
    assert through_spec["status"]["phase"] == "Running"


async def test_delete_answers_with_what_went(api: cluster.Cluster, maps: str) -> None:
    """A Status with the uid for most kinds."""
    made = await api.create(maps, cluster.config_map("a"))
    body = (await api.delete(f"{maps}/a")).expect(200)
    assert body["status"] == "Success"
    assert body["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    (await api.get(f"{maps}/a")).refused(404, "NotFound")


async def test_delete_preconditions(api: cluster.Cluster, maps: str) -> None:
    """A uid or version that is not the object's is a 409, and the object stays."""
    await api.create(maps, cluster.config_map("a"))
    for condition in ({"uid": "nope"}, {"resourceVersion": "1"}):
        body = (await api.delete(f"{maps}/a", {"preconditions": condition})).refused(409, "Conflict")
        assert "Precondition failed" in body["message"]
    (await api.get(f"{maps}/a")).expect(200)


async def test_finalizers_hold_an_object(api: cluster.Cluster, maps: str) -> None:
    """Deletion only marks it, until the last finalizer is taken off; a new one is refused by then."""
    held = cluster.config_map("a")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await api.create(maps, held)
    marked = (await api.delete(f"{maps}/a")).expect(200)
    assert marked["metadata"]["deletionTimestamp"]
    more = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    (await api.patch(f"{maps}/a", more)).refused(422, "Invalid")
    (await api.patch(f"{maps}/a", {"metadata": {"finalizers": None}})).expect(200)
    (await api.get(f"{maps}/a")).refused(404, "NotFound")


async def test_delete_collection(api: cluster.Cluster, maps: str) -> None:
    """Takes what the selector admits."""
    for name, label in (("a", "yes"), ("b", "no"), ("c", "yes")):
        await api.create(maps, cluster.config_map(name, go=label))
    (await api.delete(maps, labelSelector="go=yes")).expect(200)
    left = (await api.get(maps, labelSelector="go")).expect(200)
    assert [item["metadata"]["name"] for item in left["items"]] == ["b"]


async def test_dry_run_stores_nothing(api: cluster.Cluster, maps: str) -> None:
    """The answer is as if; the object is not there."""
    made = await api.create(maps, cluster.config_map("a"), dryRun="All")
    assert made["metadata"]["uid"]
    (await api.get(f"{maps}/a")).refused(404, "NotFound")


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"metadata": {"name": "Not_Good"}}, "metadata.name", "FieldValueInvalid"),
        ({"metadata": {"name": "d", "labels": {"x": "not good"}}}, "metadata.labels", "FieldValueInvalid"),
        ({"spec": {}}, "spec.selector", "FieldValueRequired"),
    ],
)
async def test_an_impossible_object_says_where(
    api: cluster.Cluster, deployments: str, change: dict[str, object], field: str, reason: str
) -> None:
    """422 Invalid with a cause for the field."""
    body = (await api.call("POST", deployments, {**deployment("d"), **change})).refused(422, "Invalid")
    assert (field, reason) in [(cause["field"], cause["reason"]) for cause in body["details"]["causes"]]
    assert field in body["message"]


async def test_the_selector_must_admit_the_template(api: cluster.Cluster, deployments: str) -> None:
    """Else the Deployment would make pods for ever."""
    wrong = deployment("d")
    wrong["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    body = (await api.call("POST", deployments, wrong)).refused(422, "Invalid")
    assert "`selector` does not match template `labels`" in body["message"]


async def test_the_selector_is_immutable(api: cluster.Cluster, deployments: str) -> None:
    """A change of it is a 422."""
    await api.create(deployments, deployment("d", replicas=0))
    change = {
        "spec": {
            "selector": {"matchLabels": {"app": "d", "more": "x"}},
            "template": {"metadata": {"labels": {"more": "x"}}},
        }
    }
    body = (await api.patch(f"{deployments}/d", change)).refused(422, "Invalid")
    assert "field is immutable" in body["message"]


async def test_service_addresses(api: cluster.Cluster, namespace: str) -> None:
    """A ClusterIP is given once, kept over updates, and refused to a second Service."""
    path = f"/api/v1/namespaces/{namespace}/services"
    made = await api.create(path, {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}]}})
    spec = made["spec"]
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert spec["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert (spec["type"], spec["sessionAffinity"]) == ("ClusterIP", "None")
    bare = {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 81}]}}
    assert (await api.call("PUT", f"{path}/a", bare)).expect(200)["spec"]["clusterIP"] == spec["clusterIP"]
    taken = {"metadata": {"name": "b"}, "spec": {"ports": [{"port": 80}], "clusterIP": spec["clusterIP"]}}
    assert "already allocated" in (await api.call("POST", path, taken)).refused(422, "Invalid")["message"]
    headless = await api.create(
        path, {"metadata": {"name": "c"}, "spec": {"ports": [{"port": 80}], "clusterIP": "None"}}
    )
    assert headless["spec"]["clusterIPs"] == ["None"]


async def test_secrets_take_plain_text(api: cluster.Cluster, namespace: str) -> None:
    """``stringData`` ends up in ``data``; an immutable Secret stays as it is."""
    path = f"/api/v1/namespaces/{namespace}/secrets"
    made = await api.create(path, {"metadata": {"name": "s"}, "stringData": {"k": "hello"}, "immutable": True})
    assert (made["data"], made["type"]) == ({"k": "aGVsbG8="}, "Opaque")
    (await api.patch(f"{path}/s", {"data": {"k": "eA=="}})).refused(422, "Invalid")


async def test_scale(api: cluster.Cluster, deployments: str) -> None:
    """``/scale`` shows and changes the replicas, and nothing else."""
    await api.create(deployments, deployment("d", replicas=0, paused=True))
    found = (await api.get(f"{deployments}/d/scale")).expect(200)
    assert (found["kind"], found["spec"]["replicas"], found["status"]["selector"]) == ("Scale", 0, "app=d")
    found["spec"]["replicas"] = 0
    del found["metadata"]["resourceVersion"]  # whatever a controller has written meanwhile
    (await api.call("PUT", f"{deployments}/d/scale", found)).expect(200)
    (await api.patch(f"{deployments}/d/scale", {"spec": {"replicas": -1}})).refused(422, "Invalid")


def deployment(name: str, **spec: object) -> dict[str, dict[str, object]]:
    """Return a small Deployment whose pods no scheduler takes."""
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "c", "image": "none:1"}], "schedulerName": "nobody"},
    }
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": template, **spec}}
