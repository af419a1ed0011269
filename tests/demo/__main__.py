"""Bring up a shop on two nodes, show what the agents see, check every byte, leave nothing behind.

Exit status 0: every name is right and every count is equal to what the programs say they did.
"""

import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from tests.demo import truth
from tests.scene import agent, lab
from tests.traffic import tally

NAME = "demo"
HERE = pathlib.Path(__file__).parent
AGREED_S = 20.0
"""By then every byte must have been counted: the slowest drain is 15 s."""


def main() -> int:
    """Run as a program."""
    if os.geteuid() != 0:
        print("demo: error: pods need namespaces and cgroups\nhint: run it with sudo", file=sys.stderr)
        return 2
    started_s = time.monotonic()
    with lab.up(NAME) as shop, lab.agents(shop, "--max-interval-s", "1") as agents:
        shop.apply(HERE / "shop.yaml")
        shop.kubectl("-n", "shop", "wait", "deployment", "--all", "--for=condition=Available", "--timeout=30s")
        where = ", ".join(f"{pod['metadata']['name']} on {pod['spec']['nodeName']}" for pod in shop.pods("shop"))
        print(f"two nodes, an agent on each: {where}; ready in {time.monotonic() - started_s:.0f} s", flush=True)
        shop.apply(HERE / "visitors.yaml")
        shop.kubectl("-n", "shop", "wait", "job", "--all", "--for=condition=Complete", "--timeout=60s")
        differences = settled(shop, agents)
        print(table(agents))
        differences += truth.misnamed(shop, agents.values())
        said = sum((sum(rows.values(), truth.NOTHING) for rows in truth.told(shop).values()), truth.NOTHING)
    differences += [f"left behind: {thing}" for thing in lab.left_behind(NAME)]
    print("\n".join(differences) if differences else agreement(said))
    return 1 if differences else 0


def settled(shop: lab.Lab, agents: Mapping[str, agent.Agent]) -> list[str]:
    """Wait until the agents have counted what the programs did; returns what still differs."""
    deadline_s = time.monotonic() + AGREED_S
    while (found := truth.differences(shop, agents.values())) and time.monotonic() < deadline_s:
        time.sleep(agent.POLL_S * 10)  # noqa: TID251  # another process's counters have no event
    return found


def table(agents: Mapping[str, agent.Agent]) -> str:
    """Ask the agents as a person would."""
    servers = [word for it in agents.values() for word in ("--server", f"unix://{it.socket}")]
    return observe([*servers, "--namespace", "shop"])


def observe(words: Sequence[str]) -> str:
    """Run ``ipseity observe``; in colour where this is a terminal."""
    done = subprocess.run([lab.BIN / "ipseity", "observe", *words], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def agreement(said: tally.Tally) -> str:
    """Say that every end's count is equal to what its program says."""
    return (
        f"bytes agree with what the programs sent: {said.opened // 2} of {said.opened // 2} connections, "
        f"{said.sent_bytes:,} bytes, both ends; nothing left behind"
    )


if __name__ == "__main__":
    sys.exit(main())
