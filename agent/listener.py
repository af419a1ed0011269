"""The socket that the API listens on: private to this machine, and never taken from another agent.

Here because a Unix socket outlives the process that made it: a stale one is removed, a live one is somebody else's.
Leaves out HTTP.
"""

import contextlib
import os
import pathlib
import socket
from typing import Final

from agent import apiaddress, errors

_MODE: Final = 0o660
"""Root and its group: flows tell who talks to whom."""
_BACKLOG: Final = 64
_HINT_PRIVATE: Final = (
    "the API asks nobody for credentials: use unix:///run/ipseity/agent.sock or http://127.0.0.1:9477"
)


def listen(address: apiaddress.ApiAddress) -> socket.socket:
    """Open the socket. Raises errors.Unavailable if it cannot be had."""
    if not address.is_private():
        raise errors.Unavailable(f"cannot serve the API on {address}: not of this machine alone", hint=_HINT_PRIVATE)
    try:
        return _unix(pathlib.Path(address.path)) if address.path else _tcp(address)
    except OSError as error:
        hint = "another agent may have it: give --api another address" if address.port else "see the directory's owner"
        raise errors.Unavailable(f"cannot serve the API on {address}: {error.strerror or error}", hint=hint) from error


def release(address: apiaddress.ApiAddress, inode: int) -> None:
    """Remove a Unix socket's file, if it is still the one with this inode number."""
    path = pathlib.Path(address.path)
    with contextlib.suppress(OSError):
        if address.path and path.stat().st_ino == inode:
            path.unlink()


def inode_of(address: apiaddress.ApiAddress) -> int:
    """Give the inode number of a Unix socket's file; 0 for TCP."""
    return pathlib.Path(address.path).stat().st_ino if address.path else 0


def _tcp(address: apiaddress.ApiAddress) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _unix(path: pathlib.Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_socket():
        _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), _MODE)  # before bind: the file never has a wider mode
        listener.bind(str(path))
        path.chmod(_MODE)  # bind takes the umask off, and with it what a group needs to connect
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_stale(path: pathlib.Path) -> None:
    """Remove a socket that nobody listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:  # its backlog is full: alive
            pass
    raise errors.Unavailable(
        f"cannot serve the API on unix://{path}: another agent listens there",
        hint="stop it, or give this one another --api and another --instance",
    )
