"""Server-side apply: a client states the fields that it wants; what it stated before and no longer states goes.

A field that another manager owns with another value is a conflict (409), unless forced. Rules:
sigs.k8s.io/structured-merge-diff. Leaves out apply across API versions: every kind has one.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from comparisons.lab.api import (
    asking,
    change,
    conforming,
    decoding,
    fieldsets,
    kinds,
    managing,
    merging,
    preparation,
    registry,
    status,
    versions,
)

Value = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the query says."""

    manager: str
    force: bool
    validation: decoding.FieldValidation


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What an apply did."""

    value: Value
    created: bool
    warnings: tuple[str, ...] = ()


def options(query: Mapping[str, str]) -> Options:
    """Return the query's options; raises Refused (422) without a ``fieldManager``."""
    if not query.get("fieldManager"):
        cause = status.required("fieldManager", "is required for apply patch")
        raise status.invalid("meta.k8s.io", "PatchOptions", "", [cause])
    return Options(
        manager=query["fieldManager"], force=asking.flag(query, "force"), validation=asking.field_validation(query)
    )


async def apply(
    rules: registry.Registry, target: asking.Target, body: bytes, asked: Options, who: change.Change
) -> Applied:
    """Create the object, or brings it to what is stated; raises Refused."""
    decoded = _relevant(target, decoding.decode(_stated(target, body), target.kind, asked.validation))
    who = dataclasses.replace(who, applied=True)
    kind, key = target.kind, (target.namespace, target.name)
    live = rules.store.get(kind, key)
    if live is None:
        if target.subresource or (decoded.value.get("metadata") or {}).get("uid"):
            raise status.not_found(kind.group, kind.plural, target.name)
        value = await rules.create(kind, target.namespace, _claimed(kind, decoded.value, asked, who), who)
        return Applied(value=value, created=True, warnings=decoded.warnings)
    wanted = _merged(kind, versions.shown(kind, live), decoded.value, asked, who)
    value = await rules.update(kind, key, wanted, who)
    return Applied(value=value, created=False, warnings=decoded.warnings)


def _relevant(target: asking.Target, decoded: decoding.Decoded) -> decoding.Decoded:
    """Leave the part that this path does not change to its owners; say the names of items of custom lists in full."""
    kind, value = target.kind, decoded.value
    if kind.custom is not None:
        conforming.fill_keys(kind.custom.schema, value)
    if target.subresource != "status":
        return dataclasses.replace(decoded, value=preparation.without_status(kind, value))
    mine = {"apiVersion", "kind", "metadata", "status"}
    return dataclasses.replace(decoded, value={name: part for name, part in value.items() if name in mine})


def _stated(target: asking.Target, body: bytes) -> Value:
    said = decoding.mapping(body, decoding.YAML)
    for part in ("apiVersion", "kind"):
        if not said.get(part):
            raise status.bad_request(f"invalid object type: {part} must be set for apply")
    meta = said.get("metadata") if isinstance(said.get("metadata"), dict) else {}
    if meta and meta.get("managedFields"):
        raise status.bad_request("metadata.managedFields must be nil")
    if (meta or {}).get("name", target.name) != target.name:
        message = (
            f"the name of the object ({(meta or {}).get('name')}) does not match the name on the URL ({target.name})"
        )
        raise status.bad_request(message)
    return {**said, "metadata": {**(meta or {}), "name": target.name}}


def _manager(kind: kinds.Kind, asked: Options, subresource: str) -> managing.Manager:
    return managing.Manager(
        name=asked.manager, operation=managing.APPLY, api_version=kind.api_version, subresource=subresource
    )


def _claimed(kind: kinds.Kind, value: Value, asked: Options, who: change.Change) -> Value:
    """Return the new object with its one owner."""
    trie = fieldsets.trie_of(set(fieldsets.leaves(value, kind.shape)))
    entry = _manager(kind, asked, "").entry(trie, who.time)
    return {**value, "metadata": {**value["metadata"], "managedFields": [entry]}}


def _merged(kind: kinds.Kind, live: Value, stated: Value, asked: Options, who: change.Change) -> Value:
    entries = [entry for entry in live["metadata"].get("managedFields") or () if entry.get("fieldsV1")]
    manager = _manager(kind, asked, who.subresource)
    mine = next((entry for entry in entries if manager.owns(entry)), None)
    others = [entry for entry in entries if entry is not mine]
    wanted = fieldsets.leaves(stated, kind.shape)
    others = _settled(kind, live, wanted, others, force=asked.force)
    value = merging.merged(kind.shape, live, stated)
    if mine is not None:
        value = merging.pruned(kind.shape, value, _dropped(mine, wanted, others))
    trie = fieldsets.trie_of(set(wanted))
    entry = mine if mine is not None and mine["fieldsV1"] == trie else manager.entry(trie, who.time)
    metadata = {**value["metadata"], "managedFields": managing.ordered([*others, entry])}
    metadata["resourceVersion"] = (stated.get("metadata") or {}).get("resourceVersion", "")
    return {**value, "metadata": metadata}


def _settled(
    kind: kinds.Kind, live: Value, wanted: Mapping[fieldsets.Path, Any], others: list[Value], *, force: bool
) -> list[Value]:
    """Return the other owners after this apply; raises Refused (409) if they do not agree and are not overruled."""
    found = fieldsets.leaves(live, kind.shape)
    moved = {path for path, value in wanted.items() if path not in found or found[path] != value}
    conflicts = [
        (entry, path) for entry in others for path in sorted(moved) if fieldsets.contains(entry["fieldsV1"], path)
    ]
    if conflicts and not force:
        raise _conflict(conflicts)
    taken = {path for _, path in conflicts}
    return [entry for entry in (managing.without(each, taken) for each in others) if entry["fieldsV1"]]


def _conflict(conflicts: Sequence[tuple[Value, fieldsets.Path]]) -> status.Refused:
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {_owner(entry)}", "field": fieldsets.words(path)}
        for entry, path in conflicts
    ]
    lines = [f"{cause['message']}: {cause['field']}" for cause in causes]
    count = "1 conflict" if len(lines) == 1 else f"{len(lines)} conflicts"
    words = lines[0] if len(lines) == 1 else "\n".join(f"- {line}" for line in lines)
    return status.Refused(409, "Conflict", f"Apply failed with {count}: {words}", {"causes": causes})


def _owner(entry: Value) -> str:
    through = f' with subresource "{entry["subresource"]}"' if entry.get("subresource") else ""
    when = f" at {entry['time']}" if entry["operation"] == managing.UPDATE and entry.get("time") else ""
    return f'"{entry["manager"]}"{through} using {entry["apiVersion"]}{when}'


def _dropped(mine: Value, wanted: Mapping[fieldsets.Path, Any], others: Sequence[Value]) -> list[fieldsets.Path]:
    """Return what this manager no longer states and nobody else holds; whole items before what is in them."""
    before = set(fieldsets.paths_of(mine["fieldsV1"]))
    held = (
        path for path in before - set(wanted) if not any(fieldsets.touches(each["fieldsV1"], path) for each in others)
    )
    return sorted(held, key=len)
