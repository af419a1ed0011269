"""Connections to peers and over paths that do not know the option or do not want it: how many failed, how long it took.

Here because the same is measured on this machine's kernel and on those of ``make kernels``, with Debian's Python, numpy
and nftables alone.
"""

import contextlib
import dataclasses
import json
import statistics
import subprocess
from collections.abc import Iterator

from tests.scene import handshake, room

COUNT = 1000
PORT, NEW_PORT, SIGNED_PORT = 7001, 7002, 7003
"""Of listeners that are older than the programs, and of others."""
RETRANSMITTED_S = 1.0
"""After so long the kernel sends an unanswered SYN again (TCP_TIMEOUT_INIT)."""
LATE_S = 0.5
"""Arbitrary: what a timer and a busy machine may add to it."""
CALL_AT_ONCE = """
import asyncio, json, resource, socket, struct, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
address, port, count, at_once, signed = sys.argv[1], *map(int, sys.argv[2:])
async def call(gate, loop):
    async with gate:
        with socket.socket() as client:
            client.setblocking(False)
            if signed:
                peer = struct.pack("=HH4s", socket.AF_INET, 0, socket.inet_aton(address)).ljust(128, b"\\0")
                client.setsockopt(6, 14, peer + struct.pack("=BBHI", 0, 0, 3, 0) + b"key".ljust(80, b"\\0"))
            started_s = time.monotonic()
            try:
                await asyncio.wait_for(loop.sock_connect(client, (address, port)), 30)
                took_s = time.monotonic() - started_s
                await loop.sock_sendall(client, b"hello")
                return took_s if await asyncio.wait_for(loop.sock_recv(client, 5), 30) == b"hello" else None
            except (OSError, TimeoutError, asyncio.TimeoutError):
                return None
async def main():
    gate, loop = asyncio.Semaphore(at_once), asyncio.get_running_loop()
    print(json.dumps(await asyncio.gather(*(call(gate, loop) for _ in range(count)))))
asyncio.run(main())
"""
SERVE_SIGNED = handshake.SERVE.replace(
    "for listener in listeners:",
    """
import struct
peer = struct.pack("=HHI16s", socket.AF_INET6, 0, 0, socket.inet_pton(socket.AF_INET6, "::ffff:10.203.0.1"))
for listener in listeners:
    listener.setsockopt(6, 14, peer.ljust(128, b"\\0") + struct.pack("=BBHI", 0, 0, 3, 0) + b"key".ljust(80, b"\\0"))
""".strip()
    + "\n    ",
    1,
)
"""MD5 signatures (RFC 2385) fill what timestamps, SACK and window scaling leave of a SYN's header."""
OPTION = "tcp option 253 exists"
IN, OUT = "input", "output"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of peer or path."""

    name: str
    count: int
    failed: int
    known: int
    """Ends that knew the other by the handshake."""
    connect_s: float
    """Median, as the caller's program measured it."""
    slowest_s: float
    retransmits: int
    """The most that one connection needed, SYNs and data; -1 where the caller's node has no programs to count them."""
    most_retransmits: int

    @property
    def holds(self) -> bool:
        """None failed, and none took longer than this kind may."""
        allowed_s = RETRANSMITTED_S * min(1, self.most_retransmits) + LATE_S
        return self.unharmed and self.slowest_s <= allowed_s

    @property
    def unharmed(self) -> bool:
        """None failed or was sent more often than it may. Without time: under emulation it is the emulator's."""
        return not self.failed and self.retransmits <= self.most_retransmits

    def line(self) -> str:
        """In words."""
        return (
            f"{self.name:58} {self.failed} of {self.count} failed; connected in {1000 * self.connect_s:.1f} ms, "
            f"at most {1000 * self.slowest_s:.0f} ms, {self.retransmits} retransmissions; {self.known} ends known"
        )


def measure(count: int = COUNT) -> Iterator[Kind]:
    """Connect in every way."""
    with room.pair("compat") as (caller, callee), room.talking(callee, handshake.SERVE, str(PORT)):
        yield alone(caller, callee, count)
        for name, within in (
            ("a server whose node has no agent", caller),
            ("a client whose node has no agent", callee),
        ):
            with handshake.watching("compat", caller, callee, within=within.cgroup) as street:
                yield calls(street, name, count, port=PORT, ends=count)
        with (
            handshake.watching("compat", caller, callee) as street,
            room.talking(callee, handshake.SERVE, str(NEW_PORT)),
        ):
            yield from paths(street, count)


def paths(street: handshake.Street, count: int) -> Iterator[Kind]:
    """Both ends have the programs; what lies between them differs."""
    callee = street.callee
    yield calls(street, "both have one", count)
    with room.talking(callee, SERVE_SIGNED, str(SIGNED_PORT)):
        yield calls(street, "a header full of options", count, port=SIGNED_PORT, signed=True)
    with device(callee, IN, f"{OPTION} drop"):
        yield calls(street, "a device that drops what carries the option", count, at_once=count, most=1)
        yield calls(street, "the same once more: it is remembered", count)
    street.clear("deaf_peers")
    with device(callee, OUT, f"{OPTION} drop"):
        yield calls(street, "a device that drops it on the way back", count, at_once=count, most=1)
        street.clear("deaf_peers")
        yield calls(street, "likewise, a listener older than the agent", count, port=PORT, at_once=count, most=3)
    street.clear("deaf_peers")
    with device(callee, IN, f"tcp flags & syn == 0 {OPTION} drop"):
        yield calls(street, "a device that drops it in all but SYNs", count, at_once=count, most=3)
        yield calls(street, "the same once more: it is remembered", count)


def alone(caller: room.Room, callee: room.Room, count: int) -> Kind:
    """Connect without programs, to compare with."""
    took_s = call(caller, callee, PORT, count, at_once=8)
    return kind("no agent anywhere", took_s, known=0, retransmits=-1, most=0)


def calls(  # what differs from kind to kind
    street: handshake.Street,
    name: str,
    count: int,
    *,
    port: int = NEW_PORT,
    at_once: int = 8,
    signed: bool = False,
    most: int = 0,
    ends: int = 0,
) -> Kind:
    """Connect and look at both ends."""
    took_s = call(street.caller, street.callee, port, count, at_once=at_once, signed=signed)
    found = street.ends(ends or 2 * count)
    mine = [each for each in found if each.cgroup == street.caller.cgroup_id]
    known = sum(each.peer != (0, 0) for each in found)
    return kind(name, took_s, known=known, retransmits=max((each.retransmits for each in mine), default=-1), most=most)


def kind(name: str, took_s: list[float | None], *, known: int, retransmits: int, most: int) -> Kind:
    """Put it in figures."""
    connected_s = [each for each in took_s if each is not None] or [0.0]
    return Kind(
        name=name,
        count=len(took_s),
        failed=took_s.count(None),
        known=known,
        connect_s=statistics.median(connected_s),
        slowest_s=max(connected_s),
        retransmits=retransmits,
        most_retransmits=most,
    )


def call(
    caller: room.Room, callee: room.Room, port: int, count: int, *, at_once: int, signed: bool = False
) -> list[float | None]:
    """Connect and have five bytes come back; returns how long each connect took, None for one that failed."""
    words = (callee.address4, port, count, at_once, int(signed))
    found: list[float | None] = json.loads(caller.run("python3", "-c", CALL_AT_ONCE, *map(str, words)))
    return found


@contextlib.contextmanager
def device(where: room.Room, way: str, rule: str) -> Iterator[None]:
    """Have something between the rooms that does this to packets."""
    enter = ["ip", "netns", "exec", where.name, "nft"]
    rules = f"table ip between {{\n chain packets {{ type filter hook {way} priority 0;\n {rule};\n }}\n}}\n"
    subprocess.run([*enter, "-f", "-"], input=rules, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run([*enter, "delete", "table", "ip", "between"], check=True)
