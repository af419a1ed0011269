"""The values that travel along the agent: ids, owners, flows.

Here because every stage speaks of them and none owns them. Leaves out how they are laid out in the kernel (``wire``),
how they are decided (``ownership``, ``attribution``) and how they are shown (``observe``).

Clocks: ``*_boot_ns`` is CLOCK_BOOTTIME in nanoseconds, as ``bpf_ktime_get_boot_ns`` reads it; ``*_wall_ns`` is Unix
time in nanoseconds. Addresses are ``ipaddress`` objects, an IPv4-mapped IPv6 address always as plain IPv4. Ports are in
host order.
"""

import dataclasses
import enum
import ipaddress
from typing import Final, NamedTuple, NewType

from agent import verdicts

CgroupId = NewType("CgroupId", int)
"""Inode number of a cgroup2 directory, 64 bits (``bpf_get_current_cgroup_id``). With a lifetime: numbers are reused."""
NetnsCookie = NewType("NetnsCookie", int)
"""``bpf_get_netns_cookie``, 64 bits, never reused until reboot. 0: the kernel could not tell."""
PodUid = NewType("PodUid", str)
"""``metadata.uid`` of a pod, lower case with dashes.

For a static pod: the config hash that the kubelet puts in the cgroup path.
"""

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class Protocol(enum.IntEnum):
    """Transport protocol, by its IANA number."""

    TCP = 6
    UDP = 17


class Direction(enum.IntEnum):
    """Who opened the flow, seen from the local end: by the TCP state (UDP: who sent first), never by port numbers."""

    EGRESS = 0
    """The local end opened it; the service port is the peer's."""
    INGRESS = 1
    """The peer opened it; the service port is the local one."""


class Evidence(enum.StrEnum):
    """What a name rests on. Part of every answer; there is no silent fall-back from one to the other."""

    KERNEL = "kernel"
    """The socket's own cgroup or network namespace on this node."""
    HANDSHAKE = "handshake"
    """An authenticated identity tag in the TCP handshake: the peer's node vouches for it."""
    IP = "ip"
    """Who owned the address at that time, by the Kubernetes API."""
    NONE = "none"
    """Nothing is known; ``End.reason`` says why."""


class Kind(enum.StrEnum):
    """What an end of a flow is."""

    POD = "pod"
    SERVICE = "service"
    NODE = "node"
    HOST = "host"
    """A process of the node outside any pod; ``End.name`` is its systemd unit or cgroup path."""
    EXTERNAL = "external"
    """An address outside the cluster; ``End.name`` is the configured prefix it fell into."""
    UNKNOWN = "unknown"


class Reason(enum.StrEnum):
    """Why an end has no better name. Empty where it has one."""

    NAMED = ""
    UNKNOWN_CGROUP = "unknown_cgroup"
    """The kernel gave a cgroup id that no directory, event or sweep explains."""
    NO_TAG = "no_tag"
    """The socket is older than the agent and no sweep has seen it yet."""
    POD_NOT_IN_API = "pod_not_in_api"
    """The cgroup names a pod UID that the Kubernetes API has not told us of (yet)."""
    NO_OWNER = "no_owner"
    """Nobody owned the address at that time, as far as the API told."""
    AMBIGUOUS = "ambiguous"
    """Several owners are possible for the interval; none is guessed."""
    HOST_NETWORK = "host_network"
    """The address belongs to a node: any of its hostNetwork pods or processes may be behind it."""
    UNKNOWN_TAG = "unknown_tag"
    """The handshake proves an identity that no service account which we know of has; ``End.name`` is its tag."""


class FailCause(enum.IntEnum):
    """Why a connection failed or broke; the value is the index in the kernel's ``failed`` array."""

    REFUSED = 0
    TIMED_OUT = 1
    RESET = 2
    UNREACHABLE = 3
    OTHER = 4


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """What the agent keeps of a pod that has a sidecar; what follows from it says ``mesh``."""

    containers: tuple[tuple[str, str], ...] = ()
    """Container id, without the runtime's name, and name; of those that the kubelet has reported."""
    skip_inbound: str = ""
    """Ports past the proxy, as annotated: ``25,4000-4010``."""
    skip_outbound: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """What the agent keeps of a Kubernetes pod. Made by ``pods``; strings are interned there."""

    uid: PodUid
    namespace: str
    name: str
    node: str = ""
    """``spec.nodeName``; empty while unscheduled."""
    workload_kind: str = "Pod"
    """Kind of the top owner that a person would name: Deployment, Job, CronJob, ..., or Pod for a bare pod."""
    workload: str = ""
    """Name of that owner."""
    service_account: str = "default"
    host_network: bool = False
    ips: tuple[IpAddress, ...] = ()
    """``status.podIPs``; for a hostNetwork pod the node's, which never identify it."""
    terminal: bool = False
    """Phase Succeeded or Failed: the address may already be somebody else's."""
    deleting: bool = False
    """Somebody has told it to go; it ends because of that."""
    labels: tuple[tuple[str, str], ...] = ()
    """Sorted pairs."""
    static_hash: str = ""
    """Annotation ``kubernetes.io/config.hash``: the uid that a static pod has in its cgroup path; empty otherwise."""
    mesh: Mesh | None = None
    """None: it has no sidecar."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A Service's virtual addresses."""

    uid: str
    namespace: str
    name: str
    ips: tuple[IpAddress, ...] = ()
    """``spec.clusterIPs`` and load-balancer addresses, without "None"."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node's own addresses: of the host network, shared by all that runs there."""

    uid: str
    name: str
    ips: tuple[IpAddress, ...] = ()
    pod_cidrs: tuple[IpNetwork, ...] = ()


class Change(enum.Enum):
    """What happened to an object, as the API server told it."""

    SEEN = "seen"
    """Added or modified: the object is as given."""
    GONE = "gone"
    """Deleted, or missing from a fresh list; the object is the last state known."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ObjectEvent:
    """One change of one watched object, stamped on arrival."""

    change: Change
    object: Pod | Service | Node
    boot_ns: int
    """When it reached this agent."""
    since_boot_ns: int | None = None
    """The earliest moment at which it may have become true, where that is not ``boot_ns``.

    After an outage: when the API server was last heard. 0 for the very first list.
    """


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CgroupEvent:
    """A cgroup2 directory came or went. From the kernel's tracepoint or from a scan of the tree."""

    cgroup: CgroupId
    path: str
    """From the cgroup2 root, starting with "/". Of a gone one it may be empty."""
    boot_ns: int
    gone: bool = False


class Who(NamedTuple):
    """Who an end is, by one kind of evidence: enough to tell two apart, and to show it."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    """Pod, Service, node or unit name; empty if unknown."""
    uid: str = ""
    """Of the pod; empty where the evidence does not tell which pod of the service account it is."""
    workload: str = ""
    workload_kind: str = ""
    service_account: str = ""


NOBODY: Final = Who(Kind.UNKNOWN)
"""What a look-up says of an address that nobody has."""


class Views(NamedTuple):
    """What each kind of evidence says of one end, side by side. None: it has nothing to say of this end."""

    kernel: Who | None = None
    handshake: Who | None = None
    ip: Who | None = None
    """A look-up of the address, made when what is told began, in what the API had told by then."""
    ip_read: Who | None = None
    """The same look-up, made when the agent read it."""
    judged: verdicts.Verdicts = verdicts.UNCHECKED
    pending: bool = False
    """Whether more evidence may come that changes a reason."""

    @property
    def differs(self) -> bool:
        """Whether any answer was found wrong."""
        (ip, _), (ip_read, _), (handshake, _) = self.judged  # asked for every edge of every drain
        different = verdicts.Match.DIFFERENT
        return ip is different or ip_read is different or handshake is different


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One end of a flow: who it is, and what that rests on."""

    kind: Kind
    evidence: Evidence
    address: str = ""
    """Text of the address, or of the prefix it was collapsed to; empty where the kernel did not keep one."""
    namespace: str = ""
    name: str = ""
    """Pod, Service, node, unit or prefix name; empty if unknown."""
    pod_uid: str = ""
    workload: str = ""
    workload_kind: str = ""
    service_account: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    container_id: str = ""
    """Container of the local socket, where the kernel's cgroup tells it."""
    cgroup: int = 0
    """Cgroup id of the local socket (0: not a local end, or unknown)."""
    reason: Reason = Reason.NAMED
    mesh: Mesh | None = None
    """Of a pod that has a sidecar."""
    views: Views | None = None
    """All answers; the fields above are those of the best evidence. None: there is no second answer."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What happened on an edge in an interval.

    All are differences, never totals. Bytes are payload, as TCP acknowledged it.
    """

    opened: int = 0
    closed: int = 0
    """Established connections that ended, however they ended: opened - closed is what is open."""
    failed: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    """By ``FailCause``: attempts that never established, and established connections that broke."""
    sent_bytes: int = 0
    received_bytes: int = 0
    sent_segments: int = 0
    """TCP segments; UDP datagrams."""
    received_segments: int = 0
    retransmits: int = 0
    rtt_us_sum: int = 0
    rtt_us_buckets: tuple[int, ...] = ()
    """Smoothed RTT at the end of each connection; log2 buckets, see ``wire.RTT_BOUNDS_US``. Empty: no sample."""
    connect_us_sum: int = 0
    connect_us_buckets: tuple[int, ...] = ()
    """SYN to established, active ends only; same buckets."""


class Moved(NamedTuple):
    """What a TCP connection has moved so far.

    As ``struct tcp_info`` counts it (with SYN and FIN) or payload: the user says.
    """

    sent_bytes: int
    """Acknowledged by the peer."""
    received_bytes: int
    sent_segments: int
    received_segments: int
    retransmits: int


class OpenSocket(NamedTuple):
    """One TCP socket that is open now, as sock_diag tells. Addresses are 16 bytes, IPv4 mapped."""

    cookie: int
    netns: NetnsCookie
    cgroup: CgroupId
    state: int
    """``TCP_ESTABLISHED`` and so on, of net/tcp_states.h."""
    local: bytes
    remote: bytes
    local_port: int
    remote_port: int
    moved: Moved
    """With SYN and FIN."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What one edge did in one interval, or one ended connection, with both ends named."""

    start_wall_ns: int
    end_wall_ns: int
    local: End
    remote: End
    direction: Direction
    protocol: Protocol
    port: int
    """The service port: the one that was listened on."""
    counters: Counters
    partial: bool = False
    """True where the connection is older than the agent: what happened before is not claimed."""
    local_port: int = 0
    """Connection records only; 0 for an edge."""
    remote_port: int = 0
    duration_us: int = 0
    """Connection records only."""
    end_reason: str = ""
    """Connection records only: "closed", or a ``FailCause`` name in lower case."""
