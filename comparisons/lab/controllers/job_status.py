"""The arithmetic of a Job: how many pods are missing, whether it is over, what its status says. Pure."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from comparisons.lab import clock
from comparisons.lab.controllers import pods

Value = dict[str, Any]

FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 10.0, 600.0
"""k8s.io/kubernetes/pkg/controller/job: DefaultJobPodFailureBackOff, MaxJobPodFailureBackOff."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a pod ended."""

    failed: bool
    at_wall_ns: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A Job's pods."""

    active: Sequence[Value]
    terminating: int
    ended: Sequence[Ended]

    @property
    def succeeded(self) -> int:
        """Pods that ended well."""
        return sum(not each.failed for each in self.ended)

    @property
    def failed(self) -> int:
        """Pods that did not."""
        return sum(each.failed for each in self.ended)


def ended_wall_ns(pod: Value) -> int:
    """When the last container of a pod ended; 0 if nothing says so."""
    states = (
        each.get("state", {}).get("terminated") or {}
        for each in (pod.get("status") or {}).get("containerStatuses") or ()
    )
    return max((clock.parse(state["finishedAt"]) for state in states if state.get("finishedAt")), default=0)


def finished(job: Value) -> bool:
    """Whether it is over, one way or the other."""
    return any((found := pods.condition(job, each)) and found["status"] == "True" for each in ("Complete", "Failed"))


def verdict(job: Value, view: View, now_wall_ns: int) -> Value | None:
    """Return the condition that ends the Job; None while it runs."""
    spec = job["spec"]
    wanted = spec.get("completions")
    if view.failed > spec.get("backoffLimit", 6):
        return _failed("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left_s = deadline_s(job, now_wall_ns)
    if left_s is not None and left_s <= 0:
        return _failed("DeadlineExceeded", "Job was active longer than specified deadline")
    done = view.succeeded >= wanted if wanted is not None else view.succeeded > 0 and not view.active
    if not done:
        return None
    message = "Reached expected number of succeeded pods"
    return {"type": "Complete", "status": "True", "reason": "CompletionsReached", "message": message}


def _failed(reason: str, message: str) -> Value:
    return {"type": "Failed", "status": "True", "reason": reason, "message": message}


def missing(job: Value, view: View) -> int:
    """How many pods to make; negative: to delete."""
    spec = job["spec"]
    wanted = spec.get("parallelism", 1)
    if spec.get("completions") is not None:
        wanted = min(wanted, max(0, spec["completions"] - view.succeeded))
    elif view.succeeded:  # a work queue whose first pod has ended well gets no new ones
        wanted = min(wanted, len(view.active))
    return int(wanted) - len(view.active)


def back_off_s(view: View, now_wall_ns: int) -> float:
    """How long to wait before the next pod, because of those that failed."""
    if not view.failed:
        return 0.0
    delay_s = min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2.0 ** min(view.failed - 1, 20))
    last_wall_ns = max(each.at_wall_ns for each in view.ended if each.failed)
    return max(0.0, delay_s - (now_wall_ns - last_wall_ns) / 1e9)


def deadline_s(job: Value, now_wall_ns: int) -> float | None:
    """How long the Job may still run; None if for ever."""
    limit_s, started = job["spec"].get("activeDeadlineSeconds"), (job.get("status") or {}).get("startTime")
    if limit_s is None or started is None:
        return None if limit_s is None else float(limit_s)
    return float(limit_s) - (now_wall_ns - clock.parse(started)) / 1e9


def left_s(job: Value, now_wall_ns: int) -> float | None:
    """How long a finished Job is still kept; None if for ever."""
    ttl_s = job["spec"].get("ttlSecondsAfterFinished")
    ends = [
        each["lastTransitionTime"]
        for each in (job.get("status") or {}).get("conditions") or ()
        if each["status"] == "True"
    ]
    return None if ttl_s is None else float(ttl_s) - (now_wall_ns - clock.parse(max(ends))) / 1e9


def status(job: Value, view: View, ending: Value | None, now_wall_ns: int) -> Value:
    """Return the whole status."""
    before = job.get("status") or {}
    suspended = bool(job["spec"].get("suspend"))
    over = ending is not None or suspended
    counts = {
        "active": 0 if over else len(view.active),
        "ready": 0 if over else sum(pods.ready(pod) for pod in view.active),
        "succeeded": view.succeeded,
        "failed": view.failed,
        "terminating": view.terminating + (len(view.active) if over else 0),
    }
    found: Value = {key: count for key, count in counts.items() if count or key in {"ready", "terminating"}}
    if "startTime" in before or not suspended:
        found["startTime"] = before.get("startTime") or clock.rfc3339(now_wall_ns)
    conditions = before.get("conditions") or []
    if ending is not None:
        conditions = pods.set_condition(conditions, ending, now_wall_ns)
        if ending["type"] == "Complete":
            found["completionTime"] = clock.rfc3339(now_wall_ns)
    return found | ({"conditions": conditions} if conditions else {})
