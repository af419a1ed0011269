"""One xDS resource: serialized once, named by its content, shared by every proxy that gets it.

Here because five hundred proxies get the same clusters. What differs between them and nothing else is who is calling:
a text of fixed length in the TLS server name, so it is a hole in the shared bytes (same length in, same length out:
protobuf's lengths stay right), filled when a response is made. Leaves out what is in a resource.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from google.protobuf import any_pb2

_PREFIX: Final = "type.googleapis.com/envoy.config"
CLUSTER: Final = f"{_PREFIX}.cluster.v3.Cluster"
ENDPOINT: Final = f"{_PREFIX}.endpoint.v3.ClusterLoadAssignment"
LISTENER: Final = f"{_PREFIX}.listener.v3.Listener"
ROUTE: Final = f"{_PREFIX}.route.v3.RouteConfiguration"
TYPES: Final = (CLUSTER, ENDPOINT, LISTENER, ROUTE)
"""In the order in which they are sent: what is referred to first."""
SHORT: Final = {CLUSTER: "cds", ENDPOINT: "eds", LISTENER: "lds", ROUTE: "rds"}
"""For metrics and logs."""

HOLE: Final = "@caller-16-chars"
"""Stands for the tag of the proxy's own identity. ``@`` cannot be in any name that Kubernetes accepts."""
_HOLE: Final = HOLE.encode()
_VERSION_CHARS: Final = 16
"""64 bits: two contents of one name that share a version would need 2^32 changes."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class Resource:
    """A resource as it is sent."""

    name: str
    version: str
    """Of the content: the same after a restart of the control plane, so nothing is sent again."""
    body: bytes
    """Serialized message, with HOLEs."""
    needs: tuple[tuple[str, str], ...] = ()
    """Type and name of the resources that it refers to."""

    def __hash__(self) -> int:
        return hash((self.name, self.version))

    def fill(self, caller: str) -> bytes:
        """Give the body for one caller: its tag, 16 characters."""
        return filled(self.body, caller)


Layer = Mapping[str, Mapping[str, Resource]]
"""Resources by type and name."""


def pack(name: str, message: Any, needs: Iterable[tuple[str, str]] = ()) -> Resource:
    """Serialize a message."""
    return of_bytes(name, message.SerializeToString(deterministic=True), needs)


def of_bytes(name: str, body: bytes, needs: Iterable[tuple[str, str]] = ()) -> Resource:
    """Make a resource of what is serialized already."""
    digest = hashlib.blake2b(body, digest_size=_VERSION_CHARS // 2).hexdigest()
    return Resource(name=name, version=digest, body=body, needs=tuple(sorted(set(needs))))


def filled(there: bytes, caller: str) -> bytes:
    """Fill the holes for one caller: its tag, 16 characters."""
    return there.replace(_HOLE, caller.encode()) if _HOLE in there else there


def digest(message: Any) -> str:
    """Give eight characters that stand for a message's content, for a name."""
    return hashlib.blake2b(message.SerializeToString(deterministic=True), digest_size=4).hexdigest()


def typed(message: Any) -> Any:
    """Wrap a message in an Any, the same bytes each time."""
    return any_pb2.Any(
        type_url=f"type.googleapis.com/{message.DESCRIPTOR.full_name}",
        value=message.SerializeToString(deterministic=True),
    )
