"""Connection tracking, as the kernel tells and forgets it: ctnetlink in the namespace of the calling thread.

Here, and not a library, because this stands in the contender's window: a strict node goes through every connection
after a change. pyroute2 decodes every attribute of each, which takes many times as long as the four that are read here.
Layout: include/uapi/linux/netfilter/nfnetlink_conntrack.h. Leaves out which connections are to go (``connections``).
"""

import contextlib
import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable, Iterator

from comparisons.ip_policy import connections, errors

NETLINK_NETFILTER = 12
_GET, _DELETE = (1 << 8) | 1, (1 << 8) | 2
"""NFNL_SUBSYS_CTNETLINK << 8, and IPCTNL_MSG_CT_GET or _DELETE."""
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_NESTED = 0x8000
_ORIG, _REPLY, _ID = 1, 2, 12
"""CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_ID."""
_IP, _PROTO = 1, 2
"""CTA_TUPLE_IP, CTA_TUPLE_PROTO."""
_NUMBER, _SOURCE_PORT = 1, 2
"""CTA_PROTO_NUM, CTA_PROTO_SRC_PORT."""
_SOURCES = (1, 3)
"""CTA_IP_V4_SRC, CTA_IP_V6_SRC."""
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_BUFFER = 1 << 20
_WAIT_S = 5.0


def read() -> list[connections.Tracked]:
    """Return every connection of the namespace."""
    with _open() as link:
        link.send(_message(_GET, _REQUEST | _DUMP, socket.AF_UNSPEC, b""))
        return [made for kind, body in _answers(link) if kind != _ERROR and (made := _parsed(body)) is not None]


def forget(found: Iterable[connections.Tracked]) -> int:
    """Make the namespace forget these connections; how many there still were."""
    count = 0
    with _open() as link:
        for each in found:
            family = socket.AF_INET6 if each.source.version == 6 else socket.AF_INET
            link.send(_message(_DELETE, _REQUEST | _ACK, family, each.key))
            with contextlib.suppress(FileNotFoundError):  # it has ended by itself
                for _ in _answers(link):
                    pass
                count += 1
    return count


@contextlib.contextmanager
def _open() -> Iterator[socket.socket]:
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER) as link:
            link.settimeout(_WAIT_S)
            link.bind((0, 0))
            yield link
    except OSError as error:
        raise errors.Refused(
            f"cannot read connection tracking: {error.strerror or error}", hint="this needs root (CAP_NET_ADMIN)"
        ) from error


def _message(kind: int, flags: int, family: int, body: bytes) -> bytes:
    generic = struct.pack("!BBH", family, 0, 0)
    return _HEADER.pack(_HEADER.size + len(generic) + len(body), kind, flags, 0, 0) + generic + body


def _answers(link: socket.socket) -> Iterator[tuple[int, memoryview]]:
    """Yield messages until the last one of an answer. OSError: the kernel said no."""
    while True:
        data = memoryview(link.recv(_BUFFER))
        while data:
            length, kind, *_ = _HEADER.unpack_from(data)
            if kind == _DONE:
                return
            body = data[_HEADER.size : length]
            if kind == _ERROR:
                number = -struct.unpack_from("=i", body)[0]
                if number:
                    raise OSError(number, os.strerror(number))
                return
            yield kind, body
            data = data[(length + 3) & ~3 :]


def _parsed(body: memoryview) -> connections.Tracked | None:
    """Understand a connection; None for one of a family that no pod has."""
    found = _attributes(body[4:])
    original, reply = _attributes(found[_ORIG]), _attributes(found[_REPLY])
    source, answering = _source(original[_IP]), _source(reply[_IP])
    if source is None or answering is None:
        return None
    transport = _attributes(reply[_PROTO])
    port = struct.unpack("!H", transport[_SOURCE_PORT])[0] if _SOURCE_PORT in transport else 0
    return connections.Tracked(
        protocol=transport[_NUMBER][0],
        source=source,
        answering=answering,
        answering_port=port,
        key=_attribute(_ORIG | _NESTED, found[_ORIG]) + _attribute(_ID, found[_ID]),
    )


def _source(tuple_: memoryview) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    for kind, value in _attributes(tuple_).items():
        if kind in _SOURCES:
            return ipaddress.ip_address(bytes(value))
    return None


def _attributes(data: memoryview) -> dict[int, memoryview]:
    found: dict[int, memoryview] = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            raise OSError(errno.EBADMSG, "an attribute without length")
        found[kind & 0x3FFF] = data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]
    return found


def _attribute(kind: int, value: memoryview) -> bytes:
    padding = bytes(-len(value) % 4)
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + bytes(value) + padding
