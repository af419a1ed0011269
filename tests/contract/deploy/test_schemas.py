"""What is rendered is what Kubernetes takes, word for word, from the oldest release to the newest that we name.

The schemas are those that each release publishes, in their strict form: an unknown field is an error. Leaves out kinds
that are not Kubernetes' own (monitoring, cert-manager), and what only a server checks.
"""

import functools
import json
import pathlib
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import referencing

from tests.scene import chart, clone

VERSIONS = ("1.31.0", "1.32.0", "1.33.0", "1.34.0", "1.35.0", "1.36.0", "1.37.0")
SCHEMAS = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
KINDS = {"CustomResourceDefinition", "DaemonSet", "Deployment", "NetworkPolicy", "PodDisruptionBudget"}
"""That nobody emptied the list."""
FOREIGN = {"monitoring.coreos.com/v1", "cert-manager.io/v1"}
RENDERED = (
    *sorted((clone.ROOT / "tests/golden/deploy").glob("*.golden.yaml")),
    *sorted((clone.ROOT / "deploy/mesh").glob("*.yaml")),
    clone.ROOT / "ipseity/manifests/agent.yaml",
    clone.ROOT / "ipseity/manifests/mesh.yaml",
    clone.ROOT / "ipseity/manifests/namespace.yaml",
    clone.ROOT / "ipseity/manifests/crds.yaml",
)


@functools.cache
def everything() -> tuple[chart.Json, ...]:
    """Read every object that can come out, each once."""
    found = {json.dumps(each, sort_keys=True): each for path in RENDERED for each in chart.documents(path.read_text())}
    return tuple(each for each in found.values() if each["apiVersion"] not in FOREIGN)


@functools.cache
def definitions(folder: pathlib.Path) -> Any:
    """Read what all schemas of a release refer to: 2 MB, indexed once."""
    whole = referencing.Resource.from_contents(json.loads((folder / "_definitions.json").read_text()))
    return referencing.Registry().with_resource("_definitions.json", whole).crawl()


@functools.cache
def validator(version: str, api_version: str, kind: str) -> Any:
    """Give the validator of one kind in one release."""
    folder = SCHEMAS / f"v{version}-local-strict"
    group, _, number = api_version.rpartition("/")
    name = "-".join(filter(None, [kind.lower(), group.partition(".")[0], number]))
    schema = json.loads((folder / f"{name}.json").read_text())
    return jsonschema.Draft202012Validator(schema, registry=definitions(folder))


def faults(version: str, each: chart.Json) -> list[str]:
    """Say what is wrong with an object."""
    where = f"{each['kind']}/{each['metadata']['name']}"
    found = validator(version, each["apiVersion"], each["kind"]).iter_errors(each)
    return [f"{where}: {'.'.join(map(str, fault.path))}: {fault.message}" for fault in found]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_what_this_release_describes(version: str) -> None:
    assert {each["kind"] for each in everything()} >= KINDS
    assert [] == [fault for each in everything() for fault in faults(version, each)]


def test_the_schemas_are_strict() -> None:
    """A field of another name, a number as text: the check would see it."""
    (daemon_set,) = (each for each in everything() if each["metadata"]["name"] == "ipseity-agent" and pins(each))
    broken = json.loads(json.dumps(daemon_set))
    broken["spec"]["template"]["spec"]["hostPid"] = True
    broken["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["periodSeconds"] = "10"
    assert 2 <= len(faults(VERSIONS[-1], broken))


def pins(each: chart.Json) -> bool:
    """Tell the DaemonSet that mounts bpffs itself from the others."""
    return each["kind"] == "DaemonSet" and "initContainers" in each["spec"]["template"]["spec"]


def test_the_webhook_is_what_its_releases_describe() -> None:
    """It is written by the control plane, so no manifest has it."""
    path = clone.ROOT / "tests/golden/injector/webhook/configuration.yaml"
    (configuration,) = chart.documents(path.read_text())
    assert [] == [fault for version in VERSIONS for fault in faults(version, configuration)]
