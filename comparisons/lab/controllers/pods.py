"""What the workload controllers know of pods: which count, which are ready, how one is made. Pure."""

import hashlib
import json
from typing import Any

from comparisons.lab import clock
from comparisons.lab.api import kinds, names

Value = dict[str, Any]

TERMINAL = ("Succeeded", "Failed")


def phase(pod: Value) -> str:
    """``status.phase``."""
    found: str = (pod.get("status") or {}).get("phase", "Pending")
    return found


def deleting(value: Value) -> bool:
    """Whether its deletion has begun."""
    return "deletionTimestamp" in value["metadata"]


def active(pod: Value) -> bool:
    """Whether it counts as a replica: neither ended nor on its way out."""
    return phase(pod) not in TERMINAL and not deleting(pod)


def condition(value: Value, type_: str) -> Value | None:
    """Return the condition of that type."""
    return next((each for each in (value.get("status") or {}).get("conditions") or () if each["type"] == type_), None)


def ready(pod: Value) -> bool:
    """Whether it says that it is ready."""
    found = condition(pod, "Ready")
    return found is not None and found["status"] == "True"


def available_in_s(pod: Value, min_ready_s: int, now_wall_ns: int) -> float | None:
    """0 if it has been ready for long enough, else in how many seconds it will have been; None if it is not ready."""
    found = condition(pod, "Ready")
    if found is None or found["status"] != "True":
        return None
    since = found.get("lastTransitionTime")
    if not min_ready_s or not since:
        return 0.0
    return max(0.0, min_ready_s - (now_wall_ns - clock.parse(since)) / 1e9)


def owner_reference(owner: Value) -> Value:
    """How a controller's objects refer to their owner."""
    meta = owner["metadata"]
    head = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    return {**head, "controller": True, "blockOwnerDeletion": True}


def from_template(owner: Value, template: Value, extra_labels: Value | None = None) -> Value:
    """Return a pod of the owner."""
    meta = template.get("metadata") or {}
    metadata = {
        "generateName": owner["metadata"]["name"] + "-",
        "namespace": owner["metadata"]["namespace"],
        "labels": {**(meta.get("labels") or {}), **(extra_labels or {})},
        "annotations": dict(meta.get("annotations") or {}),
        "finalizers": list(meta.get("finalizers") or []),
        "ownerReferences": [owner_reference(owner)],
    }
    kept = {key: value for key, value in metadata.items() if value}
    return {"apiVersion": "v1", "kind": kinds.POD.kind, "metadata": kept, "spec": template["spec"]}


def template_hash(template: Value) -> str:
    """Return a short name for a template: the same for equal templates, in the alphabet of generated names."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    number = int.from_bytes(digest[:8], "big")
    letters = names.SUFFIX_ALPHABET
    return "".join(letters[(number // len(letters) ** place) % len(letters)] for place in range(HASH_LENGTH))


HASH_LENGTH = 10


def set_condition(conditions: list[Value], new: Value, now_wall_ns: int) -> list[Value]:
    """Return the conditions with one replaced; ``lastTransitionTime`` moves only when ``status`` does."""
    old = next((each for each in conditions if each["type"] == new["type"]), None)
    if old is not None and all(old.get(key) == value for key, value in new.items()):
        return conditions
    moved = old is None or old["status"] != new["status"]
    since = clock.rfc3339(now_wall_ns) if moved else (old or {}).get("lastTransitionTime")
    return [*(each for each in conditions if each["type"] != new["type"]), {**new, "lastTransitionTime": since}]
