"""Whether the redirect works, found out by using it, before the application starts.

Outbound is proven: a connection to an address that nobody has (RFC 5737, RFC 3849) must arrive at a listener here, on
the proxy's port, which the proxy does not have yet; and it must still know where it was going.

Inbound cannot be proven from here. What comes from outside is translated at prerouting, but a connection that begins in
this namespace goes over the loopback interface, and the kernel has settled its destination at output already; another
path needs a second namespace (CAP_SYS_ADMIN) or raw packets (CAP_NET_RAW), and a container that has those is a worse
fault than the one it would find. So for inbound the kernel's own list is read back: our chain is hooked at prerouting,
with the redirect in it. The proof comes with the first probe or request.

Here because a pod whose traffic passes by its proxy must not start. Leaves out what to do then: ``commands``.
"""

import dataclasses
import errno
import ipaddress
import socket
import struct
from typing import Final

from injector import errors, names
from injector.sidecar import install, redirect

_TIMEOUT_S: Final = 3.0
_TARGETS: Final = {socket.AF_INET: ("192.0.2.1", "127.0.0.1"), socket.AF_INET6: ("2001:db8::1", "::1")}
"""By address family: where to go, and where one must arrive: the kernel redirects a local connection to loopback."""
_TARGET_PORT: Final = 20_001
"""Linkerd's validator uses it too: arbitrary, but seldom in a list of ports to skip."""
_NO_FAMILY: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_NO_ROUTE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL})
_ORIGINAL_DST: Final = 80
"""linux/netfilter_ipv4.h SO_ORIGINAL_DST and linux/netfilter_ipv6/ip6_tables.h IP6T_SO_ORIGINAL_DST."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What holds."""

    outbound: tuple[str, ...]
    """Address families in which a connection arrived."""
    unchecked: tuple[str, ...]
    """Those in which the pod has no address or no route, so that nothing can go out."""
    rivals: tuple[str, ...]
    """Other tables that translate addresses in this pod: another mesh, or a rule of the user's."""


def check(plan: redirect.Redirect) -> Found:
    """Use the redirect, and read it back. Raises CannotRun where traffic would pass by the proxy."""
    arrived: list[str] = []
    unchecked: list[str] = []
    for family in _TARGETS:
        name = "IPv4" if family == socket.AF_INET else "IPv6"
        (arrived if _outbound(family, name, _port_to_try(plan)) else unchecked).append(name)
    hooked = install.chains()
    _check_inbound(hooked)
    rivals = [str(chain) for chain in hooked if chain.kind == "nat" and chain.table != redirect.TABLE]
    return Found(outbound=tuple(arrived), unchecked=tuple(unchecked), rivals=tuple(rivals))


def _port_to_try(plan: redirect.Redirect) -> int:
    """Choose a port that is not skipped."""
    for port in range(_TARGET_PORT, 65_536):
        if not any(skipped.low <= port <= skipped.high for skipped in plan.skip_outbound):
            return port
    return 1


def _outbound(family: socket.AddressFamily, name: str, port: int) -> bool:
    """Connect; False if this pod cannot go out in this family at all."""
    target, arrival = _TARGETS[family]
    try:
        listener = _listener(family, arrival)
    except OSError as error:
        if error.errno in _NO_FAMILY:
            return False
        raise errors.CannotRun(
            f"cannot listen on port {names.OUTBOUND_PORT} to check the redirect: {error.strerror}",
            hint=f"no container of this pod may use the ports {names.OUTBOUND_PORT} and {names.INBOUND_PORT}",
        ) from error
    with listener, socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT_S)
        try:
            connection.connect((target, port))
            accepted, _ = listener.accept()
        except OSError as error:
            if error.errno in _NO_ROUTE:
                return False
            raise _passes_by(name, target, port, f"it did not arrive at the proxy's port ({error})") from error
        with accepted:
            _check_original(accepted, name, (target, port))
    return True


def _listener(family: socket.AddressFamily, address: str) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.settimeout(_TIMEOUT_S)
        listener.bind((address, names.OUTBOUND_PORT))
        listener.listen(1)
    except OSError:
        listener.close()
        raise
    return listener


def _check_original(accepted: socket.socket, name: str, target: tuple[str, int]) -> None:
    """Ask as Envoy will ask."""
    try:
        found = original_destination(accepted)
    except OSError as error:
        raise _passes_by(name, *target, f"the kernel has forgotten where it was going ({error.strerror})") from error
    if found != target:
        raise _passes_by(name, *target, f"the kernel says that it was going to {found[0]} port {found[1]}")


def original_destination(accepted: socket.socket) -> tuple[str, int]:
    """Tell where a redirected connection was going, from its sockaddr. Raises OSError."""
    if accepted.family == socket.AF_INET:
        port, address = struct.unpack_from("!2xH4s", accepted.getsockopt(socket.SOL_IP, _ORIGINAL_DST, 16))
    else:
        port, address = struct.unpack_from("!2xH4x16s", accepted.getsockopt(socket.IPPROTO_IPV6, _ORIGINAL_DST, 28))
    return str(ipaddress.ip_address(address)), port


def _check_inbound(hooked: list[install.Hooked]) -> None:
    for chain, hook, port in (
        ("output", "output", names.OUTBOUND_PORT),
        ("prerouting", "prerouting", names.INBOUND_PORT),
    ):
        ours = install.Hooked("inet", redirect.TABLE, chain, "nat", hook)
        if ours not in hooked or port not in install.redirects(chain):
            raise errors.CannotRun(
                f"the kernel took the redirect, but its {hook} chain is not there",
                hint="something else changes nftables in this pod; look at: nft list ruleset",
            )


def _passes_by(name: str, target: str, port: int, why: str) -> errors.CannotRun:
    return errors.CannotRun(
        f"the redirect does not work: an {name} connection to {target} port {port}: {why}; "
        "the pod's traffic would pass by its proxy",
        hint="look for other rules in this pod (nft list ruleset) and for a node without nft_redir or nf_conntrack",
    )
