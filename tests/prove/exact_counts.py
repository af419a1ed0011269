"""Counts are equal to what the programs did, both ends: connections, failures by cause, bytes, datagrams.

23 connections over IPv4, IPv6 and IPv4-mapped sockets with send, sendfile and splice; 3 more that are reset; 7 refused,
5 timed out, 2 unreachable; 17 UDP datagrams each way. Two network namespaces and two cgroups stand for two pods; the
agent runs as a process beside them, without Kubernetes. What it wrote to its flow log is added up and compared with
what the programs report.
"""

import contextlib

from tests.prove import verdict
from tests.scene import agent, room
from tests.traffic import between, counted, tally, workload

SETTLED_S = 20.0
"""By then every byte must be there: the slowest drain is 15 s."""
LATE_S = 2.0
"""Watched for longer, so that a count that grows too far is seen."""


def prove() -> verdict.Verdict:
    """Make the workload under an agent and compare."""
    with room.pair("counts") as (caller, callee):
        flags = ("--cgroup-root", caller.cgroup.parent, "--max-interval-s", "1")
        with agent.running("prove-counts", *flags) as watched:
            steps = workload.orderly(callee) + workload.failing(callee) + workload.datagrams(callee)
            truths = between.talk(caller, callee, steps, (workload.PORT, workload.RESET_PORT))
            rooms = {"caller": (caller.cgroup_id, truths[0]), "callee": (callee.cgroup_id, truths[1])}
            with contextlib.suppress(TimeoutError):
                agent.wait_until(lambda: not differences(watched, rooms), SETTLED_S, "the counts are equal")
            with contextlib.suppress(TimeoutError):
                agent.wait_until(lambda: bool(differences(watched, rooms)), LATE_S, "a count has grown too far")
            return judge(differences(watched, rooms), truths)


def differences(watched: agent.Agent, rooms: dict[str, tuple[int, tally.Tallies]]) -> list[str]:
    """Say in words what the flow log counts otherwise than the programs do."""
    flows = watched.flows()
    found = []
    for side, (cgroup, truth) in rooms.items():
        mine = counted.tallies(flow for flow in flows if counted.local(flow).cgroup_id == cgroup)
        found += tally.differences(mine, truth, side)
    return found


def judge(found: list[str], truths: tuple[tally.Tallies, tally.Tallies]) -> verdict.Verdict:
    """Say it in figures."""
    caller, callee = (sum(truth.values(), tally.Tally()) for truth in truths)
    moved = sum(count.sent_bytes + count.received_bytes for count in (caller, callee))
    edges = sum(map(len, truths))
    failed = f"{caller.refused} refused, {caller.timed_out} timed out, {caller.reset + callee.reset} reset"
    return verdict.Verdict(
        holds=not found and moved > 0,
        figure=f"{edges - len(found)} of {edges} edges equal to the truth in every count; {moved} bytes",
        lines=(
            f"the programs say: {caller.opened} connections, {failed}, {caller.unreachable} unreachable",
            f"the programs say: {caller.sent_datagrams} datagrams there, {caller.received_datagrams} back",
            f"the programs say: caller sent {caller.sent_bytes} bytes, callee received {callee.received_bytes}",
            f"the programs say: callee sent {callee.sent_bytes} bytes, caller received {caller.received_bytes}",
            *found,
        ),
    )
