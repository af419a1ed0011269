"""CustomResourceDefinitions: what is accepted, what they say of themselves, and what ``kubectl`` makes of them.

What becomes of their objects is in ``test_crds_objects``, ``test_crds_schemas`` and ``test_crds_life``. Leaves out
conversion by webhook, which the lab refuses.
"""

import copy
import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.kubernetes_api import definitions
from tests.contract.kubernetes_api.kubectl import Kubectl

OURS = pathlib.Path(__file__).parents[3] / "deploy" / "crds"
Value = dict[str, Any]
Change = Callable[[Value], object]


def only_version(found: Value) -> Value:
    return found["spec"]["versions"][0]


def root(found: Value) -> Value:
    return only_version(found)["schema"]["openAPIV3Schema"]


def spec_of(found: Value) -> Value:
    return root(found)["properties"]["spec"]["properties"]


async def test_a_definition_says_that_it_is_established(group: definitions.Group) -> None:
    """Names are completed and accepted, the stored version is named."""
    body = definitions.definition(group.name)
    del body["spec"]["names"]["singular"]
    made = await group.api.create(definitions.PATH, body)
    assert ("gate", "GateList") == (made["spec"]["names"]["singular"], made["spec"]["names"]["listKind"])
    assert {"strategy": "None"} == made["spec"]["conversion"]
    status = (await group.established(made["metadata"]["name"]))["status"]
    conditions = {each["type"]: (each["status"], each["reason"], each["message"]) for each in status["conditions"]}
    assert ("True", "NoConflicts", "no conflicts found") == conditions["NamesAccepted"]
    assert ("True", "InitialNamesAccepted", "the initial names have been accepted") == conditions["Established"]
    assert made["spec"]["names"] == status["acceptedNames"]
    assert ["v1"] == status["storedVersions"]


REFUSED: list[tuple[str, Change, str]] = [
    ("another name", lambda d: d["metadata"].update(name="gate.x.test"), 'must be spec.names.plural+"."+spec.group'),
    ("no scope of that name", lambda d: d["spec"].update(scope="Local"), 'spec.scope: Unsupported value: "Local"'),
    ("a kind that is no name", lambda d: d["spec"]["names"].update(kind="9G"), "spec.names.kind: Invalid value"),
    ("two stored", lambda d: d["spec"]["versions"].append(definitions.version("v2")), "exactly one version marked as"),
    ("none stored", lambda d: only_version(d).update(storage=False), "exactly one version marked as storage version"),
    ("a version that is no name", lambda d: only_version(d).update(name="V1"), "spec.versions[0].name: Invalid value"),
    ("no schema", lambda d: only_version(d).pop("schema"), "schemas are required"),
    ("no type at the root", lambda d: root(d).pop("type"), "type: Required value: must not be empty at the root"),
    (
        "no type of a field",
        lambda d: spec_of(d)["action"].pop("type"),
        "properties[spec].properties[action].type: Required value: must not be empty for specified object fields",
    ),
    ("a list of anything", lambda d: spec_of(d)["tags"].pop("items"), "items: Required value: must be specified"),
    ("no such type", lambda d: spec_of(d)["action"].update(type="text"), 'type: Unsupported value: "text"'),
    (
        "both properties and entries",
        lambda d: spec_of(d)["choice"].update(additionalProperties={"type": "string"}),
        "additionalProperties and properties are mutual exclusive",
    ),
    (
        "a type in a choice",
        lambda d: spec_of(d)["choice"]["oneOf"][0].update(type="object"),
        "oneOf[0].type: Forbidden: must be empty to be structural",
    ),
    (
        "a field known to a choice alone",
        lambda d: spec_of(d)["choice"]["oneOf"][0].update(properties={"z": {"minLength": 1}}),
        "properties[choice].properties[z]: Required value: because it is defined in",
    ),
    ("no pattern", lambda d: spec_of(d)["name"].update(pattern="("), "must be a valid regular expression, but isn't"),
    ("unique items", lambda d: spec_of(d)["tags"].update(uniqueItems=True), "uniqueItems cannot be set to true"),
    (
        "a key that is no field",
        lambda d: spec_of(d)["ports"].update({"x-kubernetes-list-map-keys": ["nope"]}),
        "x-kubernetes-list-map-keys",
    ),
    ("a default of another type", lambda d: spec_of(d)["replicas"].update(default="3"), "must be of type integer"),
    ("a default out of range", lambda d: spec_of(d)["replicas"].update(default=9), "less than or equal to 7"),
    (
        "a rule that is no expression",
        lambda d: spec_of(d)["choice"].update({"x-kubernetes-validations": [{"rule": "self.a =="}]}),
        "x-kubernetes-validations[0].rule: Invalid value",
    ),
    (
        "a column of no type",
        lambda d: only_version(d).update(additionalPrinterColumns=[{"name": "A", "type": "x", "jsonPath": ".a"}]),
        'additionalPrinterColumns[0].type: Unsupported value: "x"',
    ),
]


@pytest.mark.parametrize(("change", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_what_is_no_definition(group: definitions.Group, change: Change, words: str) -> None:
    """422, at the field that is wrong; nothing is stored."""
    body = copy.deepcopy(definitions.definition(group.name))
    change(body)
    refused = (await group.api.call("POST", definitions.PATH, body)).refused(422, "Invalid")
    assert words in refused["message"], refused["message"]
    assert (await group.api.get(f"{definitions.PATH}/{body['metadata']['name']}")).code == 404


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(spec=[]),
        lambda d: d["spec"].update(versions={}),
        lambda d: root(d).update(properties=[]),
        lambda d: spec_of(d)["tags"].update(items=[1]),
        lambda d: spec_of(d)["labels"].update(additionalProperties="yes"),
    ],
)
async def test_what_is_of_the_wrong_type(group: definitions.Group, change: Change) -> None:
    """400, never a crash."""
    body = copy.deepcopy(definitions.definition(group.name))
    change(body)
    (await group.api.call("POST", definitions.PATH, body)).refused(400, "BadRequest")


async def test_names_that_are_taken(group: definitions.Group) -> None:
    """A second definition that wants a short name of the first is not established until it gives it up."""
    await group.define()
    body = definitions.definition(group.name, plural="doors", singular="door", kind="Door")
    await group.api.create(definitions.PATH, body)

    def conflict(found: Value) -> bool:
        conditions = found.get("status", {}).get("conditions", [])
        return any(each.get("reason") == "ShortNamesConflict" for each in conditions)

    name = body["metadata"]["name"]
    found = await group.api.until(definitions.PATH, conflict, fieldSelector=f"metadata.name={name}")
    assert not definitions.established(found)
    assert '"gt" is already in use' in json.dumps(found["status"]).replace("\\", "")
    change = {"spec": {"names": {"shortNames": ["dr"]}}}
    (await group.api.patch(f"{definitions.PATH}/{name}", change)).expect(200)
    await group.established(name)


async def test_what_an_update_may_not_change(group: definitions.Group) -> None:
    """Group, names and scope of what is established."""
    made = await group.define()
    path = f"{definitions.PATH}/{made['metadata']['name']}"
    refused = (await group.api.patch(path, {"spec": {"scope": "Cluster"}})).refused(422, "Invalid")
    assert "spec.scope: Invalid value" in refused["message"]
    assert "field is immutable" in refused["message"]


async def test_discovery(group: definitions.Group) -> None:
    """All versions, newest stable first; resources with their names, kinds and subresources."""
    await group.define(definitions.version(), definitions.version("v1alpha1", storage=False))
    found = (await group.api.get(f"/apis/{group.name}")).expect(200)
    assert ["v1", "v1alpha1"] == [each["version"] for each in found["versions"]]
    assert f"{group.name}/v1" == found["preferredVersion"]["groupVersion"]
    rows = (await group.api.get(f"/apis/{group.name}/v1alpha1")).expect(200)["resources"]
    assert {"gates", "gates/status", "gates/scale"} == {row["name"] for row in rows}
    gates = next(row for row in rows if row["name"] == "gates")
    assert ("gate", "Gate", ["gt"], ["all"], True) == tuple(
        gates[key] for key in ("singularName", "kind", "shortNames", "categories", "namespaced")
    )


async def test_kubectl_knows_them(kubectl: Kubectl, group: definitions.Group) -> None:
    """apply, wait, get, api-resources, explain."""
    body = definitions.definition(group.name)
    name = body["metadata"]["name"]
    assert f"{name} created" in await kubectl("apply", "-f", "-", stdin=json.dumps(body))
    assert "condition met" in await kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=30s")
    assert f"{name} unchanged" in await kubectl("apply", "-f", "-", stdin=json.dumps(body))
    assert re.search(rf"^{name}\s+\d{{4}}-\d\d-\d\dT\S+Z$", await kubectl("get", "crds"), re.MULTILINE)
    listed = await kubectl("api-resources", f"--api-group={group.name}", "--no-headers")
    assert ["gates", "gt", f"{group.name}/v1", "true", "Gate"] == listed.split()
    explained = await kubectl("explain", f"gates.{group.name}.spec.action")
    assert "What becomes of a caller." in explained
    assert re.search(r"ENUM:\s+Allow\s+Audit", explained)
    assert re.search(r"action\s+<string> -required-", await kubectl("explain", f"gates.{group.name}.spec"))


@pytest.mark.parametrize("path", sorted(OURS.glob("*.yaml")), ids=lambda path: path.stem)
async def test_our_own_are_taken(kubectl: Kubectl, path: pathlib.Path) -> None:
    """Every definition that the injector brings passes, with nothing to warn of."""
    said = await kubectl("apply", "--dry-run=server", "-f", str(path))
    assert "Warning" not in said
    assert "(server dry run)" in said


async def test_a_change_takes_effect_at_once(group: definitions.Group) -> None:
    """A field that was refused is taken, and a new version served, as soon as the definition says so."""
    made = await group.define()
    body = group.gate(extra=1)
    refused = (await group.api.call("POST", group.path(), body, fieldValidation="Strict")).refused(400, "BadRequest")
    assert 'unknown field "spec.extra"' in refused["message"]
    spec = copy.deepcopy(definitions.SPEC)
    spec["properties"]["extra"] = {"type": "integer"}
    versions = [definitions.version(spec=spec), definitions.version("v2", storage=False, spec=spec)]
    change = {"spec": {"versions": versions}}
    (await group.api.patch(f"{definitions.PATH}/{made['metadata']['name']}", change)).expect(200)
    await group.until_served("v2")
    found = await group.api.create(group.path(), body, fieldValidation="Strict")
    assert 1 == found["spec"]["extra"]
