"""What the server decides about a new object before defaults: its identity, its first generation, an empty status.

Rules: PrepareForCreate of the strategies in k8s.io/kubernetes/pkg/registry.
"""

import uuid
from typing import Any

from comparisons.lab import clock
from comparisons.lab.api import kinds

Value = dict[str, Any]

_SERVER_OWNED = ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink", "generation")


def metadata(said: Value, namespace: str, now_wall_ns: int, kind: kinds.Kind) -> Value:
    """Return the client's metadata with the server's."""
    kept = {key: value for key, value in said.items() if key not in _SERVER_OWNED}
    kept |= {"namespace": namespace} if namespace else {}
    kept |= {"generation": 1} if kind.generation else {}
    return kept | {"uid": str(uuid.uuid4()), "creationTimestamp": clock.rfc3339(now_wall_ns)}


def fresh(kind: kinds.Kind, value: Value) -> None:
    """Take away a status that a client sent, and gives a Job what ties it to its pods."""
    if "status" in kind.subresources and kind is not kinds.NODE:
        value.pop("status", None)
    if kind is kinds.JOB:
        _job(value)


def _job(value: Value) -> None:
    spec = value.get("spec") or {}
    if spec.get("manualSelector") or "template" not in spec:
        return
    uid, name = value["metadata"]["uid"], value["metadata"].get("name", "")
    ties = {"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name}
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    template = spec["template"] = {**spec["template"]}
    meta = template["metadata"] = {**(template.get("metadata") or {})}
    meta["labels"] = {**(meta.get("labels") or {}), **ties, "controller-uid": uid, "job-name": name}
