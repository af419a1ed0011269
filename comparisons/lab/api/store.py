"""Objects in memory under one revision counter, with the last events of each kind.

Outcome: every change has a revision; a list can be had as it was at a revision; a watch can go on from one. Objects
are never changed in place, so that an old one may be handed out while a new one is stored. The events that are
remembered are bounded (``history`` each kind); what is older is ``Compacted``. Leaves out what a change means:
``registry``.
"""

import collections
import dataclasses
import enum
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from comparisons.lab.api import kinds

Key = tuple[str, str]
"""Namespace ("" for kinds without one) and name."""


class EventType(enum.StrEnum):
    """What a watch says."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclasses.dataclass(slots=True, kw_only=True)
class Event:
    """One change.

    ``before`` is None for a creation; for a deletion ``after`` is the last state, with the deletion's revision.
    """

    type: EventType
    revision: int
    key: Key
    before: dict[str, Any] | None
    after: dict[str, Any]
    _json: bytes = b""

    def json(self) -> bytes:
        """``after`` on the wire, encoded once for all watchers."""
        if not self._json:
            self._json = msgspec.json.encode(self.after)
        return self._json


class Compacted(Exception):  # noqa: N818  # it reads as what happened
    """The events since that revision are no longer known."""

    def __init__(self, revision: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {revision} ({oldest})")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Listener:
    tell: Callable[[Event], None]
    end: Callable[[], None]


@dataclasses.dataclass(slots=True)
class _Shelf:
    objects: dict[Key, dict[str, Any]]
    events: collections.deque[Event]
    listeners: list[_Listener]
    forgotten: int = 0
    """The revision of the newest event that is no longer remembered."""


class Store:
    """The one owner of the cluster's state."""

    def __init__(self, *, history: int) -> None:
        self._history = history
        self._shelves: dict[str, _Shelf] = {}
        self._compacted = 1
        """The revision from which on anything at all is known."""
        self.revision = 1

    def _shelf(self, kind: kinds.Kind) -> _Shelf:
        found = self._shelves.get(kind.shelf)
        if found is None:
            found = self._shelves[kind.shelf] = _Shelf({}, collections.deque(), [], forgotten=self._compacted)
        return found

    def get(self, kind: kinds.Kind, key: Key) -> dict[str, Any] | None:
        """Return the object as it is now; not to be changed."""
        return self._shelf(kind).objects.get(key)

    def objects(self, kind: kinds.Kind) -> dict[Key, dict[str, Any]]:
        """All objects of a kind as they are now; not to be changed."""
        return self._shelf(kind).objects

    def at(self, kind: kinds.Kind, revision: int) -> dict[Key, dict[str, Any]]:
        """All objects of a kind as they were; raises Compacted."""
        shelf = self._shelf(kind)
        if revision < shelf.forgotten:
            raise Compacted(revision, shelf.forgotten)
        past = dict(shelf.objects)
        for event in reversed(shelf.events):
            if event.revision <= revision:
                break
            _undo(past, event)
        return past

    def since(self, kind: kinds.Kind, revision: int) -> list[Event]:
        """Return what happened to a kind after a revision; raises Compacted."""
        shelf = self._shelf(kind)
        if revision < shelf.forgotten:
            raise Compacted(revision, shelf.forgotten)
        return list(_newer(shelf.events, revision))

    def put(self, kind: kinds.Kind, key: Key, value: dict[str, Any]) -> dict[str, Any]:
        """Store a new state and gives it its revision."""
        before = self.get(kind, key)
        event_type = EventType.MODIFIED if before is not None else EventType.ADDED
        return self._record(kind, key, event_type, before, value)

    def remove(self, kind: kinds.Kind, key: Key, last: dict[str, Any]) -> dict[str, Any]:
        """Take an object away; ``last`` is what watchers are told it was."""
        return self._record(kind, key, EventType.DELETED, self.get(kind, key), last)

    def _record(
        self, kind: kinds.Kind, key: Key, event_type: EventType, before: dict[str, Any] | None, value: dict[str, Any]
    ) -> dict[str, Any]:
        self.revision += 1
        after = _stamped(value, self.revision)
        shelf = self._shelf(kind)
        if event_type is EventType.DELETED:
            del shelf.objects[key]
        else:
            shelf.objects[key] = after
        event = Event(type=event_type, revision=self.revision, key=key, before=before, after=after)
        self._remember(shelf, event)
        for listener in list(shelf.listeners):
            listener.tell(event)
        return after

    def _remember(self, shelf: _Shelf, event: Event) -> None:
        shelf.events.append(event)
        while len(shelf.events) > self._history:
            shelf.forgotten = shelf.events.popleft().revision

    def listen(
        self, kind: kinds.Kind, tell: Callable[[Event], None], end: Callable[[], None] = lambda: None
    ) -> Callable[[], None]:
        """Call ``tell`` with every event of the kind, in order, until the answer is called; ``end`` at ``hang_up``."""
        listeners, listener = self._shelf(kind).listeners, _Listener(tell, end)
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    def hang_up(self, kind: kinds.Kind) -> None:
        """End the watches of a kind: what it is has changed."""
        for listener in list(self._shelf(kind).listeners):
            listener.end()

    def forget(self, kind: kinds.Kind) -> None:
        """Drop a kind that is no more, with its past: who asks for that later gets Compacted."""
        self.hang_up(kind)
        shelf = self._shelf(kind)
        shelf.objects.clear()
        shelf.events.clear()
        shelf.forgotten = self.revision

    def dump(self) -> dict[str, Any]:
        """Return the state as plain values, for a server that is stopped in order."""
        shelves = {name: list(shelf.objects.values()) for name, shelf in self._shelves.items()}
        return {"revision": self.revision, "shelves": shelves}

    def load(self, state: dict[str, Any]) -> None:
        """Take over a dumped state. Older revisions are compacted, as after a real server's restart."""
        self.revision = self._compacted = state["revision"]
        for name, objects in state["shelves"].items():
            found = {(each["metadata"].get("namespace", ""), each["metadata"]["name"]): each for each in objects}
            self._shelves[name] = _Shelf(found, collections.deque(), [], forgotten=self.revision)


def _newer(events: collections.deque[Event], revision: int) -> Iterator[Event]:
    """Count from the newest, since a watch that goes on is nearly always at the end."""
    count = 0
    for event in reversed(events):
        if event.revision <= revision:
            break
        count += 1
    return (events[index] for index in range(len(events) - count, len(events)))


def _undo(objects: dict[Key, dict[str, Any]], event: Event) -> None:
    if event.before is None:
        objects.pop(event.key, None)
    else:
        objects[event.key] = event.before


def _stamped(value: dict[str, Any], revision: int) -> dict[str, Any]:
    head = {"kind": value["kind"], "apiVersion": value["apiVersion"]}
    metadata = {**value["metadata"], "resourceVersion": str(revision)}
    return {
        **head,
        "metadata": metadata,
        **{k: v for k, v in value.items() if k not in {"kind", "apiVersion", "metadata"}},
    }
