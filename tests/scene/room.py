"""Two rooms on one wire: what two pods are to the kernel (a cgroup and a network namespace each), without Kubernetes.

    caller 10.203.0.1, fd00:203::1  ----veth----  10.203.0.2, fd00:203::2 callee

Beyond the callee lie addresses that swallow packets and addresses that answer "host unreachable", so that connections
fail for every reason there is. Leaves out who talks (``tests.traffic``) and names of pods (the lab).
"""

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator

from tests.scene import clone

SILENT = ("10.203.1.1", "fd00:203:1::1")
"""Routed through the callee, which drops what it gets for them."""
UNREACHABLE = ("10.203.2.1", "fd00:203:2::1")
"""Routed through the callee, which answers that there is no such host."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A cgroup and a network namespace."""

    name: str
    """Of the network namespace, as ``ip netns`` lists it."""
    cgroup: pathlib.Path
    address4: str
    address6: str

    @property
    def cgroup_id(self) -> int:
        """What ``bpf_get_current_cgroup_id`` says inside."""
        return self.cgroup.stat().st_ino

    def command(self, *words: str | pathlib.Path) -> list[str]:
        """Wrap a command so that it runs in here from its first system call."""
        enter = 'echo $$ > "$0/cgroup.procs" && exec nsenter --net="$1" -- "${@:2}"'
        return ["bash", "-c", enter, str(self.cgroup), f"/run/netns/{self.name}", *map(str, words)]

    def start(self, *words: str | pathlib.Path) -> subprocess.Popen[str]:
        """Start a program in here, with the repository as its folder; its output is piped."""
        return subprocess.Popen(self.command(*words), cwd=clone.ROOT, stdout=subprocess.PIPE, text=True)

    def run(self, *words: str | pathlib.Path) -> str:
        """Run a program in here that must succeed; returns its output."""
        done = subprocess.run(self.command(*words), cwd=clone.ROOT, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout


@contextlib.contextmanager
def pair(tag: str = "", *, bridged: bool = False) -> Iterator[tuple[Room, Room]]:
    """Make caller and callee, and leave nothing behind. ``tag`` tells pairs of one process apart.

    ``bridged``: with the bridge of a node between them, as pods have. On one wire the kernel has less to do of its own.
    """
    tag = f"{tag or 'room'}-{os.getpid()}"
    base = cgroup_root() / f"ipseity-{tag}"
    names = (f"ipseity-{tag}-caller", f"ipseity-{tag}-callee")
    rooms = tuple(
        Room(name=name, cgroup=base / name, address4=f"10.203.0.{n}", address6=f"fd00:203::{n}")
        for n, name in enumerate(names, start=1)
    )
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(base.rmdir)
        base.mkdir()
        for room in rooms:
            cleanup.callback(leave, room)
            room.cgroup.mkdir()
            ip("netns", "add", room.name)
        if bridged:
            cleanup.callback(ip, "netns", "delete", f"ipseity-{tag}-node")
            bridge(f"ipseity-{tag}-node", rooms)
        else:
            near, far = (room.name for room in rooms)
            ip("link", "add", "eth0", "netns", near, "type", "veth", "peer", "name", "eth0", "netns", far)
        address(*rooms)
        yield rooms[0], rooms[1]


@contextlib.contextmanager
def talking(where: Room, code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run Python in a room until it says its first line; it runs on, and is ended afterwards."""
    with where.start("python3", "-c", code, *arguments) as process:
        try:
            if process.stdout is None or not process.stdout.readline().strip():
                raise RuntimeError(f"a program in {where.name} ended before it said anything")
            yield process
        finally:
            process.kill()


def cgroup_root() -> pathlib.Path:
    """Find where cgroup2 is mounted: in another place on a hybrid host."""
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return pathlib.Path(where)
    raise FileNotFoundError("no cgroup2 mount")


def leave(room: Room) -> None:
    """End what runs in a room and remove it."""
    with contextlib.suppress(FileNotFoundError):
        while pids := (room.cgroup / "cgroup.procs").read_text().split():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(int(pid), 0)
        room.cgroup.rmdir()
    subprocess.run(["ip", "netns", "delete", room.name], check=False, stderr=subprocess.DEVNULL)


def bridge(host: str, rooms: Iterable[Room]) -> None:
    """Make a namespace with a bridge, and a port of it for each room."""
    ip("netns", "add", host)
    ip("-n", host, "link", "add", "pods", "type", "bridge")
    ip("-n", host, "link", "set", "pods", "up")
    for number, room in enumerate(rooms):
        port = f"pod{number}"
        ip("link", "add", port, "netns", host, "type", "veth", "peer", "name", "eth0", "netns", room.name)
        ip("-n", host, "link", "set", port, "master", "pods", "up")


def address(caller: Room, callee: Room) -> None:
    """Give two rooms their addresses, and teach the callee those beyond it."""
    for room in (caller, callee):
        inside = ("-n", room.name)
        ip(*inside, "link", "set", "lo", "up")
        ip(*inside, "address", "add", f"{room.address4}/24", "dev", "eth0")
        ip(*inside, "address", "add", f"{room.address6}/64", "dev", "eth0", "nodad")
        ip(*inside, "link", "set", "eth0", "up")
    ip("-n", caller.name, "route", "add", "default", "via", callee.address4)
    ip("-n", caller.name, "-6", "route", "add", "default", "via", callee.address6)
    for address in SILENT:
        ip("-n", callee.name, "route", "add", "blackhole", address)
    for address in UNREACHABLE:
        ip("-n", callee.name, "route", "add", "unreachable", address)
    # Forward, so that those routes are looked at; and answer every time, not once a second.
    for setting in (
        "ipv4/ip_forward=1",
        "ipv6/conf/all/forwarding=1",
        "ipv4/icmp_ratelimit=0",
        "ipv6/icmp/ratelimit=0",
    ):
        name, _, value = setting.partition("=")
        callee.run("sh", "-c", f"echo {value} > /proc/sys/net/{name}")


def ip(*words: str) -> None:
    """Run iproute2; it must succeed."""
    subprocess.run(["ip", *words], check=True)


def python(module: str, *arguments: str) -> list[str]:
    """Spell the command that runs one of our modules with this interpreter."""
    return [sys.executable, "-m", module, *arguments]
