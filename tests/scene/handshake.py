"""Two rooms that tell each other who they are in the TCP handshake, read without an agent.

Both ends' identities and the key are written into the maps as an agent would; what each end believes of the other is
read from the connection records. Leaves out names: here an identity is its tag.
"""

import collections
import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any, Final

from agent import attach, kernel, model, wire
from tests.scene import agent, room

KEY: Final = bytes(range(16))
CALLER, CALLEE = (0x0102030405060708, 0x1A2B3C4D), (0x8877665544332211, 0xF1E2D3C4)
"""Tag and pod of each; no two bytes of one are alike, so that a wrong order shows."""
READ_LIMIT_S = 10.0
SERVE: Final = """
import socket, sys, threading
ports = [int(port) for port in sys.argv[1].split(",")]
def answer(connection):
    with connection:
        while piece := connection.recv(4096):
            connection.sendall(piece)
def serve(listener):
    while True:
        threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()
listeners = [socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024,
                                  reuse_port=len(set(ports)) < len(ports)) for port in ports]
for listener in listeners:
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""
"""Echo on each of the ports given, over both families; a port that is given twice is shared."""
CALL: Final = """
import socket, sys, time
address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for number in range(count):
    with socket.create_connection((address, port), timeout=20) as connection:
        connection.sendall(b"hello")
        assert connection.recv(5, socket.MSG_WAITALL) == b"hello"
print(count)
"""
"""Connect so many times, one after the other, and have five bytes come back each time."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one end of one connection believed of the other."""

    cgroup: int
    direction: model.Direction
    peer: tuple[int, int]
    told: int
    established: bool
    retransmits: int
    connect_us: int
    remote: model.IpAddress


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Street:
    """The rooms and the programs that run on both."""

    caller: room.Room
    callee: room.Room
    kernel: kernel.Kernel
    instance: str
    found: list[Told] = dataclasses.field(default_factory=list)

    def ends(self, count: int) -> list[Told]:
        """Take the records of ended connections until there are so many, or it takes too long; these are gone then."""
        with contextlib.suppress(TimeoutError):
            agent.wait_until(lambda: self._enough(count), READ_LIMIT_S, f"{count} ends")
        taken, self.found[:] = self.found[:], []
        return taken

    def _enough(self, count: int) -> bool:
        array, _ = wire.connection_records(self.kernel.records())
        self.found.extend(_told(row) for row in array)
        return len(self.found) >= count

    def believed(self, count: int) -> collections.Counter[str]:
        """Sort so many ends: "caller" and "callee" that know the other, and those that do not."""
        kinds: collections.Counter[str] = collections.Counter()
        for each in self.ends(count):
            side, other = ("caller", CALLEE) if each.direction is model.Direction.EGRESS else ("callee", CALLER)
            right = each.peer == other and each.told == wire.TOLD_PROVEN
            nothing = each.peer == (0, 0) and each.told != wire.TOLD_PROVEN
            kinds[side if right else f"{side} {'does not know' if nothing else 'WRONG'}"] += 1
        return kinds

    def handshake_losses(self) -> dict[str, int]:
        """Read what was counted and not believed."""
        return {
            name.removeprefix("handshake_"): count
            for name, count in self.kernel.losses().items()
            if name.startswith("handshake")
        }


def _told(row: Any) -> Told:
    return Told(
        cgroup=int(row["cgroup"]),
        direction=model.Direction(int(row["direction"])),
        peer=(int(row["peer_tag"]), int(row["peer_pod"])),
        told=int(row["told"]),
        established=bool(row["established"]),
        retransmits=int(row["retransmits"]),
        connect_us=int(row["connect_us"]),
        remote=wire.address(row["remote"].tobytes()),
    )


@contextlib.contextmanager
def street(tag: str, *, key: bytes = KEY) -> Iterator[Street]:
    """Make the rooms, attach the programs, say who each room is; leave nothing behind."""
    with room.pair(tag) as (caller, callee), watching(tag, caller, callee, key=key) as made:
        yield made


@contextlib.contextmanager
def watching(tag: str, caller: room.Room, callee: room.Room, *, key: bytes = KEY) -> Iterator[Street]:
    """Attach the programs to two rooms that are there, for as long as this lasts."""
    options = attach.Options(cgroup_root=caller.cgroup.parent, instance=tag, record_ring_bytes=1 << 22)
    try:
        held = kernel.Kernel(options)
        held.settle(records=True, private=True, kept=[], collapsed=[])
        held.identify({caller.cgroup_id: CALLER, callee.cgroup_id: CALLEE})
        held.handshake([key] if key else [], on=True)
        yield Street(caller=caller, callee=callee, kernel=held, instance=tag)
        held.close()
    finally:
        attach.cleanup(options.bpffs, tag)


@contextlib.contextmanager
def sysctl(where: room.Room, name: str, value: str) -> Iterator[None]:
    """Set something of a room's network namespace; the room goes with it."""
    path = pathlib.Path("/proc/sys/net") / name
    where.run("sh", "-c", f"echo {value} > {path}")
    yield
