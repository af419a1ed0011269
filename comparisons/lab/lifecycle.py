"""What a pod's containers should do next, and when the pod is over: a pure function of what they have done so far.

Here because order, restarts and back-off are where kubelets go wrong, and only a function without a clock can be
tried on every history. Leaves out doing it (``pod``) and telling it (``status``).
"""

import dataclasses
import enum
from collections.abc import Sequence
from typing import Any, assert_never

Json = dict[str, Any]
BACKOFF_S = 10.0
"""Kubelet: the first restart is at once, the next waits this long, each later one twice as long."""
BACKOFF_MAX_S = 300.0
"""Kubelet's MaxContainerBackOff."""
BACKOFF_RESET_S = 600.0
"""A container that ran this long starts over with its back-off (kubelet: twice the maximum)."""


class Role(enum.Enum):
    """What a container is to its pod."""

    INIT = "init"
    SIDECAR = "sidecar"
    """An init container with ``restartPolicy: Always``."""
    MAIN = "main"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Not started (again) yet."""

    reason: str = "PodInitializing"
    message: str = ""
    retry_s: float = 0.0
    """Not before this time of the monotonic clock."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Its first process lives."""

    id: str
    started_wall_ns: int
    started_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terminated:
    """Its first process has ended, or never came to be."""

    id: str = ""
    exit_code: int
    reason: str
    message: str = ""
    started_wall_ns: int
    finished_wall_ns: int
    finished_s: float
    ran_s: float


State = Waiting | Running | Terminated


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of a pod and its history."""

    name: str
    role: Role
    spec: Json
    state: State = Waiting()
    last: Terminated | None = None
    """The run before the present one."""
    restarts: int = 0
    backoff_s: float = 0.0
    """How long the next restart waits after the end."""
    started: bool = False
    """Its startup probe, if it has one, has succeeded."""
    ready: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do now. Empty: wait for an event, or until ``wake_s``."""

    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    wake_s: float | None = None
    over: str = ""
    """Succeeded or Failed, once no container runs and none will."""


def containers(pod: Json) -> tuple[Container, ...]:
    """Return a pod's containers before anything has happened, in the order of their start."""
    found = []
    for spec in pod["spec"].get("initContainers") or ():
        role = Role.SIDECAR if spec.get("restartPolicy") == "Always" else Role.INIT
        found.append(Container(name=spec["name"], role=role, spec=spec))
    waiting = Waiting(reason="PodInitializing" if found else "ContainerCreating")
    found += [
        Container(name=spec["name"], role=Role.MAIN, spec=spec, state=waiting) for spec in pod["spec"]["containers"]
    ]
    return tuple(found)


def decide(policy: str, pod: Sequence[Container], now_s: float) -> Decision:
    """Decide the next step of a pod that is not being deleted. ``policy`` is its ``restartPolicy``."""
    verdict = _verdict(policy, pod)
    if verdict:
        running = tuple(it.name for it in pod if isinstance(it.state, Running))
        return Decision(stop=running) if running else Decision(over=verdict)
    due, wake = [], []
    for container in _eligible(pod):
        at_s = restart_s(policy, container)
        if at_s is not None and at_s <= now_s:
            due.append(container.name)
        elif at_s is not None:
            wake.append(at_s)
    return Decision(start=tuple(due), wake_s=min(wake, default=None))


def restart_s(policy: str, container: Container) -> float | None:
    """When this container should start (again); None: it runs, or never again."""
    state = container.state
    match state:
        case Running():
            return None
        case Waiting():
            return state.retry_s
        case Terminated():
            return state.finished_s + container.backoff_s if restarts(policy, container) else None
        case _:
            assert_never(state)


def restarts(policy: str, container: Container) -> bool:
    """Whether a container that has ended is to run again, some time."""
    if not isinstance(container.state, Terminated):
        return False
    if container.role is Role.SIDECAR:
        return True
    failed = container.state.exit_code != 0
    if container.role is Role.INIT:
        return failed and policy != "Never"
    return policy == "Always" or (policy == "OnFailure" and failed)


def next_backoff_s(container: Container, ran_s: float) -> float:
    """How long the restart after this end waits."""
    if ran_s >= BACKOFF_RESET_S or (container.restarts == 0 and container.last is None):
        return 0.0
    return min(BACKOFF_MAX_S, max(BACKOFF_S, 2 * container.backoff_s))


def initialized(pod: Sequence[Container]) -> bool:
    """Whether every init container has succeeded and every sidecar has started, now or before the main ones began."""
    begun = any(it.role is Role.MAIN and (it.last or not isinstance(it.state, Waiting)) for it in pod)
    return begun or all(_passed(it) for it in pod if it.role is not Role.MAIN)


def _passed(container: Container) -> bool:
    if container.role is Role.SIDECAR:
        return isinstance(container.state, Running) and container.started
    return _succeeded(container)


def _succeeded(container: Container) -> bool:
    return isinstance(container.state, Terminated) and container.state.exit_code == 0


def _eligible(pod: Sequence[Container]) -> list[Container]:
    """Who may be started now: all up to the first init container that has not passed; if there is none, all others."""
    if initialized(pod):
        return [it for it in pod if it.role is not Role.INIT]
    found = []
    for container in pod:
        if container.role is Role.SIDECAR or not _succeeded(container):
            found.append(container)
        if not _passed(container):
            break
    return found


def _verdict(policy: str, pod: Sequence[Container]) -> str:
    """Succeeded or Failed if no main container will ever run again, else nothing."""
    if any(
        it.role is Role.INIT and isinstance(it.state, Terminated) and not _succeeded(it) and not restarts(policy, it)
        for it in pod
    ):
        return "Failed"
    mains = [it for it in pod if it.role is Role.MAIN]
    if any(not isinstance(it.state, Terminated) or restarts(policy, it) for it in mains):
        return ""
    return "Succeeded" if all(_succeeded(it) for it in mains) else "Failed"
