"""Every route and grant that was seen, read: what can be acted on, and what is wrong with the rest.

Here because reading happens once for an object and is asked about at every change of the cluster. A route that cannot
be read applies to nothing, and says so in its status; one that could be read before is taken back. Leaves out to which
Services routes apply (``attach``).
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

from injector import errors
from injector.routes import model, reading

Json = Mapping[str, Any]
Key = tuple[model.Kind, str, str]
GRANTS: Final = "referencegrants"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One route object, as it was last seen."""

    kind: model.Kind
    namespace: str
    name: str
    uid: str
    generation: int
    version: str
    """``resourceVersion``: what is written refers to this very object."""
    error: str
    """Why it cannot be acted on; empty if it can."""
    route: model.Route | None
    parents: tuple[model.Parent, ...]
    """Known also where the rest cannot be read, if they can."""
    status: Json

    @property
    def key(self) -> Key:
        """Kind, namespace and name."""
        return self.kind, self.namespace, self.name


class Book:
    """One owner applies events; anybody may read."""

    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}
        self._grants: dict[tuple[str, str], tuple[str, model.Grant | None]] = {}
        self._routes: tuple[model.Route, ...] | None = ()
        self._granted: tuple[model.Grant, ...] | None = ()

    @property
    def entries(self) -> Mapping[Key, Entry]:
        """Every route, those that were seen last at the end."""
        return self._entries

    @property
    def routes(self) -> tuple[model.Route, ...]:
        """Those that can be acted on; the same tuple until that changes."""
        if self._routes is None:
            self._routes = tuple(_present(each.route for _, each in sorted(self._entries.items())))
        return self._routes

    @property
    def grants(self) -> tuple[model.Grant, ...]:
        """What is allowed; the same tuple until that changes."""
        if self._granted is None:
            self._granted = tuple(_present(each for _, (_, each) in sorted(self._grants.items())))
        return self._granted

    def apply(self, item: Json, kind: model.Kind) -> Entry:
        """Take a route that is new or has changed."""
        entry = _read(item, kind)
        before = self._entries.pop(entry.key, None)
        if before is None or before.route != entry.route:
            self._routes = None
        self._entries[entry.key] = entry
        return entry

    def forget(self, item: Json, kind: model.Kind) -> None:
        """Take a route that is gone."""
        metadata = item["metadata"]
        key = (kind, str(metadata["namespace"]), str(metadata["name"]))
        if key in self._entries and self._entries[key].uid == metadata.get("uid"):  # else it has a successor
            del self._entries[key]
            self._routes = None

    def allow(self, item: Json) -> None:
        """Take a ReferenceGrant that is new or has changed; one that cannot be read allows nothing."""
        key, uid = _grant(item)
        try:
            read = reading.grant(item)
        except errors.InvalidPolicy:
            read = None
        self._grants[key] = (uid, read)
        self._granted = None

    def revoke(self, item: Json) -> None:
        """Take a ReferenceGrant that is gone."""
        key, uid = _grant(item)
        if self._grants.get(key, ("", None))[0] == uid:
            del self._grants[key]
            self._granted = None


def _present(found: Iterable[Any]) -> Iterable[Any]:
    return (each for each in found if each is not None)


def _grant(item: Json) -> tuple[tuple[str, str], str]:
    metadata = item["metadata"]
    return (str(metadata["namespace"]), str(metadata["name"])), str(metadata.get("uid"))


def _read(item: Json, kind: model.Kind) -> Entry:
    metadata = item["metadata"]
    route, error = None, ""
    parents: tuple[model.Parent, ...] = ()
    try:
        parents = reading.parents(item)
        if parents:  # what is for others only is theirs to read
            route = reading.route(item, kind)
    except errors.InvalidPolicy as refused:
        error = str(refused)
    status = item.get("status")
    return Entry(
        kind=kind,
        namespace=str(metadata["namespace"]),
        name=str(metadata["name"]),
        uid=str(metadata.get("uid") or ""),
        generation=int(metadata.get("generation") or 0),
        version=str(metadata.get("resourceVersion") or ""),
        error=error,
        route=route,
        parents=parents,
        status=status if isinstance(status, dict) else {},
    )
