"""The second half of the claim ``restart``: the API server is stopped for a minute.

Stopped, not killed: its sockets stay open and say nothing, the worst of the ways in which a server can be away.
Meanwhile known pods keep their names; a pod that is made as soon as the server is back must be named at once.
"""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator

from tests.prove import churn
from tests.scene import agent, lab, metrics
from tests.traffic import counted, plan

OUTAGE_S = 60.0
NAMED_S = 2.0
PORT = 7001
EXCHANGES = 199
PAUSE_S = 0.4
STALENESS = "ipseity_kubernetes_watch_staleness_seconds"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What an outage did."""

    flows: int
    named: int
    """Flows of the outage whose two ends had their pods' names."""
    staleness_s: float
    """What the metric said at the end of it."""
    newcomer_s: float
    """From the server's return to the first flow with the new pod's name."""

    @property
    def holds(self) -> bool:
        """Whether nothing was lost by it."""
        kept = self.flows == self.named > 0 and self.staleness_s >= OUTAGE_S - 5
        return kept and self.newcomer_s <= NAMED_S

    def lines(self) -> tuple[str, ...]:
        """Say it in figures."""
        meanwhile = f"{self.named} of {self.flows} flows named meanwhile"
        return (
            f"API server stopped for {OUTAGE_S:.0f} s: {meanwhile}; staleness said to be {self.staleness_s:.0f} s",
            f"a new pod was named {self.newcomer_s:.1f} s after its return (at most {NAMED_S:.0f} s)",
        )


def measure() -> Outage:
    """Stop the server under traffic."""
    with lab.up("outage", "--nodes", "1") as where, lab.agents(where, "--max-interval-s", "1") as agents:
        (watched,) = agents.values()
        where.kubectl("apply", "-f", "-", given=json.dumps(churn.pod("server", ["tests.traffic.server", str(PORT)])))
        where.kubectl("wait", "pod", "server", "--for=condition=Ready", "--timeout=30s")
        target = where.pods(churn.NAMESPACE)[0]["status"]["podIP"]
        where.kubectl("apply", "-f", "-", given=visitor("regular", target))
        agent.wait_until(lambda: named(watched, "regular"), agent.START_LIMIT_S, "the regular visitor is named")
        known = len(watched.flows())
        with stopped(where):
            with contextlib.suppress(subprocess.TimeoutExpired):
                watched.process.wait(OUTAGE_S)
            during = [flow for flow in watched.flows()[known:] if counted.edge_of(flow).port == PORT]
            staleness_s = max(metrics.sums(watched, "resource")[STALENESS].values())
        back_s = time.monotonic()
        where.kubectl("create", "--validate=false", "-f", "-", given=visitor("newcomer", target))
        agent.wait_until(lambda: named(watched, "newcomer"), agent.START_LIMIT_S, "the newcomer is named")
        newcomer_s = time.monotonic() - back_s
        both = sum(bool(flow.source.pod_name and flow.destination.pod_name) for flow in during)
        return Outage(flows=len(during), named=both, staleness_s=staleness_s, newcomer_s=newcomer_s)


def visitor(name: str, target: str) -> str:
    """Make a pod that comes back to the server again and again."""
    step = plan.Exchange(
        address=target, port=PORT, count=EXCHANGES, request_bytes=1013, reply_bytes=2003, pause_s=PAUSE_S
    )
    return json.dumps(churn.pod(name, ["tests.traffic.client", plan.dump([step])]))


def named(watched: agent.Agent, name: str) -> bool:
    """Tell whether a flow's local end has this name."""
    return any(counted.local(flow).pod_name == name for flow in watched.flows())


@contextlib.contextmanager
def stopped(where: lab.Lab) -> Iterator[None]:
    """Stop the lab's API server, and let it go on afterwards."""
    pid = int((lab.STATE / where.name / "processes/api").read_text().split()[0])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
