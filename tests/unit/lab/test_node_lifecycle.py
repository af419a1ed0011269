"""What a pod's containers do next, on every history that a random world comes up with. Leaves out doing it."""

import dataclasses
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from comparisons.lab import lifecycle

PLAIN: dict[str, Any] = {
    "spec": {
        "initContainers": [{"name": "i1"}, {"name": "side", "restartPolicy": "Always"}, {"name": "i2"}],
        "containers": [{"name": "a"}, {"name": "b"}],
    }
}


class World:
    """Does what is decided, and lets time pass."""

    def __init__(self, policy: str, pod: dict[str, Any] = PLAIN) -> None:
        self.policy = policy
        self.containers = {it.name: it for it in lifecycle.containers(pod)}
        self.now_s = 100.0
        self.started: list[str] = []

    def step(self) -> lifecycle.Decision:
        """Decide, start what is to start."""
        decision = lifecycle.decide(self.policy, tuple(self.containers.values()), self.now_s)
        for name in decision.start:
            self.started.append(name)
            before = self.containers[name]
            again = isinstance(before.state, lifecycle.Terminated)
            running = lifecycle.Running(id=f"{name}-{self.now_s}", started_wall_ns=0, started_s=self.now_s)
            last = before.state if isinstance(before.state, lifecycle.Terminated) else before.last
            self.set(name, state=running, last=last, restarts=before.restarts + again, started=True)
        return decision

    def set(self, name: str, **changes: Any) -> None:
        """Change what is known of a container."""
        self.containers[name] = dataclasses.replace(self.containers[name], **changes)

    def end(self, name: str, code: int, ran_s: float = 1.0) -> None:
        """Let a container end."""
        self.now_s += ran_s
        backoff_s = lifecycle.next_backoff_s(self.containers[name], ran_s)
        end = lifecycle.Terminated(
            exit_code=code, reason="", started_wall_ns=0, finished_wall_ns=0, finished_s=self.now_s, ran_s=ran_s
        )
        self.set(name, state=end, backoff_s=backoff_s, started=False)

    @property
    def running(self) -> list[str]:
        """Who runs."""
        return [it.name for it in self.containers.values() if isinstance(it.state, lifecycle.Running)]


def test_init_containers_come_one_by_one_then_all_others() -> None:
    """A sidecar lets the next one start once it has started, an init container once it has succeeded."""
    world = World("Always")
    assert world.step().start == ("i1",)
    assert world.step().start == ()
    world.end("i1", 0)
    assert world.step().start == ("side",)
    world.set("side", started=False)
    assert world.step().start == ()
    world.set("side", started=True)
    assert world.step().start == ("i2",)
    world.end("i2", 0)
    assert world.step().start == ("a", "b")
    assert world.started == ["i1", "side", "i2", "a", "b"]


@pytest.mark.parametrize(("policy", "over"), [("Never", "Failed"), ("OnFailure", ""), ("Always", "")])
def test_failed_init_container(policy: str, over: str) -> None:
    """It ends the pod only where nothing is ever restarted."""
    world = World(policy)
    world.step()
    world.end("i1", 7)
    decision = world.step()
    assert over == decision.over
    assert decision.start == (() if over else ("i1",))


@pytest.mark.parametrize(
    ("policy", "codes", "over"),
    [
        ("Never", (0, 0), "Succeeded"),
        ("Never", (0, 3), "Failed"),
        ("OnFailure", (0, 0), "Succeeded"),
        ("OnFailure", (0, 3), ""),
        ("Always", (0, 0), ""),
    ],
)
def test_end_of_the_main_containers(policy: str, codes: tuple[int, int], over: str) -> None:
    """The pod is over when none will run again; sidecars are ended first."""
    world = World(policy)
    for name in ("i1", "side", "i2"):
        world.step()
        if name != "side":
            world.end(name, 0)
    world.step()
    world.end("a", codes[0])
    world.end("b", codes[1])
    decision = world.step()
    if not over:
        assert decision.stop == ()
        assert decision.start != ()
        return
    assert decision.stop == ("side",)
    world.end("side", 143)
    assert over == world.step().over


def test_back_off_doubles_and_is_forgotten() -> None:
    """At once, 10 s, 20 s, ... 300 s; and at once again after a long run (kubelet)."""
    world = World("Always", {"spec": {"containers": [{"name": "a"}]}})
    waits = []
    for _ in range(8):
        world.step()
        world.end("a", 1)
        waits.append(world.containers["a"].backoff_s)
        decision = world.step()
        if decision.wake_s is not None:
            assert decision.start == ()
            world.now_s = decision.wake_s
            world.step()
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]
    world.end("a", 1, ran_s=601)
    assert world.containers["a"].backoff_s == 0


def test_sidecar_is_restarted_whatever_the_pods_policy() -> None:
    """Also in a pod that never restarts anything, and without holding up the others."""
    world = World("Never")
    for name in ("i1", "side", "i2"):
        world.step()
        if name != "side":
            world.end(name, 0)
    world.step()
    world.end("side", 1)
    assert world.step().start == ("side",)


@hypothesis.given(policy=strategies.sampled_from(["Always", "OnFailure", "Never"]), choices=strategies.data())
def test_any_history(policy: str, choices: strategies.DataObject) -> None:
    """Whatever ends however: order holds, nothing runs twice, a pod that is over has nobody running and stays over."""
    world = World(policy)
    for _ in range(30):
        decision = world.step()
        if decision.over:
            assert world.running == []
            assert decision == world.step()
            assert policy != "Always" or decision.over == ""
            return
        for name in decision.stop:
            world.end(name, 143)
        if world.running and not decision.stop:
            name = choices.draw(strategies.sampled_from(world.running))
            world.end(name, choices.draw(strategies.sampled_from([0, 0, 1])))
        elif decision.wake_s is not None:
            assert decision.wake_s > world.now_s
            world.now_s = decision.wake_s
    first = {name: world.started.index(name) for name in reversed(world.started)}
    assert sorted(first, key=lambda name: first[name]) == [it for it in world.containers if it in first]
