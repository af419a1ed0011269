"""Cgroups of nodes, pods and containers: what they are called, who is in them, and how they end.

Here because the name of a cgroup is what an agent reads a pod's UID from, so it is the kubelet's to the letter (its
cgroupfs driver, below the node's own root), and because a cgroup is the only sure list of a pod's processes. Works on
a pure cgroup2 machine and on a hybrid one, where the runtime makes the same directory in every v1 hierarchy too.
"""

import contextlib
import errno
import os
import pathlib
import signal
import time
from collections.abc import Iterator
from typing import Any

from comparisons.lab import errors, quantities

MOUNTS = pathlib.Path("/proc/self/mountinfo")
END_S = 5.0
"""How long the kernel may take to end killed processes; arbitrary, far more than it needs."""


def qos(pod: dict[str, Any]) -> str:
    """Guaranteed, Burstable or BestEffort, from the containers' requests and limits for cpu and memory."""
    spec = pod["spec"]
    resources = [it.get("resources") or {} for it in (*(spec.get("initContainers") or ()), *spec["containers"])]
    wanted = [_compute(it.get(part)) for it in resources for part in ("requests", "limits")]
    if not any(wanted):
        return "BestEffort"
    for it in resources:
        limits = _compute(it.get("limits"))
        if set(limits) != {"cpu", "memory"} or {**limits, **_compute(it.get("requests"))} != limits:
            return "Burstable"
    return "Guaranteed"


def _compute(resources: dict[str, str] | None) -> dict[str, Any]:
    found = {name: quantities.parse(text) for name, text in (resources or {}).items() if name in ("cpu", "memory")}
    return {name: number for name, number in found.items() if number}


def pod(node_cgroup: str, uid: str, qos_class: str) -> str:
    """Return the path of a pod's cgroup from the root of each hierarchy. A Guaranteed pod has no level of its class."""
    level = "" if qos_class == "Guaranteed" else f"/{qos_class.lower()}"
    return f"{node_cgroup}/kubepods{level}/pod{uid}"


def hierarchies() -> list[pathlib.Path]:
    """Mount points of every cgroup hierarchy, cgroup2 first."""
    mounts: list[tuple[bool, pathlib.Path]] = []
    for line in MOUNTS.read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind = after.split()[0]
        if kind in ("cgroup", "cgroup2"):
            mounts.append((kind != "cgroup2", pathlib.Path(before.split()[4])))
    if all(old for old, _ in mounts):
        raise errors.LabError("no cgroup2 is mounted", hint="mount -t cgroup2 none /sys/fs/cgroup/unified")
    return [path for _, path in sorted(mounts)]


def unified() -> pathlib.Path:
    """Mount point of cgroup2."""
    return hierarchies()[0]


def adopt(cgroup: str, pid: int) -> None:
    """Move a process into this cgroup2, made if it is not there."""
    directory = unified() / cgroup.lstrip("/")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "cgroup.procs").write_text(str(pid))


def end(cgroup: str) -> None:
    """End every process in this cgroup and below, in every hierarchy, then remove it all. Blocks; harmless twice."""
    trees = [mount / cgroup.lstrip("/") for mount in hierarchies()]
    _kill(trees[0])
    deadline_s = time.monotonic() + END_S
    while any(_members(tree) for tree in trees):
        if time.monotonic() > deadline_s:
            raise errors.LabError(
                f"processes of cgroup {cgroup} do not end: {sorted({p for t in trees for p in _members(t)})}"
            )
        for tree in trees:
            _kill(tree)
        _pause()
    for tree in trees:
        _remove(tree, deadline_s)


def kill(cgroup: str) -> None:
    """Send SIGKILL to every process in this cgroup2 and below; does not wait."""
    _kill(unified() / cgroup.lstrip("/"))


def out_of_memory(cgroup: str) -> bool:
    """Whether the kernel killed a process of this cgroup for want of memory."""
    for mount in hierarchies():
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError):
                words = (mount / cgroup.lstrip("/") / name).read_text().split()
                if "oom_kill" in words and words[words.index("oom_kill") + 1] != "0":
                    return True
    return False


def _kill(tree: pathlib.Path) -> None:
    try:
        (tree / "cgroup.kill").write_text("1")
    except OSError:  # before Linux 5.14, a v1 hierarchy, or nothing there
        for pid in _members(tree):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _members(tree: pathlib.Path) -> list[int]:
    pids: list[int] = []
    for directory, _, _ in os.walk(tree):
        with contextlib.suppress(OSError):
            pids += [int(pid) for pid in pathlib.Path(directory, "cgroup.procs").read_text().split()]
    return [pid for pid in pids if pid]  # 0: a process of another PID namespace, which its own lab ends


def _remove(tree: pathlib.Path, deadline_s: float) -> None:
    for directory in _deepest_first(tree):
        while True:
            try:
                directory.rmdir()
            except FileNotFoundError:
                break
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline_s:
                    raise errors.LabError(f"cannot remove cgroup {directory}: {error.strerror}") from error
                _pause()
            else:
                break


def _deepest_first(tree: pathlib.Path) -> Iterator[pathlib.Path]:
    for directory, _, _ in os.walk(tree, topdown=False):
        yield pathlib.Path(directory)


def _pause() -> None:
    time.sleep(0.005)  # noqa: TID251  # the kernel offers no event for "the last process has left" in v1 hierarchies
