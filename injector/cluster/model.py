"""The cluster as values: what discovery and policy reason about.

Here because both need the same immutable picture. Leaves out how it is kept up to date (``index``) and where from.
Ports are in host order; addresses are text in canonical form, as Kubernetes has them.
"""

import dataclasses
import enum
from collections.abc import Iterable, Mapping

from injector import annotations
from injector.cluster import balancing
from ipseity import identity


class Protocol(enum.StrEnum):
    """What is spoken on a port, as far as anybody has said."""

    HTTP = "http"
    """HTTP/1.1 or HTTP/2 without prior agreement: told apart on the wire."""
    HTTP2 = "http2"
    """HTTP/2 with prior knowledge; gRPC."""
    OPAQUE = "opaque"
    """Bytes. Also whatever the server speaks first, and TLS of the application's own."""
    DETECT = "detect"
    """Nobody said: the client's first bytes tell."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PodPort:
    """A declared container port."""

    name: str
    port: int
    protocol: str = "TCP"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HttpProbe:
    """An HTTP or gRPC probe of a pod: it must be answered in every mode, without an identity."""

    port: int
    path: str
    """gRPC: ``/grpc.health.v1.Health/Check``."""
    secured: bool = False
    """HTTPS, by the application's own TLS."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod that is not over."""

    ref: identity.PodRef
    account: identity.ServiceAccount
    labels: Mapping[str, str]
    addresses: tuple[str, ...]
    """Empty until the node has given it one."""
    ports: tuple[PodPort, ...] = ()
    probes: tuple[HttpProbe, ...] = ()
    meshed: bool = False
    """Has the label ``names.MESHED``, which only the webhook gives (and ``policy`` must not trust: mTLS proves)."""
    ready: bool = False
    host_network: bool = False
    node: str = ""
    workload: str = ""
    """``deployment/web``; the pod's own name where nobody owns it."""
    inbound: annotations.InboundMode = annotations.InboundMode.PERMISSIVE
    outbound: annotations.OutboundMode = annotations.OutboundMode.PERMISSIVE
    opaque_ports: frozenset[int] = frozenset()
    skip_inbound_ports: frozenset[int] = frozenset()
    """These never reach the proxy: plaintext for every client."""

    def port_named(self, name: str) -> int | None:
        """Resolve a named target port; None where no container declares it for TCP."""
        return next((each.port for each in self.ports if each.name == name and each.protocol == "TCP"), None)

    def expects(self, port: int) -> identity.ServiceAccount | None:
        """Say whom a client must find behind a port by mTLS; None: plaintext is what is spoken there."""
        return self.account if self.meshed and port not in self.skip_inbound_ports else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """One port of a Service."""

    name: str
    port: int
    target: int | str
    """Number, or the name of a container port."""
    protocol: Protocol


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One ready address behind a Service port, resolved to a number."""

    address: str
    port: int
    pod: identity.PodRef | None
    """None: an address that no pod of this cluster is known for."""
    account: identity.ServiceAccount | None = None
    """Whom to expect by mTLS; None: plaintext. Resolved here, so that a service changes when its pods' part in the mesh
    does, and is the same object when it does not."""
    workload: str = ""
    """Of its pod, as ``Pod.workload``: what series name it by."""
    draining: bool = False
    """Terminating but still serving: keeps its connections, gets no new ones where others are ready."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A Service with the endpoints of each port."""

    namespace: str
    name: str
    addresses: tuple[str, ...]
    """Cluster IPs; empty for a headless one and for ExternalName."""
    ports: tuple[ServicePort, ...]
    endpoints: Mapping[str, tuple[Endpoint, ...]]
    """By port name ("" where the only port has none)."""
    external_name: str = ""
    headless: bool = False
    """Clients connect to its endpoints' own addresses."""
    balance: balancing.Balancing = balancing.DEFAULT
    """How clients choose among its endpoints."""

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """Everything, at one moment. A new value for every change; parts that did not change are the same objects."""

    revision: int
    """Grows by one with each change, from 1."""
    trust_domain: identity.TrustDomain
    pods: Mapping[identity.PodRef, Pod]
    services: Mapping[str, Service]
    """By ``Service.key``."""
    addresses: Mapping[str, identity.PodRef] = dataclasses.field(default_factory=dict)
    """Who has an address now; hostNetwork pods share their node's, and have none here."""
    names: Mapping[tuple[str, str], identity.PodRef] = dataclasses.field(default_factory=dict)
    """Namespace and name -> the pod that bears it now."""
    behind: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Address -> keys of the services that have it as an endpoint, ready or not; sorted."""

    def pod_at(self, address: str) -> Pod | None:
        """Return the pod that has an address now; never a hostNetwork one."""
        ref = self.addresses.get(address)
        return None if ref is None else self.pods.get(ref)

    def pod_named(self, namespace: str, name: str) -> Pod | None:
        """Return the pod that bears a name now."""
        ref = self.names.get((namespace, name))
        return None if ref is None else self.pods.get(ref)

    def services_of(self, pod: Pod) -> tuple[Service, ...]:
        """Return the services of a pod's own namespace that have it as an endpoint, ready or not.

        A slice written by hand may lead to pods of any namespace: it says where clients go, not what a stranger's pod
        speaks.
        """
        mine = f"{pod.ref.namespace}/"
        keys = {key for address in pod.addresses for key in self.behind.get(address, ()) if key.startswith(mine)}
        return tuple(self.services[key] for key in sorted(keys) if key in self.services)


def state_of(
    trust_domain: identity.TrustDomain, pods: Iterable[Pod], services: Iterable[Service] = (), *, revision: int = 1
) -> ClusterState:
    """Make a state of a list of pods and services at once, where there is no stream of changes to follow."""
    all_pods, all_services = tuple(pods), tuple(services)
    behind: dict[str, set[str]] = {}
    for service in all_services:
        for endpoints in service.endpoints.values():
            for each in endpoints:
                behind.setdefault(each.address, set()).add(service.key)
    own = [pod for pod in all_pods if not pod.host_network]
    return ClusterState(
        revision=revision,
        trust_domain=trust_domain,
        pods={pod.ref: pod for pod in all_pods},
        services={service.key: service for service in all_services},
        addresses={address: pod.ref for pod in own for address in pod.addresses},
        names={(pod.ref.namespace, pod.ref.name): pod.ref for pod in all_pods},
        behind={address: tuple(sorted(keys)) for address, keys in behind.items()},
    )


def account_id(trust_domain: identity.TrustDomain, account: identity.ServiceAccount) -> identity.SpiffeId:
    """Give the SPIFFE ID of an account."""
    return identity.SpiffeId(trust_domain, account)
