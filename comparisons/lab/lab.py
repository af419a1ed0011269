"""Bring a lab up, say how it is, take it down.

Here because a lab is several processes and things of the kernel that must come and go together. Up twice is harmless:
what runs stays, what died is started again. Down needs no cooperation of anything (``sweep``).
"""

import contextlib
import dataclasses
import enum
import fcntl
import ipaddress
import json
import os
import pathlib
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from comparisons.lab import addresses, cgroups, errors, layout, mounts, netlink, netns, network, plan, processes, sweep

API = "api"
API_PORT = 6443
"""On the router between the nodes, where pods find the API server."""
READY_S = 30.0
"""A start takes one to two seconds; the rest is for a machine that is busy."""
POLL_S = 0.05
LOCK = ".lock"
INSTANCES = pathlib.Path("/proc/sys/fs/inotify/max_user_instances")
INSTANCES_BEFORE = ".inotify-instances"
MANY_INSTANCES = 8192
"""As node images set it. An Envoy takes four and aborts without; the kernel gives all processes of a user 128."""
_SERVER = re.compile(r"server:\s*\"?https?://127\.0\.0\.1:(\d+)")


class Health(enum.StrEnum):
    """How a process of a lab is."""

    RUNNING = "running"
    DEAD = "dead"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What ``lab up`` was asked for; None: whatever is there, else the default."""

    nodes: int | None = None
    pod_cidr: str = ""
    kubeconfig: str = ""
    rbac: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A lab as it is now."""

    names: layout.Lab
    plan: plan.LabPlan
    health: dict[str, Health]
    """By process: "api" (if the lab has its own) and each node."""


DEFAULT_NODES = 2


def up(names: layout.Lab, wishes: Wishes) -> State:
    """Plan the lab if there is none, start what does not run, return once every node is ready."""
    if os.geteuid() != 0:
        raise errors.LabError("a lab needs root: it makes namespaces, cgroups and mounts", hint="sudo ipseity lab up")
    plan.check_name(names.name)
    with _locked(names.root):
        found = find(names) or _create(names, wishes)
        _compare(found, wishes)
        _raise_instances(names.root)
        if not found.kubeconfig:
            _start_api(names, found)
        else:
            names.kubeconfig.unlink(missing_ok=True)
            names.kubeconfig.write_bytes(pathlib.Path(found.kubeconfig).read_bytes())
        for node in found.nodes:
            _start_node(names, node.name)
        _wait_ready(names, found)
    return State(names=names, plan=found, health=_health(names, found))


def down(names: layout.Lab) -> bool:
    """Remove everything of the lab; whether there was anything known of it."""
    with _locked(names.root):
        found = find(names)
        sweep.lab(names, found.nodes if found else ())
        if not any(path.is_dir() for path in names.root.iterdir()):
            _restore_instances(names.root)
            (names.root / LOCK).unlink()
            names.root.rmdir()
    return found is not None


def _raise_instances(root: pathlib.Path) -> None:
    """Let more than 32 proxies run, until the last lab is gone. Where it may not be written, so many do."""
    kept = root / INSTANCES_BEFORE
    with contextlib.suppress(OSError):
        before = INSTANCES.read_text().strip()
        if int(before) < MANY_INSTANCES:
            kept.write_text(before)  # first: whoever is killed here puts back what there was
            INSTANCES.write_text(str(MANY_INSTANCES))


def _restore_instances(root: pathlib.Path) -> None:
    """Put back what there was, unless somebody else has set it since."""
    kept = root / INSTANCES_BEFORE
    with contextlib.suppress(OSError):
        before = kept.read_text()
        if INSTANCES.read_text().strip() == str(MANY_INSTANCES):
            INSTANCES.write_text(before)
    kept.unlink(missing_ok=True)


def state(names: layout.Lab) -> State | None:
    """How the lab is; None if there is none."""
    found = find(names)
    return None if found is None else State(names=names, plan=found, health=_health(names, found))


def find(names: layout.Lab) -> plan.LabPlan | None:
    """Return the lab's plan, if it has one that can be read."""
    try:
        return plan.from_json(json.loads(names.plan.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def all_labs(root: pathlib.Path) -> list[plan.LabPlan]:
    """Every lab on this machine."""
    found = (find(layout.Lab(name=path.parent.name, root=root)) for path in sorted(root.glob("*/plan.json")))
    return [it for it in found if it is not None]


def _create(names: layout.Lab, wishes: Wishes) -> plan.LabPlan:
    if wishes.kubeconfig and not pathlib.Path(wishes.kubeconfig).is_file():
        raise errors.LabError(
            f"kubeconfig {wishes.kubeconfig!r}: no such file", hint="leave it out for an API of the lab's own"
        )
    if wishes.kubeconfig and wishes.rbac:
        raise errors.LabError("RBAC is that cluster's own affair", hint="leave out --rbac, or --kubeconfig")
    made = plan.make(
        names.name,
        nodes=DEFAULT_NODES if wishes.nodes is None else wishes.nodes,
        pod_cidr=wishes.pod_cidr,
        kubeconfig=str(pathlib.Path(wishes.kubeconfig).resolve()) if wishes.kubeconfig else "",
        rbac=wishes.rbac,
        others=all_labs(names.root),
    )
    sweep.lab(names, made.nodes)  # what a crash between two lines of this function may have left
    mounts.tmpfs(names.state, mode=0o700)
    netns.create(names.fabric, lambda: netlink.run(network.fabric(made)))
    names.plan.write_text(json.dumps(plan.to_json(made), indent=2))
    return made


def _compare(found: plan.LabPlan, wishes: Wishes) -> None:
    """Refuse to change a lab that runs by asking for another one of the same name."""
    differences = []
    if wishes.nodes is not None and wishes.nodes != len(found.nodes):
        differences.append(f"{len(found.nodes)} nodes, not {wishes.nodes}")
    if wishes.pod_cidr and ipaddress.ip_network(wishes.pod_cidr) != ipaddress.ip_network(found.pod_cidr):
        differences.append(f"pods in {found.pod_cidr}, not {wishes.pod_cidr}")
    if wishes.kubeconfig and str(pathlib.Path(wishes.kubeconfig).resolve()) != found.kubeconfig:
        differences.append(f"the API of {found.kubeconfig or 'its own'}, not of {wishes.kubeconfig}")
    if wishes.rbac and not found.rbac:
        differences.append("without RBAC")
    if differences:
        raise errors.LabError(
            f"lab {found.name!r} is up already, with {'; '.join(differences)}",
            hint=f"ipseity lab down --name {found.name}",
        )


def _start_api(names: layout.Lab, found: plan.LabPlan) -> None:
    if _alive(names, API):
        return
    names.api.mkdir(parents=True, exist_ok=True)
    kubeconfig = names.api / "kubeconfig"
    port = _SERVER.search(kubeconfig.read_text()) if kubeconfig.exists() else None
    kubeconfig.unlink(missing_ok=True)
    arguments = ["comparisons.lab.api", "--state", str(names.api), "--listen", f"127.0.0.1:{port[1] if port else 0}"]
    router = addresses.gateway(ipaddress.ip_network(found.fabric_cidrs[0]))
    arguments += ["--inside", f"{names.fabric}={router}:{API_PORT}"]
    if found.rbac:
        arguments.append("--rbac")
    it = _spawn(names, API, arguments)
    cgroups.adopt(f"{names.cgroup}/api.service", it.pid)
    _until(names, API, it, kubeconfig.exists, "serve")
    if not names.kubeconfig.exists():
        names.kubeconfig.symlink_to(kubeconfig)


def _start_node(names: layout.Lab, node: str) -> None:
    if _alive(names, node):
        return
    ready = names.node(node).ready
    ready.unlink(missing_ok=True)
    arguments = ["comparisons.lab.node", "--lab", names.name, "--name", node, "--kubeconfig", str(names.kubeconfig)]
    _spawn(names, node, [*arguments, "--root", str(names.root)])


def _wait_ready(names: layout.Lab, found: plan.LabPlan) -> None:
    for node in found.nodes:
        it = processes.read(names.processes / node.name)
        if it is not None:
            _until(names, node.name, it, names.node(node.name).ready.exists, "become ready")


def _spawn(names: layout.Lab, name: str, arguments: Sequence[str]) -> processes.Identity:
    source = str(pathlib.Path(__file__).parents[2])
    path = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH", "")])])
    environ = {**os.environ, "PYTHONPATH": path}
    it = processes.daemon([sys.executable, "-m", *arguments], names.log(name), environ)
    it.write(names.processes / name)
    return it


def _until(names: layout.Lab, name: str, it: processes.Identity, holds: Callable[[], bool], doing: str) -> None:
    deadline_s = time.monotonic() + READY_S
    while not holds():
        alive = it.alive()
        if name != API and _alive(names, API) is False and (names.processes / API).exists():
            name, alive = API, False
        if not alive or time.monotonic() > deadline_s:
            words = _last_line(names.log(name)) or "it says nothing"
            how = f"did not {doing} within {READY_S:.0f} s" if alive else "ended"
            raise errors.LabError(f"{name} of lab {names.name!r} {how}: {words}", hint=f"see {names.log(name)}")
        time.sleep(POLL_S)  # noqa: TID251  # another process's file appears: nothing to wait on that would not be a second protocol


def _last_line(log: pathlib.Path) -> str:
    try:
        return next(line for line in reversed(log.read_text(errors="replace").splitlines()) if line.strip()).strip()
    except (OSError, StopIteration):
        return ""


def _alive(names: layout.Lab, name: str) -> bool:
    it = processes.read(names.processes / name)
    return it is not None and it.alive()


def _health(names: layout.Lab, found: plan.LabPlan) -> dict[str, Health]:
    wanted = [*([] if found.kubeconfig else [API]), *(node.name for node in found.nodes)]
    return {name: Health.RUNNING if _alive(names, name) else Health.DEAD for name in wanted}


@contextlib.contextmanager
def _locked(root: pathlib.Path) -> Iterator[None]:
    """One at a time decides about addresses, starts and removes."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
