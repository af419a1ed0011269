"""Slots that are written while they are read: what is called established is whole. Left out: the kernel's writing."""

import mmap
from collections.abc import Callable

import numpy as np
import pytest

from agent import bpfcall, kernel, wire
from tests.fakes import kernel as fake

NOW = 10**15
SLOTS = 64
KEYS = [fake.key(cgroup, local="10.7.0.2", remote="10.7.0.3", port=8080) for cgroup in (7, 8)]


def connection(cookie: int, key: wire.Array, opened_ns: int = NOW) -> wire.Array:
    return fake.Connection(key=key.tobytes(), cookie=cookie, opened_ns=opened_ns, connect_us=0).row


class Held:
    """What ``Kernel.connections`` needs of a kernel: mapped slots, and a hash of those that found none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.memory = mmap.mmap(-1, SLOTS * wire.CONNECTION.itemsize)
        self.slots = np.frombuffer(self.memory, wire.CONNECTION)
        self.overflow: list[wire.Array] = []
        self.kernel = object.__new__(kernel.Kernel)
        self.kernel._connections = self.memory
        self.kernel._overflow = (np.zeros(SLOTS, np.uint64), np.zeros(SLOTS, wire.CONNECTION))
        self.kernel._fds = {"overflow": 0}
        monkeypatch.setattr(bpfcall, "lookup_batch", self.look)

    def look(self, fd: int, cookies: wire.Array, rows: wire.Array) -> int:
        """Give what overflowed: at the first look, and at the second."""
        found = self.overflow.pop(0) if self.overflow else np.zeros(0, wire.CONNECTION)
        rows[: len(found)] = found
        return len(found)

    def read(self) -> list[tuple[int, int, int]]:
        """Read cookie, established and the key's cgroup of each."""
        rows = self.kernel.connections()
        return [(int(row["cookie"]), int(row["established"]), int(row["key"]["cgroup"])) for row in rows]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Give slots of our own."""
    return Held(monkeypatch)


def between(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    """Have something happen after the heads were loaded and before the rows are copied."""
    real = kernel._heads

    def heads(words: wire.Array, taken: wire.Array) -> wire.Array:
        found = real(words, taken)
        change()
        return found

    monkeypatch.setattr(kernel, "_heads", heads)


def test_quiet_slots_are_read_as_they_are(held: Held) -> None:
    """Established or not yet; free ones are left out."""
    held.slots[5], held.slots[17] = connection(1, KEYS[0])[0], connection(2, KEYS[1])[0]
    held.slots["established"][17] = 0
    assert [(1, 1, 7), (2, 0, 8)] == held.read()


def ended(held: Held) -> None:
    held.slots["established"][5] = 0


def freed(held: Held) -> None:
    held.slots["established"][5] = held.slots["cookie"][5] = 0


def taken_by_another(held: Held) -> None:
    held.slots[5] = connection(9, KEYS[1])[0]


def connected_again(held: Held) -> None:
    held.slots[5] = connection(1, KEYS[1], NOW + 1)[0]


def half_written(held: Held) -> None:
    held.slots["opened_boot_ns"][5] = NOW + 1
    held.slots["key"]["cgroup"][5] = 8


@pytest.mark.parametrize("change", [ended, freed, taken_by_another, connected_again, half_written])
def test_a_slot_that_changes_meanwhile_is_not_whole(
    held: Held, monkeypatch: pytest.MonkeyPatch, change: Callable[[Held], None]
) -> None:
    """Whatever the copy has of it; the next reading has it right."""
    held.slots[5] = connection(1, KEYS[0])[0]
    with monkeypatch.context() as patched:
        between(patched, lambda: change(held))
        assert [0] == [established for _, established, _ in held.read()]


def test_one_that_is_established_meanwhile_waits_for_the_next_reading(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key may have been copied before it was whole."""
    held.slots[5] = connection(1, KEYS[0])[0]
    held.slots["established"][5] = 0
    with monkeypatch.context() as patched:
        between(patched, lambda: held.slots["established"].__setitem__(5, 1))
        assert [(1, 0, 7)] == held.read()
    assert [(1, 1, 7)] == held.read()


def test_what_has_no_slot_is_whole_at_the_second_look(held: Held) -> None:
    """Three: one stays, one connects again between the two, one is established between them, one comes."""
    stays, again, late, fresh = (connection(cookie, KEYS[0]) for cookie in (1, 2, 3, 4))
    late["established"] = 0
    later = [stays, connection(2, KEYS[1], NOW + 1), connection(3, KEYS[0]), fresh]
    held.overflow = [np.concatenate([stays, again, late]), np.concatenate(later)]
    assert [(1, 1, 7), (2, 0, 8), (3, 0, 7), (4, 0, 7)] == held.read()
