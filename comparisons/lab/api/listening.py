"""The sockets that the server listens on: on this machine, and where a lab's nodes and pods can come.

Here so that the addresses are known before the first request, and are part of what the server says of itself. A
socket belongs to the network namespace in which it was made, so one process serves in two. Leaves out TLS: ``trust``.
"""

import contextlib
import dataclasses
import functools
import pathlib
import socket
from collections.abc import Iterator

from comparisons.lab import errors, netns
from comparisons.lab.api import front

BACKLOG = 1024
"""Connections that wait to be taken; the kernel's own limit (net.core.somaxconn) may be lower."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to listen. ``namespace`` None: in this process's own."""

    ip: str
    port: int
    """0: any free one."""
    namespace: pathlib.Path | None = None


@contextlib.contextmanager
def at(place: Place) -> Iterator[socket.socket]:
    """Listen meanwhile; LabError if that cannot be."""
    make = functools.partial(_open, place)
    found = make() if place.namespace is None else netns.inside(place.namespace, make)
    with found:
        yield found


def endpoint(listening: socket.socket) -> front.Endpoint:
    """Tell where a socket listens."""
    host, port = listening.getsockname()[:2]
    return front.Endpoint(ip=host, port=port)


def _open(place: Place) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.ip else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)  # noqa: FBT003  # its only argument
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((place.ip, place.port))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise errors.LabError(
            f"cannot listen on {place.ip}:{place.port}: {error.strerror or error}",
            hint="give another --listen ADDRESS:PORT",
        ) from error
    return made
