"""The kernel's memory as numpy sees it: the mirror of bpf/include/flow.h, held to it by a contract test.

The one place that knows byte order and offsets. Leaves out reading maps (``kernel``) and what the numbers mean
(``edges``).
"""

import dataclasses
import ipaddress
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from agent import model

ABI_VERSION: Final = 3
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
        ("peer_pod", "<u4"),
        ("port", "<u2"),
        ("direction", "u1"),
        ("protocol", "u1"),
        ("remote_prefix", "u1"),
        ("told", "u1"),
        ("pad", "u1", 6),
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
        ("isn", "<u4"),
        ("peer_isn", "<u4"),
        ("mac", "<u4"),
        ("handshake", "u1"),
        ("not_ours", "u1"),
        ("written", "u1"),
        ("pad", "u1"),
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
        ("peer_pod", "<u4"),
        ("local_port", "<u2"),
        ("remote_port", "<u2"),
        ("direction", "u1"),
        ("protocol", "u1"),
        ("end", "u1"),
        ("established", "u1"),
        ("told", "u1"),
        ("pad", "u1", 7),
    ],
)
END_CLOSED: Final = 0xFF
CGROUP_PATH: Final = 408
CGROUP_RECORD: Final = np.dtype(
    [("cgroup", "<u8"), ("boot_ns", "<u8"), ("gone", "<u4"), ("length", "<u4"), ("path", f"S{CGROUP_PATH}")]
)
PREFIX_KEY: Final = np.dtype([("bits", "<u4"), ("address", "u1", 16)])
KERNEL_SETTINGS: Final = np.dtype(
    [("records", "<u4"), ("keep_private", "<u4"), ("crowded", "<u4"), ("handshake", "<u4")]
)
IDENTITY: Final = np.dtype([("tag", "<u8"), ("pod", "<u4"), ("pad", "<u4")])
HANDSHAKE_KEY: Final = np.dtype([("k0", "<u8"), ("k1", "<u8"), ("valid", "<u4"), ("pad", "<u4")])
HANDSHAKE_KEYS: Final = 2
HANDSHAKE_KIND, HANDSHAKE_EXID, HANDSHAKE_LENGTH = 253, 0x1D1D, 20
"""The TCP option: kind, number of the experiment (RFC 6994), length in bytes."""
TOLD_NOTHING, TOLD_PROVEN, TOLD_FORGED = 0, 1, 2
"""What the peer's option was (``edge_key.told``): none, believed, or there and not believed."""
ESTABLISHED, ESTABLISHED_UNTOLD = 1, 2
"""``connection.established``: open and its key whole; open, but who the peer is may still be told."""
LOSSES: Final = (
    "edges_full",
    "sockets_full",
    "owner_unknown",
    "record_ring_full",
    "cgroup_ring_full",
    "handshake_forged",
    "handshake_unproven",
    "handshake_raw",
)
"""Names of the slots of the per-CPU array "losses", in order (``enum loss``)."""

STRUCTS: Final = {
    "edge_key": EDGE_KEY,
    "edge_value": EDGE_VALUE,
    "connection": CONNECTION,
    "connection_record": CONNECTION_RECORD,
    "cgroup_record": CGROUP_RECORD,
    "prefix_key": PREFIX_KEY,
    "kernel_settings": KERNEL_SETTINGS,
    "identity": IDENTITY,
    "handshake_key": HANDSHAKE_KEY,
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
    peer_pod: int
    port: int
    direction: int
    protocol: int
    remote_prefix: int
    told: int


_KEY: Final = struct.Struct("<QQ16s16sQIHBBBB6x")


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
    peer_tag: int = 0,
    peer_pod: int = 0,
    told: int = TOLD_NOTHING,
) -> bytes:
    """Write one ``edge_key`` as the kernel does, padding zero."""
    return _KEY.pack(cgroup, netns, local, remote, peer_tag, peer_pod, port, direction, protocol, remote_prefix, told)


_KEY_WORDS: Final = EDGE_KEY.itemsize // 8
_ODD: Final = np.array([pow(0x9E3779B97F4A7C15, power, 1 << 64) for power in range(1, _KEY_WORDS + 1)], np.uint64)
"""Odd and unlike one another: powers of 2**64 divided by the golden ratio."""


def rows(array: Array, wanted: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Array:
    """Take rows of an array of structs whose size is in whole words: five times as fast as numpy copies structs."""
    words = array.view(np.uint64).reshape(len(array), array.dtype.itemsize // 8)
    return words[wanted].reshape(-1).view(array.dtype)


def grouped(keys: Array) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Group equal keys: the row of one of each group, and the group of every row.

    By a hash of their words, which is sorted faster than 72 bytes are, and then compared whole: where two different
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


def identity(tag: int, pod: int) -> bytes:
    """Write a value of the map "identities"."""
    return np.array([(tag, pod, 0)], IDENTITY).tobytes()


def handshake_keys(keys: Sequence[bytes]) -> list[bytes]:
    """Write all values of the map "handshake_keys": 16 bytes each, the first signs; a slot without one is not valid."""
    if len(keys) > HANDSHAKE_KEYS or any(len(key) != 16 for key in keys):  # SipHash: 128 bits
        raise ValueError(f"{len(keys)} handshake keys of {[len(key) for key in keys]} bytes: give at most two of 16")
    halves = [(*struct.unpack("<QQ", key), 1, 0) for key in keys] + [(0, 0, 0, 0)] * (HANDSHAKE_KEYS - len(keys))
    return [np.array([each], HANDSHAKE_KEY).tobytes() for each in halves]


def connection_records(raw: list[bytes]) -> tuple[Array, int]:
    """Read records of the connection ring; returns them and how many were malformed."""
    good = [piece for piece in raw if len(piece) == CONNECTION_RECORD.itemsize]
    return np.frombuffer(b"".join(good), CONNECTION_RECORD), len(raw) - len(good)
