"""JSON patch, merge patch and strategic merge patch, on a stored object.

Leaves out the algorithm's corners: tests/unit/lab has them.
"""

from tests.contract.kubernetes_api import cluster


async def test_json_patch(api: cluster.Cluster, maps: str) -> None:
    """Operations in order; a test that does not hold leaves everything."""
    await api.create(maps, cluster.config_map("a", {"k": "v", "old": "x"}))
    operations = [
        {"op": "test", "path": "/data/k", "value": "v"},
        {"op": "replace", "path": "/data/k", "value": "w"},
        {"op": "remove", "path": "/data/old"},
        {"op": "add", "path": "/metadata/annotations", "value": {"example.com/x~1y": "1"}},
    ]
    found = (await api.patch(f"{maps}/a", operations, cluster.JSON_PATCH)).expect(422)
    assert "metadata.annotations" in found["message"], "a tilde in a key is no qualified name"
    operations[3] = {"op": "add", "path": "/metadata/annotations", "value": {"example.com/x": "1"}}
    found = (await api.patch(f"{maps}/a", operations, cluster.JSON_PATCH)).expect(200)
    assert (found["data"], found["metadata"]["annotations"]) == ({"k": "w"}, {"example.com/x": "1"})


async def test_merge_patch(api: cluster.Cluster, maps: str) -> None:
    """Null removes, the rest is merged."""
    await api.create(maps, cluster.config_map("a", {"k": "v", "old": "x"}, keep="yes", drop="yes"))
    change = {"data": {"old": None, "new": "y"}, "metadata": {"labels": {"drop": None}}}
    found = (await api.patch(f"{maps}/a", change)).expect(200)
    assert (found["data"], found["metadata"]["labels"]) == ({"k": "v", "new": "y"}, {"keep": "yes"})


async def test_a_version_in_a_patch_is_a_precondition(api: cluster.Cluster, maps: str) -> None:
    """409 when it is not the present one."""
    await api.create(maps, cluster.config_map("a"))
    change = {"metadata": {"resourceVersion": "1"}, "data": {"k": "v"}}
    (await api.patch(f"{maps}/a", change)).refused(409, "Conflict")


async def test_a_merge_patch_replaces_lists(api: cluster.Cluster, deployments: str) -> None:
    """Where a strategic one merges them."""
    await api.create(deployments, two_containers())
    change = {"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "new:1"}]}}}}
    merged = (await api.patch(f"{deployments}/d", change, cluster.MERGE)).expect(200)
    assert images(merged) == {"b": "new:1"}


async def test_strategic_merge_patch(api: cluster.Cluster, deployments: str) -> None:
    """Containers, variables and ports merge by their keys; ``$patch: delete`` removes one."""
    await api.create(deployments, two_containers())
    container = {
        "name": "b",
        "image": "new:1",
        "env": [{"name": "X", "value": "2"}, {"name": "Z", "value": "3"}],
        "ports": [{"containerPort": 80, "name": "web"}],
    }
    change = {"spec": {"template": {"spec": {"containers": [container, {"name": "a", "$patch": "delete"}]}}}}
    found = (await api.patch(f"{deployments}/d", change, cluster.STRATEGIC)).expect(200)
    assert images(found) == {"b": "new:1"}
    left = found["spec"]["template"]["spec"]["containers"][0]
    assert {each["name"]: each["value"] for each in left["env"]} == {"X": "2", "Y": "1", "Z": "3"}
    assert left["ports"] == [{"containerPort": 80, "name": "web", "protocol": "TCP"}]


async def test_retain_keys(api: cluster.Cluster, deployments: str) -> None:
    """A change of the strategy's type takes the other type's parameters away."""
    await api.create(deployments, two_containers())
    change = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    found = (await api.patch(f"{deployments}/d", change, cluster.STRATEGIC)).expect(200)
    assert found["spec"]["strategy"] == {"type": "Recreate"}


async def test_conditions_merge_by_type(api: cluster.Cluster, pods: str) -> None:
    """As the scheduler and kubelet both write them."""
    await api.create(pods, cluster.pod(schedulerName="nobody"))
    for type_ in ("Ready", "example.com/gate"):
        change = {"status": {"conditions": [{"type": type_, "status": "True"}]}}
        found = (await api.patch(f"{pods}/p/status", change, cluster.STRATEGIC)).expect(200)
    assert {each["type"] for each in found["status"]["conditions"]} >= {"Ready", "example.com/gate"}


def two_containers() -> dict[str, object]:
    """Return a Deployment without replicas whose template has containers a and b."""
    labels = {"app": "d"}
    variables = [{"name": "X", "value": "1"}, {"name": "Y", "value": "1"}]
    containers = [
        {"name": "a", "image": "old:1"},
        {"name": "b", "image": "old:1", "env": variables, "ports": [{"containerPort": 80}]},
    ]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    return {
        "metadata": {"name": "d"},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }


def images(found: dict[str, object]) -> dict[str, str]:
    """Container name -> image."""
    return {each["name"]: each["image"] for each in found["spec"]["template"]["spec"]["containers"]}
