"""Network namespaces by path: make, enter, remove.

Here because every pod and every node has one, kept alive by a bind mount so that no process has to hold it. Only
threads that end right afterwards ever enter one: the process itself stays where it was started. Leaves out what is
put inside (``netlink``).
"""

import contextlib
import ctypes
import os
import pathlib
import socket
import threading
from collections.abc import Callable
from typing import TypeVar

from comparisons.lab import errors, mounts

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
"""include/uapi/linux/sched.h"""

_libc = ctypes.CDLL(None, use_errno=True)


def create(path: pathlib.Path, configure: Callable[[], None] = lambda: None) -> None:
    """Make a namespace, keep it at ``path``, and run ``configure`` inside while it is being made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove(path)
    path.touch()

    def make() -> None:
        _check(_libc.unshare(CLONE_NEWNET), f"make network namespace {path.name}")
        mounts.bind("/proc/thread-self/ns/net", path)
        configure()

    _in_thread(make)


def inside(path: pathlib.Path, function: Callable[[], T]) -> T:
    """Run a function in this namespace and return what it does. Blocks for as long as it runs."""

    def enter() -> T:
        with path.open("rb") as namespace:
            _check(_libc.setns(namespace.fileno(), CLONE_NEWNET), f"enter network namespace {path}")
        return function()

    return _in_thread(enter)


def open_socket(path: pathlib.Path, family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
    """Make a socket that belongs to this namespace and may be used from anywhere."""
    return inside(path, lambda: socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC))


def remove(path: pathlib.Path) -> None:
    """Forget the namespace; it ends with its last process. Harmless where there is none."""
    mounts.detach(path)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def _check(result: int, doing: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise errors.LabError(
            f"cannot {doing}: {os.strerror(number).lower()}", hint="the lab needs root (CAP_SYS_ADMIN)"
        )


def _in_thread(function: Callable[[], T]) -> T:
    """Run in a thread of its own, never in a pool: what a thread enters it never leaves."""
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001  # carried over to the caller's thread
            failures.append(error)

    thread = threading.Thread(target=run, name="netns", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]
