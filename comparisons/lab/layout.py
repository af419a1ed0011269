"""Where a lab keeps its things: names of namespaces, cgroups, directories, for one lab and for one node.

Here so that whoever builds and whoever sweeps agree on every name. Pure: leaves out making and removing them.
"""

import dataclasses
import pathlib
import re

ROOT = pathlib.Path("/run/ipseity-lab")
"""One directory per lab below it, each a tmpfs of its own, so that removing a lab is one unmount."""
NETNS = pathlib.Path("/run/netns")
"""Where ``ip netns`` looks, so that ``ip netns exec ips-lab-node-a`` works."""
NAME = re.compile(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?")
"""Short enough for a node's name, its namespace and a Unix socket path (108 bytes) to hold it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """Names of one lab."""

    name: str
    root: pathlib.Path = ROOT

    @property
    def state(self) -> pathlib.Path:
        """The lab's tmpfs."""
        return self.root / self.name

    @property
    def plan(self) -> pathlib.Path:
        """What was asked for and which addresses were chosen; see ``plan``."""
        return self.state / "plan.json"

    @property
    def api(self) -> pathlib.Path:
        """State directory of the lab's own API server."""
        return self.state / "api"

    @property
    def kubeconfig(self) -> pathlib.Path:
        """How clients reach the API that this lab uses."""
        return self.state / "kubeconfig"

    @property
    def processes(self) -> pathlib.Path:
        """One file per process: its pid and start time."""
        return self.state / "processes"

    def log(self, process: str) -> pathlib.Path:
        """Tell what a process of the lab itself says."""
        return self.state / "log" / f"{process}.log"

    @property
    def fabric(self) -> pathlib.Path:
        """The namespace that stands between the nodes and for the world outside."""
        return NETNS / f"ips-{self.name}-fabric"

    @property
    def cgroup(self) -> str:
        """From the root of each hierarchy."""
        return f"/ipseity-{self.name}"

    def node(self, name: str) -> "Node":
        """Names of one of its nodes."""
        return Node(lab=self, name=name)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Names of one node of a lab."""

    lab: Lab
    name: str

    @property
    def state(self) -> pathlib.Path:
        """Everything that this node writes."""
        return self.lab.state / self.name

    @property
    def netns(self) -> pathlib.Path:
        """The node's network namespace; hostNetwork pods run in it."""
        return NETNS / f"ips-{self.lab.name}-{self.name}"

    @property
    def cgroup(self) -> str:
        """The node's root in each hierarchy: what ``--cgroup-root`` of an agent points at."""
        return f"{self.lab.cgroup}/{self.name}"

    @property
    def ready(self) -> pathlib.Path:
        """There once the API has heard of the node."""
        return self.state / "ready"

    @property
    def runc(self) -> pathlib.Path:
        """The runtime's own state."""
        return self.state / "runc"

    @property
    def pods(self) -> pathlib.Path:
        """Volumes, bundles and root file systems, one directory per pod UID."""
        return self.state / "pods"

    @property
    def logs(self) -> pathlib.Path:
        """As /var/log/pods."""
        return self.state / "logs"

    def pod_netns(self, uid: str) -> pathlib.Path:
        """Return a pod's network namespace, kept alive by this file and not by a process."""
        return self.state / "netns" / uid
