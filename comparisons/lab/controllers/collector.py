"""Deletes what nobody owns any more: owner references in their three ways, background, foreground and orphan.

An owner counts as gone only when the API itself says so: the cache may be behind. Objects whose owner is of a kind
that is not watched are left alone.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from comparisons.lab.api import kinds
from comparisons.lab.controllers import cache, pods, writer

Value = dict[str, Any]

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
LOOK_AGAIN_S = 1.0


class Collector:
    """The garbage collector. Its keys are ("", uid)."""

    name = "garbage-collector"

    def __init__(self, known: cache.Cache, out: writer.Writer) -> None:
        self._known = known
        self._out = out
        self._objects: dict[str, tuple[kinds.Kind, Value]] = {}

    def keys(self, kind: kinds.Kind, value: cache.Value, *, gone: bool) -> Sequence[cache.Key]:
        """Return an object with owners or our finalizers; what a gone one owned, and what waited for it to go."""
        meta = value["metadata"]
        owners = meta.get("ownerReferences") or ()
        if gone:
            self._objects.pop(meta["uid"], None)
            related = [each["metadata"]["uid"] for _, each in self._known.dependents(meta["uid"])]
            return [("", uid) for uid in [*related, *(owner["uid"] for owner in owners)]]
        self._objects[meta["uid"]] = (kind, value)
        finalized = bool({FOREGROUND, ORPHAN} & set(meta.get("finalizers") or ()))
        return [("", meta["uid"])] if owners or (finalized and pods.deleting(value)) else []

    async def reconcile(self, key: cache.Key) -> float | None:
        """Brings one object's end nearer, if it is to end."""
        found = self._objects.get(key[1])
        if found is None:
            return None
        kind, value = found
        finalizers = value["metadata"].get("finalizers") or ()
        if pods.deleting(value) and ORPHAN in finalizers:
            return await self._orphan(kind, value)
        if pods.deleting(value) and FOREGROUND in finalizers:
            return await self._foreground(kind, value)
        if not pods.deleting(value):
            await self._collect(kind, value)
        return None

    async def _collect(self, kind: kinds.Kind, value: Value) -> None:
        """Delete an object all of whose owners are gone; takes the gone ones off an object that has others."""
        owners = value["metadata"].get("ownerReferences") or []
        solid = [owner for owner, there in zip(owners, await self._present(value, owners), strict=True) if there]
        if len(solid) == len(owners):
            return
        waiting = [owner for owner in solid if self._deletes_in_foreground(owner)]
        if len(solid) > len(waiting):
            await self._out.patch(kind, value, _owned_by(value, solid))
        else:
            await self._out.delete(kind, value, "Foreground" if waiting else "Background")

    async def _present(self, value: Value, owners: Sequence[Value]) -> list[bool]:
        return await asyncio.gather(*(self._is_there(value, owner) for owner in owners))

    async def _is_there(self, value: Value, owner: Value) -> bool:
        if owner["uid"] in self._known.uids:
            return True
        kind = self._known.kind_of(owner["apiVersion"], owner["kind"])
        if kind is None:
            return True
        namespace = value["metadata"].get("namespace", "") if kind.namespaced else ""
        found = await self._out.read(kind, namespace, owner["name"])
        return found is not None and found["metadata"]["uid"] == owner["uid"]

    def _deletes_in_foreground(self, owner: Value) -> bool:
        known = self._objects.get(owner["uid"])
        if known is None:
            return False
        return pods.deleting(known[1]) and FOREGROUND in (known[1]["metadata"].get("finalizers") or ())

    async def _foreground(self, kind: kinds.Kind, value: Value) -> float | None:
        """Delete the dependents first; the owner goes when none is left that blocks it."""
        uid = value["metadata"]["uid"]
        dependents = self._known.dependents(uid)
        for of, each in dependents:
            if not pods.deleting(each):
                await self._out.delete(
                    of, each, "Foreground" if self._known.dependents(each["metadata"]["uid"]) else "Background"
                )
        if any(_blocks(each, uid) for _, each in self._known.dependents(uid)):
            return LOOK_AGAIN_S
        await self._let_go(kind, value, FOREGROUND)
        return None

    async def _orphan(self, kind: kinds.Kind, value: Value) -> float | None:
        """Take the owner off its dependents; then it may go."""
        uid = value["metadata"]["uid"]
        for of, each in self._known.dependents(uid):
            rest = [owner for owner in each["metadata"].get("ownerReferences") or () if owner["uid"] != uid]
            await self._out.patch(of, each, _owned_by(each, rest))
        await self._let_go(kind, value, ORPHAN)
        return None

    async def _let_go(self, kind: kinds.Kind, value: Value, finalizer: str) -> None:
        rest = [each for each in value["metadata"].get("finalizers") or () if each != finalizer]
        version = value["metadata"]["resourceVersion"]
        await self._out.patch(kind, value, {"metadata": {"finalizers": rest or None, "resourceVersion": version}})


def _blocks(dependent: Value, uid: str) -> bool:
    owners = dependent["metadata"].get("ownerReferences") or ()
    return any(owner["uid"] == uid and owner.get("blockOwnerDeletion") for owner in owners)


def _owned_by(value: Value, owners: list[Value]) -> Value:
    return {"metadata": {"ownerReferences": owners or None, "resourceVersion": value["metadata"]["resourceVersion"]}}
