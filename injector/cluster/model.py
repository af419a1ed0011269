"""The cluster as values: what discovery and policy reason about.

Here because both need the same immutable picture. Leaves out how it is kept up to date (``index``) and where from.
Ports are in host order; addresses are text in canonical form, as Kubernetes has them.
"""

import dataclasses
import enum
from collections.abc import Mapping

from injector import annotations
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

    def pod_at(self, address: str) -> Pod | None:
        """Return the pod that has an address now; never a hostNetwork one."""
        raise NotImplementedError


def account_id(trust_domain: identity.TrustDomain, account: identity.ServiceAccount) -> identity.SpiffeId:
    """Give the SPIFFE ID of an account."""
    return identity.SpiffeId(trust_domain, account)
