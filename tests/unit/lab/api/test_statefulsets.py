"""What a StatefulSet does next, as a value, for every state that its pods may be in.

Leaves out how it is done: ``tests/contract/kubernetes_api/test_statefulsets``.
"""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from comparisons.lab.controllers import statefulsets

Value = dict[str, Any]
STATES = ("absent", "ready", "starting", "leaving", "ended", "old")


def owner(policy: str, replicas: int, partition: int = 0) -> Value:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}
    spec = {"replicas": replicas, "podManagementPolicy": policy, "updateStrategy": strategy, "template": template}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": _meta("db"), "spec": spec}


def _meta(name: str) -> Value:
    return {"name": name, "namespace": "n", "uid": name}


def picture(made: Value, states: list[str]) -> statefulsets.Picture:
    held = {index: _pod(made, index, state) for index, state in enumerate(states) if state != "absent"}
    return statefulsets.Picture(owner=made, held=held, now_wall_ns=0)


def _pod(made: Value, index: int, state: str) -> Value:
    mark = "db-other" if state == "old" else statefulsets.revision(made)
    meta = _meta(f"db-{index}") | {"labels": {statefulsets.HASH: mark}}
    meta |= {"deletionTimestamp": "2026-01-02T03:04:05Z"} if state == "leaving" else {}
    ready = "True" if state in {"ready", "old", "leaving"} else "False"
    conditions = [{"type": "Ready", "status": ready}]
    return {
        "metadata": meta,
        "status": {"phase": "Failed" if state == "ended" else "Running", "conditions": conditions},
    }


def steps(policy: str, replicas: int, states: list[str], partition: int = 0) -> tuple[list[int], list[str]]:
    found = statefulsets.plan(picture(owner(policy, replicas, partition), states))
    return list(found.create), [pod["metadata"]["name"] for pod in found.delete]


def test_in_order() -> None:
    """One step at a time, and none while one is under way."""
    assert ([0], []) == steps("OrderedReady", 3, [])
    assert ([], []) == steps("OrderedReady", 3, ["starting"])
    assert ([1], []) == steps("OrderedReady", 3, ["ready"])
    assert ([], ["db-0"]) == steps("OrderedReady", 3, ["ended", "ready"])
    assert ([], ["db-2"]) == steps("OrderedReady", 1, ["ready"] * 3)
    assert ([], []) == steps("OrderedReady", 1, ["ready", "ready", "leaving"])
    assert ([], []) == steps("OrderedReady", 1, ["starting", "ready"])


def test_all_at_once() -> None:
    """Everything that is missing or too much."""
    assert ([0, 2], []) == steps("Parallel", 3, ["absent", "starting"])
    assert ([], ["db-3", "db-1"]) == steps("Parallel", 1, ["starting", "ready", "leaving", "ready"])


def test_updates_go_backwards() -> None:
    """The last old one goes if those behind it are back; none below the partition."""
    assert ([], ["db-2"]) == steps("OrderedReady", 3, ["old"] * 3)
    assert ([], []) == steps("Parallel", 3, ["old", "old", "starting"])
    assert ([], ["db-1"]) == steps("OrderedReady", 3, ["old", "old", "ready"])
    assert ([], []) == steps("OrderedReady", 3, ["old", "old", "ready"], partition=2)


@settings(deadline=None)
@given(
    st.sampled_from(["OrderedReady", "Parallel"]),
    st.integers(0, 5),
    st.lists(st.sampled_from(STATES), max_size=7),
)
def test_no_step_is_taken_twice(policy: str, replicas: int, states: list[str]) -> None:
    """What is there is not made, what leaves is not deleted; an ordered set does one thing at a time."""
    create, delete = steps(policy, replicas, states)
    there = {index for index, state in enumerate(states) if state != "absent"}
    assert not set(create) & there
    assert all(number < replicas for number in create)
    leaving = {f"db-{index}" for index, state in enumerate(states) if state == "leaving"}
    assert not set(delete) & leaving
    assert len(set(delete)) == len(delete)
    if policy == "OrderedReady":
        assert len(create) + len(delete) <= 1


@settings(deadline=None)
@given(st.sampled_from(["OrderedReady", "Parallel"]), st.integers(0, 5), st.lists(st.sampled_from(STATES), max_size=7))
def test_it_comes_to_an_end(policy: str, replicas: int, states: list[str]) -> None:
    """If made pods become ready and deleted ones go, the set is soon as it should be, and stays so."""
    made, now = owner(policy, replicas), list(states)
    for _ in range(40):
        now = ["absent" if each == "leaving" else "ready" if each == "starting" else each for each in now]
        found = statefulsets.plan(picture(made, now))
        for pod in found.delete:
            now[int(pod["metadata"]["name"].rpartition("-")[2])] = "leaving"
        for number in found.create:
            now += ["absent"] * (number + 1 - len(now))
            now[number] = "starting"
        if not found.create and not found.delete and not {"leaving", "starting"} & set(now):
            break
    assert ["ready"] * replicas == [each for each in now if each != "absent"]


def test_the_status_of_an_update() -> None:
    """The new revision becomes the current one when the last pod has it."""
    made = owner("OrderedReady", 2) | {"status": {"currentRevision": "db-other"}}
    half = statefulsets.status_of(picture(made, ["old", "ready"]))
    assert ("db-other", 1, 1, 2) == tuple(
        half[key] for key in ("currentRevision", "currentReplicas", "updatedReplicas", "readyReplicas")
    )
    done = statefulsets.status_of(picture(made, ["ready", "ready"]))
    assert done["updateRevision"] == done["currentRevision"]
