"""Pods, services, nodes and service accounts from the Kubernetes API, as the few fields that the agent keeps.

Here because this is where Kubernetes' objects become the agent's vocabulary: a pod of 10 kB becomes one of 300 bytes,
whose strings are shared with its siblings'. All pods of the cluster are followed (remote ends are named by address),
which costs one small object for another node's pod, or this node's alone (remote ends are named by the handshake).
Leaves out the watch itself (``ipseity.informer``) and what is made of the events (``ownership``, ``tags``).
"""

import asyncio
import contextlib
import dataclasses
import functools
import ipaddress
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from agent import mesh, model
from ipseity import identity, informer, kube, workload

if TYPE_CHECKING:
    from kubernetes.aio import client

Object = model.Pod | model.Service | model.Node

_VOLATILE = frozenset(
    {
        *workload.DEPLOYERS,
        "controller-revision-hash",
        "pod-template-generation",
        "controller-uid",
        "batch.kubernetes.io/controller-uid",
    }
)
"""Labels that change with every roll-out and name nobody."""
_TERMINAL = frozenset({"Succeeded", "Failed"})


# Shapes live as long as a page is read and refer to nothing that refers back, so the garbage collector need not look at
# them: with 150,000 pods that is a tenth of the reading.
class _Owner(msgspec.Struct, gc=False):
    kind: str
    name: str
    controller: bool = False


class _Meta(msgspec.Struct, rename="camel", gc=False):
    uid: str
    name: str
    namespace: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None
    deletion_timestamp: str = ""


class _Ip(msgspec.Struct, gc=False):
    ip: str = ""


class _PodSpec(msgspec.Struct, rename="camel", gc=False):
    node_name: str = ""
    service_account_name: str = ""
    host_network: bool = False


class _Container(msgspec.Struct, rename="camel", gc=False):
    name: str = ""
    container_id: str = msgspec.field(name="containerID", default="")


class _PodStatus(msgspec.Struct, rename="camel", gc=False):
    phase: str = ""
    container_statuses: list[_Container] | None = None
    init_container_statuses: list[_Container] | None = None
    podIP: str = ""  # noqa: N815  # Kubernetes' spelling
    podIPs: list[_Ip] | None = None  # noqa: N815  # Kubernetes' spelling


class PodShape(msgspec.Struct, gc=False):
    """The fields of a v1 Pod that are read at all."""

    metadata: _Meta
    spec: _PodSpec = msgspec.field(default_factory=_PodSpec)
    status: _PodStatus = msgspec.field(default_factory=_PodStatus)


class _LoadBalancer(msgspec.Struct, gc=False):
    ingress: list[_Ip] | None = None


class _ServiceSpec(msgspec.Struct, gc=False):
    clusterIP: str = ""  # noqa: N815  # Kubernetes' spelling
    clusterIPs: list[str] | None = None  # noqa: N815  # Kubernetes' spelling
    externalIPs: list[str] | None = None  # noqa: N815  # Kubernetes' spelling


class _ServiceStatus(msgspec.Struct, rename="camel", gc=False):
    load_balancer: _LoadBalancer = msgspec.field(default_factory=_LoadBalancer)


class ServiceShape(msgspec.Struct, gc=False):
    """The fields of a v1 Service that are read at all."""

    metadata: _Meta
    spec: _ServiceSpec = msgspec.field(default_factory=_ServiceSpec)
    status: _ServiceStatus = msgspec.field(default_factory=_ServiceStatus)


class _NodeAddress(msgspec.Struct, gc=False):
    type: str
    address: str


class _NodeSpec(msgspec.Struct, gc=False):
    podCIDR: str = ""  # noqa: N815  # Kubernetes' spelling
    podCIDRs: list[str] | None = None  # noqa: N815  # Kubernetes' spelling


class _NodeStatus(msgspec.Struct, gc=False):
    addresses: list[_NodeAddress] | None = None


class NodeShape(msgspec.Struct, gc=False):
    """The fields of a v1 Node that are read at all."""

    metadata: _Meta
    spec: _NodeSpec = msgspec.field(default_factory=_NodeSpec)
    status: _NodeStatus = msgspec.field(default_factory=_NodeStatus)


def to_pod(shape: PodShape) -> model.Pod:
    """Trim a pod. Raises ValueError for an address that is none."""
    meta, spec, status = shape.metadata, shape.spec, shape.status
    kind, workload = _workload(meta, spec.node_name)
    return model.Pod(
        uid=model.PodUid(meta.uid),
        namespace=sys.intern(meta.namespace),
        name=meta.name,
        node=sys.intern(spec.node_name),
        workload_kind=sys.intern(kind),
        workload=sys.intern(workload),
        service_account=sys.intern(spec.service_account_name or "default"),
        host_network=spec.host_network,
        ips=_addresses([each.ip for each in status.podIPs or ()] or [status.podIP]),
        terminal=status.phase in _TERMINAL,
        deleting=bool(meta.deletion_timestamp),
        labels=_labels(meta.labels or {}),
        static_hash=(meta.annotations or {}).get("kubernetes.io/config.hash", ""),
        mesh=_mesh(meta, status) if (meta.labels or {}).get(mesh.LABEL) == "true" else None,
    )


def _mesh(meta: _Meta, status: _PodStatus) -> model.Mesh:
    """Keep what tells a sidecar's sockets from its application's: that costs 100 bytes for each of its containers."""
    said = meta.annotations or {}
    told = [*(status.init_container_statuses or ()), *(status.container_statuses or ())]
    return model.Mesh(
        containers=tuple(
            (each.container_id.rpartition("://")[2], sys.intern(each.name)) for each in told if each.container_id
        ),
        skip_inbound=sys.intern(said.get(mesh.SKIP_INBOUND, "")),
        skip_outbound=sys.intern(said.get(mesh.SKIP_OUTBOUND, "")),
    )


def to_service(shape: ServiceShape) -> model.Service | None:
    """Trim a service; None where it has no address (headless, ExternalName)."""
    spec = shape.spec
    cluster = [text for text in spec.clusterIPs or [spec.clusterIP] if text not in ("", "None")]
    balancers = [each.ip for each in shape.status.load_balancer.ingress or ()]
    ips = _addresses([*cluster, *(spec.externalIPs or ()), *balancers])
    if not ips:
        return None
    meta = shape.metadata
    return model.Service(uid=meta.uid, namespace=sys.intern(meta.namespace), name=meta.name, ips=ips)


def to_node(shape: NodeShape) -> model.Node:
    """Trim a node: its addresses and its pods' ranges."""
    texts = [each.address for each in shape.status.addresses or () if each.type in ("InternalIP", "ExternalIP")]
    cidrs = shape.spec.podCIDRs or [shape.spec.podCIDR]
    return model.Node(
        uid=shape.metadata.uid,
        name=sys.intern(shape.metadata.name),
        ips=_addresses(texts),
        pod_cidrs=tuple(ipaddress.ip_network(text) for text in cidrs if text),
    )


class AccountShape(msgspec.Struct, gc=False):
    """The fields of a v1 ServiceAccount that are read at all."""

    metadata: _Meta


def to_account(shape: AccountShape) -> identity.ServiceAccount:
    """Trim a service account: its name is all that there is to it."""
    return identity.ServiceAccount(sys.intern(shape.metadata.namespace), sys.intern(shape.metadata.name))


def accounts(api: "client.ApiClient", clock: Callable[[], int]) -> informer.Informer[identity.ServiceAccount]:
    """Make an informer over the service accounts of the whole cluster."""
    return informer.Informer(api, _ACCOUNTS, shape=AccountShape, trim=to_account, clock=clock)


_ACCOUNTS = kube.Resource(path="/api/v1/serviceaccounts")
_READS: tuple[tuple[kube.Resource, type, type[Object], Callable[[Any], Object | None]], ...] = (
    (kube.NODES, NodeShape, model.Node, to_node),
    (kube.SERVICES, ServiceShape, model.Service, to_service),
    (kube.PODS, PodShape, model.Pod, to_pod),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Beside:
    """What is followed besides, and who takes it."""

    source: informer.Informer[Any]
    deliver: Callable[[informer.WatchEvent[Any]], object]


class Cluster:
    """Follows services and nodes of the whole cluster, and its pods or one node's."""

    def __init__(  # noqa: PLR0913  # what to follow, and what is known from before
        self,
        api: "client.ApiClient",
        *,
        clock: Callable[[], int],
        only_node: str = "",
        known: Mapping[str, Object] | None = None,
        told_boot_ns: Mapping[str, int] | None = None,
        beside: Sequence[Beside] = (),
    ) -> None:
        """Prepare. ``only_node``: whose pods alone are followed; empty: all.

        ``known`` is what an earlier run knew, by uid, and ``told_boot_ns`` up to when it was told all, by resource.
        """
        mine = dataclasses.replace(kube.PODS, field_selector=f"spec.nodeName={only_node}" if only_node else "")
        self._beside = tuple(beside)
        self.informers: tuple[informer.Informer[Object], ...] = tuple(
            informer.Informer(
                api,
                mine if resource is kube.PODS else resource,
                shape=shape,
                trim=trim,
                clock=clock,
                known={uid: each for uid, each in (known or {}).items() if isinstance(each, kind)},
                heard_ns=(told_boot_ns or {}).get(resource.name, 0),
            )
            for resource, shape, kind, trim in _READS
        )

    @property
    def synced(self) -> bool:
        """Whether pods, services and nodes have been listed once."""
        return all(each.synced for each in self.informers)

    def known(self) -> dict[str, Object]:
        """Give what is known, by uid: what another one starts from."""
        return {uid: value for each in self.informers for uid, value in each.known.items()}

    @property
    def told_ns(self) -> dict[str, int]:
        """Up to when all that happened has been told, by resource; 0: nothing was."""
        return {each.resource.name: each.told_ns for each in self.informers}

    @property
    def silent_since_ns(self) -> int | None:
        """Since when pods cannot be heard of; None: they can."""
        (watched,) = (each for each in self.informers if each.resource.name == kube.PODS.name)
        return watched.heard_ns if watched.last_error else None

    def staleness_s(self, now_boot_ns: int) -> dict[str, float]:
        """How old the knowledge may be, by resource."""
        return {each.resource.name: each.staleness_s(now_boot_ns) for each in self._all()}

    def malformed(self) -> dict[str, int]:
        """Lines and objects that could not be read, by resource."""
        return {each.resource.name: each.malformed for each in self._all()}

    async def follow(self, deliver: Callable[[model.ObjectEvent], object]) -> None:
        """Deliver every change, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for each in self.informers:
                tasks.create_task(_follow(each, deliver), name=f"watch {each.resource.name}")
            for other in self._beside:
                name = f"watch {other.source.resource.name}"
                tasks.create_task(_follow_beside(other.source, other.deliver), name=name)

    def _all(self) -> tuple[informer.Informer[Any], ...]:
        return (*self.informers, *(each.source for each in self._beside))


async def _follow(source: informer.Informer[Object], deliver: Callable[[model.ObjectEvent], object]) -> None:
    async with contextlib.aclosing(source.events()) as events:
        async for event in events:
            change, since_ns = _CHANGES[event.change], event.since_ns
            deliver(model.ObjectEvent(change=change, object=event.value, boot_ns=event.boot_ns, since_boot_ns=since_ns))


async def _follow_beside(source: informer.Informer[Any], deliver: Callable[[informer.WatchEvent[Any]], object]) -> None:
    async with contextlib.aclosing(source.events()) as events:
        async for event in events:
            deliver(event)


_CHANGES = {informer.Change.SEEN: model.Change.SEEN, informer.Change.GONE: model.Change.GONE}


def _workload(meta: _Meta, node: str) -> tuple[str, str]:
    """Name the top owner, from the pod alone."""
    controller = next((each for each in meta.owner_references or () if each.controller), None)
    kind, owner = ("", "") if controller is None else (controller.kind, controller.name)
    return workload.top(meta.name, node, meta.labels or {}, kind, owner)


def _addresses(texts: Iterable[str]) -> tuple[model.IpAddress, ...]:
    return tuple(_address(text) for text in texts if text)


def _address(text: str) -> model.IpAddress:
    try:
        return ipaddress.IPv4Address(
            socket.inet_pton(socket.AF_INET, text)
        )  # at a third of what ipaddress itself takes
    except OSError:
        address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _labels(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return _shared(tuple(sorted((key, value) for key, value in labels.items() if key not in _VOLATILE)))


@functools.lru_cache(maxsize=4096)
def _shared(labels: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Give one tuple for all replicas of a workload."""
    return labels
