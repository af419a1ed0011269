"""Whether two pods of a flow have proven to each other who they are, from what both of them are.

Here because the kernel sees sockets and not what is said on them, and still a meshed pod's proxy cannot choose: towards
a port that a proxy answers for, it speaks mTLS or not at all; towards every other one it has nobody to prove itself to.
So the container of the local socket (by its cgroup), and the part that each pod has in the mesh (by the API), decide.
Where they do not, nothing is said. Pure. Leaves out what the bytes were: docs/limitations.md says when that may differ.
"""

import enum
import functools
from typing import Final

from agent import model

LABEL: Final = "ipseity.io/meshed"
"""The webhook puts it on a pod that it gives a sidecar."""
SKIP_INBOUND: Final = "config.ipseity.io/skip-inbound-ports"
SKIP_OUTBOUND: Final = "config.ipseity.io/skip-outbound-ports"
PROXY: Final = "ipseity-proxy"
"""The sidecar's container."""
INBOUND_PORT: Final = 15006
"""Where a proxy takes what was redirected to it."""
STATUS_PORT: Final = 15020
"""The proxy's own, for probes and Prometheus: not part of any workload."""
SYSTEM_NAMESPACE: Final = "ipseity-system"
"""The control plane has TLS of its own with every proxy, which is not between two workloads."""


class Tls(enum.StrEnum):
    """What secures a flow."""

    MTLS = "mtls"
    """TLS by the mesh: both ends have proven their service accounts."""
    NONE = "none"
    """The mesh secures nothing here. The applications may speak TLS of their own."""
    UNKNOWN = ""
    """It cannot be told, or no meshed pod is involved."""


class _Role(enum.Enum):
    PROXY = enum.auto()
    APPLICATION = enum.auto()
    """Any other container of a meshed pod."""
    BARE = enum.auto()
    """A pod without sidecar."""
    UNKNOWN = enum.auto()
    """A container that the API has not told of (yet)."""


def tls(flow: model.Flow) -> Tls:
    """Say what secures a flow between two pods."""
    local, remote = flow.local, flow.remote
    pods = local.kind is remote.kind is model.Kind.POD and flow.protocol is model.Protocol.TCP
    if not pods or local.mesh is remote.mesh is None or local.pod_uid == remote.pod_uid:
        return Tls.UNKNOWN
    if not _named(local) or not _named(remote) or _is_the_meshs_own(flow):
        return Tls.UNKNOWN
    if local.mesh is None or remote.mesh is None:
        return _with_bare(flow)
    return _both_meshed(flow, remote.mesh)


def _named(end: model.End) -> bool:
    """Whether the API told of this pod; else its part in the mesh is not known either."""
    return not end.reason and bool(end.name)


def _is_the_meshs_own(flow: model.Flow) -> bool:
    return flow.port == STATUS_PORT or SYSTEM_NAMESPACE in {flow.local.namespace, flow.remote.namespace}


def _with_bare(flow: model.Flow) -> Tls:
    """One end has no proxy. The other end's application talks to its own proxy, which is where it is decided."""
    if flow.local.mesh is None or _role(flow.local) is _Role.PROXY:
        return Tls.NONE
    return _skipped(flow)


def _both_meshed(flow: model.Flow, remote: model.Mesh) -> Tls:
    """Both ends have a proxy; a socket of the proxy's is the connection between the pods."""
    if _role(flow.local) is not _Role.PROXY:
        return _skipped(flow)
    if flow.direction is model.Direction.EGRESS:
        skipped = _holds(remote.skip_inbound, flow.port)
        return Tls.UNKNOWN if skipped is None else Tls.NONE if skipped else Tls.MTLS
    # Which port was called is gone with the redirect: a caller that may go past its own proxy leaves it open.
    through = flow.port == INBOUND_PORT and not remote.skip_outbound
    return Tls.MTLS if through else Tls.UNKNOWN


def _skipped(flow: model.Flow) -> Tls:
    """Judge a socket of an application: what it opens or accepts past its proxy is plain; the rest ends there."""
    mesh = flow.local.mesh
    if mesh is None or _role(flow.local) is not _Role.APPLICATION:
        return Tls.UNKNOWN
    ports = mesh.skip_outbound if flow.direction is model.Direction.EGRESS else mesh.skip_inbound
    return Tls.NONE if _holds(ports, flow.port) else Tls.UNKNOWN


def _role(end: model.End) -> _Role:
    if end.mesh is None:
        return _Role.BARE
    name = dict(end.mesh.containers).get(end.container_id)
    if name is None:
        return _Role.UNKNOWN
    return _Role.PROXY if name == PROXY else _Role.APPLICATION


@functools.lru_cache(maxsize=1024)
def _holds(ports: str, port: int) -> bool | None:
    """Tell whether a list such as ``25,4000-4010`` has a port; None: it cannot be read."""
    held = False
    for part in filter(None, (each.strip() for each in ports.split(","))):
        first, _, last = part.partition("-")
        try:
            held |= int(first) <= port <= int(last or first)
        except ValueError:
            return None
    return held
