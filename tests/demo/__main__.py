"""Bring up a shop on two nodes, show what the agents see, check every byte, leave nothing behind.

Exit status 0: every name is right and every count is equal to what the programs say they did.
"""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

from tests.demo import truth
from tests.scene import agent, lab
from tests.traffic import tally

NAME = "demo"
HERE = pathlib.Path(__file__).parent
AGREED_S = 20.0
"""By then every byte must have been counted: the slowest drain is 15 s."""
LEGEND = "evidence: kernel, the socket's own cgroup; ip, who had the address at that time"


def main() -> int:
    """Run as a program."""
    if os.geteuid() != 0:
        print("demo: error: pods need namespaces and cgroups\nhint: run it with sudo", file=sys.stderr)
        return 2
    try:
        return play()
    except KeyboardInterrupt:
        left = lab.left_behind(NAME)
        print("\n".join(["demo: interrupted", *(f"left behind: {thing}" for thing in left)]), file=sys.stderr)
        return 130
    except (RuntimeError, TimeoutError, OSError) as error:
        print(f"demo: error: {error}\nhint: .venv/bin/ipseity check says what this machine lacks", file=sys.stderr)
        return 2


def play() -> int:
    """Tell the story; returns the exit status."""
    started_s = time.monotonic()
    with lab.up(NAME) as shop, lab.agents(shop, "--max-interval-s", "1") as agents:
        shop.apply(HERE / "shop.yaml")
        shop.kubectl("-n", truth.NAMESPACE, "wait", "deployment", "--all", "--for=condition=Available", "--timeout=30s")
        print(f"{opening(shop)}; ready in {time.monotonic() - started_s:.0f} s\n", flush=True)
        with shown(agents):
            shop.apply(HERE / "visitors.yaml")
            shop.kubectl("-n", truth.NAMESPACE, "wait", "job", "--all", "--for=condition=Complete", "--timeout=60s")
            wrong = settled(shop, agents)
        wrong += truth.misnamed(shop, agents.values())
        said = sum((sum(rows.values(), truth.NOTHING) for rows in truth.told(shop).values()), truth.NOTHING)
    wrong += [f"left behind: {thing}" for thing in lab.left_behind(NAME)]
    print("\n".join([f"\n{LEGEND}", *(wrong or [agreement(said)])]))
    return 1 if wrong else 0


def opening(shop: lab.Lab) -> str:
    """Say what is there before the visitors come."""
    here = [
        f"{pod['metadata']['labels']['app']} (sa {truth.names(pod)[1]}) on {pod['spec']['nodeName']}"
        for pod in shop.pods(truth.NAMESPACE)
    ]
    return f"{len(shop.nodes)} nodes with an agent each: {', '.join(sorted(here))}"


@contextlib.contextmanager
def shown(agents: Mapping[str, agent.Agent]) -> Iterator[None]:
    """Show the table: live on a terminal, once at the end anywhere else."""
    command = [str(lab.BIN / "ipseity"), "observe", "--namespace", truth.NAMESPACE]
    command += [word for it in agents.values() for word in ("--server", f"unix://{it.socket}")]
    if not sys.stdout.isatty():
        yield
        subprocess.run(command, check=True)
        return
    with subprocess.Popen([*command, "--follow"]) as live:
        try:
            yield
        finally:
            live.send_signal(signal.SIGINT)


def settled(shop: lab.Lab, agents: Mapping[str, agent.Agent]) -> list[str]:
    """Wait until the agents have counted what the programs did; returns what still differs."""
    deadline_s = time.monotonic() + AGREED_S
    while (found := truth.differences(shop, agents.values())) and time.monotonic() < deadline_s:
        time.sleep(agent.POLL_S * 10)  # noqa: TID251  # another process's counters have no event
    return found


def agreement(said: tally.Tally) -> str:
    """Say that the count of every end is equal to what its program says."""
    connections = said.opened // 2
    return (
        f"bytes agree with what the programs sent: {connections} of {connections} connections, "
        f"{said.sent_bytes:,} bytes, both ends; nothing left behind\n"
        "next: make prove lists what else can be measured here; ipseity lab up gives you nodes of your own"
    )


if __name__ == "__main__":
    sys.exit(main())
