"""Field sets: FieldsV1 and back, membership, and what merging and pruning do to an object."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comparisons.lab.api import fieldsets, merging

Value = dict[str, Any]
ELEMENT = st.sampled_from(["f:a", "f:b", "f:c", 'k:{"name":"x"}'])
PATHS = st.sets(st.lists(ELEMENT, min_size=1, max_size=4).map(tuple), max_size=12)


@given(PATHS)
def test_there_and_back(paths: set[fieldsets.Path]) -> None:
    """FieldsV1 keeps exactly the members."""
    assert paths == set(fieldsets.paths_of(fieldsets.trie_of(paths)))


@given(PATHS, PATHS)
def test_add_and_remove(paths: set[fieldsets.Path], others: set[fieldsets.Path]) -> None:
    """They are those of sets, and leave no empty branches."""
    trie = fieldsets.trie_of(paths)
    for path in others:
        fieldsets.add(trie, path)
    assert paths | others == set(fieldsets.paths_of(trie))
    for path in others:
        fieldsets.remove(trie, path)
    assert fieldsets.trie_of(paths - others) == trie


@given(PATHS, st.lists(ELEMENT, min_size=1, max_size=4).map(tuple))
def test_membership(paths: set[fieldsets.Path], path: fieldsets.Path) -> None:
    """A prefix of a member is touched, but no member."""
    trie = fieldsets.trie_of(paths)
    assert (path in paths) is fieldsets.contains(trie, path)
    assert any(each[: len(path)] == path for each in paths) is fieldsets.touches(trie, path)


POD: Value = {
    "metadata": {"name": "p", "uid": "u", "labels": {"app": "web"}, "finalizers": ["example.com/x"]},
    "spec": {
        "nodeSelector": {"a": "b"},
        "containers": [{"name": "c", "image": "x", "command": ["a"], "ports": [{"containerPort": 80}]}],
    },
}


def test_what_a_pod_has() -> None:
    """Structs are walked, named items are members, atomic parts are one; identity belongs to nobody."""
    container = ("f:spec", "f:containers", 'k:{"name":"c"}')
    port = (*container, "f:ports", 'k:{"containerPort":80,"protocol":"TCP"}')
    assert set(fieldsets.leaves(POD, "V1Pod")) == {
        ("f:metadata", "f:labels", "f:app"),
        ("f:metadata", "f:finalizers", 'v:"example.com/x"'),
        ("f:spec", "f:nodeSelector"),
        container,
        (*container, "f:name"),
        (*container, "f:image"),
        (*container, "f:command"),
        port,
        (*port, "f:containerPort"),
    }


def test_words() -> None:
    """As a conflict names a field."""
    path = ("f:spec", "f:containers", 'k:{"name":"c"}', "f:image")
    assert fieldsets.words(path) == '.spec.containers[name="c"].image'


def test_merging_keeps_what_is_not_stated() -> None:
    """Of structs, maps and named items; atomic parts are replaced."""
    stated = {"spec": {"nodeSelector": {"c": "d"}, "containers": [{"name": "c", "image": "y"}, {"name": "d"}]}}
    found = merging.merged("V1Pod", POD, stated)
    assert found["metadata"] == POD["metadata"]
    assert found["spec"]["nodeSelector"] == {"c": "d"}
    assert [each["name"] for each in found["spec"]["containers"]] == ["c", "d"]
    assert found["spec"]["containers"][0] == {**POD["spec"]["containers"][0], "image": "y"}


def test_pruning_takes_leaves_and_items() -> None:
    """And the maps that are empty then."""
    container = ("f:spec", "f:containers", 'k:{"name":"c"}')
    paths = [("f:metadata", "f:labels", "f:app"), (*container, "f:command"), ("f:spec", "f:nodeSelector")]
    found = merging.pruned("V1Pod", POD, paths)
    assert "labels" not in found["metadata"]
    assert "nodeSelector" not in found["spec"]
    assert "command" not in found["spec"]["containers"][0]
    assert "containers" not in merging.pruned("V1Pod", POD, [container])["spec"]
