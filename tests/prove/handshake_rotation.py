"""The handshake key is replaced in three steps under load, and no connection loses its evidence.

Connections come all the time, before, between and after the steps; each must be known by its handshake at both ends,
and no agent may have seen an option that it did not believe. Steps follow one another after 2 s instead of 60: an
agent hears of one within milliseconds.
"""

import datetime as dt
import json
import time
from collections.abc import Mapping, Sequence
from typing import Final

from agent import flowjson
from tests.prove import _handshake, verdict
from tests.scene import agent, lab, metrics

EACH: Final = 797
PAUSE_S: Final = 0.05
SETTLE_S: Final = 2.0
CALLS_S: Final = 240.0
STEPS: Final = ("announce", "switch", "drop")
DROPPED: Final = "ipseity_agent_drops_total"
DOUBTS: Final = ("handshake_forged", "handshake_unproven", "handshake_raw")


def prove() -> verdict.Verdict:
    """Rotate while callers call."""
    chosen = [way for way in _handshake.ways() if not way.newborns]
    with _handshake.scene("rotate") as scene:
        before = current(scene.lab)
        scene.call(chosen, count=EACH, pause_s=PAUSE_S)
        agent.wait_until(lambda: scene.running(chosen), CALLS_S, "every caller calls")
        agent.wait_until(lambda: any(scene.records(chosen)["node-a"].values()), CALLS_S, "a connection is known")
        steps = [take(scene.lab, step) for step in STEPS]
        scene.called(chosen, CALLS_S)
        found = scene.told(chosen, EACH)
        doubts = {node: doubted(watched) for node, watched in scene.agents.items()}
        return judge(chosen, found, steps, doubts, keys=(before, current(scene.lab)))


def judge(
    chosen: Sequence[_handshake.Way],
    found: Mapping[str, Mapping[int, list[flowjson.Flow]]],
    steps: Sequence[float],
    doubts: Mapping[str, Mapping[str, int]],
    *,
    keys: tuple[str, str],
) -> verdict.Verdict:
    """Count what has its evidence, in each phase."""
    phases = {name: [0, 0] for name in ("before", *(f"after {step}" for step in STEPS))}
    for way in chosen:
        for node, at_caller in (("node-a", True), ("node-b", False)):
            for flow in found[node][way.port]:
                passed = sum(begun_s(flow) >= step_s for step_s in steps)
                phase = phases[list(phases)[passed]]
                phase[0] += _handshake.is_right(flow, way, at_caller=at_caller)
                phase[1] += 1
    right, ends = (sum(phase[at] for phase in phases.values()) for at in (0, 1))
    wanted = 2 * EACH * len(chosen)
    doubted_of = sum(count for of in doubts.values() for count in of.values())
    return verdict.Verdict(
        holds=right == ends == wanted and doubted_of == 0 and keys[0] != keys[1] and all(p[1] for p in phases.values()),
        figure=f"{right} of {wanted} ends of {wanted // 2} connections known by handshake, {doubted_of} doubted",
        lines=(
            f"key {keys[0]} became {keys[1]}",
            *(f"{name:14} {good} of {all_of} ends" for name, (good, all_of) in phases.items()),
            f"options that were not believed: {json.dumps(doubts)}",
        ),
    )


def take(where: lab.Lab, step: str) -> float:
    """Take one step as soon as its time has come; returns when that was, Unix time."""

    def taken() -> bool:
        try:
            said = _handshake.handshake(where, "rotate", "--apply", "--settle", str(SETTLE_S))
        except RuntimeError:  # not yet
            return False
        return f"done: {step}" in said

    agent.wait_until(taken, CALLS_S, f"the step {step} is taken")
    return time.time()  # noqa: TID251  # records have wall time


def current(where: lab.Lab) -> str:
    """Give the fingerprint of the key that signs."""
    return _handshake.handshake(where, "status").split()[1]


def begun_s(flow: flowjson.Flow) -> float:
    """When a connection was opened, Unix time."""
    return dt.datetime.fromisoformat(flow.start_time).timestamp()


def doubted(watched: agent.Agent) -> dict[str, int]:
    """Count the options that an agent's kernel saw and did not believe."""
    found = metrics.sums(watched, "stage").get(DROPPED, {})
    return {name: int(found[(name,)]) for name in DOUBTS}
