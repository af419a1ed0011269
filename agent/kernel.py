"""The agent's hold on the kernel: maps read by descriptor, every loss counted.

Outcome: a ``Kernel`` that reads edges, open connections and rings. Leaves out what the numbers mean (``edges``) and how
programs came to be there (``attach``).
"""

import contextlib
import dataclasses
import errno
import mmap
import os
import pathlib
import sys
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from agent import attach, bpfcall, model, ring, wire

_RECORDS_A_READ: Final = 65536
_SLOT_WORDS: Final = wire.CONNECTION.itemsize // 8
_HEAD: Final = (0, 1, 3)
"""Words of a slot: cookie, opened_boot_ns, established and cpu."""
_NO_ROOM: Final = frozenset({errno.E2BIG, errno.ENOMEM})


class Kernel:
    """Our maps and programs in the running kernel.

    One owner, one thread, but for ``cgroup_records``, ``identified``, ``identify`` and ``handshake``: these are another
    one's. ``close`` leaves all that is pinned running.
    """

    def __init__(self, options: attach.Options) -> None:
        """Adopt the running programs or load them. Raises errors.KernelRefused."""
        attached = attach.attach(options)
        descriptors = attached.descriptors
        self._attached, self._options = attached, options
        self.missing = attached.missing
        self.adopted = attached.adopted
        self.programs = attached.programs
        self.capacity = options.max_edges
        self._fds = dict(descriptors)
        self._keys = np.zeros(options.max_edges, wire.EDGE_KEY)
        self._values = np.zeros(options.max_edges, wire.EDGE_VALUE)
        self.gone = 0
        self._settings = (False, False)
        self._crowded = 0
        self._writing = threading.Lock()
        self._handshake = bool(self._settled()["handshake"][0])
        self._taken = [row for table in attached.former_edges for row in _last_edges(table)]
        self._connections = mmap.mmap(
            descriptors["connections"], options.max_connections * wire.CONNECTION.itemsize, prot=mmap.PROT_READ
        )
        self._overflow = (
            np.zeros(options.max_overflow, np.uint64),
            np.zeros(options.max_overflow, wire.CONNECTION),
        )
        self._records = ring.Ring(descriptors["records"], bpfcall.map_capacity(descriptors["records"]))
        self._cgroups = ring.Ring(descriptors["cgroups"], bpfcall.map_capacity(descriptors["cgroups"]))
        self._possible = _possible_cpus()

    def edges(self) -> tuple[wire.Array, wire.Array]:
        """Read all edges: keys and cumulative values. The arrays are the reader's until the next call.

        The first ``gone`` of them are in no table any more: forgotten, or of replaced programs. See ``let_go``.
        """
        count = bpfcall.lookup_batch(self._fds["edges"], self._keys, self._values)
        keys, values = self._keys[:count], self._values[:count]
        self.gone = len(self._taken)
        if self._taken:
            keys = np.concatenate([np.frombuffer(b"".join(key for key, _ in self._taken), wire.EDGE_KEY), keys])
            values = np.concatenate(
                [np.frombuffer(b"".join(value for _, value in self._taken), wire.EDGE_VALUE), values]
            )
        return keys, values

    def let_go(self) -> int:
        """Read the ``gone`` edges of the last reading no more, now that they were told. Returns how many there were."""
        told, self.gone = self.gone, 0
        del self._taken[:told]
        return told

    def forget(self, keys: wire.Array) -> None:
        """Delete edges. Their last values are part of the next reading, so that what came in meanwhile is not lost."""
        edges = self._fds["edges"]
        for key in keys:
            try:
                value = bpfcall.take(edges, key.tobytes(), wire.EDGE_VALUE.itemsize)
            except OSError:  # before 5.14: what comes in between reading and deleting is lost, after two quiet minutes
                bpfcall.delete_batch(edges, np.ascontiguousarray(keys))
                return
            if value is not None:
                self._taken.append((key.tobytes(), value))

    def make_edges(self, keys: wire.Array, values: wire.Array) -> int:
        """Enter edges where there are none yet; returns how many found no room. One that is there stays as it is."""
        for done, (key, value) in enumerate(zip(keys, values, strict=True)):
            try:
                bpfcall.create(self._fds["edges"], key.tobytes(), value.tobytes())
            except FileExistsError:
                continue
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                return len(keys) - done
        return 0

    def connections(self) -> wire.Array:
        """Read the connections that are open now: rows of ``wire.CONNECTION``.

        Where ``established`` is set the row is whole: key and times of one connection, which was not charged to an edge
        before this was called. Of the others only the cookie counts: they are about to be established, or to end.

        The slots are written while they are read, without a lock. What makes a row whole: the program stores
        ``opened_boot_ns`` before the key and the key before ``established``, and clears ``established`` before it
        charges the edge (bpf/include/flow.h). We load the head (cookie, opened, established), then copy the row, then
        load the head again. x86 neither reorders two stores nor two loads, and numpy finishes one operation before the
        next. An established head says that its key was whole by then; the same head again says that the slot was not
        given to another connection meanwhile: cookies are not used twice, and a socket that connects again has another
        ``opened_boot_ns``, stored before its key.
        """
        words = np.frombuffer(self._connections, np.uint64).reshape(-1, _SLOT_WORDS)
        taken = np.flatnonzero(words[:, 0])
        before = _heads(words, taken)
        rows = words[taken].reshape(-1).view(wire.CONNECTION)
        same = (_heads(words, taken) == before).all(axis=0)
        rows["established"] = np.where(same, before[-1] & wire.ESTABLISHED, 0)
        more = self._overflowing()
        return np.concatenate([rows, more]) if len(more) else rows

    def _overflowing(self) -> wire.Array:
        """Read those that found no slot, by the same rule: established at the first look, whole at the second.

        The kernel copies an entry while it holds its bucket, so that it is not freed and taken again within the copy.
        """
        cookies, rows = self._overflow
        first = rows[: bpfcall.lookup_batch(self._fds["overflow"], cookies, rows)].copy()
        if not len(first):
            return first
        opened = {row["cookie"]: row["opened_boot_ns"] for row in first if row["established"] == wire.ESTABLISHED}
        found = rows[: bpfcall.lookup_batch(self._fds["overflow"], cookies, rows)].copy()
        same = [opened.get(row["cookie"]) == row["opened_boot_ns"] for row in found]
        found["established"] = np.where(same, found["established"] & wire.ESTABLISHED, 0)
        return found

    def records(self) -> list[bytes]:
        """Take the connection records that wait; ``wire.connection_records`` reads them."""
        return self._records.read(_RECORDS_A_READ)

    @property
    def cgroup_events(self) -> int:
        """Give a descriptor that is readable when a cgroup has come or gone; ``cgroup_records`` has which."""
        return self._cgroups.fd

    def cgroup_records(self) -> list[bytes]:
        """Take the cgroup records that wait; ``wire.cgroup_event`` reads them."""
        return self._cgroups.read(_RECORDS_A_READ)

    def losses(self) -> dict[str, int]:
        """Read what the programs lost since they were loaded, by name."""
        totals = {}
        for slot, name in enumerate(wire.LOSSES):
            raw = bpfcall.lookup(self._fds["losses"], slot.to_bytes(4, sys.byteorder), 8 * self._possible)
            totals[name] = int(np.frombuffer(raw, np.uint64).sum())
        return totals

    def settle(
        self, *, records: bool, private: bool, kept: Iterable[model.IpNetwork], collapsed: Iterable[model.IpNetwork]
    ) -> None:
        """Write what the programs read: whether to write records, and which remote addresses stay exact.

        What a former agent had written otherwise goes, but for ``handshake``.
        """
        rules = [(prefix, False) for prefix in wire.EVERYTHING]  # first: a setting may say otherwise
        rules += [*((prefix, True) for prefix in kept), *((prefix, False) for prefix in collapsed)]
        entries = dict(wire.prefix_entry(prefix, keep=keep) for prefix, keep in rules)
        for former in set(bpfcall.keys(self._fds["prefixes"], wire.PREFIX_KEY.itemsize)) - entries.keys():
            bpfcall.delete(self._fds["prefixes"], former)
        for key, value in entries.items():
            bpfcall.update(self._fds["prefixes"], key, value)
        self._settings = (records, private)
        self.crowd(())

    def crowd(self, owners: Collection[int]) -> None:
        """Say which cgroups fill the table (``crowding``), after ``settle``. Those that do no more have room again."""
        there = {int.from_bytes(key, sys.byteorder) for key in bpfcall.keys(self._fds["crowded"], 8)}
        for former in there - set(owners):
            bpfcall.delete(self._fds["crowded"], former.to_bytes(8, sys.byteorder))
        for owner in owners:
            bpfcall.update(self._fds["crowded"], owner.to_bytes(8, sys.byteorder), b"\1")
        self._crowded = len(owners)
        self._write_settings()

    def identified(self) -> set[int]:
        """List the cgroups that have an identity, also from a former agent."""
        return {int.from_bytes(key, sys.byteorder) for key in bpfcall.keys(self._fds["identities"], 8)}

    def identify(self, identities: Mapping[int, tuple[int, int] | None]) -> set[int]:
        """Say who cgroups are in the handshakes that they make from now on: tag and pod of each; None: nobody any more.

        Those that are nobody's go first. Returns the cgroups that found no room in the table: they say what they said
        before, or nothing. Raises OSError, with some of it written; to say all of it again is harmless.
        """
        refused = set()
        for cgroup, told in sorted(identities.items(), key=lambda item: item[1] is not None):
            key = cgroup.to_bytes(8, sys.byteorder)
            if told is None:
                with contextlib.suppress(FileNotFoundError):
                    bpfcall.delete(self._fds["identities"], key)
                continue
            try:
                bpfcall.update(self._fds["identities"], key, wire.identity(*told))
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                refused.add(cgroup)
        return refused

    def handshake(self, keys: Sequence[bytes], *, on: bool) -> None:
        """Tell and read identities in TCP handshakes, signed with the first key; what either signed is believed.

        A key has 16 bytes. Without any nothing is told and nothing believed, as when it is not ``on``. What is written
        here stays when the agent goes.
        """
        for slot, value in enumerate(wire.handshake_keys(keys)):
            bpfcall.update(self._fds["handshake_keys"], slot.to_bytes(4, sys.byteorder), value)
        self._handshake = on and bool(keys)
        self._write_settings()

    def _settled(self) -> wire.Array:
        """Read what is written in the settings, by us or by a former agent."""
        raw = bpfcall.lookup(self._fds["kernel_settings"], bytes(4), wire.KERNEL_SETTINGS.itemsize)
        found: wire.Array = np.frombuffer(raw, wire.KERNEL_SETTINGS)
        return found[0:1]

    def _write_settings(self) -> None:
        with self._writing:
            settings = np.array([(*self._settings, self._crowded, self._handshake)], wire.KERNEL_SETTINGS)
            bpfcall.update(self._fds["kernel_settings"], bytes(4), settings.tobytes())

    def pin_again(self) -> list[str]:
        """Put back the pins that somebody has removed; returns their names. Raises errors.KernelRefused."""
        missing, lock = attach.pin_again(self._attached, self._options)
        self._attached = dataclasses.replace(self._attached, lock=lock)
        return missing

    def close(self) -> None:
        """Let go of every descriptor; pinned programs run on."""
        self._records.close()
        self._cgroups.close()
        self._connections.close()
        for fd in {*self._fds.values(), *self._attached.pinned.values(), self._attached.lock}:
            os.close(fd)


def _heads(words: wire.Array, taken: wire.Array) -> wire.Array:
    """Load what tells whether a slot is still the same connection's, and whether that is established."""
    return np.stack([words[:, column][taken] for column in _HEAD])


def _last_edges(table: int) -> list[tuple[bytes, bytes]]:
    """Read a table that nobody adds to any more, and let go of it."""
    capacity = bpfcall.map_capacity(table)
    keys, values = np.zeros(capacity, wire.EDGE_KEY), np.zeros(capacity, wire.EDGE_VALUE)
    count = bpfcall.lookup_batch(table, keys, values)
    os.close(table)
    return [(key.tobytes(), value.tobytes()) for key, value in zip(keys[:count], values[:count], strict=True)]


def _possible_cpus() -> int:
    text = pathlib.Path("/sys/devices/system/cpu/possible").read_text(encoding="ascii").strip()
    return int(text.replace("-", ",").split(",")[-1]) + 1
