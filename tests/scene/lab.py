"""A lab and one agent per node, brought up by the commands that a person would type, and gone without a trace."""

import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from tests.scene import agent, clone, room

BIN = pathlib.Path(sys.executable).parent
STATE = pathlib.Path("/run/ipseity-lab")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """A lab that is up."""

    name: str
    nodes: tuple[str, ...]
    kubeconfig: pathlib.Path

    def kubectl(self, *words: str, given: str = "") -> str:
        """Run kubectl, which must succeed."""
        return succeed(str(BIN / "kubectl"), f"--kubeconfig={self.kubeconfig}", *words, given=given)

    def apply(self, manifest: pathlib.Path) -> None:
        """Apply a manifest in which REPOSITORY stands for the folder of this repository."""
        self.kubectl("apply", "-f", "-", given=manifest.read_text().replace("REPOSITORY", str(clone.ROOT)))

    def pods(self, namespace: str) -> list[dict[str, Any]]:
        """List a namespace's pods as the API has them."""
        return list(json.loads(self.kubectl("get", "pods", "-n", namespace, "-o", "json"))["items"])

    def cgroup_root(self, node: str) -> pathlib.Path:
        """Name the part of the cgroup tree that is one node's."""
        return room.cgroup_root() / f"ipseity-{self.name}" / node

    def agent_flags(self, node: str) -> list[str | pathlib.Path]:
        """Say how the agent of one node is started."""
        return ["--node-name", node, "--cgroup-root", self.cgroup_root(node), "--kubeconfig", self.kubeconfig]


@contextlib.contextmanager
def up(name: str, *flags: str) -> Iterator[Lab]:
    """Bring a lab up; afterwards it is gone, whatever happened."""
    ipseity = str(BIN / "ipseity")
    try:
        succeed(ipseity, "lab", "up", "--name", name, *flags)
        said = succeed(ipseity, "lab", "status", "--name", name, "-o", "json")
        nodes = tuple(node["name"] for node in json.loads(said)["nodes"])
        yield Lab(name=name, nodes=nodes, kubeconfig=STATE / name / "kubeconfig")
    finally:
        succeed(ipseity, "lab", "down", "--name", name)


def succeed(*words: str, given: str = "") -> str:
    """Run a program that must succeed; if it does not, what it said is the error."""
    done = subprocess.run(words, input=given, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@contextlib.contextmanager
def agents(lab: Lab, *flags: str) -> Iterator[dict[str, agent.Agent]]:
    """Run one agent per node."""
    with contextlib.ExitStack() as stack:
        yield {
            node: stack.enter_context(agent.running(f"{lab.name}-{node}", *lab.agent_flags(node), *flags))
            for node in lab.nodes
        }


def left_behind(name: str) -> list[str]:
    """List what a lab of this name, or its agents, left in the kernel and in the file system."""
    folders = [pathlib.Path("/run/netns"), pathlib.Path("/sys/fs/bpf/ipseity"), room.cgroup_root(), STATE]
    found = [str(path) for folder in folders if folder.is_dir() for path in folder.iterdir() if name in path.name]
    mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
    return found + [line.split()[1] for line in mounts if f"/{name}/" in line and "ipseity" in line]
