"""The few ``bpf(2)`` commands that the agent speaks, on file descriptors, without BCC.

Here because BCC costs 130 MB of resident memory and its batch reader loses entries on an error (it frees what it has
not handed over); the agent needs a fixed-chunk read that cannot. Leaves out what the maps mean (``wire``) and which are
ours (``kernel``). Source of the layouts: ``union bpf_attr`` in linux/bpf.h; commands and fields are UAPI and only ever
extended.
"""

import ctypes
import errno
import fcntl
import os
import struct
from typing import Any, Final

import numpy.typing as npt

_SYSCALL_BPF: Final = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
_SYSCALL_PERF_EVENT_OPEN: Final = {"x86_64": 298, "aarch64": 241}[os.uname().machine]
_libc = ctypes.CDLL(None, use_errno=True)

_MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _MAP_NEXT_KEY, _OBJ_PIN, _OBJ_GET = 1, 2, 3, 4, 6, 7
_GET_INFO, _MAP_LOOKUP_AND_DELETE, _MAP_LOOKUP_BATCH, _MAP_DELETE_BATCH, _LINK_CREATE = 15, 21, 24, 27, 28

_NOEXIST: Final = 1  # BPF_NOEXIST

PERF_EVENT: Final = 41
"""``enum bpf_attach_type``: a link from a program to a perf event, here a tracepoint (5.15)."""
CGROUP_INET_INGRESS, CGROUP_INET_EGRESS, CGROUP_SOCK_OPS = 0, 1, 3
CGROUP_INET4_CONNECT, CGROUP_INET6_CONNECT = 10, 11

_CHUNK: Final = 4096
"""Entries a call: 4,096 x 288 bytes stays below the kernel's 4 MiB allocation limit; 1,024 to 16,384 measured alike."""


def _bpf(command: int, attributes: bytes) -> int:
    """Make the call. Raises ``OSError`` with the kernel's number."""
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    result: int = _libc.syscall(_SYSCALL_BPF, command, buffer, len(attributes))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _address(buffer: Any) -> int:
    return ctypes.addressof(buffer)


def pin(fd: int, path: str) -> None:
    """Give a map, program or link a name in bpffs."""
    name = ctypes.create_string_buffer(path.encode())
    _bpf(_OBJ_PIN, struct.pack("=QII", _address(name), fd, 0))


def unpinned(path: str) -> int:
    """Open what is pinned at ``path``; the caller owns the descriptor."""
    name = ctypes.create_string_buffer(path.encode())
    return _bpf(_OBJ_GET, struct.pack("=QII", _address(name), 0, 0))


def link(program: int, target: int, attach_type: int) -> int:
    """Attach a program to a cgroup or perf event; it stays attached while the link has a descriptor or a pin.

    Always beside others.
    """
    return _bpf(_LINK_CREATE, struct.pack("=IIII48x", program, target, attach_type, 0))


def info(fd: int, size: int = 256) -> bytes:
    """Read ``struct bpf_map_info``, ``bpf_prog_info`` or ``bpf_link_info`` of a descriptor."""
    buffer = ctypes.create_string_buffer(size)
    _bpf(_GET_INFO, struct.pack("=IIQ", fd, size, _address(buffer)))
    return buffer.raw


def link_cgroup(fd: int) -> int:
    """Return the cgroup id that a cgroup link is attached to; 0 once that cgroup is gone."""
    cgroup_id: int = struct.unpack_from("=Q", info(fd), 16)[0]
    return cgroup_id


def map_capacity(fd: int) -> int:
    """Return max_entries of a map."""
    capacity: int = struct.unpack_from("=I", info(fd), 16)[0]
    return capacity


def update(fd: int, key: bytes, value: bytes) -> None:
    """Write one entry."""
    k, v = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
    _bpf(_MAP_UPDATE, struct.pack("=IIQQQ", fd, 0, _address(k), _address(v), 0))


def create(fd: int, key: bytes, value: bytes) -> None:
    """Write an entry that is not there yet. Raises ``FileExistsError`` if it is."""
    k, v = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
    _bpf(_MAP_UPDATE, struct.pack("=IIQQQ", fd, 0, _address(k), _address(v), _NOEXIST))


def delete(fd: int, key: bytes) -> None:
    """Remove one entry. Raises ``FileNotFoundError`` if there is none."""
    k = ctypes.create_string_buffer(key, len(key))
    _bpf(_MAP_DELETE, struct.pack("=IIQQQ", fd, 0, _address(k), 0, 0))


def keys(fd: int, key_size: int) -> list[bytes]:
    """List the keys of a small map that nobody else writes meanwhile."""
    found: list[bytes] = []
    following = ctypes.create_string_buffer(key_size)
    cursor = None
    while True:
        try:
            _bpf(_MAP_NEXT_KEY, struct.pack("=IIQQQ", fd, 0, _address(cursor) if cursor else 0, _address(following), 0))
        except FileNotFoundError:
            return found
        found.append(following.raw)
        cursor = ctypes.create_string_buffer(following.raw, key_size)


def lookup(fd: int, key: bytes, value_size: int) -> bytes:
    """Read one entry; ``value_size`` is rounded value size times possible CPUs for per-CPU maps."""
    k, v = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value_size)
    _bpf(_MAP_LOOKUP, struct.pack("=IIQQQ", fd, 0, _address(k), _address(v), 0))
    return v.raw


def lookup_batch(fd: int, keys: npt.NDArray[Any], values: npt.NDArray[Any]) -> int:
    """Fill both arrays from the start with the whole map, as far as they reach; return how many entries.

    Not a snapshot: an entry made or deleted meanwhile may or may not be there; none comes twice.
    """
    cursor, following, total = ctypes.create_string_buffer(8), ctypes.create_string_buffer(8), 0
    first = True
    while (room := min(_CHUNK, len(keys) - total)) > 0:
        attributes = ctypes.create_string_buffer(
            struct.pack(
                "=QQQQIIQQ",
                0 if first else _address(cursor),
                _address(following),
                keys.ctypes.data + total * keys.itemsize,
                values.ctypes.data + total * values.itemsize,
                room,
                fd,
                0,
                0,
            ),
        )
        result = _libc.syscall(_SYSCALL_BPF, _MAP_LOOKUP_BATCH, attributes, 56)
        number = ctypes.get_errno() if result < 0 else 0
        if number not in {0, errno.ENOENT}:
            raise OSError(number, os.strerror(number))
        total += struct.unpack_from("=I", attributes, 32)[0]
        if number == errno.ENOENT:
            break
        cursor.raw, first = following.raw, False
    return total


def take(fd: int, key: bytes, value_size: int) -> bytes | None:
    """Delete one entry and return its last value; None if it is gone.

    Needs 5.14 for hash maps (EINVAL or ENOTSUPP before).
    """
    k, v = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value_size)
    try:
        _bpf(_MAP_LOOKUP_AND_DELETE, struct.pack("=IIQQQ", fd, 0, _address(k), _address(v), 0))
    except FileNotFoundError:
        return None
    return v.raw


def delete_batch(fd: int, keys: npt.NDArray[Any]) -> None:
    """Delete entries; one that is gone already is passed over."""
    done = 0
    while done < len(keys):
        attributes = ctypes.create_string_buffer(
            struct.pack("=QQQQIIQQ", 0, 0, keys.ctypes.data + done * keys.itemsize, 0, len(keys) - done, fd, 0, 0),
        )
        result = _libc.syscall(_SYSCALL_BPF, _MAP_DELETE_BATCH, attributes, 56)
        done += struct.unpack_from("=I", attributes, 32)[0]
        if result < 0:
            if ctypes.get_errno() != errno.ENOENT:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            done += 1


def open_tracepoint(number: int) -> int:
    """Open tracepoint ``number`` (its ``id`` file in tracefs) as a perf event, for a program to be attached to."""
    tracepoint = 2
    attributes = struct.pack("=IIQQQQQ", tracepoint, 128, number, 1, 0, 0, 0).ljust(128, b"\0")
    buffer = ctypes.create_string_buffer(attributes, 128)
    fd: int = _libc.syscall(_SYSCALL_PERF_EVENT_OPEN, buffer, -1, 0, -1, 8)  # 8: close on exec
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd


def set_event_program(event: int, program: int) -> None:
    """Attach a program to an open perf event, the way before links: it stays while the event is open."""
    set_bpf, enable = 0x40042408, 0x2400  # PERF_EVENT_IOC_SET_BPF, PERF_EVENT_IOC_ENABLE
    fcntl.ioctl(event, set_bpf, program)
    fcntl.ioctl(event, enable, 0)


def mount(kind: str, where: str) -> None:
    """Mount a pseudo file system (bpf, tracefs)."""
    if _libc.mount(kind.encode(), where.encode(), kind.encode(), 0, None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
