"""A ring buffer's two areas, laid out by hand in a file. Left out: the kernel's own (tests/functional/agent)."""

import mmap
import os
import struct
from collections.abc import Iterator

import pytest

from agent import ring

CAPACITY = 4096
BUSY, DISCARDED = 1 << 31, 1 << 30


class Area:
    """The memory of a ring: consumer's page, producer's page, data twice in a row."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * mmap.PAGESIZE + 2 * CAPACITY)
        self.ring = ring.Ring(self.fd, CAPACITY)
        self.produced = 0

    def put(self, data: bytes, flags: int = 0) -> None:
        """Write one record as the kernel does."""
        whole = (struct.pack("=II", len(data) | flags, 0) + data).ljust((len(data) + 15) & ~7, b"\0")
        for copy in (0, CAPACITY, -CAPACITY):
            at = self.produced % CAPACITY + copy
            if 0 <= at <= 2 * CAPACITY - len(whole):
                os.pwrite(self.fd, whole, 2 * mmap.PAGESIZE + at)
        self.produced += len(whole)
        os.pwrite(self.fd, struct.pack("=Q", self.produced), mmap.PAGESIZE)

    def consumed(self) -> int:
        """Read how far the reader says it is."""
        position: int = struct.unpack("=Q", os.pread(self.fd, 8, 0))[0]
        return position


@pytest.fixture
def area() -> Iterator[Area]:
    """Give an empty ring."""
    made = Area()
    yield made
    made.ring.close()
    os.close(made.fd)


def test_records_come_in_order_and_once(area: Area) -> None:
    """Of any length; what was read is free for the kernel."""
    records = [b"a", b"bb" * 11, b"", b"c" * 101]
    for each in records:
        area.put(each)
    assert (records, []) == (area.ring.read(7), area.ring.read(7))
    assert area.produced == area.consumed()


def test_a_record_that_is_being_written_is_waited_for(area: Area) -> None:
    """And all that come after it: they are told in order."""
    area.put(b"first")
    at = area.produced
    area.put(b"later", BUSY)
    area.put(b"last")
    assert [b"first"] == area.ring.read(7)
    assert at == area.consumed()
    os.pwrite(area.fd, struct.pack("=I", 5), 2 * mmap.PAGESIZE + at)
    assert [b"later", b"last"] == area.ring.read(7)


def test_a_discarded_record_is_passed_over(area: Area) -> None:
    """The program changed its mind."""
    for data, flags in ((b"one", 0), (b"no", DISCARDED), (b"two", 0)):
        area.put(data, flags)
    assert [b"one", b"two"] == area.ring.read(7)
    assert area.produced == area.consumed()


def test_a_record_that_wraps_is_one_piece(area: Area) -> None:
    """Many times the capacity, of a length that does not divide it."""
    for turn in range(101):
        record = bytes([turn]) * 211
        area.put(record)
        assert [record] == area.ring.read(7)


def test_no_more_than_asked_for_is_taken(area: Area) -> None:
    """The rest comes next time."""
    for each in (b"1", b"2", b"3"):
        area.put(each)
    assert ([b"1", b"2"], [], [b"3"]) == (area.ring.read(2), area.ring.read(0), area.ring.read(7))
