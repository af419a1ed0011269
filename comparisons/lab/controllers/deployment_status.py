"""What a Deployment says of itself: counts, Available, Progressing. Pure; ``kubectl rollout status`` lives on it."""

from typing import Any

from comparisons.lab import clock
from comparisons.lab.controllers import pods, rollout

Value = dict[str, Any]

TIMED_OUT = "ProgressDeadlineExceeded"


def status(deployment: Value, new: Value | None, old: list[Value], now_wall_ns: int) -> Value:
    """Return the whole status."""
    counts = _counts(deployment, new, old)
    before = deployment.get("status") or {}
    available = _updated(deployment, _available(deployment, counts), now_wall_ns, moved=False)
    moved = any(before.get(key, 0) != count for key, count in counts.items())
    progressing = _updated(deployment, _progressing(deployment, new, counts, now_wall_ns), now_wall_ns, moved=moved)
    conditions = pods.set_condition(before.get("conditions") or [], available, now_wall_ns)
    conditions = pods.set_condition(conditions, progressing, now_wall_ns)
    kept = {key: count for key, count in counts.items() if count}
    return {**kept, "observedGeneration": deployment["metadata"].get("generation", 0), "conditions": conditions}


def _updated(deployment: Value, said: Value, now_wall_ns: int, *, moved: bool) -> Value:
    """Return the condition with its ``lastUpdateTime``: when it last said something new, or the rollout moved."""
    old = pods.condition(deployment, said["type"])
    same = old is not None and all(old.get(key) == value for key, value in said.items()) and not moved
    return {**said, "lastUpdateTime": old["lastUpdateTime"] if same and old else clock.rfc3339(now_wall_ns)}


def _counts(deployment: Value, new: Value | None, old: list[Value]) -> dict[str, int]:
    sets = [*old, *([new] if new is not None else [])]

    def total(field: str) -> int:
        return sum((each.get("status") or {}).get(field, 0) for each in sets)

    available = total("availableReplicas")
    return {
        "replicas": total("replicas"),
        "updatedReplicas": (new.get("status") or {}).get("replicas", 0) if new is not None else 0,
        "readyReplicas": total("readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, deployment["spec"]["replicas"] - available),
    }


def _available(deployment: Value, counts: dict[str, int]) -> Value:
    replicas = deployment["spec"]["replicas"]
    least = replicas - rollout.bounds(deployment["spec"]["strategy"], replicas).unavailable
    if counts["availableReplicas"] >= least:
        message = "Deployment has minimum availability."
        return {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": message}
    message = "Deployment does not have minimum availability."
    return {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable", "message": message}


def complete(deployment: Value, counts: dict[str, int]) -> bool:
    """Whether all pods are new, and available."""
    replicas: int = deployment["spec"]["replicas"]
    return counts["updatedReplicas"] == counts["replicas"] == counts["availableReplicas"] == replicas


def _progressing(deployment: Value, new: Value | None, counts: dict[str, int], now_wall_ns: int) -> Value:
    name = new["metadata"]["name"] if new is not None else ""
    if complete(deployment, counts):
        message = f'ReplicaSet "{name}" has successfully progressed.'
        return {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": message}
    left_s = _deadline_s(deployment, counts, now_wall_ns)
    if left_s is not None and left_s <= 0:
        message = f'ReplicaSet "{name}" has timed out progressing.'
        return {"type": "Progressing", "status": "False", "reason": TIMED_OUT, "message": message}
    message = f'ReplicaSet "{name}" is progressing.'
    return {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": message}


def _deadline_s(deployment: Value, counts: dict[str, int], now_wall_ns: int) -> float | None:
    """How long the rollout may still stand still; None if it has just moved, or if there is no saying."""
    before = deployment.get("status") or {}
    said = pods.condition(deployment, "Progressing")
    limit_s = deployment["spec"].get("progressDeadlineSeconds")
    if said is None or limit_s is None or said["reason"] == "NewReplicaSetAvailable":
        return None
    if any(before.get(key, 0) != count for key, count in counts.items()) and said["reason"] != TIMED_OUT:
        return None
    return float(limit_s) - (now_wall_ns - clock.parse(said["lastUpdateTime"])) / 1e9


def look_again_s(deployment: Value, found: Value, now_wall_ns: int) -> float | None:
    """When a rollout that stands still is to be looked at: at its deadline."""
    said = next(each for each in found["conditions"] if each["type"] == "Progressing")
    limit_s = deployment["spec"].get("progressDeadlineSeconds")
    if said["reason"] != "ReplicaSetUpdated" or limit_s is None:
        return None
    return max(1.0, float(limit_s) - (now_wall_ns - clock.parse(said["lastUpdateTime"])) / 1e9)
