"""The kernel's memory as numpy sees it: the mirror of bpf/include/flow.h, held to it by a contract test.

The one place that knows byte order and offsets. Leaves out reading maps (``kernel``) and what the numbers mean
(``edges``).
"""

import dataclasses
import ipaddress
import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from agent import model

ABI_VERSION: Final = 2
HISTOGRAM_BUCKETS: Final = 16
RTT_BOUNDS_US: Final = tuple(64 << i for i in range(HISTOGRAM_BUCKETS - 1))
"""Upper bounds in microseconds (exclusive) of all buckets but the last, which has none: 64 us to 1.05 s."""

Array = npt.NDArray[Any]

EDGE_KEY: Final = np.dtype(
    [
        ("cgroup", "<u8"),
        ("netns", "<u8"),
        ("local", "u1", 16),
        ("remote", "u1", 16),
        ("peer_tag", "<u8"),
        ("port", "<u2"),
        ("direction", "u1"),
        ("protocol", "u1"),
        ("remote_prefix", "u1"),
        ("pad", "u1", 3),
    ],
)
EDGE_VALUE: Final = np.dtype(
    [
        ("id", "<u8"),
        ("last_boot_ns", "<u8"),
        ("sent_bytes", "<u8"),
        ("received_bytes", "<u8"),
        ("rtt_us_sum", "<u8"),
        ("connect_us_sum", "<u8"),
        ("opened", "<u4"),
        ("closed", "<u4"),
        ("failed", "<u4", 5),
        ("sent_segments", "<u4"),
        ("received_segments", "<u4"),
        ("retransmits", "<u4"),
        ("rtt", "<u4", HISTOGRAM_BUCKETS),
        ("connect", "<u4", HISTOGRAM_BUCKETS),
    ],
)
WIDE: Final = ("sent_bytes", "received_bytes", "rtt_us_sum", "connect_us_sum")
"""The counters of ``EDGE_VALUE`` with 64 bits, in order; ``NARROW`` are those with 32."""
NARROW_WIDTH: Final = 10 + 2 * HISTOGRAM_BUCKETS
EDGE_BLOCKS: Final = np.dtype(
    [("id", "<u8"), ("last_boot_ns", "<u8"), ("wide", "<u8", len(WIDE)), ("narrow", "<u4", NARROW_WIDTH)]
)
"""``EDGE_VALUE`` as two blocks of like counters, for arithmetic on all of them at once."""

CONNECTION: Final = np.dtype(
    [
        ("cookie", "<u8"),
        ("opened_boot_ns", "<u8"),
        ("connect_us", "<u4"),
        ("fin_wait2_received", "<u4"),
        ("established", "<u4"),
        ("cpu", "<u4"),
        ("key", EDGE_KEY),
    ],
)
CONNECTION_RECORD: Final = np.dtype(
    [
        ("cookie", "<u8"),
        ("cgroup", "<u8"),
        ("netns", "<u8"),
        ("local", "u1", 16),
        ("remote", "u1", 16),
        ("peer_tag", "<u8"),
        ("opened_boot_ns", "<u8"),
        ("ended_boot_ns", "<u8"),
        ("sent_bytes", "<u8"),
        ("received_bytes", "<u8"),
        ("rtt_us", "<u4"),
        ("connect_us", "<u4"),
        ("retransmits", "<u4"),
        ("sent_segments", "<u4"),
        ("received_segments", "<u4"),
        ("local_port", "<u2"),
        ("remote_port", "<u2"),
        ("direction", "u1"),
        ("protocol", "u1"),
        ("end", "u1"),
        ("established", "u1"),
        ("pad", "u1", 4),
    ],
)
END_CLOSED: Final = 0xFF
CGROUP_PATH: Final = 408
CGROUP_RECORD: Final = np.dtype(
    [("cgroup", "<u8"), ("boot_ns", "<u8"), ("gone", "<u4"), ("length", "<u4"), ("path", f"S{CGROUP_PATH}")]
)
PREFIX_KEY: Final = np.dtype([("bits", "<u4"), ("address", "u1", 16)])
KERNEL_SETTINGS: Final = np.dtype([("records", "<u4"), ("keep_private", "<u4"), ("crowded", "<u4")])
LOSSES: Final = ("edges_full", "sockets_full", "owner_unknown", "record_ring_full", "cgroup_ring_full")
"""Names of the slots of the per-CPU array "losses", in order (``enum loss``)."""

STRUCTS: Final = {
    "edge_key": EDGE_KEY,
    "edge_value": EDGE_VALUE,
    "connection": CONNECTION,
    "connection_record": CONNECTION_RECORD,
    "cgroup_record": CGROUP_RECORD,
    "prefix_key": PREFIX_KEY,
    "kernel_settings": KERNEL_SETTINGS,
}
"""C struct name -> its mirror."""

EVERYTHING: Final = (ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv6Network("::/0"))
"""What an address collapses to that no setting speaks of: told to the kernel too, since the trie knows no families."""

_MAPPED: Final = b"\0" * 10 + b"\xff\xff"
_MAPPED_BITS: Final = 96


def address(raw: bytes) -> model.IpAddress:
    """Read 16 bytes; IPv4-mapped comes out as IPv4."""
    return ipaddress.IPv4Address(raw[12:]) if raw[:12] == _MAPPED else ipaddress.IPv6Address(raw)


def network(raw: bytes, bits: int) -> model.IpAddress | model.IpNetwork:
    """Read 16 bytes of which the kernel kept ``bits``: an address when all, else the prefix it fell into."""
    if bits >= 128:
        return address(raw)
    if raw[:12] == _MAPPED and bits >= _MAPPED_BITS:
        return ipaddress.IPv4Network((raw[12:], bits - _MAPPED_BITS))
    return ipaddress.IPv6Network((raw, bits))


def packed(value: model.IpAddress) -> bytes:
    """Write an address as the kernel side holds it: 16 bytes, IPv4 mapped."""
    return _MAPPED + value.packed if isinstance(value, ipaddress.IPv4Address) else value.packed


def prefix_entry(prefix: model.IpNetwork, *, keep: bool) -> tuple[bytes, bytes]:
    """Return key and value for the prefix trie: addresses in ``prefix`` stay exact if ``keep``, else collapse to it."""
    shift = _MAPPED_BITS if isinstance(prefix, ipaddress.IPv4Network) else 0
    bits = prefix.prefixlen + shift
    return struct.pack("<I", bits) + packed(prefix.network_address), struct.pack("<I", 128 if keep else bits)


class Key(NamedTuple):
    """One ``edge_key``, as plain values."""

    raw: bytes
    cgroup: int
    netns: int
    local: bytes
    remote: bytes
    peer_tag: int
    port: int
    direction: int
    protocol: int
    remote_prefix: int


_KEY: Final = struct.Struct("<QQ16s16sQHBBB3x")


def edge_keys(keys: Array) -> Iterator[Key]:
    """Read keys one by one: ten times as fast as through numpy's rows."""
    raw = keys.tobytes()
    for at in range(0, len(raw), _KEY.size):
        yield Key(raw[at : at + _KEY.size], *_KEY.unpack_from(raw, at))


def pack_key(  # noqa: PLR0913  # the columns of the kernel's key
    *,
    cgroup: int,
    netns: int,
    local: bytes,
    remote: bytes,
    port: int,
    direction: int,
    protocol: int,
    remote_prefix: int,
) -> bytes:
    """Write one ``edge_key`` as the kernel does, padding zero."""
    return _KEY.pack(cgroup, netns, local, remote, 0, port, direction, protocol, remote_prefix)


_KEY_WORDS: Final = EDGE_KEY.itemsize // 8
_ODD: Final = np.array([pow(0x9E3779B97F4A7C15, power, 1 << 64) for power in range(1, _KEY_WORDS + 1)], np.uint64)
"""Odd and unlike one another: powers of 2**64 divided by the golden ratio."""


def rows(array: Array, wanted: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Array:
    """Take rows of an array of structs whose size is in whole words: five times as fast as numpy copies structs."""
    words = array.view(np.uint64).reshape(len(array), array.dtype.itemsize // 8)
    return words[wanted].reshape(-1).view(array.dtype)


def grouped(keys: Array) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Group equal keys: the row of one of each group, and the group of every row.

    By a hash of their words, which is sorted faster than 64 bytes are, and then compared whole: where two different
    keys share a hash, by the bytes.
    """
    words = keys.view(np.uint64).reshape(len(keys), _KEY_WORDS)
    hashes = (words * _ODD).sum(axis=1, dtype=np.uint64)
    _, first, group = np.unique(hashes, return_index=True, return_inverse=True)
    if not np.array_equal(words[first][group], words):
        whole = keys.view(f"V{EDGE_KEY.itemsize}")
        _, first, group = np.unique(whole, return_index=True, return_inverse=True)
    return first, group


def keys_of(connections: Array) -> Array:
    """Take the keys of rows of ``CONNECTION``."""
    words = connections.view(np.uint64).reshape(len(connections), CONNECTION.itemsize // 8)
    return words[:, -_KEY_WORDS:].copy().reshape(-1).view(EDGE_KEY)


def raw_keys(keys: Array) -> list[bytes]:
    """Give each key as bytes."""
    raw = keys.tobytes()
    return [raw[at : at + _KEY.size] for at in range(0, len(raw), _KEY.size)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """A kernel record that is not of the length or content it should have: counted under ``what``."""

    what: str


def cgroup_event(raw: bytes) -> model.CgroupEvent | Malformed:
    """Read one record of the cgroup ring.

    A path longer than the record is cut by the kernel: left to the scan of the tree.
    """
    if len(raw) != CGROUP_RECORD.itemsize:
        return Malformed(what="cgroup_record_size")
    cgroup, boot_ns, gone, length = struct.unpack_from("<QQII", raw)
    path = raw[24 : 24 + length].split(b"\0", 1)[0]
    if length >= CGROUP_PATH or not path.startswith(b"/"):
        return Malformed(what="cgroup_path")
    return model.CgroupEvent(
        cgroup=model.CgroupId(cgroup),
        path=path.decode("utf-8", "backslashreplace"),
        boot_ns=boot_ns,
        gone=bool(gone),
    )


def connection_records(raw: list[bytes]) -> tuple[Array, int]:
    """Read records of the connection ring; returns them and how many were malformed."""
    good = [piece for piece in raw if len(piece) == CONNECTION_RECORD.itemsize]
    return np.frombuffer(b"".join(good), CONNECTION_RECORD), len(raw) - len(good)
