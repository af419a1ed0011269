"""The agent is killed under load and nothing is missing afterwards; the API server is away for 60 s and names go on.

Connections are opened and closed all the time, and three stay open across the whole of it. The agent dies twice, once
in the middle of its work and once right after its start; each time the kernel goes on counting, and the next agent goes
on from the checkpoint. At the end the sums of /metrics must be equal to what the programs say, for both directions.
The API server is stopped in ``_outage``.
"""

import contextlib
import pathlib
import subprocess
import tempfile
from collections.abc import Iterator

from tests.prove import _outage, verdict
from tests.scene import agent, clone, metrics, room
from tests.traffic import between, plan, tally, workload

INSTANCE = "prove-restart"
SETTLED_S = 20.0
LIVES_S = (2.3, 0.3)
"""How long the agents live before they are killed. Arbitrary: in the middle of it, and before the first checkpoint."""
GAP_S = 0.7
"""How long nobody is there."""
NAMES = {
    "opened": "ipseity_flow_connections_opened_total",
    "closed": "ipseity_flow_connections_closed_total",
    "sent_bytes": "ipseity_flow_sent_bytes_total",
    "received_bytes": "ipseity_flow_received_bytes_total",
}
Sums = dict[str, dict[str, int]]
"""By direction, then by what was counted."""


def prove() -> verdict.Verdict:
    """Kill agents, then stop the API server."""
    kept, outage = kill_and_restart(), _outage.measure()
    return verdict.Verdict(
        holds=kept.holds and outage.holds,
        figure=f"{kept.figure}; a new pod named {outage.newcomer_s:.1f} s after the API server's return",
        lines=(*kept.lines, *outage.lines()),
    )


def kill_and_restart() -> verdict.Verdict:
    """Kill, restart, compare."""
    with room.pair("restart") as (caller, callee), home() as folder:
        flags = ("--cgroup-root", caller.cgroup.parent, "--max-interval-s", "1")
        watched = started(folder, *flags)
        try:
            with between.talking(caller, callee, load(callee), [workload.PORT]) as under_way:
                for life_s in LIVES_S:
                    rest(under_way.client, life_s)
                    watched.process.kill()
                    watched.process.wait()
                    rest(under_way.client, GAP_S)
                    loaded = under_way.client.poll() is None
                    watched = started(folder, *flags)
                truth = sums(under_way.finish())
            with contextlib.suppress(TimeoutError):
                agent.wait_until(lambda: counted(watched) == truth, SETTLED_S, "the counts are equal")
            return judge(counted(watched), truth, loaded=loaded)
        finally:
            agent.stop(watched.process)


def load(callee: room.Room) -> list[plan.Step]:
    """Return 1,009 connections in some six seconds, and three that stay open all the time."""
    exchange = plan.Exchange
    return [
        exchange(
            address=callee.address4, port=workload.PORT, count=503, request_bytes=1013, reply_bytes=2003, pause_s=0.01
        ),
        exchange(
            address=callee.address6, port=workload.PORT, count=503, request_bytes=1019, reply_bytes=4001, pause_s=0.01
        ),
        *(
            exchange(address=callee.address4, port=workload.PORT, request_bytes=size, reply_bytes=size, held_s=7.0)
            for size in (100003, 200003, 300007)
        ),
    ]


@contextlib.contextmanager
def home() -> Iterator[pathlib.Path]:
    """Give the agents one folder for state, and remove what they pinned."""
    with tempfile.TemporaryDirectory(prefix="ipseity-restart-") as name:
        try:
            yield pathlib.Path(name)
        finally:
            command = [*agent.command(), "cleanup", "--instance", INSTANCE]
            subprocess.run(command, cwd=clone.ROOT, check=True, capture_output=True)


def started(folder: pathlib.Path, *flags: str | pathlib.Path) -> agent.Agent:
    """Start an agent in the folder of the one before, and wait until it answers."""
    watched = agent.start(INSTANCE, folder, *flags)
    agent.wait_until(watched.alive, agent.START_LIMIT_S, "the agent answers")
    return watched


def rest(client: subprocess.Popen[str], duration_s: float) -> None:
    """Let the load go on for a while."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        client.wait(duration_s)


def sums(truths: tuple[tally.Tallies, tally.Tallies]) -> Sums:
    """Add up what the programs say. Metrics speak of source and destination, so the callee's sent is its received."""
    caller, callee = (sum(truth.values(), tally.Tally()) for truth in truths)
    return {
        "egress": {name: getattr(caller, name) for name in NAMES},
        "ingress": {
            "opened": callee.opened,
            "closed": callee.closed,
            "sent_bytes": callee.received_bytes,
            "received_bytes": callee.sent_bytes,
        },
    }


def counted(watched: agent.Agent) -> Sums:
    """Add up what the agent says, over all names."""
    found = metrics.sums(watched, "direction")
    return {
        direction: {name: int(found.get(metric, {}).get((direction,), 0)) for name, metric in NAMES.items()}
        for direction in ("egress", "ingress")
    }


def judge(seen: Sums, truth: Sums, *, loaded: bool) -> verdict.Verdict:
    """Say it in figures."""
    lines = [f"{direction}: the programs say {truth[direction]}" for direction in truth]
    lines += [f"{direction}: the agent says  {seen[direction]}" for direction in truth]
    connections = {direction: f"{seen[direction]['opened']} of {truth[direction]['opened']}" for direction in truth}
    missing = sum(truth[way][name] - seen[way][name] for way in truth for name in ("sent_bytes", "received_bytes"))
    return verdict.Verdict(
        holds=seen == truth and loaded,
        figure=f"killed {len(LIVES_S)} times under load: connections {connections}, {missing} bytes missing",
        lines=(*lines, f"the load was still running when the last agent started: {loaded}"),
    )
