"""Execute a network plan in a namespace, through netlink.

Here so that one file speaks netlink and none of it is spread over shell commands. Decides nothing: the operations
come from ``network``, in order, and the first one that fails names itself.
"""

import contextlib
import ipaddress
import os
import pathlib
import socket
from collections.abc import Sequence
from typing import Any, assert_never

import pyroute2
import pyroute2.netlink.exceptions
import pyroute2.netlink.rtnl.ndmsg

from comparisons.lab import errors, netns, network

IFA_F_NODAD = 0x02
"""include/uapi/linux/if_addr.h"""
SYSCTLS = pathlib.Path("/proc/sys/net")


def apply(path: pathlib.Path, operations: Sequence[network.Operation]) -> None:
    """Run a plan inside the namespace at ``path``. Blocks for a few milliseconds."""
    netns.inside(path, lambda: run(operations))


def run(operations: Sequence[network.Operation]) -> None:
    """Run a plan in the namespace of the calling thread."""
    with pyroute2.IPRoute() as ipr:
        for operation in operations:
            try:
                _execute(ipr, operation)
            except (pyroute2.netlink.exceptions.NetlinkError, OSError) as error:
                raise errors.LabError(f"cannot apply {operation}: {error}") from error


def _execute(ipr: Any, operation: network.Operation) -> None:  # noqa: C901  # one line per kind of operation
    match operation:
        case network.Sysctl():
            if not operation.optional or (SYSCTLS / operation.key).exists():
                (SYSCTLS / operation.key).write_text(operation.value)
        case network.Bridge():
            ipr.link("add", ifname=operation.name, kind="bridge", address=operation.mac)
        case network.Veth():
            _veth(ipr, operation)
        case network.Up():
            bridge = {"master": _index(ipr, operation.bridge)} if operation.bridge else {}
            ipr.link("set", index=_index(ipr, operation.name), state="up", **bridge)
        case network.NoLink():
            for index in ipr.link_lookup(ifname=operation.name):
                ipr.link("del", index=index)
        case network.Address():
            _address(ipr, operation)
        case network.Neighbour():
            _neighbour(ipr, operation)
        case network.Route():
            _route(ipr, operation)
        case network.NoRoute():
            with contextlib.suppress(pyroute2.netlink.exceptions.NetlinkError):
                ipr.route("del", dst=operation.destination, family=_family(operation.destination))
        case _:
            assert_never(operation)


def _veth(ipr: Any, veth: network.Veth) -> None:
    namespace = os.open(veth.peer_netns, os.O_RDONLY)
    try:
        peer = {"ifname": veth.peer, "net_ns_fd": namespace}
        ipr.link("add", ifname=veth.name, kind="veth", address=veth.mac, peer=peer)
    finally:
        os.close(namespace)


def _address(ipr: Any, it: network.Address) -> None:
    interface = ipaddress.ip_interface(it.address)
    ipr.addr(
        "replace",
        index=_index(ipr, it.link),
        address=str(interface.ip),
        prefixlen=interface.network.prefixlen,
        family=_family(it.address),
        **({"flags": IFA_F_NODAD} if interface.version == 6 else {}),
    )


def _neighbour(ipr: Any, it: network.Neighbour) -> None:
    stale = pyroute2.netlink.rtnl.ndmsg.states["stale"]  # used at once, and asked for again when it has been
    index, family = _index(ipr, it.link), _family(it.address)
    ipr.neigh("replace", ifindex=index, dst=it.address, lladdr=it.mac, state=stale, family=family)


def _route(ipr: Any, it: network.Route) -> None:
    gateway = {"gateway": it.gateway} if it.gateway else {}
    scope = {"scope": 253} if not it.gateway and _family(it.destination) == socket.AF_INET else {}  # RT_SCOPE_LINK
    ipr.route(
        "replace", dst=it.destination, oif=_index(ipr, it.link), family=_family(it.destination), **gateway, **scope
    )


def _index(ipr: Any, name: str) -> int:
    indexes = ipr.link_lookup(ifname=name)
    if not indexes:
        raise errors.LabError(f"there is no link {name!r} in this namespace")
    return int(indexes[0])


def _family(text: str) -> int:
    return socket.AF_INET6 if ":" in text else socket.AF_INET
