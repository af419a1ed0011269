"""What the status of a mesh says, and that each feature in it is tested here. Leaves out the requests."""

import ast
from typing import Any

from injector.routes import features, meshes
from tests.prove import supported_features
from tests.scene import clone

Json = dict[str, Any]
NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"


def mesh(status: Json | None = None, **spec: Any) -> Json:
    metadata = {"name": "ours", "uid": "u", "generation": 2, "resourceVersion": "7"}
    return {"metadata": metadata, "spec": {"controllerName": "ipseity.io/mesh", **spec}, "status": status or {}}


def plan(item: Json, now: str = NOW) -> list[Any]:
    return list(meshes.plan([item], namespace="ipseity-system", now_text=now))


def test_our_mesh_is_accepted_with_its_features() -> None:
    """And nothing is written that is there."""
    (write,) = plan(mesh())
    assert "/apis/gateway.networking.x-k8s.io/v1alpha1/xmeshes/ours/status" == write.path
    said = write.body[2]["value"]
    assert {"name": "Mesh"} in said["supportedFeatures"]
    (condition,) = said["conditions"]
    assert ("Accepted", "True", "Accepted", 2) == tuple(
        condition[key] for key in ("type", "status", "reason", "observedGeneration")
    )
    assert "namespace ipseity-system" in condition["message"]
    assert [] == plan(mesh(said), LATER)


def test_others_are_left_alone() -> None:
    """As the specification says; nor does a broken one break anything."""
    assert [] == plan(mesh(controllerName="example.org/mesh"))
    assert [] == plan({**mesh(), "spec": None})


def test_parameters_are_refused() -> None:
    """There are none, and what is not read must not look as if it was."""
    (write,) = plan(mesh(parametersRef={"group": "", "kind": "ConfigMap", "name": "x"}))
    said = write.body[2]["value"]
    assert ("False", "InvalidParameters") == (said["conditions"][0]["status"], said["conditions"][0]["reason"])
    assert [] == said["supportedFeatures"]


def test_a_mesh_that_is_gone_is_forgotten_and_its_successor_stays() -> None:
    """By uid."""
    known = meshes.Book()
    known.apply(mesh())
    known.forget({"metadata": {"name": "ours", "uid": "old"}})
    assert 1 == len(list(known.items))
    known.forget(mesh())
    assert [] == list(known.items)


def test_every_feature_has_a_test() -> None:
    """Which is there: what is claimed is put to the test by ``make prove WHAT=supported-features``."""
    assert features.FEATURES == tuple(sorted(supported_features.CASES))
    for case in supported_features.CASES.values():
        file, _, name = case.partition("::")
        tree = ast.parse((clone.ROOT / file).read_text())
        assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
