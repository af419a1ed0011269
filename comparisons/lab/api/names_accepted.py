"""The status of a CustomResourceDefinition: which of its names it has, whether it is established, what it stores.

As k8s.io/apiextensions-apiserver/pkg/controller/{status,establish,finalizer}. Pure.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from comparisons.lab.api import definitions

Value = dict[str, Any]


def status_of(definition: Value, others: Iterable[Value], now: str) -> Value:
    """Return the status that a definition should have among the others."""
    old, spec = definition.get("status") or {}, definition["spec"]
    names, conflict = _names(spec["names"], old.get("acceptedNames") or {}, _taken(spec["group"], others))
    accepted = conflict or ("True", "NoConflicts", "no conflicts found")
    conditions = _set(old.get("conditions") or [], definitions.NAMES_ACCEPTED, accepted, now)
    if not definitions.is_true(definition, definitions.ESTABLISHED):
        established = ("False", "NotAccepted", "not all names are accepted")
        if not conflict:
            established = ("True", "InitialNamesAccepted", "the initial names have been accepted")
        conditions = _set(conditions, definitions.ESTABLISHED, established, now)
    stored = list(dict.fromkeys([*(old.get("storedVersions") or ()), definitions.storage(definition)]))
    return {"conditions": conditions, "acceptedNames": names, "storedVersions": stored}


def ending(definition: Value, left: int, now: str) -> Value:
    """Return the status of a definition on its way out, of which so many objects are left."""
    said = ("False", "InstanceDeletionCompleted", "removed all instances")
    if left:
        said = ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
    old = definition.get("status") or {}
    return {**old, "conditions": _set(old.get("conditions") or [], definitions.TERMINATING, said, now)}


def _taken(group: str, others: Iterable[Value]) -> tuple[set[str], set[str]]:
    """Return the resources' and the kinds' names that other definitions of the group have."""
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if other["spec"]["group"] == group:
            found = (other.get("status") or {}).get("acceptedNames") or {}
            resources |= {found.get("plural", ""), found.get("singular", ""), *(found.get("shortNames") or ())}
            kinds |= {found.get("kind", ""), found.get("listKind", "")}
    return resources - {""}, kinds - {""}


def _names(wanted: Value, had: Value, taken: tuple[set[str], set[str]]) -> tuple[Value, tuple[str, str, str] | None]:
    """Return the names that it has now, and the condition if it cannot have all."""
    resources, kinds = taken
    found, conflict = dict(had), None
    places = {"plural": resources, "singular": resources, "shortNames": resources, "kind": kinds, "listKind": kinds}
    for part, used in places.items():
        refused = _refused(wanted.get(part), had.get(part), used)
        if refused:
            conflict = ("False", f"{part[0].upper()}{part[1:]}Conflict", refused)
        elif part in wanted:
            found[part] = wanted[part]
        else:
            found.pop(part, None)
    found.pop("categories", None)
    return found | ({"categories": wanted["categories"]} if wanted.get("categories") else {}), conflict


def _refused(wanted: str | Sequence[str] | None, had: str | Sequence[str] | None, used: set[str]) -> str:
    """Why a name, or one of a list of names, cannot be had."""
    names = [wanted] if isinstance(wanted, str) else list(wanted or ())
    kept = [had] if isinstance(had, str) else list(had or ())
    words = [f'"{name}" is already in use' for name in names if name in used and name not in kept]
    return words[0] if len(words) == 1 else f"[{', '.join(words)}]" if words else ""


def _set(conditions: Sequence[Value], type_: str, said: tuple[str, str, str], now: str) -> list[Value]:
    status, reason, message = said
    new = {"type": type_, "status": status, "reason": reason, "message": message}
    old = next((each for each in conditions if each["type"] == type_), None)
    moved = old is None or old["status"] != status
    new["lastTransitionTime"] = now if moved or old is None else old.get("lastTransitionTime", now)
    if old is not None and all(old.get(key) == part for key, part in new.items()):
        return list(conditions)
    return [*(each for each in conditions if each["type"] != type_), new]
