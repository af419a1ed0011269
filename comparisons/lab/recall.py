"""What a pod's status tells a node that sees the pod for the first time, perhaps after a life before.

Here because a node that was killed starts again with nothing in memory: what ran then has ended with it, nobody knows
how. The inverse of ``status``, and as pure.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

from comparisons.lab import clock, lifecycle

Json = dict[str, Any]
UNKNOWN = "ContainerStatusUnknown"
"""The kubelet's reason for a container that ended while nobody was looking."""
KILLED = 137
"""128 + SIGKILL: what the kubelet writes for it."""


def phase(pod: Json) -> str:
    """Succeeded or Failed if the pod is over already, else nothing."""
    written = str((pod.get("status") or {}).get("phase") or "")
    return written if written in {"Succeeded", "Failed"} else ""


def last_phase(containers: Iterable[lifecycle.Container]) -> str:
    """Return the phase of a pod that was ended from outside: as its main containers ended."""
    mains = [it.state for it in containers if it.role is lifecycle.Role.MAIN]
    well = all(isinstance(it, lifecycle.Terminated) and it.exit_code == 0 for it in mains)
    return "Succeeded" if well else "Failed"


def containers(pod: Json, now_wall_ns: int) -> tuple[lifecycle.Container, ...]:
    """Return the pod's containers, with the history that its status keeps."""
    status = pod.get("status") or {}
    written = {it["name"]: it for key in ("initContainerStatuses", "containerStatuses") for it in status.get(key) or ()}
    return tuple(_container(it, written.get(it.name) or {}, now_wall_ns) for it in lifecycle.containers(pod))


def _container(it: lifecycle.Container, written: Json, now_wall_ns: int) -> lifecycle.Container:
    it = dataclasses.replace(it, restarts=int(written.get("restartCount") or 0))
    state = written.get("state") or {}
    ended = state.get("running") or state.get("terminated") or (written.get("lastState") or {}).get("terminated")
    if not ended:
        return it
    end = lifecycle.Terminated(
        id=str(written.get("containerID") or "").partition("://")[2],
        exit_code=int(ended.get("exitCode", KILLED)),
        reason=str(ended.get("reason") or UNKNOWN),
        started_wall_ns=_time(ended.get("startedAt"), now_wall_ns),
        finished_wall_ns=_time(ended.get("finishedAt"), now_wall_ns),
        finished_s=0.0,
        ran_s=0.0,
    )
    return dataclasses.replace(it, state=end)


def _time(text: str | None, otherwise_wall_ns: int) -> int:
    return clock.parse(text) if text else otherwise_wall_ns
