"""SCTP's first packet, made and read by hand: this kernel may have no SCTP, and still route and filter it.

RFC 9260: a common header with a CRC32c, and one INIT chunk. Leaves out everything that comes after it.
"""

import socket
import struct

_POLYNOMIAL = 0x82F63B78


def _table() -> list[int]:
    found = []
    for number in range(256):
        value = number
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        found.append(value)
    return found


_TABLE = _table()


def crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def init(*, source: int, destination: int, tag: int) -> bytes:
    """Make a packet that opens an association; ``tag`` is its Initiate Tag, which is not 0."""
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, tag, 65536, 1, 1, 1)
    header = struct.pack("!HHI", source, destination, 0)
    return header + struct.pack("<I", crc32c(header + bytes(4) + chunk)) + chunk


def tag(data: bytes, family: int) -> int:
    """Read the Initiate Tag of what a raw socket got: with an IPv4 header, without an IPv6 one. 0: it is no INIT."""
    start = (data[0] & 15) * 4 if family == socket.AF_INET else 0
    chunk = data[start + 12 :]
    return int(struct.unpack_from("!I", chunk, 4)[0]) if len(chunk) >= 20 and chunk[0] == 1 else 0
