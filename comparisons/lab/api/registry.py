"""What create, update and delete mean: names, identity, defaults, validation, generations, finalizers, grace.

Every write goes through here; HTTP is not known here. Admission is asked between defaults and validation, and once
more after it, where the real server does: meanwhile others may write, so what was decided about a state is stored only
if that state is still there. Leaves out how a change is stated (``patching``, ``applying``) and how it is read
(``listing``, ``watching``).
"""

import dataclasses
from typing import Any, Protocol

from comparisons.lab import clock
from comparisons.lab.api import (
    addresses,
    attributes,
    catalogue,
    change,
    changes,
    defaulting,
    definitions,
    kinds,
    managing,
    names,
    preparation,
    status,
    store,
    validation,
    versions,
)

Value = dict[str, Any]
TERMINAL = ("Succeeded", "Failed")
IMMORTAL = ("default", "kube-system", "kube-public")
"""Namespaces that the real server's NamespaceLifecycle admission keeps."""
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
ASKED_HERE = ("", "status")
"""Paths whose body is the object itself. Of others (scale, binding) whoever reads the body asks: ``admit``."""
GENERATED_NAME_TRIES = 8
"""k8s.io/apiserver/pkg/registry/generic/registry: maxNameGenerationCreateAttempts."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What a DELETE's options say."""

    grace_s: int | None = None
    propagation: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    collection: bool = False
    """Whether the request names no object, but all that there are."""

    def said(self) -> Value:
        """Return the fields of DeleteOptions, without those that were not said."""
        conditions = {"uid": self.uid, "resourceVersion": self.resource_version}
        preconditions = {name: value for name, value in conditions.items() if value}
        found = {"gracePeriodSeconds": self.grace_s, "propagationPolicy": self.propagation}
        said = {name: value for name, value in found.items() if value is not None}
        return said | ({"preconditions": preconditions} if preconditions else {})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What became of an object that was to be deleted."""

    value: Value
    gone: bool


class Admission(Protocol):
    """Who is asked before a write."""

    async def mutate(self, asked: attributes.Attributes) -> Value:
        """Return the object as it shall be written; raises Refused."""
        ...

    async def validate(self, asked: attributes.Attributes) -> None:
        """Raise Refused if the write may not be."""
        ...


class Moved(status.Refused):
    """409: the object changed while admission was asked about it. Whoever states a change, not a state, tries again."""

    def __init__(self, kind: kinds.Kind, name: str) -> None:
        seen = status.conflict(kind.group, kind.plural, name, status.OBJECT_MODIFIED)
        super().__init__(seen.code, seen.reason, seen.message, seen.details)


class Registry:
    """The rules over the store."""

    def __init__(self, objects: store.Store, ranges: addresses.Ranges, admission: Admission) -> None:
        self.store = objects
        self._ranges = ranges
        self._admission = admission
        self.served = catalogue.Catalogue()

    def get(self, kind: kinds.Kind, key: store.Key) -> Value:
        """Return the stored object; raises Refused (404)."""
        found = self.store.get(kind, key)
        if found is None:
            raise status.not_found(kind.group, kind.plural, key[1])
        return versions.shown(kind, found)

    async def create(self, kind: kinds.Kind, namespace: str, value: Value, write: change.Change) -> Value:
        """Store a new object; ``value`` becomes the registry's. Raises Refused."""
        self._check_served(kind)
        value["metadata"] = preparation.stated(value.get("metadata") or {}, namespace)
        self._check_namespace(kind, namespace, value)
        preparation.fresh(kind, value)
        defaulting.fill(kind, value)
        if not write.applied:
            managing.record(kind, None, preparation.without_status(kind, value), write)
        asked = attributes.creation(kind, namespace, preparation.unborn(kind, value), write)
        value = preparation.born(kind, await self._admission.mutate(asked), namespace, write.now_wall_ns)
        self._name(kind, value["metadata"])
        preparation.tie(kind, value)
        defaulting.fill(kind, value)
        key = (namespace, value["metadata"].get("name", ""))
        self._refuse_if(kind, key, validation.check(kind, value))
        await self._admission.validate(asked.with_object(value))
        self._check_namespace(kind, namespace, value)
        self._check_served(kind)
        if self.store.get(kind, key) is not None:
            raise status.already_exists(kind.group, kind.plural, key[1])
        self._assign(kind, key, value)
        return self._put(kind, key, value, write)

    def _check_served(self, kind: kinds.Kind) -> None:
        """Refuse (405) a new object of a kind whose definition is on its way out, or has changed meanwhile."""
        if kind.custom is None:
            return
        now = self.served.by_path(kind.group, kind.version, kind.plural)
        if now is None or now.custom is None or now.custom.terminating:
            message = "create not allowed while custom resource definition is terminating"
            raise status.Refused(405, "MethodNotAllowed", message, status.named(kind.group, kind.plural))

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

    async def update(self, kind: kinds.Kind, key: store.Key, value: Value, write: change.Change) -> Value:
        """Replace an object; ``value`` becomes the registry's. Raises Refused."""
        old = self.get(kind, key)
        self.check_version(kind, key, old, value)
        new = self._kept(kind, old, value, write)
        if not write.applied:
            managing.record(kind, old, new, write)
        asked = attributes.update(kind, key, old, new, write)
        if write.subresource in ASKED_HERE:
            new = self._kept(kind, old, await self._admission.mutate(asked), write)
        if write.subresource != "status":
            self._refuse_if(kind, key, changes.check(kind, old, new))
        if write.subresource != "status" or kind.custom is not None:
            self._refuse_if(kind, key, validation.check(kind, new, old))
        if write.subresource in ASKED_HERE:
            await self._admission.validate(asked.with_object(new))
            self.check_unmoved(kind, key, old)
        if write.subresource != "status":
            self._assign(kind, key, new)
        return self._settle(kind, old, new, write)

    def _kept(self, kind: kinds.Kind, old: Value, new: Value, write: change.Change) -> Value:
        kept = changes.keep(kind, old, new, write.subresource)
        if write.subresource != "status" or kind.custom is not None:
            defaulting.fill(kind, kept)
        return kept

    def check_unmoved(self, kind: kinds.Kind, key: store.Key, old: Value) -> None:
        """Refuse what was decided about a state that is no more."""
        found = self.store.get(kind, key)
        if found is None or found["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]:
            raise Moved(kind, key[1])

    async def admit(self, asked: attributes.Attributes) -> Value:
        """Return the body of a subresource as it shall be done; raises Refused."""
        admitted = await self._admission.mutate(asked)
        await self._admission.validate(asked.with_object(admitted))
        return admitted

    def settle(self, kind: kinds.Kind, old: Value, new: Value, write: change.Change) -> Value:
        """Store a new state that no admission is asked about; what it changes becomes the writer's."""
        if not write.applied:
            managing.record(kind, old, new, write)
        return self._settle(kind, old, new, write)

    def _settle(self, kind: kinds.Kind, old: Value, new: Value, write: change.Change) -> Value:
        """Store a checked new state, unless it is the old one; lets go of what was only held by its finalizers."""
        key = (old["metadata"].get("namespace", ""), old["metadata"]["name"])
        new["metadata"].pop("resourceVersion", None)
        if _unchanged(old, new, managed=write.applied):
            return old
        if kind.generation and write.subresource != "binding" and not _same_spec(kind, old, new):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        if _released(kind, new):
            return self._remove(kind, key, new, write)
        return self._put(kind, key, new, write)

    def check_version(self, kind: kinds.Kind, key: store.Key, old: Value, new: Value) -> None:
        """Refuse (409) a change of another object, or of another version, than the stored one."""
        meta = new.setdefault("metadata", {})
        if meta.get("uid") and meta["uid"] != old["metadata"]["uid"]:
            raise status.conflict(kind.group, kind.plural, key[1], _uid_differs(meta["uid"], old["metadata"]["uid"]))
        if meta.get("resourceVersion") not in (None, "", "0", old["metadata"]["resourceVersion"]):
            raise status.conflict(kind.group, kind.plural, key[1], status.OBJECT_MODIFIED)

    async def delete(self, kind: kinds.Kind, key: store.Key, removal: Removal, write: change.Change) -> Removed:
        """Remove an object, or starts its graceful end; raises Refused."""
        old = self.get(kind, key)
        if kind is kinds.NAMESPACE and key[1] in IMMORTAL:
            raise status.forbidden("", "namespaces", key[1], "this namespace may not be deleted")
        self._check_preconditions(kind, key, old, removal)
        name = "" if removal.collection else key[1]
        asked = attributes.deletion(kind, (key[0], name), old, removal.said(), write)
        if write.subresource in ASKED_HERE:
            await self._admission.mutate(asked)
            await self._admission.validate(asked)
            self.check_unmoved(kind, key, old)
        return self.remove(kind, key, removal, write)

    def remove(self, kind: kinds.Kind, key: store.Key, removal: Removal, write: change.Change) -> Removed:
        """Remove an object, or start its graceful end, without asking admission; raises Refused."""
        old = self.get(kind, key)
        meta = old["metadata"]
        finalizers = _finalizers(kind, meta, removal.propagation)
        grace_s = _grace(kind, old, removal.grace_s)
        held = finalizers or _held_by_spec(kind, old)
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
            return versions.shown(kind, self.store.put(kind, key, versions.stored(kind, value)))
        version = (self.store.get(kind, key) or {"metadata": {}})["metadata"].get("resourceVersion")
        return {**value, "metadata": value["metadata"] | ({"resourceVersion": version} if version else {})}

    def _remove(self, kind: kinds.Kind, key: store.Key, value: Value, write: change.Change) -> Value:
        if write.dry_run:
            return value
        return versions.shown(kind, self.store.remove(kind, key, versions.stored(kind, value)))


def _uid_differs(asked: str, found: str) -> str:
    return f"Precondition failed: UID in precondition: {asked}, UID in object meta: {found}"


def _unchanged(old: Value, new: Value, *, managed: bool) -> bool:
    ignored = {"resourceVersion"} if managed else {"resourceVersion", "managedFields"}

    def visible(value: Value) -> Value:
        return {**value, "metadata": {k: v for k, v in value["metadata"].items() if k not in ignored}}

    return visible(old) == visible(new)


def _same_spec(kind: kinds.Kind, old: Value, new: Value) -> bool:
    ignored = {"metadata", "status"} if kind.custom is None or "status" in kind.subresources else {"metadata"}
    return {k: v for k, v in old.items() if k not in ignored} == {k: v for k, v in new.items() if k not in ignored}


def _held_by_spec(kind: kinds.Kind, value: Value) -> bool:
    """Whether a namespace is held by the finalizers that only ``/finalize`` changes."""
    return kind is kinds.NAMESPACE and bool((value.get("spec") or {}).get("finalizers"))


def _released(kind: kinds.Kind, value: Value) -> bool:
    meta = value["metadata"]
    held = meta.get("finalizers") or _held_by_spec(kind, value)
    return bool(meta.get("deletionTimestamp")) and not meta.get("deletionGracePeriodSeconds") and not held


def _finalizers(kind: kinds.Kind, meta: Value, propagation: str | None) -> list[str]:
    """Return the finalizers that the garbage collector needs for this propagation policy, and a definition's end."""
    found = list(meta.get("finalizers") or [])
    if kind is kinds.CUSTOM_RESOURCE_DEFINITION and "deletionTimestamp" not in meta:
        found = [*(each for each in found if each != definitions.CLEANUP), definitions.CLEANUP]
    if propagation is None:
        return found
    rest = [each for each in found if each not in {FOREGROUND, ORPHAN}]
    wanted = {"Foreground": [FOREGROUND], "Orphan": [ORPHAN]}.get(propagation, [])
    return rest + wanted


def _grace(kind: kinds.Kind, value: Value, asked: int | None) -> int:
    """How long a pod may still take; 0 for everything else, and for pods that run nowhere."""
    if kind is not kinds.POD:
        return 0
    spec = value.get("spec") or {}
    idle = not spec.get("nodeName") or (value.get("status") or {}).get("phase") in TERMINAL
    if idle:
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
