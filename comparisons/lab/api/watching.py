"""A watch: what there is, then what happens, as lines; bookmarks in between; ERROR 410 where the past is gone.

The events of a kind are encoded once, whoever watches. A watcher that does not read is cut off when its queue is
full, as on the real server: it may come back with the last revision that it saw. Leaves out HTTP: ``server`` writes
the batches that ``Watch.batches`` yields.
"""

import asyncio
import collections
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from comparisons.lab.api import asking, kinds, listing, selector, status, store, versions

Value = dict[str, Any]
Encode = Callable[[store.EventType, Value, bytes | None], bytes]
"""Type, object, and the object's bytes if they are known already -> one line."""

QUEUE = 10_000
"""Events a watcher may be behind. Arbitrary: some seconds of the busiest lab."""
BOOKMARK_EVERY_S = 60.0
"""As the real server's watch cache."""
BOOKMARK_BEFORE_END_S = 2.0
INITIAL_END = "k8s.io/initial-events-end"
DEFAULT_TIMEOUT_S = 1800.0
"""--min-request-timeout of the real server."""


def plain(event_type: store.EventType, value: Value, known: bytes | None) -> bytes:
    """Return a line with the whole object."""
    return b'{"type":"%s","object":%s}\n' % (event_type.encode(), known or msgspec.json.encode(value))


class Watch:
    """One client's watch of one collection."""

    def __init__(self, objects: store.Store, target: asking.Target, asked: asking.Reading, encode: Encode) -> None:
        self._objects = objects
        self._kind = target.kind
        self._asked = asked
        self._admits: selector.Predicate = listing.predicate(target, asked)
        self._encode = encode
        self._pending: collections.deque[store.Event] = collections.deque()
        self._wake = asyncio.Event()
        self._over = False
        """Whether this watch is to end: its client is too slow, or its kind has changed or is no more."""
        self._from = asked.revision or 0
        """Nothing up to here is told: a watch from a revision that has not been yet stays silent until then."""

    async def batches(self) -> AsyncIterator[bytes]:
        """Lines as they become due; ends at the time-out, or when the watcher is too slow."""
        try:
            first = self._first()
        except store.Compacted as error:
            yield _error(status.expired(str(error)))
            return
        stop = self._objects.listen(self._kind, self._hear, self._end)
        try:
            if first:
                yield first
            async for batch in self._live():
                yield batch
        finally:
            stop()

    def _hear(self, event: store.Event) -> None:
        if len(self._pending) >= QUEUE:
            self._over = True
        else:
            self._pending.append(event)
        self._wake.set()

    def _end(self) -> None:
        self._over = True
        self._wake.set()

    def _first(self) -> bytes:
        """Return what is due at once: the present state, or what happened since the revision asked for."""
        asked = self._asked
        if asked.send_initial or (asked.revision in (None, 0) and asked.send_initial is None):
            lines = [self._said(store.EventType.ADDED, value, None) for value in self._present()]
            return b"".join(lines) + (self._bookmark(initial=True) if asked.send_initial and asked.bookmarks else b"")
        if asked.revision in (None, 0):
            return b""
        if asked.revision > self._objects.revision:
            return b""
        return b"".join(self._line(event) for event in self._objects.since(self._kind, asked.revision))

    def _present(self) -> list[Value]:
        found = self._objects.objects(self._kind)
        return [found[key] for key in sorted(found) if self._admits(found[key])]

    async def _live(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        end = loop.time() + (self._asked.timeout_s or DEFAULT_TIMEOUT_S)
        due = _next_bookmark(loop.time(), end)
        while not self._over:
            try:
                async with asyncio.timeout_at(min(due, end)):
                    await self._wake.wait()
            except TimeoutError:
                if loop.time() >= end:
                    return
                due = _next_bookmark(loop.time(), end)
                if self._asked.bookmarks:
                    yield self._drain() + self._bookmark()
                continue
            self._wake.clear()
            if lines := self._drain():
                yield lines
        if lines := self._drain():  # what led to the end
            yield lines

    def _drain(self) -> bytes:
        lines = []
        while self._pending:
            lines.append(self._line(self._pending.popleft()))
        return b"".join(lines)

    def _line(self, event: store.Event) -> bytes:
        """Return the event as this watch sees it: what comes to match is ADDED, what ceases to is DELETED."""
        if event.revision <= self._from:
            return b""
        before = event.before is not None and self._admits(event.before)
        after = event.type is not store.EventType.DELETED and self._admits(event.after)
        if after:
            return self._said(store.EventType.MODIFIED if before else store.EventType.ADDED, event.after, event)
        if not before:
            return b""
        if event.type is store.EventType.DELETED:
            return self._said(store.EventType.DELETED, event.after, event)
        return self._said(store.EventType.DELETED, _left(event), None)

    def _said(self, event_type: store.EventType, value: Value, event: store.Event | None) -> bytes:
        """Return a line with the object in the version that is watched."""
        shown = versions.shown(self._kind, value)
        return self._encode(event_type, shown, event.json() if event is not None and shown is event.after else None)

    def _bookmark(self, *, initial: bool = False) -> bytes:
        metadata: Value = {"resourceVersion": str(self._objects.revision)}
        metadata |= {"annotations": {INITIAL_END: "true"}} if initial else {}
        value = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": metadata}
        return b'{"type":"BOOKMARK","object":%s}\n' % msgspec.json.encode(value | BOOKMARK_EXTRAS.get(self._kind, {}))


BOOKMARK_EXTRAS: dict[kinds.Kind, Value] = {
    kinds.POD: {"spec": {"containers": None}, "status": {}},
    kinds.ENDPOINT_SLICE: {"addressType": "", "endpoints": None, "ports": None},
}
"""Go's zero values of fields without ``omitempty``, as the real server sends them: clients must bear nulls."""


def _left(event: store.Event) -> Value:
    """Return the last state that matched, at the revision at which it ceased to."""
    before = event.before or event.after
    return {**before, "metadata": {**before["metadata"], "resourceVersion": str(event.revision)}}


def _next_bookmark(now: float, end: float) -> float:
    last = end - BOOKMARK_BEFORE_END_S
    return min(now + BOOKMARK_EVERY_S, last) if last > now + 1e-3 else end


def _error(refused: status.Refused) -> bytes:
    return b'{"type":"ERROR","object":%s}\n' % msgspec.json.encode(refused.body())
