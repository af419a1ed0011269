"""What each policy's status should say, and which writes that takes: computed, not done.

Here because whoever writes a policy reads its status and nothing else of ours. Nothing is written that is there, and a
count that keeps changing is written at a bounded rate. Leaves out the requests (``service``).
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from injector.cluster import model as cluster
from injector.policy import book, model

Json = Mapping[str, Any]
COUNT_EVERY_S: Final = 10.0
"""How often a policy's count of pods may be written: arbitrary, but a roll-out must not cost a write for each pod."""
_MAX_MESSAGE: Final = 1024
"""Kubernetes allows 32768; a person reads less."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One JSON patch of one ``/status``."""

    key: str
    """``namespace/name``."""
    path: str
    body: list[Json]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to write now, and when to ask again although nothing happened."""

    writes: tuple[Write, ...]
    again_s: float | None
    """On the clock of ``now_s``; None: nothing waits."""


def targets(policy: model.AuthorizationPolicy | None, pods: Iterable[cluster.Pod]) -> int:
    """Count the pods that a policy governs."""
    return sum(1 for pod in pods if policy is not None and policy.selects(pod.ref.namespace, pod.labels))


def plan(
    entries: Iterable[book.Entry],
    pods: Sequence[cluster.Pod],
    written_s: Mapping[str, float],
    *,
    now_s: float,
    now_text: str,
) -> Plan:
    """Compare what each status should say with what it says.

    ``written_s`` is when each was last written; ``now_text`` is the same moment as RFC 3339, for conditions.
    """
    writes: list[Write] = []
    waits: list[float] = []
    by_namespace: dict[str, list[cluster.Pod]] = {}
    for pod in pods:
        by_namespace.setdefault(pod.ref.namespace, []).append(pod)
    for entry in entries:
        count = targets(entry.policy, by_namespace.get(entry.namespace, ()))
        wanted = desired(entry, count, now_text=now_text)
        if _same(wanted, entry.status):
            continue
        free_s = written_s.get(entry.key, float("-inf")) + COUNT_EVERY_S
        if now_s < free_s and _says_the_same(wanted, entry.status):
            waits.append(free_s)
        else:
            writes.append(Write(key=entry.key, path=path(entry), body=_patch(entry, wanted)))
    return Plan(writes=tuple(writes), again_s=min(waits, default=None))


def path(entry: book.Entry) -> str:
    """Give the URL of a policy's status."""
    return f"{model.PATH.removesuffix(model.PLURAL)}namespaces/{entry.namespace}/{model.PLURAL}/{entry.name}/status"


def desired(entry: book.Entry, count: int, *, now_text: str) -> dict[str, Any]:
    """Give the whole status that a policy should have. A condition keeps its time while its status stays."""
    accepted = not entry.error
    condition = {
        "type": book.ACCEPTED,
        "status": "True" if accepted else "False",
        "observedGeneration": entry.generation,
        "reason": _reason(entry, count),
        "message": _message(entry, count)[:_MAX_MESSAGE],
    }
    before = _condition(entry.status)
    unchanged = before.get("status") == condition["status"] and isinstance(before.get("lastTransitionTime"), str)
    condition["lastTransitionTime"] = before["lastTransitionTime"] if unchanged else now_text
    status: dict[str, Any] = {
        "observedGeneration": entry.generation,
        "targets": count,
        "conditions": [condition],
    }
    if entry.origin is book.Origin.KEPT:
        status["inForce"] = {"generation": entry.kept_generation, "spec": entry.kept_spec}
    elif entry.origin is book.Origin.CLOSED:  # so that the next run knows that there was something
        status["inForce"] = {"generation": 0, "spec": {}}
    return status


def _reason(entry: book.Entry, count: int) -> str:
    if entry.error:
        return "Invalid"
    return "Accepted" if count else "NoTarget"


def _message(entry: book.Entry, count: int) -> str:
    pods = f"{count} pod{'' if count == 1 else 's'}"
    match entry.origin:
        case book.Origin.SPEC if not count:
            return "selects no pod of its namespace at present"
        case book.Origin.SPEC:
            return f"governs {pods}"
        case book.Origin.KEPT:
            return f"{entry.error}; generation {entry.kept_generation} stays in force, and governs {pods}"
        case book.Origin.CLOSED:
            return f"{entry.error}; what was in force before is not known any more: {pods} admit nobody by this policy"
        case book.Origin.NONE:
            return f"{entry.error}; nothing of it is in force"


def _condition(status: Json) -> Json:
    conditions = status.get("conditions")
    for each in conditions if isinstance(conditions, list) else ():
        if isinstance(each, dict) and each.get("type") == book.ACCEPTED:
            return each
    return {}


def _same(wanted: Json, there: Json) -> bool:
    """Say whether a status is as it should be; members that are not ours do not matter."""
    return all(there.get(key) == wanted.get(key) for key in ("observedGeneration", "targets", "conditions", "inForce"))


def _says_the_same(wanted: Json, there: Json) -> bool:
    """Say whether only counts differ."""
    mine, theirs = _condition(wanted), _condition(there)
    return wanted.get("inForce") == there.get("inForce") and all(
        mine.get(key) == theirs.get(key) for key in ("status", "observedGeneration")
    )


def _patch(entry: book.Entry, wanted: Json) -> list[Json]:
    """Give the JSON patch: the status is ours and replaced whole, but only that of this object, not its successor's."""
    same = [{"op": "test", "path": "/metadata/uid", "value": entry.uid}] if entry.uid else []
    return [*same, {"op": "add", "path": "/status", "value": wanted}]
