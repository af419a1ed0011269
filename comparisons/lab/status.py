"""A pod's status as the kubelet would write it, computed from what its containers have done.

Here because controllers, ``kubectl wait`` and the agent all read it. Pure: leaves out sending it.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, assert_never

from comparisons.lab import clock, lifecycle

Json = dict[str, Any]
OURS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
"""Conditions that the node writes; all others belong to somebody else and stay."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a pod's status is made of."""

    pod: Json
    """As the API has it: conditions of others, readiness gates."""
    containers: tuple[lifecycle.Container, ...]
    host_ips: tuple[str, ...]
    ips: tuple[str, ...] = ()
    """Empty until the pod's network stands. A terminal pod keeps them, although they are somebody else's by then."""
    qos: str
    started_wall_ns: int
    over: str = ""
    """Succeeded or Failed."""
    reason: str = ""
    message: str = ""
    sent: tuple[Json, ...] = ()
    """Our conditions as they were last told; the pod's own may lag behind."""


def status(facts: Facts, now_wall_ns: int) -> Json:
    """``status`` of the pod."""
    inits = [it for it in facts.containers if it.role is not lifecycle.Role.MAIN]
    mains = [it for it in facts.containers if it.role is lifecycle.Role.MAIN]
    policy = facts.pod["spec"].get("restartPolicy") or "Always"
    return {
        "phase": phase(facts),
        **({"reason": facts.reason} if facts.reason else {}),
        **({"message": facts.message} if facts.message else {}),
        "conditions": conditions(facts, now_wall_ns),
        "hostIP": facts.host_ips[0],
        "hostIPs": [{"ip": ip} for ip in facts.host_ips],
        **({"podIP": facts.ips[0], "podIPs": [{"ip": ip} for ip in facts.ips]} if facts.ips else {}),
        "startTime": clock.rfc3339(facts.started_wall_ns),
        **({"initContainerStatuses": [container(it, policy) for it in inits]} if inits else {}),
        "containerStatuses": [container(it, policy) for it in mains],
        "qosClass": facts.qos,
    }


def phase(facts: Facts) -> str:
    """Pending until the first main container has run, then Running until the pod is over."""
    if facts.over:
        return facts.over
    begun = any(it.role is lifecycle.Role.MAIN and (it.last or not _fresh(it)) for it in facts.containers)
    return "Running" if begun else "Pending"


def _fresh(it: lifecycle.Container) -> bool:
    return isinstance(it.state, lifecycle.Waiting)


def container(it: lifecycle.Container, policy: str) -> Json:
    """One entry of ``containerStatuses``."""
    running = isinstance(it.state, lifecycle.Running)
    backing_off = isinstance(it.state, lifecycle.Terminated) and lifecycle.restarts(policy, it) and it.backoff_s > 0
    last = it.state if backing_off and isinstance(it.state, lifecycle.Terminated) else it.last
    image = it.spec.get("image") or ""
    identity = it.state.id if not isinstance(it.state, lifecycle.Waiting) else (it.last.id if it.last else "")
    return {
        "name": it.name,
        "image": image,
        "imageID": "",
        **({"containerID": f"runc://{identity}"} if identity else {}),
        "state": _backing_off(it) if backing_off else _state(it.state),
        "lastState": _state(last) if last else {},
        "restartCount": it.restarts,
        "ready": it.ready if it.role is not lifecycle.Role.INIT else _done(it),
        "started": running and it.started,
    }


def _done(it: lifecycle.Container) -> bool:
    return isinstance(it.state, lifecycle.Terminated) and it.state.exit_code == 0


def _backing_off(it: lifecycle.Container) -> Json:
    message = f"back-off {it.backoff_s:.0f}s restarting container {it.name}"
    return {"waiting": {"reason": "CrashLoopBackOff", "message": message}}


def _state(state: lifecycle.State) -> Json:
    match state:
        case lifecycle.Waiting():
            return {"waiting": {"reason": state.reason, **({"message": state.message} if state.message else {})}}
        case lifecycle.Running():
            return {"running": {"startedAt": clock.rfc3339(state.started_wall_ns)}}
        case lifecycle.Terminated():
            return {"terminated": _terminated(state)}
        case _:
            assert_never(state)


def _terminated(state: lifecycle.Terminated) -> Json:
    return {
        "exitCode": state.exit_code,
        "reason": state.reason,
        **({"message": state.message} if state.message else {}),
        "startedAt": clock.rfc3339(state.started_wall_ns),
        "finishedAt": clock.rfc3339(state.finished_wall_ns),
        **({"containerID": f"runc://{state.id}"} if state.id else {}),
    }


def conditions(facts: Facts, now_wall_ns: int) -> list[Json]:
    """All conditions: ours as they are now, others' as they were. A time stamp moves only when the answer does."""
    written = (facts.pod.get("status") or {}).get("conditions") or ()
    before = {it["type"]: it for it in (*written, *(it for it in facts.sent if it["type"] in OURS))}
    unready = [it.name for it in facts.containers if it.role is not lifecycle.Role.INIT and not it.ready]
    gates = [gate["conditionType"] for gate in facts.pod["spec"].get("readinessGates") or ()]
    closed = [name for name in gates if (before.get(name) or {}).get("status") != "True"]
    sandbox = _condition("PodReadyToStartContainers", bool(facts.ips) and not facts.over)
    ready = _containers_ready("ContainersReady", facts, unready)
    whole = (
        ready
        if closed == [] or ready["status"] == "False"
        else _condition("", holds=False, reason="ReadinessGatesNotReady")
    )
    ours = [sandbox, _initialized(facts), {**whole, "type": "Ready"}, ready]
    others = [it for it in before.values() if it["type"] not in OURS]
    return [*(_stamped(it, before.get(it["type"]), now_wall_ns) for it in ours), *others]


def _initialized(facts: Facts) -> Json:
    holds = lifecycle.initialized(facts.containers) or facts.over == "Succeeded"
    reason = "PodCompleted" if facts.over == "Succeeded" else "" if holds else "ContainersNotInitialized"
    return _condition("Initialized", holds=holds, reason=reason)


def _containers_ready(kind: str, facts: Facts, unready: Sequence[str]) -> Json:
    if facts.over:
        return _condition(kind, holds=False, reason="PodCompleted" if facts.over == "Succeeded" else "PodFailed")
    if unready:
        return _condition(
            kind, holds=False, reason="ContainersNotReady", message=f"unready containers: {_list(unready)}"
        )
    return _condition(kind, holds=True)


def _list(names: Iterable[str]) -> str:
    return f"[{' '.join(names)}]"


def _condition(kind: str, holds: bool, reason: str = "", message: str = "") -> Json:  # noqa: FBT001  # reads as a sentence
    found: Json = {"type": kind, "status": "True" if holds else "False"}
    return found | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})


def _stamped(it: Json, before: Json | None, now_wall_ns: int) -> Json:
    same = before is not None and before["status"] == it["status"]
    since = before.get("lastTransitionTime") if same and before is not None else None
    return {**it, "lastTransitionTime": since or clock.rfc3339(now_wall_ns)}
