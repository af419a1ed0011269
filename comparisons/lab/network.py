"""What the network of a lab, a node, a pod consists of, as a list of operations in order.

Here because what is planned as a value can be read, compared and tested without a kernel; ``netlink`` executes it.

Every pod has a host route only (/32, /128) and the node as its gateway, so the node routes all traffic, also between
two of its own pods: that is what brings the replies of a Service's pods back through the node's address translation.
A pod's MAC address is made of its IPv4 address, so that nobody's neighbour table is wrong when the address changes
hands.
"""

import dataclasses
import hashlib
import ipaddress
import pathlib
from collections.abc import Iterable, Sequence

from comparisons.lab import addresses, layout, plan

BRIDGE = "pods"
UPLINK = "eth0"
FABRIC_BRIDGE = "fabric"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """A bridge with nothing in it yet."""

    name: str
    mac: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Veth:
    """A pair; the other end appears in another namespace."""

    name: str
    mac: str
    peer: str
    peer_netns: pathlib.Path


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Up:
    """Switch a link on, inside a bridge if one is named."""

    name: str
    bridge: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address with its prefix length, without duplicate detection: the plan knows that there is no duplicate."""

    link: str
    address: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route, replaced if it is there. Without a gateway: on the link."""

    destination: str
    link: str
    gateway: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NoRoute:
    """A route that may be there and shall not."""

    destination: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NoLink:
    """A link that may be there and shall not."""

    name: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Who has an address on a link, replaced if it is known otherwise, or is being asked for."""

    link: str
    address: str
    mac: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sysctl:
    """A file below /proc/sys/net and what to write into it."""

    key: str
    value: str
    optional: bool = False
    """True where the file is there only with a kernel module that need not be loaded."""


Operation = Bridge | Veth | Up | Address | Route | NoRoute | NoLink | Neighbour | Sysctl

ROUTER = (
    Sysctl(key="ipv4/ip_forward", value="1"),
    Sysctl(key="ipv6/conf/all/forwarding", value="1"),
    Sysctl(key="ipv4/conf/all/send_redirects", value="0"),
    Sysctl(key="ipv4/conf/default/send_redirects", value="0"),
    *(
        Sysctl(key=f"bridge/bridge-nf-call-{kind}", value="0", optional=True)
        for kind in ("iptables", "ip6tables", "arptables")
    ),
)
"""With br_netfilter loaded a bridge would translate addresses itself, before routing, and lose its own replies."""
QUIET = (
    Sysctl(key="ipv6/conf/default/accept_dad", value="0"),
    Sysctl(key="ipv6/conf/default/accept_ra", value="0"),
    Sysctl(key="ipv6/conf/default/accept_redirects", value="0"),
)
"""No duplicate address detection (it costs a second per link), no router discovery, no short cuts around the node."""


def mac(text: str) -> str:
    """Make a locally administered MAC address, always the same one for the same text."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return ":".join(("0a", *(digest[at : at + 2] for at in range(0, 10, 2))))


def port(uid: str) -> str:
    """Return the node's end of a pod's link: a name of at most 15 bytes (IFNAMSIZ)."""
    return "p" + hashlib.sha256(uid.encode()).hexdigest()[:12]


def fabric(lab: plan.LabPlan) -> list[Operation]:
    """Between the nodes: a bridge, and a router for what is outside the cluster."""
    operations: list[Operation] = [
        *QUIET,
        *ROUTER,
        Up(name="lo"),
        Bridge(name=FABRIC_BRIDGE, mac=mac(f"{lab.name}/fabric")),
    ]
    operations += [Address(link=FABRIC_BRIDGE, address=_with_prefix(cidr)) for cidr in lab.fabric_cidrs]
    operations.append(Up(name=FABRIC_BRIDGE))
    return operations + routes(lab.nodes, link=FABRIC_BRIDGE)


def node(here: layout.Node, it: plan.NodePlan, fabric_cidrs: Sequence[str]) -> list[Operation]:
    """Plan a node: an uplink to the fabric, a bridge for its pods, forwarding between them."""
    uplink = Veth(name=UPLINK, mac=mac(f"{here.lab.name}/{it.name}"), peer=it.name[:15], peer_netns=here.lab.fabric)
    operations: list[Operation] = [*QUIET, *ROUTER, Up(name="lo"), uplink]
    for ip, cidr in zip(it.ips, fabric_cidrs, strict=True):
        operations.append(Address(link=UPLINK, address=f"{ip}/{ipaddress.ip_network(cidr).prefixlen}"))
    operations += [Up(name=UPLINK), Bridge(name=BRIDGE, mac=mac(f"{here.lab.name}/{it.name}/pods"))]
    operations += [Address(link=BRIDGE, address=_with_prefix(cidr)) for cidr in it.pod_cidrs]
    operations.append(Up(name=BRIDGE))
    for cidr in fabric_cidrs:
        router = addresses.gateway(ipaddress.ip_network(cidr))
        operations.append(
            Route(destination="::/0" if router.version == 6 else "0.0.0.0/0", link=UPLINK, gateway=str(router))
        )
    return operations


def no_node(it: plan.NodePlan) -> list[Operation]:
    """In the fabric: an earlier life of the node has left its port, which goes only some time after its namespace."""
    return [NoLink(name=it.name[:15])]


def node_port(it: plan.NodePlan) -> list[Operation]:
    """Return the fabric's end of a node's uplink."""
    return [Up(name=it.name[:15], bridge=FABRIC_BRIDGE)]


def routes(nodes: Iterable[plan.NodePlan], *, link: str) -> list[Operation]:
    """To the pods of these nodes, through the nodes."""
    return [
        Route(destination=cidr, link=link, gateway=ip)
        for it in nodes
        for cidr in it.pod_cidrs
        for ip in it.ips
        if ipaddress.ip_network(cidr).version == ipaddress.ip_address(ip).version
    ]


def pod_link(uid: str, ips: Sequence[addresses.IpAddress], here: layout.Node) -> list[Operation]:
    """First half, inside the pod: the link whose other end appears on the node."""
    return [*QUIET, Up(name="lo"), Veth(name=UPLINK, mac=mac(str(ips[0])), peer=port(uid), peer_netns=here.netns)]


def pod_port(uid: str, ips: Sequence[addresses.IpAddress]) -> list[Operation]:
    """Second half, on the node: into the bridge, and announced, as CNI plugins do.

    Else a node that was asked for the address before would ask for it once a second, and reach the pod that late.
    """
    known = [Neighbour(link=BRIDGE, address=str(ip), mac=mac(str(ips[0]))) for ip in ips]
    return [Up(name=port(uid), bridge=BRIDGE), *known]


def pod_addresses(
    ips: Sequence[addresses.IpAddress], pod_cidrs: Sequence[str], sysctls: Iterable[Sysctl]
) -> list[Operation]:
    """Last, inside the pod: host addresses, and everything else through the node."""
    operations: list[Operation] = [*sysctls, Up(name=UPLINK)]
    for ip, cidr in zip(ips, pod_cidrs, strict=True):
        gateway = addresses.gateway(ipaddress.ip_network(cidr))
        operations += [
            Address(link=UPLINK, address=f"{ip}/{ip.max_prefixlen}"),
            Route(destination=f"{gateway}/{gateway.max_prefixlen}", link=UPLINK),
            Route(destination="::/0" if ip.version == 6 else "0.0.0.0/0", link=UPLINK, gateway=str(gateway)),
        ]
    return operations


def no_pod(uid: str) -> list[Operation]:
    """On the node: the pod's link is gone at once, not whenever its namespace ends."""
    return [NoLink(name=port(uid))]


def _with_prefix(cidr: str) -> str:
    network = ipaddress.ip_network(cidr)
    return f"{addresses.gateway(network)}/{network.prefixlen}"
