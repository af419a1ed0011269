"""Watch events in, one immutable ClusterState out: the only owner of what the mesh knows about the cluster.

    known = index.Index(trust_domain)
    known.seen(objects.pod(item)); known.gone(record)
    state = known.state()

Here because discovery and policy must reason about one moment. A change costs what it touches: the pod, the services
that have its address, and one copy of the maps when a state is asked for; what did not change is the same object as
before. Leaves out watching (``ipseity.informer``) and reading objects (``objects``).
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar, assert_never

from injector import annotations, errors, names
from injector.cluster import model, objects, protocols
from ipseity import identity

_K = TypeVar("_K")
_CAUTIOUS: Final = annotations.ProxyConfig(inbound=annotations.InboundMode.STRICT)
"""Of a pod whose annotations cannot be read and never could: meshed clients are served, nobody else is."""
_UNHEARD: Final = {f"{names.CONFIG_PREFIX}{which}-policy": "strict" for which in ("inbound", "outbound")}
"""What a namespace is taken to say while it has not been heard of: a new one may come later than its first pods."""


class Index:
    """Follows the cluster. Not thread-safe: one task applies changes, anybody may keep the states."""

    def __init__(self, trust_domain: identity.TrustDomain) -> None:
        self._trust_domain = trust_domain
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._records: dict[identity.PodRef, objects.PodRecord] = {}
        self._pods: dict[identity.PodRef, model.Pod] = {}
        self._addresses: dict[str, identity.PodRef] = {}
        self._claimants: dict[str, list[identity.PodRef]] = {}
        """Address -> the pods that say they have it, the last to come last; nearly always one."""
        self._names: dict[tuple[str, str], identity.PodRef] = {}
        self._services: dict[str, objects.ServiceRecord] = {}
        self._slices: dict[str, dict[str, objects.SliceRecord]] = {}
        self._built: dict[str, model.Service] = {}
        self._resolved: dict[tuple[str, str], Mapping[str, tuple[model.Endpoint, ...]]] = {}
        self._behind: dict[str, collections.Counter[str]] = {}
        self._claims: dict[identity.PodRef, collections.Counter[str]] = {}
        self._keys: dict[str, tuple[str, ...]] = {}
        self._stale: set[str] = set()
        self._changed = True
        self._state: model.ClusterState | None = None
        self.misconfigured: dict[identity.PodRef, str] = {}
        """Pods whose annotations cannot be read, and why: what was last understood of them still holds."""
        self.unresolved: dict[str, int] = {}
        """By service: endpoints held back because their pod is not known yet: nobody can say whom to expect there."""

        self.misbalanced: dict[str, objects.ServiceRecord] = {}
        """By key: services of which an annotation cannot be read; it is as if it were not there."""

    def seen(self, record: objects.Record) -> None:
        """Take an object that is new or not as it was."""
        self._changed = True
        match record:
            case objects.PodRecord():
                self._pod_seen(record)
            case objects.NamespaceRecord():
                self._namespace(record.name, record.annotations)
            case objects.ServiceRecord():
                self._services[record.key] = record
                self.misbalanced.pop(record.key, None)
                if record.complaints:
                    self.misbalanced[record.key] = record
                self._stale.add(record.key)
            case objects.SliceRecord():
                self._slice(record.key, record.name, record)
            case _:
                assert_never(record)

    def gone(self, record: objects.Record) -> None:
        """Take note that an object is no more."""
        self._changed = True
        match record:
            case objects.PodRecord():
                self._pod_gone(record.pod)
            case objects.NamespaceRecord():
                self._namespace(record.name, None)
            case objects.ServiceRecord():
                self._services.pop(record.key, None)
                self.misbalanced.pop(record.key, None)
                self._stale.add(record.key)
            case objects.SliceRecord():
                self._slice(record.key, record.name, None)
            case _:
                assert_never(record)

    def state(self) -> model.ClusterState:
        """Give the cluster as it is known now: the same object as before where nothing changed."""
        if self._state is not None and not self._changed:
            return self._state
        for key in sorted(self._stale):
            self._build(key)
        self._stale.clear()
        self._changed = False
        self._state = model.ClusterState(
            revision=1 if self._state is None else self._state.revision + 1,
            trust_domain=self._trust_domain,
            pods=dict(self._pods),
            services=dict(self._built),
            addresses=dict(self._addresses),
            names=dict(self._names),
            behind=dict(self._keys),
        )
        return self._state

    def _namespace(self, name: str, said: Mapping[str, str] | None) -> None:
        """Take what a namespace says; None: it is gone."""
        if self._namespaces.get(name) == said:
            return
        if said is None:
            del self._namespaces[name]
        else:
            self._namespaces[name] = said
        for record in [each for each in self._records.values() if each.pod.ref.namespace == name]:
            self._pod_seen(record)

    def _pod_seen(self, record: objects.PodRecord) -> None:
        ref = record.pod.ref
        before = self._pods.get(ref)
        pod = self._configured(record, before)
        self._records[ref] = record
        if pod == before:
            return
        self._pods[ref] = pod
        self._names[ref.namespace, ref.name] = ref
        if before is not None:
            self._release(before, keep=frozenset(pod.addresses))
        self._take(pod, had=frozenset() if before is None else frozenset(before.addresses))
        if before is None or _mesh_part(before) != _mesh_part(pod):
            self._touch(pod, before)

    def _take(self, pod: model.Pod, *, had: frozenset[str]) -> None:
        """Give a pod its new addresses: the last to come has them. One that it had stays with whom it went to since."""
        for address in () if pod.host_network else pod.addresses:
            if address not in had:
                self._claimants.setdefault(address, []).append(pod.ref)
                self._addresses[address] = pod.ref

    def _configured(self, record: objects.PodRecord, before: model.Pod | None) -> model.Pod:
        ref = record.pod.ref
        try:
            pod = record.of(self._namespaces.get(ref.namespace, _UNHEARD))
        except errors.InvalidAnnotation as error:
            self.misconfigured[ref] = str(error)
            if before is None:
                return objects.configured(record.pod, _CAUTIOUS)
            return dataclasses.replace(
                record.pod,
                inbound=before.inbound,
                outbound=before.outbound,
                opaque_ports=before.opaque_ports,
            )
        self.misconfigured.pop(ref, None)
        return pod

    def _pod_gone(self, pod: model.Pod) -> None:
        before = self._pods.pop(pod.ref, None)
        self._records.pop(pod.ref, None)
        self.misconfigured.pop(pod.ref, None)
        if before is None:
            return
        if self._names.get((pod.ref.namespace, pod.ref.name)) == pod.ref:
            del self._names[pod.ref.namespace, pod.ref.name]
        self._release(before, keep=frozenset())
        self._touch(before, None)

    def _release(self, pod: model.Pod, *, keep: frozenset[str]) -> None:
        """Take a pod's addresses from it; each goes back to who had it before, if that one still says so."""
        for address in () if pod.host_network else pod.addresses:
            if address not in keep:
                claimants = self._claimants[address]
                claimants.remove(pod.ref)
                if claimants:
                    self._addresses[address] = claimants[-1]
                else:
                    del self._claimants[address], self._addresses[address]

    def _touch(self, *pods: model.Pod | None) -> None:
        """Have the services resolved again that may mean one of these pods."""
        for pod in pods:
            if pod is not None:
                keys = set(self._claims.get(pod.ref, ()))
                for address in pod.addresses:
                    keys |= set(self._behind.get(address, ()))
                for key in keys:
                    self._forget_resolved(key, pod)
                self._stale |= keys

    def _forget_resolved(self, key: str, pod: model.Pod) -> None:
        for name, record in self._slices.get(key, {}).items():
            if any(place.pod == pod.ref or place.address in pod.addresses for place in record.places):
                self._resolved.pop((key, name), None)

    def _slice(self, key: str, name: str, record: objects.SliceRecord | None) -> None:
        """Put a slice in the place of the one of its name; a slice that changed its service left the other one."""
        slices = self._slices.setdefault(key, {})
        self._count(key, slices.pop(name, None), -1)
        self._count(key, record, +1)
        if record is not None and record.service:
            slices[name] = record
        if not slices:
            del self._slices[key]
        self._resolved.pop((key, name), None)
        self._stale.add(key)

    def _count(self, key: str, record: objects.SliceRecord | None, step: int) -> None:
        for place in record.places if record is not None and record.service else ():
            if _step(self._behind, place.address, key, step):
                if place.address in self._behind:
                    self._keys[place.address] = tuple(sorted(self._behind[place.address]))
                else:
                    del self._keys[place.address]
            if place.pod is not None:
                _step(self._claims, place.pod, key, step)

    def _build(self, key: str) -> None:
        record = self._services.get(key)
        if record is None:
            self._built.pop(key, None)
            self.unresolved.pop(key, None)
            return
        slices = [each for _, each in sorted(self._slices.get(key, {}).items()) if each.places]
        mine = [each for each in slices if record.headless or each.family == record.family] or slices
        held = 0
        endpoints: dict[str, dict[tuple[str, int], model.Endpoint]] = {}
        for each in mine:
            for name, resolved in self._resolve(key, each).items():
                found = endpoints.setdefault(name, {})
                for endpoint in resolved:
                    found.setdefault((endpoint.address, endpoint.port), endpoint)
            held += sum(self._pod_of(place) is _UNKNOWN for place in each.places)
        _set_count(self.unresolved, key, held)
        built = self._service(record, {name: tuple(found.values()) for name, found in endpoints.items()})
        if self._built.get(key) != built:
            self._built[key] = built

    def _resolve(self, key: str, record: objects.SliceRecord) -> Mapping[str, tuple[model.Endpoint, ...]]:
        """Say of each place whose it is and what to expect there; remembered, slice by slice."""
        known = self._resolved.get((key, record.name))
        if known is None:
            found = [(place, pod) for place in record.places if (pod := self._pod_of(place)) is not _UNKNOWN]
            known = {name: tuple(_endpoint(*each, port) for each in found) for name, port in record.ports}
            self._resolved[key, record.name] = known
        return known

    def _pod_of(self, place: objects.Place) -> model.Pod | None:
        """Find whose an address is: who has it wins over what the slice says; ``_UNKNOWN`` where a pod is missing.

        A slice that names a pod that is not there is ahead of us or behind: who has the address at present may be the
        pod before it or after it, whose traffic this is not.
        """
        if place.pod is not None and place.pod not in self._pods:
            return _UNKNOWN
        owner = self._addresses.get(place.address, place.pod)
        return None if owner is None else self._pods[owner]

    def _service(
        self, record: objects.ServiceRecord, endpoints: Mapping[str, tuple[model.Endpoint, ...]]
    ) -> model.Service:
        return model.Service(
            namespace=record.namespace,
            name=record.name,
            addresses=record.addresses,
            ports=tuple(self._port(each, endpoints.get(each.name, ())) for each in record.ports),
            endpoints=endpoints,
            external_name=record.external_name,
            headless=record.headless,
            balance=record.balance,
        )

    def _port(self, record: objects.PortRecord, endpoints: Iterable[model.Endpoint]) -> model.ServicePort:
        targets = {each.port for each in endpoints}
        pods = (self._pods.get(each.pod) for each in endpoints if each.pod is not None)
        lists = {pod.opaque_ports for pod in pods if pod is not None} or {annotations.DEFAULT_OPAQUE_PORTS}
        if isinstance(record.target, int):
            targets.add(record.target)
        protocol = protocols.choose(
            app_protocol=record.app_protocol,
            name=record.name,
            ports={record.port, *targets},
            opaque=frozenset().union(*lists),
        )
        return model.ServicePort(name=record.name, port=record.port, target=record.target, protocol=protocol)


_UNKNOWN: Final = model.Pod(
    ref=identity.PodRef("", "", ""),
    account=identity.ServiceAccount("default", "default"),
    labels={},
    addresses=(),
)
"""Stands for a pod that a slice names and no watch has shown yet; never leaves this file."""


def _endpoint(place: objects.Place, pod: model.Pod | None, port: int) -> model.Endpoint:
    return model.Endpoint(
        address=place.address,
        port=port,
        pod=None if pod is None else pod.ref,
        account=None if pod is None else pod.expects(port),
        workload="" if pod is None else pod.workload,
        draining=place.draining,
    )


def _mesh_part(pod: model.Pod) -> tuple[object, ...]:
    """Give what an endpoint is made of."""
    mine = pod.addresses, pod.meshed, pod.account, pod.skip_inbound_ports, pod.opaque_ports, pod.host_network
    return (*mine, pod.workload)


def _step(counts: dict[_K, collections.Counter[str]], of: _K, key: str, step: int) -> bool:
    """Count one up or down; True where the set of keys changed."""
    counter = counts.setdefault(of, collections.Counter())
    before = counter[key]
    counter[key] = before + step
    if counter[key] <= 0:
        del counter[key]
    if not counter:
        del counts[of]
    return (before > 0) != (before + step > 0)


def _set_count(counts: dict[str, int], key: str, number: int) -> None:
    if number:
        counts[key] = number
    else:
        counts.pop(key, None)
