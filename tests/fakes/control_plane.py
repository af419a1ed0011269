"""What a sidecar's process sees of a control plane: ``Certify`` and delta ADS, as simply as the protocols allow.

Signs whatever it is asked, or refuses it in words that a test chose; sends one snapshot of listeners and clusters that
a test wrote by hand. Leaves out everything that makes a control plane one: the real ones are ``injector.identity`` and
``injector.discovery``.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401  # registers the type for Any
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,  # noqa: F401  # registers the type for Any
)
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2  # noqa: F401  # registers the type for Any
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2  # noqa: F401  # registers the type for Any
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from google.protobuf import json_format

from injector.proto import identity_pb2, identity_pb2_grpc
from tests.fakes import authority

LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


@dataclasses.dataclass(slots=True)
class ControlPlane:
    """State that a test changes and looks at while the servers run."""

    authority: authority.Authority
    spiffe_id: str
    life_s: float = 3600
    refusal: tuple[grpc.StatusCode, str] | None = None
    wrong_key: bool = False
    resources: Mapping[str, Sequence[Mapping[str, Any]]] = dataclasses.field(default_factory=dict)
    """By type URL, as JSON."""
    requests: list[identity_pb2.CertifyRequest] = dataclasses.field(default_factory=list)
    streams: int = 0
    nacks: list[str] = dataclasses.field(default_factory=list)
    changed: asyncio.Condition = dataclasses.field(default_factory=asyncio.Condition)

    addresses: tuple[str, str] = ("", "")
    """Of identity and discovery."""
    servers: list[Any] = dataclasses.field(default_factory=list)

    async def start(self) -> None:
        """Listen, with a certificate of one's own."""
        key, chain = self.authority.identity(authority.CONTROL_PLANE_ID, dns=authority.CONTROL_PLANE)
        signs, discovers = self.servers = [grpc.aio.server(), grpc.aio.server()]
        identity_pb2_grpc.add_IdentityServicer_to_server(Identity(self), signs)
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(Discovery(self), discovers)
        signs.add_secure_port(self.addresses[0], grpc.ssl_server_credentials([(key, chain)]))
        mutual = grpc.ssl_server_credentials([(key, chain)], self.authority.bundle, require_client_auth=True)
        discovers.add_secure_port(self.addresses[1], mutual)
        await asyncio.gather(signs.start(), discovers.start())

    async def stop(self) -> None:
        """End at once, in the middle of whatever is going on."""
        await asyncio.gather(*(server.stop(None) for server in self.servers))

    async def note(self) -> None:
        """Wake whoever waits for something to have happened."""
        async with self.changed:
            self.changed.notify_all()

    async def asked(self, times: int) -> None:
        """Wait until certificates were asked for so often."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.requests) >= times)


class Identity(identity_pb2_grpc.IdentityServicer):
    """The service that signs."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    async def Certify(self, request: identity_pb2.CertifyRequest, context: Any) -> identity_pb2.CertifyResponse:  # noqa: N802  # protobuf's spelling
        plane = self._plane
        plane.requests.append(request)
        await plane.note()
        if plane.refusal:
            await context.abort(*plane.refusal, trailing_metadata=(("ipseity-reason", "test"),))
        asked = x509.load_der_x509_csr(request.csr_der)
        key = ec.generate_private_key(ec.SECP256R1()).public_key() if plane.wrong_key else asked.public_key()
        chain = plane.authority.leaf(key, plane.spiffe_id, life_s=plane.life_s)
        return identity_pb2.CertifyResponse(
            chain_der=[each.public_bytes(serialization.Encoding.DER) for each in chain], spiffe_id=plane.spiffe_id
        )


class Discovery(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    """Delta ADS: answers the first request of each type with all there is."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    async def DeltaAggregatedResources(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802  # protobuf's spelling
        plane = self._plane
        plane.streams += 1
        await plane.note()
        seen = set()
        async for request in requests:
            if request.HasField("error_detail"):
                plane.nacks.append(request.error_detail.message)
            if request.type_url not in seen:
                seen.add(request.type_url)
                yield answer(request.type_url, plane.resources.get(request.type_url, ()))


def answer(type_url: str, resources: Sequence[Mapping[str, Any]]) -> discovery_pb2.DeltaDiscoveryResponse:
    """Make a delta response of everything."""
    response = discovery_pb2.DeltaDiscoveryResponse(type_url=type_url, nonce="1", system_version_info="1")
    for resource in resources:
        message = listener_pb2.Listener() if type_url == LISTENER else cluster_pb2.Cluster()
        json_format.ParseDict(dict(resource), message)
        packed = response.resources.add(name=resource["name"], version="1")
        packed.resource.Pack(message)
    return response


@contextlib.asynccontextmanager
async def serving(plane: ControlPlane, host: str, *, identity_port: int, discovery_port: int) -> AsyncIterator[None]:
    """Serve both until the block ends; meanwhile a test may stop it and start it again."""
    plane.addresses = (f"{host}:{identity_port}", f"{host}:{discovery_port}")
    await plane.start()
    try:
        yield
    finally:
        await plane.stop()
