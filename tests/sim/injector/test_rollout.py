"""Random lives of a rollout, before objects as the API server keeps them, with processes that die and come back late.

A process is nothing but the order of ``keeper``: read the Canary, read the route, decide, write the status, write the
route; it may end after each of these, and another begins. A late one goes on from what it read before others wrote. The
version is good or bad; checks of a bad one fail, of a good one mostly not. Meanwhile a person writes weights, pauses,
aborts, and deploys another version, and a tool applies the route without weights. What must hold:

    a bad version is never promoted
    no weight is beyond the most but that of a promotion, which has passed a check at every step
    what a person wrote into the route stays until another rollout begins, or somebody aborts
    left alone, it comes to an end, and the route then says what the status does

Left out: requests, clocks, measurements.
"""

import copy
import random
from typing import Any

import jsonpatch
from hypothesis import given, settings
from hypothesis import strategies as st

from injector.rollout import model, reading, status, steps, weights
from tests import examples
from tests.fakes import rollouts

Phase = model.Phase
FOREIGN = (13, 7)


class World:
    """The objects, and the truth."""

    def __init__(self, *, good: bool) -> None:
        self.canary = rollouts.canary()
        self.route = rollouts.route(None, None)
        self.versions = {"v0": good}
        self.foreign = False
        self.wrote = 0
        """Step of the last weights."""
        self.passed_at: set[int] = set()
        """Weights at which this rollout has passed a check."""

    @property
    def version(self) -> str:
        return f"v{len(self.versions) - 1}"

    @property
    def weights(self) -> tuple[int, int]:
        stable, canary = self.route["spec"]["rules"][1]["backendRefs"]
        return stable.get("weight", 1), canary.get("weight", 1)

    @property
    def status(self) -> model.Status | None:
        return reading.canary(copy.deepcopy(self.canary)).before

    def patch(self, item: Any, operations: list[Any]) -> Any:
        """Apply as the API server does: all of it, or nothing if it was made for another version."""
        try:
            made = jsonpatch.apply_patch(item, operations)
        except jsonpatch.JsonPatchTestFailed:
            return item
        made["metadata"]["resourceVersion"] = str(int(item["metadata"]["resourceVersion"]) + 1)
        return made

    def write_status(self, operations: list[Any]) -> bool:
        before, known = self.canary, self.status
        self.canary = self.patch(self.canary, operations)
        now = self.status
        if known is not None:  # nobody undoes what another one has decided or counted since
            assert now is not None
            assert (known.step, known.iterations) <= (now.step, now.iterations) or known.step < now.step
            assert now.step <= known.step + 1
        return before is not self.canary

    def write_route(self, operations: list[Any], decided: model.Status) -> None:
        before, self.route = self.route, self.patch(self.route, operations)
        if before is self.route:
            return
        assert decided.phase is Phase.INITIALIZING or decided.aborted or not self.foreign
        assert decided.step >= self.wrote
        self.foreign, self.wrote = False, decided.step

    def edit(self) -> None:
        """Write weights by hand."""
        for ref, weight in zip(self.route["spec"]["rules"][1]["backendRefs"], FOREIGN, strict=True):
            ref["weight"] = weight
        self.route["metadata"]["resourceVersion"] = str(int(self.route["metadata"]["resourceVersion"]) + 1)
        self.foreign = True

    def reset(self) -> None:
        """Apply the route without weights."""
        for ref in self.route["spec"]["rules"][1]["backendRefs"]:
            ref.pop("weight", None)
        self.route["metadata"]["resourceVersion"] = str(int(self.route["metadata"]["resourceVersion"]) + 1)
        self.foreign = False

    def order(self, order: model.Order) -> None:
        self.canary["metadata"]["annotations"] = {model.ORDER: order.value}
        self.canary["metadata"]["resourceVersion"] = str(int(self.canary["metadata"]["resourceVersion"]) + 1)

    def check(self) -> None:
        """Say what must hold at every moment."""
        now = self.status
        if now is None:
            return
        most = rollouts.WANTED.weights[-1]
        promoted = now.phase in {Phase.PROMOTING, Phase.SUCCEEDED}
        assert promoted or now.weight <= most or now.why is model.Why.WEIGHTS_CHANGED
        if promoted:
            assert all(self.versions[each] for each in now.revisions)
            assert most in self.passed_at
        if self.foreign:
            assert FOREIGN == self.weights
        elif self.weights not in {(1, 1), (0, 100)}:
            assert 100 - most <= self.weights[0] == 100 - self.weights[1]


class Process:
    """One process, as far as it has come."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.window: tuple[str, int, int] | None = None
        self.at = 0

    def read_canary(self) -> None:
        self.found = reading.canary(copy.deepcopy(self.world.canary))

    def read_route(self) -> None:
        self.route = copy.deepcopy(self.world.route)
        self.weights = weights.find(self.route, rollouts.WANTED, rollouts.NAME)
        self.version = self.world.version

    def decide(self, *, lucky: bool) -> None:
        before = self.found.before
        standing = model.Standing.BEHIND
        check = None
        if before is not None:
            standing = weights.standing(self.weights, before, rollouts.UID)
            key = (before.rollout, before.step, before.iterations)
            if before.phase is Phase.PROGRESSING and standing is model.Standing.APPLIED and self.window == key:
                check = rollouts.PASSED if self.world.versions[self.version] and lucky else rollouts.FAILED
            self.window = key
        self.seen = rollouts.seen(
            rollout=self.found.rollout,
            order=self.found.order,
            revisions=frozenset({self.version}),
            standing=standing,
            check=check,
        )
        assert self.found.spec is not None
        self.decided = steps.step(self.found.spec, before, self.seen, now_s=1000.0).status
        self.passed = check is not None and check.passed

    def write_status(self) -> bool:
        body = status.wanted(self.found, self.decided, "", now_s=1000.0)
        if body == self.found.status:
            return True
        if not self.world.write_status(status.patch(self.found, body)):
            return False
        if self.decided.phase is Phase.INITIALIZING:
            self.world.passed_at.clear()
        if self.passed and self.found.before is not None:
            self.world.passed_at.add(self.found.before.weight)
        return True

    def write_route(self) -> None:
        standing = weights.standing(self.weights, self.decided, rollouts.UID)
        if steps.writes(self.decided, standing, self.seen):
            operations = weights.patch(self.route, self.weights, self.decided, name=rollouts.NAME, uid=rollouts.UID)
            self.world.write_route(operations, self.decided)

    def go(self, *, lucky: bool) -> None:
        """Do the next thing."""
        self.at += 1
        match self.at:
            case 1:
                self.read_canary()
            case 2:
                self.read_route()
            case 3:
                self.decide(lucky=lucky)
            case 4:
                self.at = 4 if self.write_status() else 0
            case _:
                self.write_route()
                self.at = 0

    def look(self, *, lucky: bool) -> None:
        """Do everything from the beginning."""
        self.at = 0
        for _ in range(5):
            self.go(lucky=lucky)


def happen(chance: random.Random, world: World, processes: list[Process]) -> str:
    """Let one thing happen; gives what it was.

    The first process does mostly whole looks, the second one a step now and then, so that it is late.
    """
    what = chance.choices(
        ["look", "step", "late", "dies", "edit", "reset", "pause", "resume", "abort", "good", "bad"],
        [16, 12, 12, 2, 1, 1, 1, 1, 0.5, 1, 1],
    )[0]
    match what:
        case "look":
            processes[0].look(lucky=chance.random() < 0.9)
        case "step" | "late":
            processes[what == "late"].go(lucky=chance.random() < 0.9)
        case "dies":
            processes[chance.randrange(2)] = Process(world)
        case "edit":
            world.edit()
        case "reset":
            world.reset()
        case "pause" | "resume" | "abort":
            world.order(model.Order(what))
        case _:
            world.versions[f"v{len(world.versions)}"] = what == "good"
    return what


def life(seed: int, length: int) -> tuple[World, list[str]]:
    """Live one; what must hold at every moment is looked at after each thing."""
    chance = random.Random(seed)
    world = World(good=chance.random() < 0.5)
    processes = [Process(world), Process(world)]
    happened = []
    for _ in range(chance.randrange(length)):
        happened.append(happen(chance, world, processes))
        world.check()
    return world, happened


@given(st.integers(0, 2**32))
@settings(max_examples=examples.of(40), deadline=None)
def test_nobody_is_sent_to_a_bad_version_for_good(seed: int) -> None:
    life(seed, 100)


@given(st.integers(0, 2**32))
@settings(max_examples=examples.of(20), deadline=None)
def test_left_alone_it_comes_to_an_end(seed: int) -> None:
    """Whatever happened before: a process that begins anew at any point brings it there."""
    world, happened = life(seed, 40)
    if world.canary["metadata"]["annotations"].get(model.ORDER) == "pause":
        world.order(model.Order.RESUME)
    last = Process(world)
    for _ in range(20):
        last.look(lucky=True)
        world.check()
    now = world.status
    assert now is not None
    assert now.phase in {Phase.SUCCEEDED, Phase.FAILED}
    if not world.foreign and now.why is not model.Why.WEIGHTS_CHANGED:
        assert (100 - now.weight, now.weight) == world.weights
        if "abort" not in happened and now.phase is Phase.FAILED:
            assert 3 == now.failed_checks
