"""Serves what CustomResourceDefinitions define: accepts their names, establishes them, and empties them when they go.

One task, as the naming, establishing and finalizing controllers of apiextensions-apiserver together; it writes
``catalogue``. A definition takes effect some milliseconds after it was written, as on the real server, and says so in
its conditions. A change of one ends the watches of its objects: clients come back to the new form.
"""

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from comparisons.lab import clock
from comparisons.lab.api import change, definitions, kinds, names_accepted, registry, store

if TYPE_CHECKING:
    from collections.abc import Callable

LOG = structlog.get_logger("lab.api")

Value = dict[str, Any]

CRD = kinds.CUSTOM_RESOURCE_DEFINITION
RETRY_S = 1.0


class Establishing:
    """The task, over one registry."""

    def __init__(self, rules: registry.Registry) -> None:
        self._rules = rules
        self._store = rules.store
        self._wake = asyncio.Event()
        self._wake.set()
        self._served: dict[str, Value] = {}
        """Definition's name -> the state of it that is served."""
        self._stored: dict[str, kinds.Kind] = {}
        """Definition's name -> where its objects are."""
        self._emptied: dict[str, Callable[[], None]] = {}
        """Definitions that wait for the last of their objects -> how to stop listening for that."""

    async def run(self) -> None:
        """Keep up with the definitions for ever."""
        stop = self._store.listen(CRD, self._hear)
        try:
            while True:
                await self._wake.wait()
                try:
                    self.settle()
                except Exception:  # the edge: one odd definition must not end what all others live on
                    LOG.exception("definitions are not settled, trying again")
                    await asyncio.sleep(RETRY_S)
                    self._wake.set()
        finally:
            stop()

    def _hear(self, _event: store.Event) -> None:
        self._wake.set()

    def settle(self) -> None:
        """Bring everything to where the definitions say."""
        self._wake.clear()
        for (_, name), definition in list(self._store.objects(CRD).items()):
            if "deletionTimestamp" in definition["metadata"]:
                self._end(name, definition)
            else:
                self._establish(name, definition)
        for name in [each for each in self._served if self._store.get(CRD, ("", each)) is None]:
            self._drop(name)

    def _establish(self, name: str, definition: Value) -> None:
        others = [each for (_, other), each in self._store.objects(CRD).items() if other != name]
        found = names_accepted.status_of(definition, others, clock.rfc3339(clock.wall_ns()))
        ready = {**definition, "status": found}
        if definitions.is_true(ready, definitions.ESTABLISHED):
            self._serve(name, ready)
        if found != definition.get("status"):
            self._write(definition, found)

    def _serve(self, name: str, definition: Value) -> None:
        """Serve a definition's kinds, anew if they are not as they were."""
        names, ending = definition["status"].get("acceptedNames"), "deletionTimestamp" in definition["metadata"]
        said = {"spec": definition["spec"], "names": names, "ending": ending}
        if self._served.get(name) == said:
            return
        before, self._served[name] = self._rules.served.of_definition(name), said
        self._stored[name] = definitions.stored_kind(definition)
        self._rules.served.put(name, definitions.kinds_of(definition))
        for kind in before:
            self._store.hang_up(kind)

    def _write(self, definition: Value, found: Value, finalizers: list[str] | None = None) -> None:
        meta = dict(definition["metadata"])
        if finalizers is not None:
            meta = {key: part for key, part in meta.items() if key != "finalizers"}
            meta |= {"finalizers": finalizers} if finalizers else {}
        write = change.Change(manager="kube-apiserver", now_wall_ns=clock.wall_ns(), subresource="status")
        self._rules.settle(CRD, definition, {**definition, "metadata": meta, "status": found}, write)

    def _end(self, name: str, definition: Value) -> None:
        """Delete a definition's objects; let it go when there are none."""
        if definitions.CLEANUP not in (definition["metadata"].get("finalizers") or ()):
            return
        if definitions.is_true(definition, definitions.ESTABLISHED):
            self._serve(name, definition)
        kind = self._stored.get(name)
        if kind is not None:
            self._empty(name, kind)
        left = len(self._store.objects(kind)) if kind is not None else 0
        current = self._store.get(CRD, ("", name))
        if current is None:
            return
        found = names_accepted.ending(current, left, clock.rfc3339(clock.wall_ns()))
        if left:
            if found != current.get("status"):
                self._write(current, found)
            return
        rest = [each for each in current["metadata"].get("finalizers") or () if each != definitions.CLEANUP]
        self._write(current, found, rest)

    def _empty(self, name: str, kind: kinds.Kind) -> None:
        """Begin the deletion of every object, and have the last one's end told."""
        if name not in self._emptied:
            self._emptied[name] = self._store.listen(kind, self._hear)
        write = change.Change(manager="kube-apiserver", now_wall_ns=clock.wall_ns())
        for key, value in list(self._store.objects(kind).items()):
            if "deletionTimestamp" not in value["metadata"]:
                self._rules.remove(kind, key, registry.Removal(), write)

    def _drop(self, name: str) -> None:
        stop = self._emptied.pop(name, None)
        if stop is not None:
            stop()
        self._rules.served.drop(name)
        del self._served[name]
        self._store.forget(self._stored.pop(name))
