"""Who owns which fields: ``metadata.managedFields``, kept up at every write.

A write that changes a field takes it from those who owned it. Entries are replaced, never changed in place, since
objects are shared. Leaves out conflicts: ``applying``. Status writes own apart from others (``subresource``), as on
the real server.
"""

import copy
import dataclasses
from typing import Any

from comparisons.lab.api import change, fieldsets, kinds

Value = dict[str, Any]

APPLY, UPDATE = "Apply", "Update"
MOST_UPDATERS = 10
"""k8s.io/apimachinery/pkg/util/managedfields/internal: DefaultMaxUpdateManagers; older ones become ANCIENT."""
ANCIENT = "ancient-changes"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """Who writes, and how: what tells entries apart."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    def owns(self, entry: Value) -> bool:
        """Whether the entry is this manager's."""
        said = (entry.get("manager"), entry.get("operation"), entry.get("apiVersion"), entry.get("subresource", ""))
        return said == (self.name, self.operation, self.api_version, self.subresource)

    def entry(self, trie: fieldsets.Trie, now: str) -> Value:
        """Return an entry with these fields."""
        head = {"manager": self.name, "operation": self.operation, "apiVersion": self.api_version, "time": now}
        made = {**head, "fieldsType": "FieldsV1", "fieldsV1": trie}
        return made | ({"subresource": self.subresource} if self.subresource else {})


def record(kind: kinds.Kind, old: Value | None, new: Value, write: change.Change) -> None:
    """Give the manager what it changed; sets ``managedFields`` of ``new``."""
    changed, removed = _difference(kind, old, new)
    said = new["metadata"].get("managedFields")
    if said is None:
        said = (old or {"metadata": {}})["metadata"].get("managedFields") or []
    present = [entry for entry in said if entry.get("fieldsV1")]
    subresource = write.subresource if write.subresource in {"status", "scale", "token"} else ""
    who = Manager(name=write.manager, operation=UPDATE, api_version=kind.api_version, subresource=subresource)
    if changed or removed:
        present = _handed_over(present, who, changed, removed, write.time)
    _set(new, present)


def _set(value: Value, entries: list[Value]) -> None:
    if entries:
        value["metadata"]["managedFields"] = ordered(entries)
    else:
        value["metadata"].pop("managedFields", None)


def _difference(kind: kinds.Kind, old: Value | None, new: Value) -> tuple[set[fieldsets.Path], set[fieldsets.Path]]:
    """Paths that are new or have another value, and paths that are no more. Looks only at the parts that differ."""
    before = {k: v for k, v in (old or {}).items() if v is not new.get(k) and v != new.get(k)}
    after = {k: v for k, v in new.items() if old is None or (v is not old.get(k) and v != old.get(k))}
    was, is_ = fieldsets.leaves(before, kind.shape), fieldsets.leaves(after, kind.shape)
    changed = {path for path, value in is_.items() if path not in was or was[path] != value}
    return changed, was.keys() - is_.keys()


def _handed_over(
    entries: list[Value], who: Manager, changed: set[fieldsets.Path], removed: set[fieldsets.Path], now: str
) -> list[Value]:
    mine = next((entry for entry in entries if who.owns(entry)), None)
    trie = copy.deepcopy(mine["fieldsV1"]) if mine is not None else {}
    for path in removed:
        fieldsets.remove(trie, path)
    for path in changed:
        fieldsets.add(trie, path)
    others = [without(entry, changed | removed) for entry in entries if entry is not mine]
    kept = [entry for entry in others if entry["fieldsV1"]] + ([who.entry(trie, now)] if trie else [])
    return _bounded(kept)


def without(entry: Value, paths: set[fieldsets.Path]) -> Value:
    """Return an entry that does not own these paths; the same one if it never did."""
    held = [path for path in paths if fieldsets.contains(entry["fieldsV1"], path)]
    if not held:
        return entry
    trie = copy.deepcopy(entry["fieldsV1"])
    for path in held:
        fieldsets.remove(trie, path)
    return {**entry, "fieldsV1": trie}


def _bounded(entries: list[Value]) -> list[Value]:
    """At most so many updaters: the oldest ones are put together."""
    updaters = sorted((e for e in entries if e["operation"] == UPDATE), key=lambda entry: entry.get("time", ""))
    surplus = updaters[: len(updaters) - MOST_UPDATERS + 1] if len(updaters) > MOST_UPDATERS else []
    if not surplus:
        return entries
    merged = copy.deepcopy(surplus[-1])
    for entry in surplus[:-1]:
        for path in fieldsets.paths_of(entry["fieldsV1"]):
            fieldsets.add(merged["fieldsV1"], path)
    merged["manager"] = ANCIENT
    return [entry for entry in entries if entry not in surplus] + [merged]


def ordered(entries: list[Value]) -> list[Value]:
    """Appliers first, then by time, as the real server writes them."""
    return sorted(entries, key=lambda each: (each["operation"], each.get("time", ""), each.get("manager", "")))
