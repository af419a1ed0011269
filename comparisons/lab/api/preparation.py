"""What the server decides about a new object: its identity, its first generation, an empty status.

Rules: BeforeCreate and PrepareForCreate of the strategies in k8s.io/kubernetes/pkg/registry. What a client states is
first stripped of what is not its to say, shown to admission, and only then ``born``: a webhook sees an object without
UID, as on the real server.
"""

import uuid
from typing import Any

from comparisons.lab import clock
from comparisons.lab.api import kinds, status

Value = dict[str, Any]

_SERVER_OWNED = (
    *("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "selfLink", "generation"),
    *("uid", "creationTimestamp"),
)


def stated(said: Value, namespace: str) -> Value:
    """Return the client's metadata, without what is the server's to say."""
    kept = {key: value for key, value in said.items() if key not in _SERVER_OWNED}
    return kept | ({"namespace": namespace} if namespace else {})


def fresh(kind: kinds.Kind, value: Value) -> None:
    """Take away a status that a client sent."""
    if "status" in kind.subresources and kind is not kinds.NODE:
        value.pop("status", None)


def unborn(kind: kinds.Kind, value: Value) -> Value:
    """Return the object as admission sees it: a pod has no phase yet."""
    return {**value, "status": {}} if kind is kinds.POD else value


def without_status(kind: kinds.Kind, value: Value) -> Value:
    """Return the part of a new object that its creator owns."""
    mine = "status" in kind.subresources and kind is not kinds.NODE
    return {name: part for name, part in value.items() if name != "status" or not mine}


def born(kind: kinds.Kind, value: Value, namespace: str, now_wall_ns: int) -> Value:
    """Return an admitted object with its identity; raises Refused (400) if admission moved it elsewhere."""
    said = value.get("metadata") or {}
    if said.get("namespace", "") not in {"", namespace}:
        message = "the namespace of the provided object does not match the namespace sent on the request"
        raise status.bad_request(message)
    meta = stated(said, namespace) | ({"generation": 1} if kind.generation else {})
    made = {**value, "metadata": meta | {"uid": str(uuid.uuid4()), "creationTimestamp": clock.rfc3339(now_wall_ns)}}
    fresh(kind, made)
    return made


def tie(kind: kinds.Kind, value: Value) -> None:
    """Give a Job, once it has name and UID, what ties it to its pods."""
    if kind is not kinds.JOB:
        return
    spec = value["spec"] = {**(value.get("spec") or {})}
    if spec.get("manualSelector") or "template" not in spec:
        return
    uid, name = value["metadata"]["uid"], value["metadata"].get("name", "")
    ties = {"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name}
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    template = spec["template"] = {**spec["template"]}
    meta = template["metadata"] = {**(template.get("metadata") or {})}
    meta["labels"] = {**(meta.get("labels") or {}), **ties, "controller-uid": uid, "job-name": name}
