"""Somebody else's ``sock_ops`` program beside ours: counts callbacks by kind, and sets flags of its own if told to.

Twenty instructions written by hand, so that nothing needs a compiler. Here because callbacks are what a connection
costs, and flags are shared by all programs on a socket. Leaves out what ours does with them.
"""

import contextlib
import ctypes
import os
import pathlib
import struct
from collections.abc import Iterator
from typing import Final

from agent import bpfcall

_MAP_CREATE, _PROGRAM_LOAD, _SOCK_OPS, _ARRAY = 0, 5, 13, 2
OPS: Final = {
    3: "connect", 4: "active established", 5: "passive established", 9: "retransmit", 10: "state", 11: "listen",
    12: "rtt", 13: "parse option", 14: "option length", 15: "write option",
}  # fmt: skip
"""``enum`` of BPF_SOCK_OPS_* in linux/bpf.h."""
RETRANS, STATE, RTT, PARSE_UNKNOWN, WRITE = 2, 4, 8, 32, 64
"""Flags: BPF_SOCK_OPS_*_CB_FLAG."""
_SLOTS: Final = 32
_CB_FLAGS: Final = 84
"""Offset of ``bpf_sock_ops_cb_flags`` in ``struct bpf_sock_ops``."""


class Onlooker:
    """A loaded program; ``counts`` reads what it saw."""

    def __init__(self, flags: int) -> None:
        self._map = bpfcall._bpf(_MAP_CREATE, struct.pack("=IIIII", _ARRAY, 4, 8, _SLOTS, 0))
        code = ctypes.create_string_buffer(_program(self._map, flags))
        licence = ctypes.create_string_buffer(b"Dual BSD/GPL")
        head = struct.pack("=IIQQ", _SOCK_OPS, (len(code) - 1) // 8, ctypes.addressof(code), ctypes.addressof(licence))
        self.program = bpfcall._bpf(_PROGRAM_LOAD, head.ljust(68, b"\0") + struct.pack("=I", bpfcall.CGROUP_SOCK_OPS))

    def counts(self) -> dict[str, int]:
        """Callbacks so far, by name."""
        read = {name: bpfcall.lookup(self._map, struct.pack("=I", op), 8) for op, name in OPS.items()}
        return {name: count for name, raw in read.items() if (count := int.from_bytes(raw, "little"))}

    def close(self) -> None:
        """Let go of both."""
        os.close(self.program)
        os.close(self._map)


@contextlib.contextmanager
def looking(cgroup: pathlib.Path, flags: int = 0) -> Iterator[Onlooker]:
    """Attach one to a cgroup; ``flags`` are set when a socket connects, listens or is established."""
    root = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
    onlooker = Onlooker(flags)
    link = bpfcall.link(onlooker.program, root, bpfcall.CGROUP_SOCK_OPS)
    try:
        yield onlooker
    finally:
        os.close(link)
        onlooker.close()
        os.close(root)


def _program(counts: int, flags: int) -> bytes:
    """Assemble it: registers 6 and 7 keep the context and the kind of callback."""
    code = [
        _insn(0xBF, 6, 1),  # r6 = context
        _insn(0x61, 7, 6),  # r7 = op
        _insn(0x25, 7, 0, 10, _SLOTS - 1),  # unknown: look at nothing
        _insn(0x63, 10, 7, -4),  # key on the stack
        _insn(0x18, 1, 1, 0, counts) + _insn(0, 0),  # r1 = map (two slots)
        _insn(0xBF, 2, 10),
        _insn(0x07, 2, 0, 0, -4),
        _insn(0x85, 0, 0, 0, 1),  # map_lookup_elem
        _insn(0x15, 0, 0, 2, 0),
        _insn(0xB7, 1, 0, 0, 1),
        _insn(0xDB, 0, 1),  # lock: count one
        *(_insn(0x15, 7, 0, 4 - at, op) for at, op in enumerate((3, 4, 5, 11))),
        _insn(0x05, 0, 0, 4),  # others: leave
        _insn(0x61, 2, 6, _CB_FLAGS),
        _insn(0x47, 2, 0, 0, flags),
        _insn(0xBF, 1, 6),
        _insn(0x85, 0, 0, 0, 59),  # sock_ops_cb_flags_set
        _insn(0xB7, 0, 0, 0, 1),
        _insn(0x95, 0),
    ]
    return b"".join(code)


def _insn(code: int, to: int, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("=BBhi", code, to | source << 4, offset, immediate)
