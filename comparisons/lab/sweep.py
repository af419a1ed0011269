"""Remove what a node or a lab has made, however it ended.

Here because nothing of a lab relies on a clean exit: the way down is the same after ``lab down`` and after a kill -9
of everything. Finds things by name (``layout``), processes by cgroup or by (pid, start time). Harmless where there is
nothing.
"""

import shutil
import signal

from comparisons.lab import cgroups, errors, layout, mounts, netns, plan, processes

TERM_S = 3.0
KILL_S = 5.0


def pods(node: layout.Node) -> None:
    """Everything of a node's pods, and the node's network; its logs stay."""
    cgroups.end(f"{node.cgroup}/kubepods")
    for path in mounts.below(node.state):
        mounts.detach(path)
    netns.remove(node.netns)
    for directory in (node.pods, node.runc, node.state / "netns"):
        shutil.rmtree(directory, ignore_errors=True)


def lab(it: layout.Lab, nodes: tuple[plan.NodePlan, ...]) -> None:
    """Everything of a lab."""
    for path in sorted(it.processes.glob("*"), key=lambda path: path.name == "api"):  # the API last: it hears goodbyes
        _end(processes.read(path))
    cgroups.end(it.cgroup)
    for node in nodes:
        pods(it.node(node.name))
    netns.remove(it.fabric)
    for path in mounts.below(it.state):
        mounts.detach(path)
    shutil.rmtree(it.state, ignore_errors=True)


def _end(it: processes.Identity | None) -> None:
    if it is None or it.end(signal.SIGTERM, timeout_s=TERM_S) or it.end(signal.SIGKILL, timeout_s=KILL_S):
        return
    raise errors.LabError(f"process {it.pid} does not end", hint="see what it waits for: cat /proc/PID/stack")
