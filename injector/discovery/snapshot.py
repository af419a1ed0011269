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
from collections.abc import Iterator, Mapping, Sequence

from injector import annotations
from injector.cluster import model
from injector.discovery import inbound, resource, settings, tls, world
from injector.policy import model as policy
from injector.routes import attach
from ipseity import identity


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


class Maker:
    """Makes snapshots of the latest state and policies. Not thread-safe."""

    def __init__(self, config: settings.Settings) -> None:
        self._config = config
        self._builder = world.Builder(config)
        self._policies: tuple[policy.AuthorizationPolicy, ...] = ()
        self._own: dict[identity.PodRef, _Own] = {}
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

    def snapshot(self, given: world.World, pod: model.Pod, *, ipv6: bool = False) -> Snapshot:
        """Make what a pod's proxy is told. ``ipv6``: its kernel has it."""
        services = given.state.services_of(pod)
        sources = tuple(given.parts[each.key].source for each in services)
        consumed = given.consumed.get(pod.ref.namespace, {})
        asked = (pod, sources, self._policies, given.identities, ipv6, consumed)
        known = self._own.get(pod.ref)
        if known is None or known.asked != asked:
            known = _Own(asked=asked, layer={**self._layer(given, pod, sources, ipv6=ipv6), resource.ROUTE: consumed})
            self._own[pod.ref] = known
        strict = pod.outbound is annotations.OutboundMode.STRICT
        kind = world.Kind(strict=strict, ipv6=ipv6)
        return Snapshot(
            revision=given.state.revision,
            caller=tls.tag(identity.SpiffeId(given.state.trust_domain, pod.account)),
            shared=given.layers[kind],
            own=known.layer,
        )

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
