"""What create, update and delete mean: names, identity, defaults, validation, generations, finalizers, grace.

Every write goes through here; HTTP is not known here. Admission belongs between ``defaulting.fill`` and
``validation.check``, where the real server has it, in ``create`` and in ``update``. Leaves out how a change is stated
(``patching``, ``applying``) and how it is read (``listing``, ``watching``).
"""

import dataclasses
from typing import Any

from comparisons.lab import clock
from comparisons.lab.api import (
    access,
    addresses,
    change,
    changes,
    defaulting,
    kinds,
    managing,
    names,
    preparation,
    status,
    store,
    validation,
)

Value = dict[str, Any]
TERMINAL = ("Succeeded", "Failed")
IMMORTAL = ("default", "kube-system", "kube-public")
"""Namespaces that the real server's NamespaceLifecycle admission keeps."""
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
GENERATED_NAME_TRIES = 8
"""k8s.io/apiserver/pkg/registry/generic/registry: maxNameGenerationCreateAttempts."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What a DELETE's options say."""

    grace_s: int | None = None
    propagation: str | None = None
    uid: str | None = None
    resource_version: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What became of an object that was to be deleted."""

    value: Value
    gone: bool


class Registry:
    """The rules over the store."""

    def __init__(self, objects: store.Store, ranges: addresses.Ranges) -> None:
        self.store = objects
        self._ranges = ranges

    def get(self, kind: kinds.Kind, key: store.Key) -> Value:
        """Return the stored object; raises Refused (404)."""
        found = self.store.get(kind, key)
        if found is None:
            raise status.not_found(kind.group, kind.plural, key[1])
        return found

    def create(self, kind: kinds.Kind, namespace: str, value: Value, write: change.Change) -> Value:
        """Store a new object; ``value`` becomes the registry's. Raises Refused."""
        value["metadata"] = preparation.metadata(value.get("metadata") or {}, namespace, write.now_wall_ns, kind)
        self._check_namespace(kind, namespace, value)
        self._name(kind, value["metadata"])
        key = (namespace, value["metadata"].get("name", ""))
        preparation.fresh(kind, value)
        defaulting.fill(kind, value)
        if not write.applied:
            managing.record(kind, None, value, write)
        self._give_access(kind, namespace, value)
        self._refuse_if(kind, key, validation.check(kind, value))
        if self.store.get(kind, key) is not None:
            raise status.already_exists(kind.group, kind.plural, key[1])
        self._assign(kind, key, value)
        return self._put(kind, key, value, write)

    def _give_access(self, kind: kinds.Kind, namespace: str, value: Value) -> None:
        """Give a pod its way to the API; raises Refused (403) if its service account is missing."""
        if kind is not kinds.POD:
            return
        name = access.account_of(value)
        account = self.store.get(kinds.SERVICE_ACCOUNT, (namespace, name))
        if account is None:
            why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise status.forbidden("", "pods", value["metadata"].get("name", ""), why)
        access.give(value, account)

    def _check_namespace(self, kind: kinds.Kind, namespace: str, value: Value) -> None:
        if not kind.namespaced:
            return
        found = self.store.get(kinds.NAMESPACE, ("", namespace))
        if found is None:
            raise status.not_found("", "namespaces", namespace)
        if found["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = status.Cause(field="metadata.namespace", reason="NamespaceTerminating", message=why)
            raise status.forbidden(kind.group, kind.plural, value["metadata"].get("name", ""), why, [cause])

    def _name(self, kind: kinds.Kind, meta: Value) -> None:
        if meta.get("name") or not meta.get("generateName"):
            return
        for _ in range(GENERATED_NAME_TRIES):
            meta["name"] = names.generated(meta["generateName"])
            if self.store.get(kind, (meta.get("namespace", ""), meta["name"])) is None:
                return

    def _assign(self, kind: kinds.Kind, key: store.Key, value: Value) -> None:
        if kind is kinds.SERVICE:
            others = (each for other, each in self.store.objects(kind).items() if other != key)
            self._refuse_if(kind, key, addresses.assign(self._ranges, value, others))

    def _refuse_if(self, kind: kinds.Kind, key: store.Key, causes: list[status.Cause]) -> None:
        if causes:
            raise status.invalid(kind.group, kind.kind, key[1], causes)

    def update(self, kind: kinds.Kind, key: store.Key, value: Value, write: change.Change) -> Value:
        """Replace an object; ``value`` becomes the registry's. Raises Refused."""
        old = self.get(kind, key)
        self.check_version(kind, key, old, value)
        new = changes.keep(kind, old, value, write.subresource)
        if write.subresource != "status":
            defaulting.fill(kind, new)
            self._refuse_if(kind, key, changes.check(kind, old, new))
            self._assign(kind, key, new)
            self._refuse_if(kind, key, validation.check(kind, new))
        return self.settle(kind, old, new, write)

    def settle(self, kind: kinds.Kind, old: Value, new: Value, write: change.Change) -> Value:
        """Store a checked new state, unless it is the old one; lets go of what was only held by its finalizers."""
        key = (old["metadata"].get("namespace", ""), old["metadata"]["name"])
        new["metadata"].pop("resourceVersion", None)
        if _unchanged(old, new, managed=write.applied):
            return old
        if kind.generation and write.subresource != "binding" and not _same_spec(old, new):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        if not write.applied:
            managing.record(kind, old, new, write)
        if _released(new):
            return self._remove(kind, key, new, write)
        return self._put(kind, key, new, write)

    def check_version(self, kind: kinds.Kind, key: store.Key, old: Value, new: Value) -> None:
        """Refuse (409) a change of another object, or of another version, than the stored one."""
        meta = new.setdefault("metadata", {})
        if meta.get("uid") and meta["uid"] != old["metadata"]["uid"]:
            raise status.conflict(kind.group, kind.plural, key[1], _uid_differs(meta["uid"], old["metadata"]["uid"]))
        if meta.get("resourceVersion") not in (None, "", "0", old["metadata"]["resourceVersion"]):
            raise status.conflict(kind.group, kind.plural, key[1], status.OBJECT_MODIFIED)

    def delete(self, kind: kinds.Kind, key: store.Key, removal: Removal, write: change.Change) -> Removed:
        """Remove an object, or starts its graceful end; raises Refused."""
        old = self.get(kind, key)
        if kind is kinds.NAMESPACE and key[1] in IMMORTAL:
            raise status.forbidden("", "namespaces", key[1], "this namespace may not be deleted")
        self._check_preconditions(kind, key, old, removal)
        meta = old["metadata"]
        finalizers = _finalizers(meta.get("finalizers") or [], removal.propagation)
        grace_s = _grace(kind, old, removal.grace_s)
        held = finalizers or (old.get("spec") or {}).get("finalizers")
        new = _deleting(kind, old, finalizers, grace_s, write.now_wall_ns)
        if grace_s > 0 or held:
            return Removed(value=self._put(kind, key, new, write) if new["metadata"] != meta else old, gone=False)
        return Removed(value=self._remove(kind, key, new, write), gone=True)

    def _check_preconditions(self, kind: kinds.Kind, key: store.Key, old: Value, removal: Removal) -> None:
        meta = old["metadata"]
        if removal.uid and removal.uid != meta["uid"]:
            raise status.conflict(kind.group, kind.plural, key[1], _uid_differs(removal.uid, meta["uid"]))
        if removal.resource_version and removal.resource_version != meta["resourceVersion"]:
            asked, found = removal.resource_version, meta["resourceVersion"]
            why = f"ResourceVersion in precondition: {asked}, ResourceVersion in object meta: {found}"
            raise status.conflict(kind.group, kind.plural, key[1], f"Precondition failed: {why}")

    def _put(self, kind: kinds.Kind, key: store.Key, value: Value, write: change.Change) -> Value:
        if not write.dry_run:
            return self.store.put(kind, key, value)
        version = (self.store.get(kind, key) or {"metadata": {}})["metadata"].get("resourceVersion")
        return {**value, "metadata": value["metadata"] | ({"resourceVersion": version} if version else {})}

    def _remove(self, kind: kinds.Kind, key: store.Key, value: Value, write: change.Change) -> Value:
        return value if write.dry_run else self.store.remove(kind, key, value)


def _uid_differs(asked: str, found: str) -> str:
    return f"Precondition failed: UID in precondition: {asked}, UID in object meta: {found}"


def _unchanged(old: Value, new: Value, *, managed: bool) -> bool:
    ignored = {"resourceVersion"} if managed else {"resourceVersion", "managedFields"}

    def visible(value: Value) -> Value:
        return {**value, "metadata": {k: v for k, v in value["metadata"].items() if k not in ignored}}

    return visible(old) == visible(new)


def _same_spec(old: Value, new: Value) -> bool:
    ignored = {"metadata", "status"}
    return {k: v for k, v in old.items() if k not in ignored} == {k: v for k, v in new.items() if k not in ignored}


def _released(value: Value) -> bool:
    meta = value["metadata"]
    held = meta.get("finalizers") or (value.get("spec") or {}).get("finalizers")
    return bool(meta.get("deletionTimestamp")) and not meta.get("deletionGracePeriodSeconds") and not held


def _finalizers(found: list[str], propagation: str | None) -> list[str]:
    """Return the finalizers that the garbage collector needs for this propagation policy."""
    if propagation is None:
        return found
    rest = [each for each in found if each not in {FOREGROUND, ORPHAN}]
    wanted = {"Foreground": [FOREGROUND], "Orphan": [ORPHAN]}.get(propagation, [])
    return rest + wanted


def _grace(kind: kinds.Kind, value: Value, asked: int | None) -> int:
    """How long a pod may still take; 0 for everything else, and for pods that run nowhere."""
    spec = value.get("spec") or {}
    idle = not spec.get("nodeName") or (value.get("status") or {}).get("phase") in TERMINAL
    if kind is not kinds.POD or idle:
        return 0
    wanted: int = spec.get("terminationGracePeriodSeconds", 30) if asked is None else max(asked, 0)
    left: int | None = value["metadata"].get("deletionGracePeriodSeconds")
    return wanted if left is None else min(left, wanted) if asked is not None else left


def _deleting(kind: kinds.Kind, old: Value, finalizers: list[str], grace_s: int, now_wall_ns: int) -> Value:
    meta = {key: value for key, value in old["metadata"].items() if key != "finalizers"}
    meta |= {"finalizers": finalizers} if finalizers else {}
    if "deletionTimestamp" not in meta or meta.get("deletionGracePeriodSeconds", 0) > grace_s:
        if "deletionTimestamp" not in meta and kind.generation:
            meta["generation"] = meta.get("generation", 0) + 1
        end_wall_ns = now_wall_ns + grace_s * 10**9
        meta |= {"deletionTimestamp": clock.rfc3339(end_wall_ns), "deletionGracePeriodSeconds": grace_s}
    new = {**old, "metadata": meta}
    if kind is kinds.NAMESPACE:
        new["status"] = {**(old.get("status") or {}), "phase": "Terminating"}
        meta.pop("deletionGracePeriodSeconds", None)
    return new
