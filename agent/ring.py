"""Read a BPF ring buffer by its descriptor: two mapped areas and two positions, as linux/bpf.h describes them.

Here because BCC's reader lives in BCC's memory. Leaves out what the records mean (``wire``).
"""

import mmap
import os
import struct
from typing import Final

_BUSY: Final = 1 << 31
_DISCARDED: Final = 1 << 30
_HEADER: Final = 8


class Ring:
    """One ring buffer map. ``read`` takes what is there and frees it; it never waits."""

    def __init__(self, fd: int, capacity: int) -> None:
        """Map it. ``capacity`` is the data size in bytes (max_entries of the map)."""
        self._capacity = capacity
        page = mmap.PAGESIZE
        self._consumer = mmap.mmap(fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=0)
        # The data area is mapped twice in a row, so that a record which wraps is still one piece.
        self._producer = mmap.mmap(fd, page + 2 * capacity, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self.fd = os.dup(fd)

    def read(self, most: int) -> list[bytes]:
        """Return up to ``most`` records, oldest first."""
        records: list[bytes] = []
        consumed = struct.unpack_from("=Q", self._consumer, 0)[0]
        produced = struct.unpack_from("=Q", self._producer, 0)[0]
        while consumed < produced and len(records) < most:
            start = mmap.PAGESIZE + consumed % self._capacity
            length = struct.unpack_from("=I", self._producer, start)[0]
            if length & _BUSY:
                break
            size = length & ~_DISCARDED
            if not length & _DISCARDED:
                records.append(self._producer[start + _HEADER : start + _HEADER + size])
            consumed += (size + _HEADER + 7) & ~7
        struct.pack_into("=Q", self._consumer, 0, consumed)
        return records

    def close(self) -> None:
        """Unmap it and close the descriptor."""
        self._consumer.close()
        self._producer.close()
        os.close(self.fd)
