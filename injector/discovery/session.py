"""One proxy's delta ADS stream, without the stream: requests in, responses out. Pure: the time is an argument.

    peer = session.Session()
    peer.receive(request, now_s)          # -> what the proxy refused, if it did
    peer.offer(told)                      # the latest snapshot; an older one that was not sent yet is forgotten
    for response in peer.poll(now_s): ...

Here because the order is what makes a change harmless: first the clusters that are new or changed, then (once Envoy has
asked for their endpoints and has them) the listeners that lead to them, and only then are clusters taken away that
nothing leads to any more. One response of a type is under way at a time, so a slow proxy costs one snapshot and no
queue. A refused response is not sent again: the next change of the same resource is. Leaves out gRPC (``service``).
"""

import dataclasses
import weakref
from collections.abc import Collection, Iterable
from typing import Any, Final

from envoy.service.discovery.v3 import discovery_pb2

from injector.discovery import resource, snapshot

_WILDCARD: Final = "*"
_WARMING_S: Final = 5.0
"""How long listeners wait for the endpoints of new clusters. Arbitrary: Envoy asks for them within milliseconds, and
what waits here may be a policy."""
_LEADING: Final = frozenset({resource.LISTENER, resource.ROUTE})
"""They lead to clusters."""
MAX_NAMES: Final = 1 << 17
"""Subscribed to by one proxy, of one type. More is a proxy gone wrong."""
MAX_TEXT: Final = 1 << 23
"""Characters in those names: a hundred thousand names of 80."""
MAX_REASON: Final = 2000
"""Characters that are kept, and said, of why a proxy refuses something. Envoy's have a few hundred."""
HEAVY: Final = 1 << 16
"""Bytes of a listener that all proxies share, from which on it may wait: that of ten thousand pods' own addresses has
300 kB, and two thousand proxies that are told it anew must not keep anybody from hearing of an endpoint."""


_NAMES: Final[weakref.WeakKeyDictionary[frozenset[str], "weakref.ref[frozenset[str]]"]] = weakref.WeakKeyDictionary()
"""What proxies have asked for: two thousand ask for the same, and share it."""
_FRAMES: Final[dict[str, weakref.WeakKeyDictionary[resource.Resource, bytes]]] = {
    kind: weakref.WeakKeyDictionary() for kind in resource.TYPES
}
"""By type: each resource as it stands in a response, made once for all proxies."""


class BrokenProtocol(Exception):  # noqa: N818  # it reads as what happened
    """A request that no xDS client sends; the stream is to be ended."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Nack:
    """What a proxy refused, in its own words."""

    kind: str
    reason: str
    version: str
    """Revision of the snapshot that it was part of."""


@dataclasses.dataclass(slots=True, kw_only=True)
class _Subscription:
    """What the proxy wants of one type, and what it was told."""

    kind: str
    wildcard: bool = False
    names: frozenset[str] = frozenset()
    fresh: set[str] = dataclasses.field(default_factory=set)
    """Asked for and not answered: answered even where there is no such resource."""
    had: dict[str, str] | None = None
    """Versions that it came with, until the first answer; a reconnected proxy is told differences only."""
    told: snapshot.Snapshot | None = None
    nonce: str = ""
    """Of the response that is under way; empty: none is."""
    carried: frozenset[str] = frozenset()
    """Names in it."""
    owed: set[str] = dataclasses.field(default_factory=set)
    """Heavy ones that were held back."""
    answered: bool = False
    """It knows of something: a first response, even an empty one, tells a proxy that there is nothing to wait for."""
    refused: dict[str, str] = dataclasses.field(default_factory=dict)
    """Why, by name: what it was told together with them it has. Empty name: it did not say which, until it accepts."""

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names


class Session:
    """Follows what one proxy knows."""

    def __init__(self) -> None:
        self._latest: snapshot.Snapshot | None = None
        self._subscriptions: dict[str, _Subscription] = {}
        self._warming: set[str] = set()
        self._warming_until_s = 0.0
        self._retired: set[str] = set()
        self._count = 0
        self.node: Any = None
        """The Node message, which comes with the first request only. Nothing in it is believed about identity."""
        self.nacks = 0
        self.unwarmed = 0
        """Times that listeners did not wait any longer for endpoints."""

    @property
    def synced(self) -> bool:
        """Whether the proxy has accepted all of the latest snapshot that it wants."""
        return (
            self._latest is not None
            and all(
                each.told is self._latest and not (each.nonce or each.fresh or each.owed or self._reason(each))
                for each in self._subscriptions.values()
            )
            and bool(self._subscriptions and not self._retired)
        )

    @property
    def refused(self) -> dict[str, str]:
        """What the proxy has refused and not had replaced yet: short type -> reason."""
        told = {resource.SHORT[each.kind]: self._reason(each) for each in self._subscriptions.values()}
        return {kind: reason for kind, reason in told.items() if reason}

    @property
    def owes(self) -> bool:
        """Whether something heavy waits for its turn: a poll with ``heavy``."""
        return any(each.owed and not each.nonce for each in self._subscriptions.values())

    @property
    def deadline_s(self) -> float | None:
        """When to poll again though nothing came in; None: no need."""
        return self._warming_until_s if self._warming else None

    def offer(self, told: snapshot.Snapshot) -> None:
        """Put a snapshot in the place of the latest."""
        self._latest = told

    def receive(self, request: Any, now_s: float) -> Nack | None:
        """Take a request. Raises BrokenProtocol."""
        del now_s  # a request changes what is wanted, never when
        if request.HasField("node"):
            self.node = request.node
        kind = request.type_url
        if kind not in resource.SHORT:
            raise BrokenProtocol(f"type {kind[:200]!r} is not served here")
        first = kind not in self._subscriptions
        wanted = self._subscriptions.setdefault(kind, _Subscription(kind=kind))
        self._subscribe(wanted, request, first=first)
        return self._acknowledge(wanted, request) if request.response_nonce else None

    def poll(self, now_s: float, *, heavy: bool = True) -> list[Any]:
        """Give what is to be sent now. What depends on an answer comes with a later poll.

        Without ``heavy`` a proxy that knows of something is not told of heavy listeners, until it is polled with it.
        """
        if self._latest is None:
            return []
        found = []
        for kind in resource.TYPES:
            wanted = self._subscriptions.get(kind)
            if wanted is None or wanted.nonce or (kind in _LEADING and not self._may_lead(now_s)):
                continue
            response = self._respond(wanted, self._latest, heavy=heavy)
            if response is not None:
                found.append(response)
                if kind == resource.CLUSTER:
                    self._await_endpoints(wanted.carried, now_s)
        removal = self._retire()
        return found if removal is None else [*found, removal]

    def _subscribe(self, wanted: _Subscription, request: Any, *, first: bool) -> None:
        names = [str(name) for name in request.resource_names_subscribe]
        has = set(wanted.names)
        if first:
            wanted.had = dict(request.initial_resource_versions)
            wanted.wildcard = not names and wanted.kind in {resource.CLUSTER, resource.LISTENER}
        for name in names:
            if name == _WILDCARD:
                wanted.wildcard = True
            else:
                known = self._known(wanted.kind, name)
                has.add(known)
                wanted.fresh.add(known)
        for name in request.resource_names_unsubscribe:
            if name == _WILDCARD:
                wanted.wildcard = False
            has.discard(name)
            wanted.fresh.discard(name)
        if len(has) > MAX_NAMES or (names and sum(map(len, has)) > MAX_TEXT):
            raise BrokenProtocol(f"more than {MAX_NAMES} resources of one type asked for, or {MAX_TEXT} characters")
        if names or request.resource_names_unsubscribe:
            wanted.names = _shared(frozenset(has))

    def _known(self, kind: str, name: str) -> str:
        """Give our own string for a name, so that five hundred proxies do not keep five hundred copies."""
        found = self._latest.get(kind, name) if self._latest is not None else None
        return name if found is None else found.name

    def _acknowledge(self, wanted: _Subscription, request: Any) -> Nack | None:
        if request.response_nonce != wanted.nonce:
            return None  # of a response before the last one: nothing waits for it
        wanted.nonce = ""
        if wanted.kind == resource.ENDPOINT and self._warming:
            self._warming = self._warming - wanted.carried
        carried, wanted.carried = wanted.carried, frozenset()
        for name in (*carried, ""):
            wanted.refused.pop(name, None)
        if not request.HasField("error_detail"):
            return None
        self.nacks += 1
        reason = request.error_detail.message[:MAX_REASON] or "no reason given"
        wanted.refused.update(dict.fromkeys(_named(reason, carried) or [""], reason))
        if wanted.kind == resource.CLUSTER:
            self._warming.clear()  # Envoy will not ask for the endpoints of what it refused
        version = "" if wanted.told is None else str(wanted.told.revision)
        return Nack(kind=wanted.kind, reason=reason, version=version)

    def _reason(self, wanted: _Subscription) -> str:
        """Say why the proxy does not have something that it is to have; empty: it has everything, or will."""
        there = (why for name, why in wanted.refused.items() if not (name and self._gone(wanted.kind, name)))
        return "; ".join(dict.fromkeys(there))[:MAX_REASON]

    def _gone(self, kind: str, name: str) -> bool:
        return self._latest is not None and self._latest.get(kind, name) is None

    def _may_lead(self, now_s: float) -> bool:
        """Say whether listeners may be told: what they lead to is there."""
        clusters = self._subscriptions.get(resource.CLUSTER)
        if clusters is None:
            return True
        if clusters.told is not self._latest or clusters.nonce:
            return False
        self._warming = {name for name in self._warming if self._latest and self._latest.get(resource.ENDPOINT, name)}
        if self._warming and now_s >= self._warming_until_s:
            self._warming.clear()
            self.unwarmed += 1
        return not self._warming

    def _await_endpoints(self, clusters: Iterable[str], now_s: float) -> None:
        endpoints = self._subscriptions.get(resource.ENDPOINT)
        has = endpoints.names if endpoints is not None else frozenset()
        for each in clusters:
            found = self._latest.get(resource.CLUSTER, each) if self._latest is not None else None
            for kind, name in found.needs if found is not None else ():
                if kind == resource.ENDPOINT and name not in has:
                    self._warming.add(name)
        self._warming_until_s = now_s + _WARMING_S

    def _respond(self, wanted: _Subscription, told: snapshot.Snapshot, *, heavy: bool) -> Any:
        """Make the response that brings a type up to date; None where there is nothing to say."""
        if wanted.told is told and wanted.answered and not wanted.fresh and not (heavy and wanted.owed):
            return None  # most polls: an acknowledgement came
        send, gone = self._difference(wanted, told)
        if wanted.kind == resource.LISTENER:
            send = self._weighed(wanted, told, send, heavy=heavy)
        if wanted.kind == resource.CLUSTER:
            self._retired = {name for name in self._retired | gone if told.get(wanted.kind, name) is None}
            gone = set()
        wanted.answered = wanted.answered or bool(wanted.had)
        silent = wanted.answered or not (wanted.wildcard or wanted.names)
        wanted.told, wanted.had = told, None
        wanted.fresh.clear()
        if not send and not gone and silent:
            return None
        return self._response(wanted, [found for name in sorted(send) if (found := told.get(wanted.kind, name))], gone)

    @staticmethod
    def _weighed(wanted: _Subscription, told: snapshot.Snapshot, send: set[str], *, heavy: bool) -> set[str]:
        """Hold back what is heavy, or add what was held back. What is the proxy's own may be a policy: it never waits.

        What it knows meanwhile stays in force, and refers to clusters that are not taken away as long.
        """
        if heavy or not wanted.answered:
            found = send | {name for name in wanted.owed if told.get(wanted.kind, name) is not None}
            wanted.owed.clear()
            return found
        shared, own = (layer.get(wanted.kind, {}) for layer in (told.shared, told.own))
        held = {name for name in send if name not in own and name in shared and len(shared[name].body) > HEAVY}
        wanted.owed |= held
        return send - held

    def _difference(self, wanted: _Subscription, told: snapshot.Snapshot) -> tuple[set[str], set[str]]:
        """Give the names to send, and those to take away."""
        kind = wanted.kind
        if wanted.told is None:
            had = wanted.had or {}
            there = (each.name for each in told.all(kind)) if wanted.wildcard else iter(wanted.names)
            wanted_names = set(there) | wanted.names
            send = {name for name in wanted_names if _version(told, kind, name) not in {None, had.get(name)}}
            gone = {name for name in wanted_names | had.keys() if told.get(kind, name) is None}
            return send, gone
        names = {name for name in snapshot.changed(kind, wanted.told, told) if wanted.wants(name)}
        asked = {
            name for name in wanted.fresh if wanted.had is None or _version(told, kind, name) != wanted.had.get(name)
        }
        send = {name for name in names | asked if told.get(kind, name) is not None}
        # Endpoints and routes end with the cluster or listener that asked for them, and Envoy says so by itself.
        ends = names if kind in {resource.CLUSTER, resource.LISTENER} else set[str]()
        return send, {name for name in ends | asked if told.get(kind, name) is None}

    def _retire(self) -> Any:
        """Take clusters away once nothing leads to them: listeners are up to date, and the proxy said so."""
        clusters, listeners = (self._subscriptions.get(kind) for kind in (resource.CLUSTER, resource.LISTENER))
        if not self._retired or clusters is None or clusters.nonce:
            return None
        if listeners is None or listeners.told is not self._latest or listeners.nonce or listeners.owed:
            return None  # after a reconnection it may have listeners that we have not heard of yet
        gone, self._retired = self._retired, set()
        return self._response(clusters, (), gone)

    def _response(self, wanted: _Subscription, send: Collection[resource.Resource], gone: Collection[str]) -> Any:
        self._count += 1
        wanted.nonce, wanted.answered = str(self._count), True
        told = wanted.told
        response = discovery_pb2.DeltaDiscoveryResponse(
            type_url=wanted.kind,
            nonce=wanted.nonce,
            system_version_info="" if told is None else str(told.revision),
            removed_resources=sorted(gone),
        )
        caller = "" if told is None else told.caller
        response.MergeFromString(b"".join(_framed(wanted.kind, each, caller) for each in send))
        wanted.carried = frozenset([*(each.name for each in send), *gone])
        return response


def _version(told: snapshot.Snapshot, kind: str, name: str) -> str | None:
    found = told.get(kind, name)
    return None if found is None else found.version


def _named(reason: str, names: Iterable[str]) -> list[str]:
    """Pick the names that Envoy gives: ``Error adding/updating listener(s) NAME: why``; it has taken all others."""
    said = {word.removesuffix(":") for word in reason.split()}
    return [name for name in names if name in said]


def _shared(names: frozenset[str]) -> frozenset[str]:
    known = _NAMES.get(names)
    found = None if known is None else known()
    if found is None:
        _NAMES[names] = weakref.ref(names)
    return found or names


def _framed(kind: str, item: resource.Resource, caller: str) -> bytes:
    """Give the bytes of a response that has this resource only: such bytes, one after the other, have them all."""
    frame = _FRAMES[kind].get(item)
    if frame is None:
        alone = discovery_pb2.DeltaDiscoveryResponse()
        added = alone.resources.add(name=item.name, version=item.version)
        added.resource.type_url, added.resource.value = kind, item.body
        frame = _FRAMES[kind][item] = bytes(alone.SerializeToString())
    return resource.filled(frame, caller)
