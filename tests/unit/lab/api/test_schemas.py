"""Which schemas are structural, patterns as Go reads them, JSON paths, and rules in CEL.

The refusals that people meet are tested over HTTP, in ``tests/contract/kubernetes_api/test_crds``.
"""

from typing import Any

import pytest

from comparisons.lab.api import catalogue, formats, go_patterns, jsonpaths, schema_rules, schemas, shapes

Value = dict[str, Any]


def field(**said: Any) -> Value:
    return {"type": "object", "properties": {"f": said}}


STRUCTURAL = [
    {"x-kubernetes-int-or-string": True},
    {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
    {
        "x-kubernetes-int-or-string": True,
        "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"not": {"enum": [7]}}],
    },
    {"x-kubernetes-preserve-unknown-fields": True},
    {"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}, {"maxProperties": 0}]},
    {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "number"}}},
    {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
    {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set", "default": ["a"]},
]


@pytest.mark.parametrize("said", STRUCTURAL)
def test_what_is_structural(said: Value) -> None:
    """Also the exceptions that the real server makes."""
    assert [] == schemas.check(field(**said), "s")


NOT_STRUCTURAL = [
    ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "s.properties[f].type"),
    ({"type": "string", "not": {"nullable": True}}, "s.properties[f].not.nullable"),
    ({"type": "string", "allOf": [{"default": "x"}]}, "s.properties[f].allOf[0].default"),
    ({"type": "array", "items": {"properties": {}}}, "s.properties[f].items.type"),
    ({"type": "object", "x-kubernetes-list-type": "set"}, "s.properties[f].type"),
    ({"type": "string", "$ref": "#/x"}, "s.properties[f].$ref"),
    ({"x-kubernetes-embedded-resource": True}, "s.properties[f].type"),
    ({"type": "object", "default": {"lost": 1}}, "s.properties[f].default"),
]


@pytest.mark.parametrize(("said", "place"), NOT_STRUCTURAL)
def test_what_is_not_structural(said: Value, place: str) -> None:
    """The cause is at the place."""
    assert place in [cause.field for cause in schemas.check(field(**said), "s")]


PATTERNS = [
    (r"^a$", "a", True),
    (r"^a$", "a\n", False),
    (r"^[[:alpha:]_]+\z", "aB_", True),
    (r"^[^/]+$", "a/b", False),
    (r"\Qa.b\E", "aXb", False),
    (r"(?i)ABC", "xabcx", True),
    (r"^\d+$", "\u0661", False),
    (r"[]$]", "$", True),
]


@pytest.mark.parametrize(("pattern", "text", "found"), PATTERNS)
def test_patterns(pattern: str, text: str, found: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """As Go searches."""
    assert found is (go_patterns.compiled(pattern).search(text) is not None)


@pytest.mark.parametrize("pattern", ["(", "[", "(?=a)", r"(a)\1", "a{2,1}", "*"])
def test_what_is_no_pattern(pattern: str) -> None:
    """Refused, also where Python would take it."""
    with pytest.raises(go_patterns.BadPattern):
        go_patterns.compiled(pattern)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date-time", "2026-01-02T03:04:05Z", "2026-01-02"),
        ("ipv4", "10.0.0.1", "::1"),
        ("ipv6", "::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("uuid", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "f81d4fae"),
        ("byte", "dg==", "?"),
        ("email", "a@b", "a"),
        ("duration", "1h30m", "soon"),
        ("hostname", "a.b", "a_b"),
    ],
)
def test_formats(name: str, good: str, bad: str) -> None:
    """One of each kind."""
    assert (True, False) == (formats.admits(name, good), formats.admits(name, bad))
    assert formats.admits("nobody-knows", bad)


THING = {"a": {"b.c": 1}, "list": [{"type": "Ready", "status": "True", "n": 2}, {"type": "Other", "n": 3}]}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".list[0].status", ["True"]),
        (".list[-1].n", [3]),
        (".list[*].n", [2, 3]),
        ('.list[?(@.type=="Ready")].n', [2]),
        (".list[?(@.n==3)].type", ["Other"]),
        (".a['b.c']", [1]),
        (r".a.b\.c", [1]),
        (".nope.deep", []),
        ("{.a}", [{"b.c": 1}]),
    ],
)
def test_json_paths(path: str, found: list[Any]) -> None:
    """What people write in printer columns."""
    assert found == jsonpaths.parse(path).find(THING)


@pytest.mark.parametrize("path", ["", "a", ".a[", ".a[?(@.b)]", "..", ".[?"])
def test_what_is_no_path(path: str) -> None:
    """Refused with a word."""
    with pytest.raises(jsonpaths.BadPath):
        jsonpaths.parse(path)


def broken(rule: Value, value: Any, old: Any = None, **said: Any) -> list[str]:
    schema = {"type": "object", "properties": {"f": {**said, "x-kubernetes-validations": [rule]}}}
    before = () if old is None else ({"f": old},)
    return [f"{each.field}: {each.message}" for each in schema_rules.broken(schema, {"f": value}, *before)]


def test_rules() -> None:
    """The message, or the rule; the value, unless it is large; the place that the rule names."""
    assert [] == broken({"rule": "self > 1"}, 2)
    assert ["f: Invalid value: 1: failed rule: self > 1"] == broken({"rule": "self > 1"}, 1)
    assert ["f: Invalid value: too few"] == broken({"rule": "size(self) > 1", "message": "too few"}, [1])
    assert ["f.a: Invalid value: no"] == broken({"rule": "false", "message": "no", "fieldPath": ".a"}, {"a": 1})
    assert ["f: Invalid value: no such key: b evaluating rule: self.b"] == broken({"rule": "self.b"}, {"a": 1})
    assert ["f: Forbidden: no"] == broken({"rule": "false", "message": "no", "reason": "FieldValueForbidden"}, 1)


def test_rules_of_changes() -> None:
    """Asked where there is an old value; where there may be none, it is optional."""
    rule = {"rule": "self >= oldSelf", "message": "grows"}
    assert ([], [], ["f: Invalid value: 1: grows"]) == (broken(rule, 1), broken(rule, 2, 1), broken(rule, 1, 2))
    optional = {"rule": "oldSelf.hasValue() || self == 7", "optionalOldSelf": True, "message": "starts at 7"}
    assert ([], ["f: Invalid value: 8: starts at 7"], []) == (
        broken(optional, 7),
        broken(optional, 8),
        broken(optional, 9, 8),
    )


def test_rules_know_times_and_reserved_words() -> None:
    """A ``date-time`` is a timestamp; a field named as a word of CEL is escaped."""
    rule = {"rule": "self < timestamp('2030-01-01T00:00:00Z')", "message": "later"}
    assert [] == broken(rule, "2029-01-01T00:00:00Z", type="string", format="date-time")
    said = {"type": "object", "properties": {"namespace": {"type": "string"}, "x-y": {"type": "integer"}}}
    escaped = {"rule": "self.__namespace__ == 'a' && self.x__dash__y == 1"}
    assert [] == broken(escaped, {"namespace": "a", "x-y": 1}, **said)


def test_versions_have_an_order() -> None:
    """Stable first, newest first; then what is no version."""
    found = sorted(["v1alpha1", "v2", "v1beta2", "foo", "v1", "v1beta10", "v11"], key=catalogue.priority)
    assert ["v11", "v2", "v1", "v1beta10", "v1beta2", "v1alpha1", "foo"] == found


def test_a_schema_is_a_shape() -> None:
    """Lists by key, maps, free-form values and metadata are known as of any other kind."""
    keyed = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
        "items": {"type": "object", "properties": {"k": {"type": "string"}}},
    }
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    shape = shapes.of_schema({"type": "object", "properties": {"list": keyed, "free": free, "description": keyed}})
    found = shapes.fields(shape)
    assert ("k",) == found["list"].keys
    assert (
        "V1ObjectMeta"
        == shapes.fields(shapes.of_schema(field(type="string") | {"properties": {"metadata": {}}}))["metadata"].kind
    )
    assert "description" in found
    assert shapes.field(found["free"].kind, "anything") is not None
    assert shapes.field(shape, "anything") is None
