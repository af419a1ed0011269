"""Weights in a route: found, compared, changed, and never over what somebody else wrote."""

import copy
from typing import Any

import jsonpatch
import pytest

from injector.rollout import model, weights
from tests.fakes import rollouts
from tests.fakes.rollouts import NAME, UID, WANTED, route, status

Standing, Phase = model.Standing, model.Phase
KEY = f"{weights.MARK}{NAME}"


def find(item: Any) -> weights.Found:
    return weights.find(item, WANTED, NAME)


def standing(item: Any, now: model.Status = rollouts.STATUS) -> model.Standing:
    return weights.standing(find(item), now, UID)


def marked(step: int, weight: int, *found: int, uid: str = UID) -> Any:
    return route(*(found or (100 - weight, weight)), annotations={KEY: f"{uid}/{step}/{weight}"})


def test_whether_the_canary_has_all() -> None:
    found = [(0, 100), (0, 1), (1, 100), (0, 0)]
    assert [True, True, False, False] == [weights.taken(find(route(*each))) for each in found]
    assert not weights.taken(weights.Found())


def test_only_rules_with_both_are_moved() -> None:
    """Where no weight is written it is 1."""
    assert [(1, (1, 1))] == [(each.rule, each.weights) for each in find(route(None, None)).pairs]


@pytest.mark.parametrize("annotations", [None, {}, {"other/one": "1"}])
def test_a_patch_makes_it_so_and_says_so(annotations: Any) -> None:
    """And touches nothing else."""
    item = route(None, 7, annotations=annotations)
    now = status(step=4, weight=20)
    operations = weights.patch(item, find(item), now, name=NAME, uid=UID)
    made = jsonpatch.apply_patch(copy.deepcopy(item), operations)
    assert marked(4, 20)["spec"] == made["spec"]
    assert {**(annotations or {}), KEY: f"{UID}/4/20"} == made["metadata"]["annotations"]
    assert Standing.APPLIED is standing(made, now)


def test_a_patch_is_for_what_was_read() -> None:
    item = route(90, 10)
    operations = weights.patch(item, find(item), rollouts.STATUS, name=NAME, uid=UID)
    for key in ("resourceVersion", "uid"):
        changed = copy.deepcopy(item)
        changed["metadata"][key] = "another"
        with pytest.raises(jsonpatch.JsonPatchTestFailed):
            jsonpatch.apply_patch(changed, operations)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (marked(2, 10), Standing.APPLIED),
        (marked(1, 0), Standing.BEHIND),
        (marked(2, 10, 50, 50), Standing.FOREIGN),
        (marked(1, 0, 50, 50), Standing.OVERTAKEN),
        (marked(3, 20), Standing.APPLIED),
        (route(90, 10), Standing.OVERTAKEN),
        (marked(2, 10, uid="another"), Standing.OVERTAKEN),
        (route(90, 10, annotations={KEY: "nonsense"}), Standing.OVERTAKEN),
        (None, Standing.ABSENT),
    ],
)
def test_how_a_route_stands(item: Any, expected: model.Standing) -> None:
    """What a later step wrote is not undone by who is late; without our mark the weights are somebody else's."""
    assert expected is standing(item)


@pytest.mark.parametrize(
    ("item", "now", "expected"),
    [
        (marked(2, 10, 1, 1), status(), Standing.RESET),
        (marked(1, 0, 1, 1), status(), Standing.RESET),
        (route(None, None), status(phase=Phase.SUCCEEDED, weight=100), Standing.RESET),
        (marked(3, 20, 1, 1), status(), Standing.FOREIGN),
    ],
)
def test_weights_that_nobody_wrote_are_ours(item: Any, now: model.Status, expected: model.Standing) -> None:
    """A route that is applied without any has 1 and 1. Who is late does not write them."""
    assert expected is standing(item, now)


@pytest.mark.parametrize("item", [route(50, 50), marked(1, 0, 50, 50)])
def test_an_order_to_abort_takes_what_there_is(item: Any) -> None:
    aborted = status(phase=Phase.FAILED, weight=0, aborted=True)
    assert Standing.BEHIND is standing(item, aborted)
    assert Standing.FOREIGN is standing(marked(2, 0, 50, 50), aborted)


@pytest.mark.parametrize("item", [route(1, 1), marked(1, 0, 50, 50), marked(9, 10, uid="another")])
def test_a_beginning_takes_what_there_is(item: Any) -> None:
    assert Standing.BEHIND is standing(item, status(phase=Phase.INITIALIZING, weight=0))


def test_once_begun_others_are_heard() -> None:
    assert Standing.FOREIGN is standing(marked(2, 0, 50, 50), status(phase=Phase.INITIALIZING, weight=0))


@pytest.mark.parametrize(
    "change",
    [
        lambda refs: refs.append({"name": "third", "port": 8080}),
        lambda refs: refs.pop(),
        lambda refs: refs[1].update(namespace="elsewhere"),
        lambda refs: refs[1].update(kind="Import", group="example.org"),
        lambda refs: refs.append({"name": "web-v2", "port": 9090}),
        lambda refs: refs.__setitem__(0, "nonsense"),
    ],
)
def test_what_is_no_pair_is_not_moved(change: Any) -> None:
    item = route(90, 10)
    change(item["spec"]["rules"][1]["backendRefs"])
    found = find(item)
    assert "web" in found.problem
    assert () == found.pairs


@pytest.mark.parametrize("spec", [None, {}, {"rules": None}, {"rules": [None]}, {"rules": [{"backendRefs": 5}]}])
def test_odd_routes_are_no_error(spec: Any) -> None:
    assert find({"metadata": {"namespace": "shop"}, "spec": spec}).problem
