"""Bytes of the kernel as values, good ones and bad ones. Left out: layouts (tests/contract/agent/test_abi.py)."""

import ipaddress
import struct

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from agent import model, wire
from tests.fakes import kernel

ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6).filter(lambda ip: ip.ipv4_mapped is None))


def cgroup_record(path: bytes, *, gone: int = 0, length: int | None = None) -> bytes:
    length = len(path) + 1 if length is None else length
    return struct.pack("<QQII", 4528, 10**15, gone, length) + path.ljust(wire.CGROUP_PATH, b"\0")


@hypothesis.given(ADDRESSES)
def test_addresses_come_back(value: model.IpAddress) -> None:
    """Both families share 16 bytes."""
    assert value == wire.address(wire.packed(value))
    assert 16 == len(wire.packed(value))


def test_an_ipv4_mapped_address_is_ipv4() -> None:
    """Whoever wrote it."""
    assert ipaddress.ip_address("10.7.0.2") == wire.address(ipaddress.ip_address("::ffff:10.7.0.2").packed)


@hypothesis.given(value=ADDRESSES, length=st.integers(0, 128), keep=st.booleans())
def test_a_prefix_comes_back_from_what_the_kernel_keeps(*, value: model.IpAddress, length: int, keep: bool) -> None:
    """The trie's entry, applied to an address as bpf/include/maps.h does, reads as the prefix."""
    width = 32 if value.version == 4 else 128
    prefix = ipaddress.ip_network((value, length * width // 128), strict=False)
    key, found = wire.prefix_entry(prefix, keep=keep)
    [bits] = struct.unpack("<I", found)
    kept = int.from_bytes(wire.packed(value), "big") & (((1 << bits) - 1) << (128 - bits))
    read = wire.network(kept.to_bytes(16, "big"), bits)
    whole = prefix.prefixlen == width
    assert (value if keep or whole else prefix) == read
    assert wire.packed(prefix.network_address) == key[4:]


def test_a_key_is_written_as_it_is_read() -> None:
    """``pack_key`` and numpy agree on every column, and so does the reader."""
    array = kernel.key(7, local="10.7.0.2", remote="10.7.0.3", port=8080, direction=1, protocol=17)
    [key] = wire.edge_keys(array)
    assert (7, kernel.NETNS, 8080, 1, 17, 128) == (
        key.cgroup, key.netns, key.port, key.direction, key.protocol, key.remote_prefix,
    )  # fmt: skip
    columns = {name: getattr(key, name) for name in ("cgroup", "netns", "local", "remote", "port", "direction")}
    assert array.tobytes() == key.raw == wire.pack_key(**columns, protocol=17, remote_prefix=128)


def test_what_the_peer_told_is_written_as_it_is_read() -> None:
    """Tag, pod and whether they were believed."""
    array = kernel.key(7, local="10.7.0.2", remote="10.7.0.3", port=8080)
    array["peer_tag"], array["peer_pod"], array["told"] = 2**63 + 11, 2**31 + 13, wire.TOLD_PROVEN
    [key] = wire.edge_keys(array)
    assert (2**63 + 11, 2**31 + 13, wire.TOLD_PROVEN) == (key.peer_tag, key.peer_pod, key.told)
    names = ("cgroup", "netns", "local", "remote", "port", "direction", "protocol", "remote_prefix")
    columns = {name: getattr(key, name) for name in (*names, "peer_tag", "peer_pod", "told")}
    assert array.tobytes() == wire.pack_key(**columns)


def test_handshake_keys_are_written_with_what_is_not_there() -> None:
    """A slot without a key is not valid, so that a key that was withdrawn is gone."""
    first, second = bytes(range(16)), bytes(range(16, 32))
    assert [first + b"\1" + bytes(7), bytes(24)] == wire.handshake_keys([first])
    assert [second + b"\1" + bytes(7), first + b"\1" + bytes(7)] == wire.handshake_keys([second, first])


@pytest.mark.parametrize("keys", [[bytes(15)], [bytes(17)], [bytes(16)] * 3])
def test_a_key_of_another_length_is_refused(keys: list[bytes]) -> None:
    """And a third: the kernel has two slots."""
    with pytest.raises(ValueError, match="at most two of 16"):
        wire.handshake_keys(keys)


def test_a_cgroup_record_is_an_event() -> None:
    """Its path ends at the first NUL."""
    event = model.CgroupEvent(cgroup=model.CgroupId(4528), path="/kubepods/pod1", boot_ns=10**15)
    assert event == wire.cgroup_event(cgroup_record(b"/kubepods/pod1"))
    gone = wire.cgroup_event(cgroup_record(b"/x", gone=1))
    assert isinstance(gone, model.CgroupEvent)
    assert gone.gone


def test_a_path_may_hold_any_byte() -> None:
    """It is a file name: not always UTF-8."""
    event = wire.cgroup_event(cgroup_record(b"/a\xff"))
    assert isinstance(event, model.CgroupEvent)
    assert "/a\\xff" == event.path


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "cgroup_record_size"),
        (cgroup_record(b"/x") + b"\0", "cgroup_record_size"),
        (cgroup_record(b"x"), "cgroup_path"),
        (cgroup_record(b""), "cgroup_path"),
        (cgroup_record(b"/" * (wire.CGROUP_PATH - 1)), "cgroup_path"),
        (cgroup_record(b"/x", length=2**32 - 1), "cgroup_path"),
    ],
)
def test_a_bad_cgroup_record_is_a_value_with_a_name(raw: bytes, what: str) -> None:
    """Short, long, relative, empty, cut: counted by the caller."""
    assert wire.Malformed(what=what) == wire.cgroup_event(raw)


@hypothesis.given(st.lists(st.binary(max_size=300) | st.just(bytes(wire.CONNECTION_RECORD.itemsize))))
def test_whatever_the_ring_holds_is_read_or_counted(raw: list[bytes]) -> None:
    """No bytes raise."""
    array, malformed = wire.connection_records(raw)
    assert len(raw) == len(array) + malformed
    for piece in raw:
        wire.cgroup_event(piece)


def test_bounds_double_from_64_us() -> None:
    """One fewer than buckets: the last has no bound."""
    assert (64, 1_048_576, wire.HISTOGRAM_BUCKETS - 1) == (
        wire.RTT_BOUNDS_US[0], wire.RTT_BOUNDS_US[-1], len(wire.RTT_BOUNDS_US),
    )  # fmt: skip


def test_equal_keys_are_one_group() -> None:
    """Whatever their order; each group has a row to read its key from."""
    keys = np.concatenate([kernel.key(at % 23, local="10.7.0.2", remote="10.7.0.3", port=at % 7) for at in range(503)])
    first, group = wire.grouped(keys)
    assert 23 * 7 == len(first) == len(set(wire.raw_keys(keys)))
    assert keys.tobytes() == keys[first][group].tobytes()


def test_different_keys_with_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash decides nothing by itself."""
    monkeypatch.setattr(wire, "_ODD", np.zeros(len(wire._ODD), np.uint64))
    keys = np.concatenate([kernel.key(7, local="10.7.0.2", remote="10.7.0.3", port=port) for port in (1, 2, 1, 3)])
    first, group = wire.grouped(keys)
    assert (3, keys.tobytes()) == (len(first), keys[first][group].tobytes())
