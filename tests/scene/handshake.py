"""Two rooms that tell each other who they are in the TCP handshake, read without an agent.

Both ends' identities and the key are written into the maps as an agent would; what each end believes of the other is
read from the connection records. Leaves out names: here an identity is its tag.
"""

import collections
import contextlib
import dataclasses
import pathlib
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from agent import attach, bpfcall, kernel, model, wire
from tests.scene import room

_WORD: Final = (1 << 64) - 1
KEY: Final = bytes(range(16))
CALLER, CALLEE = (0x0102030405060708, 0x1A2B3C4D), (0x8877665544332211, 0xF1E2D3C4)
"""Tag and pod of each; no two bytes of one are alike, so that a wrong order shows."""
READ_LIMIT_S = 10.0
POLL_S = 0.02
SERVE: Final = """
import contextlib, socket, sys, threading
ports = [int(port) for port in sys.argv[1].split(",")]
def answer(connection):
    with connection, contextlib.suppress(ConnectionError):
        while piece := connection.recv(4096):
            connection.sendall(piece)
def serve(listener):
    while True:
        threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()
listeners = [socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=4096,
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
    found: list[Told] = dataclasses.field(default_factory=list)

    def ends(self, count: int) -> list[Told]:
        """Take the records of ended connections until there are so many, or it takes too long; these are gone then."""
        until_s = time.monotonic() + READ_LIMIT_S
        while len(self.found) < count and time.monotonic() < until_s:
            array, _ = wire.connection_records(self.kernel.records())
            self.found.extend(_told(row) for row in array)
            time.sleep(POLL_S)  # noqa: TID251  # nothing signals that a record was written
        taken, self.found[:] = self.found[:], []
        return taken

    def believed(self, count: int) -> collections.Counter[str]:
        """Sort so many ends: "caller" and "callee" that know the other, and those that do not."""
        kinds: collections.Counter[str] = collections.Counter()
        for each in self.ends(count):
            side, other = ("caller", CALLEE) if each.direction is model.Direction.EGRESS else ("callee", CALLER)
            right = each.peer == other and each.told == wire.TOLD_PROVEN
            nothing = each.peer == (0, 0) and each.told != wire.TOLD_PROVEN
            kinds[side if right else f"{side} {'does not know' if nothing else 'WRONG'}"] += 1
        return kinds

    def clear(self, table: str) -> None:
        """Have the programs forget what they remember in an array: as on a node on which they were just loaded."""
        fd = self.kernel._fds[table]
        size = int.from_bytes(bpfcall.info(fd)[12:16], sys.byteorder)  # struct bpf_map_info.value_size
        for slot in range(bpfcall.map_capacity(fd)):
            bpfcall.update(fd, slot.to_bytes(4, sys.byteorder), bytes(size))

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
def watching(
    tag: str, caller: room.Room, callee: room.Room, *, key: bytes = KEY, within: pathlib.Path | None = None
) -> Iterator[Street]:
    """Attach the programs to two rooms that are there, for as long as this lasts; or to one of them (its cgroup)."""
    cgroup = within or caller.cgroup.parent
    options = attach.Options(cgroup_root=cgroup, instance=tag, record_ring_bytes=1 << 22)
    try:
        with contextlib.closing(kernel.Kernel(options)) as held:
            held.settle(records=True, private=True, kept=[], collapsed=[])
            held.identify({caller.cgroup_id: CALLER, callee.cgroup_id: CALLEE})
            held.handshake([key] if key else [], on=True)
            yield Street(caller=caller, callee=callee, kernel=held)
    finally:
        attach.cleanup(options.bpffs, tag)


def siphash(key: bytes, message: bytes) -> int:
    """SipHash-2-4 as its paper has it: the programs' arithmetic, told once more in another language."""
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rotated(word: int, bits: int) -> int:
        return (word << bits | word >> 64 - bits) & _WORD

    def rounds(times: int) -> None:
        for _ in range(times):
            v[0] = (v[0] + v[1]) & _WORD
            v[2] = (v[2] + v[3]) & _WORD
            v[1], v[3] = rotated(v[1], 13) ^ v[0], rotated(v[3], 16) ^ v[2]
            v[0] = (rotated(v[0], 32) + v[3]) & _WORD
            v[2] = (v[2] + v[1]) & _WORD
            v[1], v[3] = rotated(v[1], 17) ^ v[2], rotated(v[3], 21) ^ v[0]
            v[2] = rotated(v[2], 32)

    whole = message + bytes(7 - len(message) % 8) + bytes([len(message) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", whole):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def mac(who: tuple[int, int], isn: int, peer_isn: int, key: bytes = KEY) -> int:
    """Sign an option: what bpf/handshake.c is to write."""
    return siphash(key, struct.pack("<QIII", *who, isn, peer_isn)) & 0xFFFFFFFF
