"""What one proxy is told: the shared world, and over it the little that is this pod's own. Pure, immutable.

    maker = snapshot.Maker(settings)
    given = maker.update(state, policies)
    told = maker.snapshot(given, pod, ipv6=True)

Here because a proxy is told of one moment, whole. What it needs of its own is an inbound listener, which replicas
share while the same is decided about them. Leaves out whether
it may be served (``consistency``) and who has been told what already (``session``).
"""

import dataclasses
import functools
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Generic, TypeVar

from injector import annotations
from injector.cluster import model
from injector.discovery import inbound, resource, settings, tapped, tls, world
from injector.policy import model as policy
from injector.routes import attach
from ipseity import identity

_Listeners = Mapping[str, resource.Resource]
_Made = TypeVar("_Made")
_MOST_REMEMBERED: Final = 64
"""What is shared are four; a pod's own is remembered with the pod."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that one proxy is told."""

    revision: int
    """Of the cluster's state."""
    caller: str
    """Tag of the proxy's own identity: fills the holes."""
    shared: resource.Layer
    own: resource.Layer
    """Wins over what is shared."""

    def get(self, kind: str, name: str) -> resource.Resource | None:
        """Return a resource; None: there is none."""
        return self.own.get(kind, {}).get(name) or self.shared.get(kind, {}).get(name)

    def all(self, kind: str) -> Iterator[resource.Resource]:
        """Yield the resources of a type."""
        own = self.own.get(kind, {})
        yield from own.values()
        yield from (each for name, each in self.shared.get(kind, {}).items() if name not in own)


def changed(kind: str, old: Snapshot | None, new: Snapshot) -> frozenset[str]:
    """Give the names of a type that are new, gone, or not as they were."""
    if old is None:
        return frozenset(each.name for each in new.all(kind))
    names = _changed(old.shared.get(kind, {}), new.shared.get(kind, {}))
    before, after = old.own.get(kind, {}), new.own.get(kind, {})
    if before is not after:
        names |= frozenset(before.keys() | after.keys())
    return frozenset(name for name in names if old.get(kind, name) != new.get(kind, name))


def _changed(old: Mapping[str, resource.Resource], new: Mapping[str, resource.Resource]) -> frozenset[str]:
    if old is new:
        return frozenset()
    return _compared(_Table(old), _Table(new))


class _Table:
    """A mapping that is hashed by which one it is, to remember a comparison that five hundred proxies ask for."""

    __slots__ = ("of",)

    def __init__(self, of: Mapping[str, resource.Resource]) -> None:
        self.of = of

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Table) and self.of is other.of

    def __hash__(self) -> int:
        return id(self.of)


@functools.lru_cache(maxsize=64)
def _compared(old: _Table, new: _Table) -> frozenset[str]:
    found = {name for name, each in new.of.items() if old.of.get(name) != each}
    return frozenset(found | (old.of.keys() - new.of.keys()))


class _Remembered(Generic[_Made]):
    """What was made of what, by which one it is; the ones that were used last."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[_Made, _Made]] = {}

    def of(self, given: _Made, make: Callable[[], _Made]) -> _Made:
        known = self._known.pop(id(given), None)
        if known is None or known[0] is not given:
            known = given, make()
        self._known[id(given)] = known
        while len(self._known) > _MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        return known[1]


class Maker:
    """Makes snapshots of the latest state and policies. Not thread-safe."""

    def __init__(self, config: settings.Settings) -> None:
        self._config = config
        self._builder = world.Builder(config)
        self._policies: tuple[policy.AuthorizationPolicy, ...] = ()
        self._own: dict[identity.PodRef, _Own] = {}
        self._plain_layers: _Remembered[resource.Layer] = _Remembered()
        self._plain_tables: _Remembered[_Listeners] = _Remembered()
        self._listeners: weakref.WeakValueDictionary[tuple[object, ...], resource.Resource] = (
            weakref.WeakValueDictionary()
        )

    def update(
        self,
        state: model.ClusterState,
        policies: Sequence[policy.AuthorizationPolicy],
        routed: attach.Attached = attach.NOTHING,
    ) -> world.World:
        """Take the latest. Costs what has changed."""
        if self._policies != tuple(policies):
            self._policies = tuple(policies)
        self._own = {ref: each for ref, each in self._own.items() if ref in state.pods}
        return self._builder.build(state, routed)

    def snapshot(self, given: world.World, pod: model.Pod, *, ipv6: bool = False, taps: bool = True) -> Snapshot:
        """Make what a pod's proxy is told. ``ipv6``: its kernel has it; ``taps``: it began with a way for them."""
        services = given.state.services_of(pod)
        sources = tuple(given.parts[each.key].source for each in services)
        consumed = given.consumed.get(pod.ref.namespace, {})
        asked = (pod, sources, self._policies, given.identities, ipv6, taps, consumed)
        known = self._own.get(pod.ref)
        if known is None or known.asked != asked:
            made = self._layer(given, pod, sources, ipv6=ipv6)
            known = _Own(asked=asked, layer={**(made if taps else self._untapped(made)), resource.ROUTE: consumed})
            self._own[pod.ref] = known
        strict = pod.outbound is annotations.OutboundMode.STRICT
        kind = world.Kind(strict=strict, ipv6=ipv6)
        return Snapshot(
            revision=given.state.revision,
            caller=tls.tag(identity.SpiffeId(given.state.trust_domain, pod.account)),
            shared=given.layers[kind] if taps else self._untapped(given.layers[kind]),
            own=known.layer,
        )

    def _untapped(self, layer: resource.Layer) -> resource.Layer:
        """Give a layer for a proxy that was started before there were taps; the same ones for the same ones."""
        return self._plain_layers.of(layer, lambda: {**layer, resource.LISTENER: self._without(layer)})

    def _without(self, layer: resource.Layer) -> _Listeners:
        table = layer[resource.LISTENER]
        return self._plain_tables.of(table, lambda: {name: tapped.without(each) for name, each in table.items()})

    def _layer(
        self, given: world.World, pod: model.Pod, services: Sequence[model.Service], *, ipv6: bool
    ) -> resource.Layer:
        decided = inbound.ports(pod, services, self._policies, given.identities, self._config)
        listener = self._listeners.get((decided, ipv6))
        if listener is None:
            listener = inbound.listener(decided, ipv6=ipv6, config=self._config)
            self._listeners[decided, ipv6] = listener
        return {resource.LISTENER: {listener.name: listener}}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Own:
    """What was made for a pod, and from what."""

    asked: tuple[object, ...]
    layer: resource.Layer
