"""What an Envoy does on a delta ADS stream, without Envoy: asks as it does, applies, acknowledges, or refuses.

It refuses to break off in the middle: a listener whose cluster it does not have, or a cluster taken away under a
listener, is an AssertionError. Leaves out what configuration means.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from envoy.service.discovery.v3 import discovery_pb2

from injector.discovery import consistency, resource

NEEDED = (resource.CLUSTER, resource.LISTENER)
"""Envoy asks for all of these, and for the others by the names that it finds in them."""


@dataclasses.dataclass(slots=True)
class Client:
    """One proxy's knowledge."""

    known: dict[str, dict[str, Any]] = dataclasses.field(default_factory=lambda: {kind: {} for kind in resource.TYPES})
    """Type -> name -> the Resource message."""
    asked: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    refuses: str = ""
    """Name of a resource that it does not accept."""
    received: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = dataclasses.field(default_factory=list)
    """Short type, names and removed names of each response."""

    def hello(self) -> list[Any]:
        """Give the first requests of a stream: after a reconnection with the versions that it has."""
        found = []
        for kind in resource.TYPES:
            names = sorted(self.asked.get(kind, ()))
            if kind in NEEDED or names:
                versions = {name: each.version for name, each in self.known[kind].items()}
                found.append(_request(kind, subscribe=names, initial_resource_versions=versions))
        return found

    def take(self, response: Any) -> list[Any]:
        """Apply a response, and give the requests that follow from it."""
        kind, names = response.type_url, tuple(each.name for each in response.resources)
        self.received.append((resource.SHORT[kind], names, tuple(response.removed_resources)))
        answer = _request(kind, response_nonce=response.nonce)
        if self.refuses in names:
            answer.error_detail.message = f"{self.refuses} is not accepted"
            return [answer]
        for each in response.resources:
            self.known[kind][each.name] = each
        for name in response.removed_resources:
            self.known[kind].pop(name, None)
        self._check(kind)
        return [answer, *self._follow(kind)]

    def names(self, kind: str) -> set[str]:
        """Give what it has of a type."""
        return set(self.known[kind])

    def message(self, kind: str, name: str) -> Any:
        """Read what it has."""
        item = self.known[kind][name]
        return consistency.decode(kind, resource.Resource(name=name, version="", body=item.resource.value))

    def _follow(self, kind: str) -> list[Any]:
        """Ask for what a type refers to, and no more for what nothing refers to."""
        below = {resource.CLUSTER: resource.ENDPOINT, resource.LISTENER: resource.ROUTE}.get(kind)
        if below is None:
            return []
        wanted = {name for other, name in self._refers(kind) if other == below}
        had = self.asked.get(below, set())
        self.asked[below] = wanted
        self.known[below] = {name: each for name, each in self.known[below].items() if name in wanted}
        if wanted == had:
            return []
        return [_request(below, subscribe=sorted(wanted - had), unsubscribe=sorted(had - wanted))]

    def _refers(self, kind: str) -> Iterable[tuple[str, str]]:
        for name, each in self.known[kind].items():
            item = resource.Resource(name=name, version=each.version, body=each.resource.value)
            yield from consistency._findings(kind, item).refers

    def _check(self, kind: str) -> None:
        if kind in {resource.LISTENER, resource.CLUSTER, resource.ROUTE}:
            for owner in (resource.LISTENER, resource.ROUTE):
                missing = {name for other, name in self._refers(owner) if other == resource.CLUSTER}
                missing -= self.known[resource.CLUSTER].keys()
                assert not missing, f"after {resource.SHORT[kind]}: {sorted(missing)} is referred to and not there"


def _request(
    kind: str, subscribe: Iterable[str] = (), unsubscribe: Iterable[str] = (), **said: str | Mapping[str, str]
) -> Any:
    return discovery_pb2.DeltaDiscoveryRequest(
        type_url=kind,
        resource_names_subscribe=subscribe,
        resource_names_unsubscribe=unsubscribe,
        **said,
    )
