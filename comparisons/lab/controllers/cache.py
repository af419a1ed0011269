"""What the controllers know of the cluster: one informer a kind, objects by name and by owner.

Objects are not to be changed by readers. A handler is told the object of every change; what it makes of it is its own.
Leaves out writing: ``writer``.
"""

import asyncio
import collections
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from comparisons.lab.api import kinds
from ipseity import informer, kube

if TYPE_CHECKING:
    from kubernetes.aio import client

Value = dict[str, Any]
Handler = Callable[[kinds.Kind, Value, bool], None]
"""Kind, object, and whether it is gone."""
Key = tuple[str, str]


def key_of(value: Value) -> Key:
    """Namespace and name."""
    return (value["metadata"].get("namespace", ""), value["metadata"]["name"])


def controller_of(value: Value) -> Value | None:
    """The owner reference of the object's controller."""
    owners = value["metadata"].get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), None)


class Cache:
    """Objects of the watched kinds, as they were when last heard of."""

    def __init__(self, api: "client.ApiClient", watched: Iterable[kinds.Kind]) -> None:
        self._informers = {kind: _informer(api, kind) for kind in watched}
        self._objects: dict[kinds.Kind, dict[Key, Value]] = {kind: {} for kind in self._informers}
        self._owned: dict[str, dict[str, tuple[kinds.Kind, Value]]] = collections.defaultdict(dict)
        self._handlers: list[Handler] = []
        self.uids: dict[str, kinds.Kind] = {}
        """Every known object's kind."""

    def on_change(self, handler: Handler) -> None:
        """Has the handler told of every change."""
        self._handlers.append(handler)

    @property
    def synced(self) -> bool:
        """Whether every kind has been listed."""
        return all(each.synced for each in self._informers.values())

    def get(self, kind: kinds.Kind, key: Key) -> Value | None:
        """One object."""
        return self._objects[kind].get(key)

    def all(self, kind: kinds.Kind, namespace: str | None = None) -> Iterator[Value]:
        """Objects of a kind."""
        found = list(self._objects[kind].values())
        return (each for each in found if namespace is None or each["metadata"].get("namespace") == namespace)

    def owned(self, uid: str, kind: kinds.Kind | None = None) -> list[Value]:
        """The objects that refer to an owner."""
        return [value for of, value in self._owned.get(uid, {}).values() if kind in (None, of)]

    def dependents(self, uid: str) -> list[tuple[kinds.Kind, Value]]:
        """The objects that refer to an owner, with their kinds."""
        return list(self._owned.get(uid, {}).values())

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follows all kinds meanwhile."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._follow(kind, each)) for kind, each in self._informers.items()]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def _follow(self, kind: kinds.Kind, source: informer.Informer[Value]) -> None:
        async with contextlib.aclosing(source.events()) as events:
            async for event in events:
                self._apply(kind, event.value, gone=event.change is informer.Change.GONE)

    def _apply(self, kind: kinds.Kind, value: Value, *, gone: bool) -> None:
        value = {**value, "kind": kind.kind, "apiVersion": kind.api_version}
        uid, key, shelf = value["metadata"]["uid"], key_of(value), self._objects[kind]
        self._forget(uid, shelf.get(key))
        if gone:
            if (found := shelf.get(key)) is not None and found["metadata"]["uid"] == uid:
                del shelf[key]
            self.uids.pop(uid, None)
        else:
            shelf[key] = value
            self.uids[uid] = kind
            for owner in value["metadata"].get("ownerReferences") or ():
                self._owned[owner["uid"]][uid] = (kind, value)
        for handler in self._handlers:
            handler(kind, value, gone)

    def _forget(self, uid: str, known: Value | None) -> None:
        for owner in (known or {"metadata": {}})["metadata"].get("ownerReferences") or ():
            owned = self._owned.get(owner["uid"], {})
            owned.pop(uid, None)
            if not owned:
                self._owned.pop(owner["uid"], None)


def _informer(api: "client.ApiClient", kind: kinds.Kind) -> informer.Informer[Value]:
    resource = kube.Resource(path=f"{kind.root}/{kind.plural}")
    return informer.Informer(api, resource, trim=_trim, clock=time.monotonic_ns)


def _trim(value: Value) -> Value:
    """Without what no controller reads."""
    metadata = {key: part for key, part in value["metadata"].items() if key != "managedFields"}
    return {**value, "metadata": metadata}
