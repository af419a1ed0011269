"""What a schema does to custom objects: unknown fields go, defaults come, and what is not possible is refused.

Messages are those of the real server, since people search for them. What a schema itself may be is in ``test_crds``.
"""

import copy
import json
import random
from typing import Any

import pytest

from tests.contract.kubernetes_api import cluster, definitions

Value = dict[str, Any]


async def test_unknown_fields(group: definitions.Group) -> None:
    """Strict refuses them, Warn says so, Ignore is silent; none is stored, at any depth."""
    await group.define()
    body = group.gate(nope=1, choice={"a": "x", "q": 2}, ports=[{"number": 1, "speed": 9}])
    body["metadata"]["lables"] = {}
    refused = (await group.api.call("POST", group.path(), body, fieldValidation="Strict")).refused(400, "BadRequest")
    for field in ("spec.nope", "spec.choice.q", "spec.ports[0].speed", "metadata.lables"):
        assert f'unknown field "{field}"' in refused["message"]
    warned = await group.api.call("POST", group.path(), body, fieldValidation="Warn", dryRun="All")
    assert "unknown field" in warned.headers["Warning"]
    found = (await group.api.call("POST", group.path(), body, fieldValidation="Ignore")).expect(201)
    expected = {"action": "Allow", "replicas": 3, "choice": {"a": "x"}, "ports": [{"number": 1, "protocol": "TCP"}]}
    assert expected == found["spec"]


async def test_what_is_kept(group: definitions.Group) -> None:
    """Free-form fields, free names, empty lists and maps, nulls that may be, and numbers as they are."""
    await group.define()
    raw = {"a": {"b": [1, 2.5, None, {"c": []}]}, "d": {}}
    body = group.gate(raw=raw, labels={"x-y": "z"}, maybe=None, tags=[], target="http")
    spec = (await group.api.create(group.path(), body))["spec"]
    assert (raw, {"x-y": "z"}, None, [], "http") == tuple(
        spec[key] for key in ("raw", "labels", "maybe", "tags", "target")
    )
    assert 8080 == (await group.api.create(group.path(), group.gate("h", target=8080)))["spec"]["target"]


async def test_defaults(group: definitions.Group) -> None:
    """Of fields that are not said, and of nulls that may not be; at every read, also of what was stored before."""
    made = await group.define()
    found = await group.api.create(group.path(), group.gate(replicas=None, ports=[{"number": 1}]))
    assert (3, "TCP") == (found["spec"]["replicas"], found["spec"]["ports"][0]["protocol"])
    spec = copy.deepcopy(definitions.SPEC)
    spec["properties"]["color"] = {"type": "string", "default": "red"}
    versions = [definitions.version(spec=spec), definitions.version("v2", storage=False, spec=spec)]
    path = f"{definitions.PATH}/{made['metadata']['name']}"
    (await group.api.patch(path, {"spec": {"versions": versions}})).expect(200)
    await group.until_served("v2")
    assert "red" == (await group.api.get(f"{group.path()}/g")).expect(200)["spec"]["color"]
    assert "red" == (await group.api.get(group.path())).expect(200)["items"][0]["spec"]["color"]


IMPOSSIBLE: list[tuple[Value, str, str]] = [
    ({"action": None}, "spec.action", 'Invalid value: "null": spec.action in body must be of type string: "null"'),
    ({"action": 7}, "spec.action", 'Invalid value: "integer": spec.action in body must be of type string: "integer"'),
    ({"action": "Deny"}, "spec.action", 'Unsupported value: "Deny": supported values: "Allow", "Audit"'),
    ({"replicas": 0}, "spec.replicas", "spec.replicas in body should be greater than or equal to 1"),
    ({"replicas": 9}, "spec.replicas", "Invalid value: 9: spec.replicas in body should be less than or equal to 7"),
    ({"replicas": 1.5}, "spec.replicas", 'spec.replicas in body must be of type integer: "number"'),
    ({"replicas": True}, "spec.replicas", 'spec.replicas in body must be of type integer: "boolean"'),
    ({"name": "ABC"}, "spec.name", "Invalid value: \"ABC\": spec.name in body should match '^[a-z]+$'"),
    ({"name": "ab\n"}, "spec.name", "spec.name in body should match '^[a-z]+$'"),
    ({"name": "a"}, "spec.name", "spec.name in body should be at least 2 chars long"),
    ({"name": "abcdef"}, "spec.name", "Too long: may not be more than 5 bytes"),
    ({"ports": [{"protocol": "UDP"}]}, "spec.ports[0].number", "Required value"),
    ({"ports": [{"number": n} for n in range(4)]}, "spec.ports", "Too many: 4: must have at most 3 items"),
    ({"ports": [{"number": 1}, {"number": 1}]}, "spec.ports[1]", 'Duplicate value: {"number": 1}'),
    ({"tags": ["x", "y", "x"]}, "spec.tags[2]", 'Duplicate value: "x"'),
    ({"tags": [1]}, "spec.tags[0]", 'spec.tags[0] in body must be of type string: "integer"'),
    ({"labels": {"a": 1}}, "spec.labels.a", 'spec.labels.a in body must be of type string: "integer"'),
    ({"target": True}, "spec.target", 'spec.target in body must be of type integer,string: "boolean"'),
    ({"choice": {}}, "<nil>", '"spec.choice" must validate one and only one schema (oneOf). Found none valid'),
    ({"choice": {"a": "", "b": ""}}, "<nil>", "must validate one and only one schema (oneOf). Found 2 valid"),
]


@pytest.mark.parametrize(("spec", "field", "words"), IMPOSSIBLE)
async def test_what_is_impossible(group: definitions.Group, spec: Value, field: str, words: str) -> None:
    """422, which names the field and says what would be possible."""
    await group.define()
    body = group.gate()
    body["spec"] |= spec
    refused = (await group.api.call("POST", group.path(), body)).refused(422, "Invalid")
    assert refused["message"].startswith(f'Gate.{group.name} "g" is invalid: ')
    said = [cause["message"] for cause in refused["details"]["causes"] if cause["field"] == field]
    assert any(words in message.replace('{"number":1}', '{"number": 1}') for message in said), refused["details"]


async def test_everything_that_is_wrong_is_said(group: definitions.Group) -> None:
    """A cause for each field; what is required and missing too."""
    await group.define()
    body = {**group.gate(), "spec": {"replicas": 9, "name": "Z"}}
    refused = (await group.api.call("POST", group.path(), body)).refused(422, "Invalid")
    fields = {cause["field"] for cause in refused["details"]["causes"]}
    assert {"spec.action", "spec.replicas", "spec.name"} == fields


async def test_a_stricter_schema_locks_nothing(group: definitions.Group) -> None:
    """What was stored before may be changed elsewhere; what is changed must be possible."""
    made = await group.define()
    await group.api.create(group.path(), group.gate(tags=["old"]))
    spec = copy.deepcopy(definitions.SPEC)
    spec["properties"]["tags"]["items"]["enum"] = ["new"]
    versions = [definitions.version(spec=spec), definitions.version("v2", storage=False, spec=spec)]
    path = f"{definitions.PATH}/{made['metadata']['name']}"
    (await group.api.patch(path, {"spec": {"versions": versions}})).expect(200)
    await group.until_served("v2")
    (await group.api.patch(f"{group.path()}/g", {"spec": {"action": "Audit"}})).expect(200)
    refused = (await group.api.patch(f"{group.path()}/g", {"spec": {"tags": ["other"]}})).refused(422, "Invalid")
    assert 'spec.tags[0]: Unsupported value: "other"' in refused["message"]


RULES = [
    {"rule": "self.replicas <= 3 || self.action == 'Audit'", "message": "many replicas are for audits"},
    {"rule": "!has(self.name) || self.name != self.action", "messageExpression": "'not ' + self.name"},
    {"rule": "self.action == oldSelf.action", "message": "action is fixed", "reason": "FieldValueForbidden"},
]


async def test_rules(group: definitions.Group) -> None:
    """In CEL: over the object, and over a change of it; asked only if nothing else is wrong."""
    spec = copy.deepcopy(definitions.SPEC) | {"x-kubernetes-validations": RULES}
    spec["properties"]["name"] = {"type": "string"}
    await group.define(definitions.version(spec=spec))
    refused = (await group.api.call("POST", group.path(), group.gate(replicas=4))).refused(422, "Invalid")
    assert "many replicas are for audits" in refused["message"]
    assert "spec" == refused["details"]["causes"][0]["field"]
    body = group.gate()
    body["spec"]["name"] = "Allow"
    refused = (await group.api.call("POST", group.path(), body)).refused(422, "Invalid")
    assert "not Allow" in refused["message"]
    await group.api.create(group.path(), group.gate())
    refused = (await group.api.patch(f"{group.path()}/g", {"spec": {"action": "Audit"}})).refused(422, "Invalid")
    assert ("FieldValueForbidden", "Forbidden: action is fixed") == tuple(
        refused["details"]["causes"][0][key] for key in ("reason", "message")
    )
    (await group.api.patch(f"{group.path()}/g", {"spec": {"replicas": 2}})).expect(200)


async def test_an_embedded_object(group: definitions.Group) -> None:
    """It has kind and metadata, which its schema need not speak of."""
    spec = copy.deepcopy(definitions.SPEC)
    more = {"type": "object", "properties": {"size": {"type": "integer"}}}
    spec["properties"]["template"] = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "properties": {"spec": more},
    }
    await group.define(definitions.version(spec=spec))
    template = {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"size": 1, "lost": 2}, "x": 1}
    found = await group.api.create(group.path(), group.gate(template=template))
    assert {**template, "spec": {"size": 1}} == {**found["spec"]["template"], "x": 1}


MALFORMED = [
    b'{"spec": []}',
    b'{"spec": "x"}',
    b'{"spec": {"action": "Allow", "ports": [1]}}',
    b'{"spec": {"action": "Allow", "ports": {"number": 1}}}',
    b'{"spec": {"action": "Allow", "choice": 7}}',
    b'{"metadata": [], "spec": {}}',
    b'{"metadata": {"name": 7}}',
    b'{"metadata": {"name": "UPPER"}, "spec": {"action": "Allow"}}',
    b'{"spec": {"action": "Allow", "replicas": 1e400}}',
    b'{"spec": {"action": "Allow", "replicas": 99999999999999999999999999}}',
    b'{"spec": {"action": "Allow", "raw": ' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}}",
    b'{"kind": "Other", "spec": {}}',
    b'{"apiVersion": "other/v1"}',
    b"[]",
    b"",
]


@pytest.mark.parametrize("body", MALFORMED)
@pytest.mark.parametrize("media_type", [cluster.JSON, cluster.MERGE, cluster.APPLY])
async def test_what_is_no_object(group: definitions.Group, body: bytes, media_type: str) -> None:
    """A 4xx with a Status, by whatever path it comes, and the object that is there stays."""
    await group.define()
    made = await group.api.create(group.path(), group.gate())
    if media_type == cluster.JSON:
        answer = await group.api.call("POST", group.path(), body)
    else:
        answer = await group.api.patch(f"{group.path()}/g", body, media_type, fieldManager="contract")
    if answer.code == 200:  # a merge of what may be stated without the rest
        assert media_type == cluster.MERGE
        return
    assert 400 <= answer.code < 500, answer
    assert "Status" == answer.body["kind"]
    assert made == (await group.api.get(f"{group.path()}/g")).expect(200)


async def test_noise(group: definitions.Group) -> None:
    """Whatever JSON comes, the answer is an object or a refusal."""
    await group.define()
    noise = random.Random(7)

    def value(depth: int) -> Any:
        kinds = [None, True, -1, 2.5, "x", [], {}]
        if depth and noise.random() < 0.6:
            names = [*definitions.SPEC["properties"], "number", "a", "metadata"]
            if noise.random() < 0.7:
                return {noise.choice(names): value(depth - 1) for _ in range(3)}
            return [value(depth - 1) for _ in range(2)]
        return noise.choice(kinds)

    for number in range(97):
        body = {"metadata": {"name": f"n{number}"}, "spec": value(4), "status": value(2)}
        answer = await group.api.call("POST", group.path(), json.dumps(body).encode(), fieldValidation="Ignore")
        assert answer.code in {201, 400, 422}, (body, answer)
