"""Pruning, defaults and validation by a schema, on generated objects. The contract tests have the wording."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comparisons.lab.api import conforming, schema_validation

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "default": "x", "enum": ["x", "y"]},
        "n": {"type": "integer", "minimum": -3, "maximum": 11},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}},
        "list": {
            "type": "array",
            "maxItems": 3,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            "items": {
                "type": "object",
                "required": ["k"],
                "properties": {"k": {"type": "string"}, "d": {"type": "integer", "default": 7}},
            },
        },
        "either": {"x-kubernetes-int-or-string": True},
        "null": {"type": "string", "nullable": True, "default": "z"},
    },
}
NAMES = st.sampled_from([*SCHEMA["properties"], "k", "d", "other"])
SCALARS = (
    st.none() | st.booleans() | st.integers(-20, 20) | st.floats(allow_nan=False) | st.sampled_from(["x", "y", ""])
)
VALUES = st.recursive(SCALARS, lambda below: st.lists(below, max_size=4) | st.dictionaries(NAMES, below, max_size=4))
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=5)


@settings(deadline=None)
@given(OBJECTS)
def test_what_conforms_conforms_again(value: dict[str, Any]) -> None:
    """Pruning and defaults change nothing the second time, and never what they are given."""
    before = copy.deepcopy(value)
    unknown: list[str] = []
    once = conforming.pruned(SCHEMA, value, unknown)
    assert before == value
    once = copy.deepcopy(once)
    conforming.fill(SCHEMA, once)
    again_unknown: list[str] = []
    twice = copy.deepcopy(conforming.pruned(SCHEMA, once, again_unknown))
    conforming.fill(SCHEMA, twice)
    assert ([], once) == (again_unknown, twice)
    assert bool(unknown) == (conforming.pruned(SCHEMA, value, []) != value)


@settings(deadline=None)
@given(OBJECTS)
def test_whatever_it_is_it_is_judged(value: dict[str, Any]) -> None:
    """No value makes the judge fail; an unchanged one is never wrong, duplicates aside."""
    kept = copy.deepcopy(conforming.pruned(SCHEMA, value, []))
    conforming.fill(SCHEMA, kept)
    causes = schema_validation.check(SCHEMA, kept)
    assert all(cause.field and cause.message for cause in causes)
    left = schema_validation.check(SCHEMA, kept, copy.deepcopy(kept))
    assert {"FieldValueDuplicate"} >= {cause.reason for cause in left}


@settings(deadline=None)
@given(OBJECTS, OBJECTS)
def test_a_change_is_judged_no_harder_than_the_whole(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Ratcheting takes causes away, and adds none."""
    whole = schema_validation.check(SCHEMA, new)
    assert all(cause in whole for cause in schema_validation.check(SCHEMA, new, old))


def test_true_is_not_one() -> None:
    """Python's equality must not let a changed type pass."""
    assert [] != schema_validation.check(SCHEMA, {"n": True}, {"n": 1})
    assert [] == schema_validation.check(SCHEMA, {"n": 1}, {"n": True})


@pytest.mark.parametrize("value", [b"x", {1, 2}, object(), float("inf"), 10**400])
def test_what_is_no_json(value: Any) -> None:
    """YAML can say more than JSON: refused with a word."""
    with pytest.raises(conforming.NoJson):
        conforming.plain({"a": value})


def test_keys_and_numbers_become_gos() -> None:
    """Keys are text; what no int64 holds is a float64."""
    assert {"7": 2**63 - 1, "true": float(2**63)} == conforming.plain({7: 2**63 - 1, True: 2**63})


def test_nesting_without_end() -> None:
    """Refused, before anything else recurses into it."""
    value: Any = 1
    for _ in range(conforming.MAX_DEPTH + 2):
        value = [value]
    with pytest.raises(conforming.NoJson):
        conforming.plain(value)
