"""Strategic merge patch and merge patch: the rules of apimachinery, case by case, and what holds for any patch."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comparisons.lab.api import patching, strategic

Value = dict[str, Any]


def containers(*names: str) -> list[Value]:
    return [{"name": name, "image": "old"} for name in names]


CASES: dict[str, tuple[Value, Value, Value]] = {
    "items merge by name": (
        {"containers": containers("a", "b")},
        {"containers": [{"name": "b", "image": "new"}]},
        {"containers": [{"name": "a", "image": "old"}, {"name": "b", "image": "new"}]},
    ),
    "a new item goes to the end": (
        {"containers": containers("a")},
        {"containers": [{"name": "z"}]},
        {"containers": [{"name": "a", "image": "old"}, {"name": "z"}]},
    ),
    "an item is deleted": (
        {"containers": containers("a", "b")},
        {"containers": [{"name": "a", "$patch": "delete"}]},
        {"containers": containers("b")},
    ),
    "a list is replaced": (
        {"containers": containers("a", "b")},
        {"containers": [{"$patch": "replace"}, {"name": "c"}]},
        {"containers": [{"name": "c"}]},
    ),
    "an order is set": (
        {"containers": containers("a", "b", "c")},
        {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}]},
        {"containers": containers("c", "a", "b")},
    ),
    "null removes a field": ({"nodeName": "n", "hostname": "h"}, {"nodeName": None}, {"hostname": "h"}),
    "a list without keys is replaced": (
        {"tolerations": [{"key": "a"}]},
        {"tolerations": [{"key": "b"}]},
        {"tolerations": [{"key": "b"}]},
    ),
    "a map is merged": (
        {"nodeSelector": {"a": "1", "b": "1"}},
        {"nodeSelector": {"b": "2", "a": None}},
        {"nodeSelector": {"b": "2"}},
    ),
    "a map is replaced": (
        {"nodeSelector": {"a": "1"}},
        {"nodeSelector": {"$patch": "replace", "b": "2"}},
        {"nodeSelector": {"b": "2"}},
    ),
    "keys that are not retained go": (
        {"volumes": [{"name": "v", "emptyDir": {}}]},
        {"volumes": [{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/x"}}]},
        {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]},
    ),
}


@pytest.mark.parametrize(("original", "patch", "wanted"), CASES.values(), ids=CASES.keys())
def test_a_pod_spec(original: Value, patch: Value, wanted: Value) -> None:
    """Each rule, on a pod's spec; neither argument is changed."""
    before = copy.deepcopy((original, patch))
    assert wanted == strategic.merge("V1PodSpec", original, patch)
    assert before == (original, patch)


def test_finalizers_are_a_set() -> None:
    """They are added once, and deleted by their own directive."""
    found = strategic.merge("V1ObjectMeta", {"finalizers": ["a"]}, {"finalizers": ["a", "b"]})
    assert found == {"finalizers": ["a", "b"]}
    assert strategic.merge("V1ObjectMeta", found, {"$deleteFromPrimitiveList/finalizers": ["a"]}) == {
        "finalizers": ["b"]
    }


@pytest.mark.parametrize("patch", [{"containers": [{"image": "x"}]}, {"containers": ["x"]}, {"$patch": "nope"}])
def test_impossible_patches(patch: Value) -> None:
    """An item without its key, a directive that is not known."""
    with pytest.raises(strategic.BadPatch):
        strategic.merge("V1PodSpec", {"containers": containers("a")}, patch)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
OBJECT = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


def without_nulls(value: Any) -> Any:
    """Return what RFC 7396 can express."""
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in value.items() if each is not None}
    return value


@given(OBJECT, OBJECT)
def test_a_merge_patch_can_be_repeated(original: Value, patch: Value) -> None:
    """Twice is once; and a patch of the wanted state on nothing gives that state."""
    once = patching.merged(original, patch)
    assert patching.merged(once, patch) == once
    assert patching.merged({}, patch) == without_nulls(patch)


@given(OBJECT, OBJECT)
def test_without_keys_a_strategic_patch_is_a_merge_patch(original: Value, patch: Value) -> None:
    """For a type that is not known; lists are replaced, nulls within them go."""

    def listless(value: Value) -> Value:
        return {k: v for k, v in value.items() if not isinstance(v, list | dict) and not k.startswith("$")}

    assert strategic.merge("", listless(original), listless(patch)) == patching.merged(
        listless(original), listless(patch)
    )
