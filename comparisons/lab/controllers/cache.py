"""What the controllers know of the cluster: one informer a kind, objects by name and by owner.

Objects are not to be changed by readers. A handler is told the object of every change; what it makes of it is its
own. What a controller wrote is known at once (``learn``), before the watch tells: or it would be written twice.
Custom kinds come and go (``follow``, ``unfollow``). Leaves out writing: ``writer``.
"""

import asyncio
import collections
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from comparisons.lab.api import kinds
from ipseity import informer, kube

if TYPE_CHECKING:
    from kubernetes.aio import client

Value = dict[str, Any]
Handler = Callable[[kinds.Kind, Value, bool], None]
"""Kind, object, and whether it is gone."""
Key = tuple[str, str]

SYNC_POLL_S = 0.05
BELIEVED_S = 30.0
"""How long a write is believed before a watch confirms it. Arbitrary: longer than any watch is behind."""


def key_of(value: Value) -> Key:
    """Namespace and name."""
    return (value["metadata"].get("namespace", ""), value["metadata"]["name"])


def controller_of(value: Value) -> Value | None:
    """Return the owner reference of the object's controller."""
    owners = value["metadata"].get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), None)


class Cache:
    """Objects of the watched kinds, as they were when last heard of."""

    def __init__(self, api: "client.ApiClient", watched: Iterable[kinds.Kind]) -> None:
        self._api = api
        self._informers = {kind: _informer(api, kind, _trim) for kind in watched}
        self._lasting = tuple(self._informers)
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[kinds.Kind, asyncio.Task[None]] = {}
        self._objects: dict[kinds.Kind, dict[Key, Value]] = {kind: {} for kind in self._informers}
        self._owned: dict[str, dict[str, tuple[kinds.Kind, Value]]] = collections.defaultdict(dict)
        self._handlers: list[Handler] = []
        self.uids: dict[str, kinds.Kind] = {}
        """Every known object's kind."""
        self._learned: dict[str, float] = {}
        """Objects that no watch has told of yet: uid -> when to stop believing in them (monotonic seconds)."""

    def on_change(self, handler: Handler) -> None:
        """Has the handler told of every change."""
        self._handlers.append(handler)

    async def until_synced(self) -> None:
        """Wait until every kind of the table has been listed: half a picture would look like missing objects."""
        while not all(self.synced(kind) for kind in self._lasting):  # noqa: ASYNC110  # they can only be asked
            await asyncio.sleep(SYNC_POLL_S)

    def synced(self, kind: kinds.Kind) -> bool:
        """Whether all objects of a kind are known."""
        return self._informers[kind].synced

    def watched(self) -> Sequence[kinds.Kind]:
        """Return the kinds that are followed now."""
        return tuple(self._informers)

    def kind_of(self, api_version: str, name: str) -> kinds.Kind | None:
        """Return the kind that an object names; of a custom kind any version will do."""
        group = api_version.rpartition("/")[0]
        custom = (kind for kind in self._informers if (kind.group, kind.kind) == (group, name))
        return kinds.by_name().get((api_version, name)) or next(custom, None)

    def follow(self, kind: kinds.Kind) -> None:
        """Follow one more kind, of whose objects only the metadata is kept."""
        if kind in self._informers or self._group is None:
            return
        self._informers[kind] = _informer(self._api, kind, _metadata)
        self._objects[kind] = {}
        self._tasks[kind] = self._group.create_task(self._follow(kind, self._informers[kind]))

    def unfollow(self, kind: kinds.Kind) -> None:
        """Follow a kind no longer; its objects are gone."""
        if kind not in self._tasks:
            return
        self._tasks.pop(kind).cancel()
        for value in list(self._objects[kind].values()):
            self._apply(kind, value, gone=True)
        del self._objects[kind], self._informers[kind]

    def get(self, kind: kinds.Kind, key: Key) -> Value | None:
        """One object."""
        return self._objects[kind].get(key)

    def all(self, kind: kinds.Kind, namespace: str | None = None) -> Iterator[Value]:
        """Objects of a kind."""
        found = list(self._objects[kind].values())
        return (each for each in found if namespace is None or each["metadata"].get("namespace") == namespace)

    def owned(self, uid: str, kind: kinds.Kind | None = None) -> list[Value]:
        """Return the objects that refer to an owner."""
        return [value for of, value in self._owned.get(uid, {}).values() if kind in (None, of)]

    def dependents(self, uid: str) -> list[tuple[kinds.Kind, Value]]:
        """Return the objects that refer to an owner, with their kinds."""
        return list(self._owned.get(uid, {}).values())

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follows all kinds meanwhile."""
        async with asyncio.TaskGroup() as group:
            lasting = [group.create_task(self._follow(kind, each)) for kind, each in self._informers.items()]
            self._group = group
            try:
                yield
            finally:
                self._group = None
                for task in (*lasting, *self._tasks.values()):
                    task.cancel()

    async def _follow(self, kind: kinds.Kind, source: informer.Informer[Value]) -> None:
        async with contextlib.aclosing(source.events()) as events:
            async for event in events:
                self._learned.pop(event.uid, None)
                self._apply(kind, event.value, gone=event.change is informer.Change.GONE)

    def learn(self, kind: kinds.Kind, value: Value) -> None:
        """Take in what the API answered to a write."""
        known = self.get(kind, key_of(value)) if kind in self._objects else None
        if kind not in self._objects or (known is not None and _version(known) >= _version(value)):
            return
        if value["metadata"]["uid"] not in self.uids:
            self._learned[value["metadata"]["uid"]] = time.monotonic() + BELIEVED_S
        self._apply(kind, _trim(value), gone=False)

    def unlearn(self, kind: kinds.Kind, value: Value) -> None:
        """Take in that a write left nothing of the object."""
        if kind in self._objects:
            self._apply(kind, value, gone=True)

    def drop_doubtful(self) -> None:
        """Forgets what was learned and never seen: it was gone before a list could tell."""
        now = time.monotonic()
        for uid in [uid for uid, until in self._learned.items() if until < now]:
            del self._learned[uid]
            kind = self.uids.get(uid)  # nothing: a later write has told that it is gone
            shelf = self._objects[kind].values() if kind is not None else ()
            value = next((each for each in shelf if each["metadata"]["uid"] == uid), None)
            if kind is not None and value is not None:
                self._apply(kind, value, gone=True)

    def _apply(self, kind: kinds.Kind, value: Value, *, gone: bool) -> None:
        value = {**value, "kind": kind.kind, "apiVersion": kind.api_version}
        uid, key, shelf = value["metadata"]["uid"], key_of(value), self._objects[kind]
        known = shelf.get(key)
        same = known is not None and known["metadata"]["uid"] == uid
        if same and not gone and _version(known or value) > _version(value):
            return  # the watch is behind what a write has taught
        if known is not None and (same or not gone):
            self._disown(known)
            self.uids.pop(known["metadata"]["uid"], None)
        if not gone:
            self._keep(kind, key, value)
        elif same:
            del shelf[key]
            self.uids.pop(uid, None)
        for handler in self._handlers:
            handler(kind, value, gone)

    def _keep(self, kind: kinds.Kind, key: Key, value: Value) -> None:
        uid = value["metadata"]["uid"]
        self._objects[kind][key] = value
        self.uids[uid] = kind
        for owner in value["metadata"].get("ownerReferences") or ():
            self._owned[owner["uid"]][uid] = (kind, value)

    def _disown(self, known: Value) -> None:
        uid = known["metadata"]["uid"]
        for owner in known["metadata"].get("ownerReferences") or ():
            owned = self._owned.get(owner["uid"], {})
            owned.pop(uid, None)
            if not owned:
                self._owned.pop(owner["uid"], None)


def _informer(api: "client.ApiClient", kind: kinds.Kind, trim: Callable[[Value], Value]) -> informer.Informer[Value]:
    resource = kube.Resource(path=f"{kind.root}/{kind.plural}")
    return informer.Informer(api, resource, trim=trim, clock=time.monotonic_ns)


def _metadata(value: Value) -> Value:
    """Return what the collector and the namespaces' end need of an object."""
    return {"metadata": _trim(value)["metadata"]}


def _trim(value: Value) -> Value:
    """Without what no controller reads."""
    metadata = {key: part for key, part in value["metadata"].items() if key != "managedFields"}
    return {**value, "metadata": metadata}


def _version(value: Value) -> int:
    """Revisions may be compared as numbers (KEP-5504); something that has none is older than all."""
    text = value["metadata"].get("resourceVersion", "")
    return int(text) if text.isdigit() else 0
