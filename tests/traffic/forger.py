"""A TCP stack of its own on a raw socket, as a pod with CAP_NET_RAW can have: writes what it likes into a handshake.

Runs inside a room: ``python -m tests.traffic.forger WHAT``, with its orders as JSON on standard input and what came of
them as JSON on standard output. The room's kernel must not answer with resets (``SILENCE``). Here because the kernel's
own stack cannot forge. Leaves out IPv6 and what is made of it all (tests/prove/forgery.py).
"""

import json
import socket
import struct
import sys
import time
from typing import Any, Final, NamedTuple

KIND, LENGTH, EXID = 253, 20, 0x1D1D
SILENCE: Final = (
    "table ip forger {\n chain out { type filter hook output priority 0;\n tcp flags & rst == rst drop;\n }\n}\n"
)
"""nftables rules: what is sent on a packet socket does not pass them."""
FIN, SYN, RST, ACK = 1, 2, 4, 16
_WAIT_S: Final = 20.0
"""As long as a program takes to start where processors are emulated."""
_ETHERNET, _IPV4, _TCP = 14, 20, 20


def option(tag: int, pod: int, mac: int) -> bytes:
    """Write one as it is on the wire."""
    return struct.pack(">BBHQII", KIND, LENGTH, EXID, tag, pod, mac)


def read_option(raw: bytes) -> tuple[int, int, int, int, int, int]:
    """Read one: kind, length, number of the experiment, tag, pod, MAC."""
    kind, length, exid, tag, pod, mac = struct.unpack(">BBHQII", raw)
    return kind, length, exid, tag, pod, mac


class Segment(NamedTuple):
    """What came."""

    source: int
    destination: int
    sequence: int
    acknowledged: int
    flags: int
    option: bytes
    """Ours; empty if there is none."""
    from_here: bool


class Wire:
    """Frames on eth0 between two addresses."""

    def __init__(self, here: str, there: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # all, also what leaves
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        self._socket.bind(("eth0", 0))
        self._socket.settimeout(_WAIT_S)
        self._here, self._there = socket.inet_aton(here), socket.inet_aton(there)
        self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._address = there
        self._link = b""

    def learn(self) -> None:
        """Find both link addresses: from a datagram that the kernel sends to the other side."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as knocking:
            knocking.sendto(b"?", (self._address, 9))
        while not self._link:
            frame = self._socket.recv(65535)
            if frame[12:14] == b"\x08\x00" and frame[_ETHERNET + 16 : _ETHERNET + 20] == self._there:
                self._link = frame[:12]

    def send(self, ports: tuple[int, int], sequence: int, acknowledged: int, flags: int, options: bytes = b"") -> None:
        """Send one segment."""
        self._socket.send(self._link + b"\x08\x00" + self._packet(ports, sequence, acknowledged, flags, options))

    def send_raw(self, ports: tuple[int, int], sequence: int, flags: int, options: bytes) -> None:
        """Send one with a raw IP socket: it passes the node's own hooks."""
        self._raw.sendto(self._packet(ports, sequence, 0, flags, options), (self._address, 0))

    def _packet(self, ports: tuple[int, int], sequence: int, acknowledged: int, flags: int, options: bytes) -> bytes:
        options += bytes(-len(options) % 4)
        length = _TCP + len(options)
        head = (*ports, sequence % 2**32, acknowledged % 2**32, length // 4 << 4, flags, 65000)
        tcp = struct.pack(">HHIIBBHHH", *head, 0, 0) + options
        pseudo = self._here + self._there + struct.pack(">BBH", 0, socket.IPPROTO_TCP, length)
        tcp = struct.pack(">HHIIBBHHH", *head, checksum(pseudo + tcp), 0) + options
        ip = struct.pack(">BBHHHBBH", 0x45, 0, _IPV4 + length, 0, 0x4000, 64, socket.IPPROTO_TCP, 0)
        ip += self._here + self._there
        return ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:] + tcp

    def receive(self) -> Segment | None:
        """Take the next segment between the two; None if none comes."""
        until_s = time.monotonic() + _WAIT_S
        while time.monotonic() < until_s:
            try:
                frame = self._socket.recv(65535)
            except TimeoutError:
                return None
            if frame[12:14] == b"\x08\x00" and frame[_ETHERNET + 9] == socket.IPPROTO_TCP:
                ends = frame[_ETHERNET + 12 : _ETHERNET + 16], frame[_ETHERNET + 16 : _ETHERNET + 20]
                if ends in {(self._here, self._there), (self._there, self._here)}:
                    return _segment(frame[_ETHERNET + _IPV4 :], from_here=ends[0] == self._here)
        return None

    def until(self, ports: tuple[int, int], flags: int) -> Segment | None:
        """Wait for a segment to these ports (ours first) with these flags."""
        while found := self.receive():
            if not found.from_here and (found.destination, found.source) == ports and found.flags & flags == flags:
                return found
        return None


def _segment(tcp: bytes, *, from_here: bool) -> Segment:
    source, destination, sequence, acknowledged, length, flags = struct.unpack_from(">HHIIBB", tcp)
    options, found = tcp[_TCP : (length >> 4) * 4], b""
    at = 0
    while at < len(options) and options[at] and not found:
        if options[at] == 1:
            at += 1
            continue
        if options[at] == KIND:
            found = options[at : at + LENGTH]
        at += max(options[at + 1], 2)
    return Segment(source, destination, sequence, acknowledged, flags, found, from_here)


def checksum(data: bytes) -> int:
    """RFC 1071."""
    words = struct.unpack(f">{len(data) // 2}H", data) if len(data) % 2 == 0 else ()
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def listen(wire: Wire, count: int) -> list[dict[str, Any]]:
    """Overhear so many handshakes that the other side begins: its sequence number, its options in SYN and first ACK."""
    print("ready", flush=True)
    syns: dict[int, Segment] = {}
    found: list[dict[str, Any]] = []
    while len(found) < count and (segment := wire.receive()):
        if segment.from_here or not segment.option:
            continue
        if segment.flags & SYN:
            syns[segment.source] = segment
        elif segment.source in syns:
            syn = syns.pop(segment.source)
            found.append({"isn": syn.sequence, "syn": syn.option.hex(), "ack": segment.option.hex()})
    return found


def call(wire: Wire, orders: list[dict[str, Any]], port: int) -> dict[str, int]:
    """Call once for each order, one after the other: a SYN with its option; if it says so, all of the handshake.

    Each is reset afterwards: half-open ones must not fill the listener's queue.
    """
    wire.learn()
    answered = completed = 0
    for order in orders:
        ports, isn, syn = (order["port"], port), order["isn"], bytes.fromhex(order["syn"])
        options = struct.pack(">BBH", 2, 4, 1460) + syn
        if order.get("raw"):
            wire.send_raw(ports, isn, SYN, options)
        else:
            wire.send(ports, isn, 0, SYN, options)
        reply = wire.until(ports, SYN | ACK)
        if reply is None:
            continue
        answered += 1
        if order.get("complete"):
            wire.send(ports, isn + 1, reply.sequence + 1, ACK, bytes.fromhex(order.get("ack", "")))
            completed += 1
        wire.send(ports, isn + 1, reply.sequence + 1, RST | ACK)
    return {"answered": answered, "completed": completed}


def serve(wire: Wire, options: list[str], port: int) -> dict[str, int]:
    """Answer so many calls, each with its option in the SYN-ACK."""
    wire.learn()
    print("ready", flush=True)
    answered = 0
    for each in options:
        while (syn := wire.receive()) and (syn.from_here or syn.destination != port or syn.flags & (SYN | ACK) != SYN):
            pass
        if syn is None:
            break
        wire.send((port, syn.source), 77_000_000 + answered, syn.sequence + 1, SYN | ACK, bytes.fromhex(each))
        answered += 1
    return {"answered": answered}


def main() -> int:
    """Run as a program: WHAT HERE THERE PORT."""
    what, here, there, port = sys.argv[1:]
    wire = Wire(here, there)
    if what == "listen":
        print(json.dumps(listen(wire, int(port))))
    elif what == "call":
        print(json.dumps(call(wire, json.load(sys.stdin), int(port))))
    elif what == "serve":
        print(json.dumps(serve(wire, json.loads(sys.stdin.readline()), int(port))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
