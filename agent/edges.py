"""From the kernel's cumulative counters to what happened since: differences, each told once.

Outcome: a ``Table`` that holds for every edge what was already told, finds what has been added, and tells it when the
caller commits. What open connections have moved (from sock_diag, ``pending``) is told before the kernel has charged the
edge, and not again after: told = max(told, charged + pending) never runs ahead of the truth as long as ``pending`` is
read after ``charged``. Here because it is the agent's arithmetic; on whole arrays, since a node may have 65,536 edges.
Leaves out names (``attribution``).
"""

import dataclasses
import ipaddress
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from agent import model, wire

_WIDTH: Final = len(wire.WIDE)
_OPENED, _CLOSED, _SENT_SEGMENTS, _RECEIVED_SEGMENTS, _RETRANSMITS, _RTT = 0, 1, 7, 8, 9, 10
_CONNECT: Final = _RTT + wire.HISTOGRAM_BUCKETS

Wide = npt.NDArray[np.int64]
Narrow = npt.NDArray[np.uint32]


class Edge(NamedTuple):
    """Who talks to whom about what, as the kernel's key has it."""

    id: int
    """``edge_value.id``: unique for the life of the kernel's map; its upper bits are when the edge was made."""
    cgroup: model.CgroupId
    netns: model.NetnsCookie
    local: model.IpAddress
    remote: model.IpAddress | model.IpNetwork
    port: int
    direction: model.Direction
    protocol: model.Protocol

    @property
    def first_boot_ns(self) -> int:
        """When the kernel made the edge."""
        return self.id >> 8


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What one edge did since it was last told."""

    edge: Edge
    counters: model.Counters
    last_boot_ns: int


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """What a reading brought, not yet told: commit it, whole or without some rows."""

    ids: npt.NDArray[np.uint64]
    told_wide: Wide
    told_narrow: Narrow
    added_wide: Wide
    added_narrow: npt.NDArray[np.int32]
    changed: npt.NDArray[np.intp]
    """Rows with something to tell."""
    changes: Sequence[Change]
    """One for each row of ``changed``, in order."""
    idle: npt.NDArray[np.intp]
    """Rows of the reading, in its order, that may be forgotten: nothing open, nothing new, long quiet."""


class Table:
    """What has been told of every edge. One owner."""

    def __init__(self) -> None:
        self._ids = np.zeros(0, np.uint64)
        self._wide: Wide = np.zeros((0, _WIDTH), np.int64)
        self._narrow: Narrow = np.zeros((0, wire.NARROW_WIDTH), np.uint32)
        self._edges: dict[int, Edge] = {}
        self._id_of: dict[bytes, int] = {}

    def __len__(self) -> int:
        """Edges known."""
        return len(self._ids)

    def difference(
        self,
        keys: wire.Array,
        values: wire.Array,
        *,
        pending: Mapping[bytes, model.Moved],
        idle_before_boot_ns: int,
    ) -> Difference:
        """Compare a reading (all edges of the kernel, in any order) with what was told.

        ``pending``: by the bytes of the key; it must have been read from the sockets after ``values`` was read.
        """
        order = np.argsort(values["id"], kind="stable")
        blocks = values.view(wire.EDGE_BLOCKS)[order]
        ids = np.ascontiguousarray(blocks["id"])
        told_wide, told_narrow, known = self._told(ids)
        self._learn(keys, order, ids, known)
        charged_wide = blocks["wide"].astype(np.int64)
        charged_narrow = np.ascontiguousarray(blocks["narrow"])
        opened, closed = charged_narrow[:, _OPENED].copy(), charged_narrow[:, _CLOSED].copy()
        self._add_pending(ids, charged_wide, charged_narrow, pending)
        # A count may also move to another cause (bpf/tcp.c, tcp_error_report): what is taken back waits until it is
        # overtaken.
        added_wide = np.maximum(charged_wide - told_wide, 0)
        added_narrow = np.maximum((charged_narrow - told_narrow).view(np.int32), 0)
        something = added_wide.any(axis=1) | added_narrow.any(axis=1)
        quiet = ~something & (opened == closed) & (blocks["last_boot_ns"] < idle_before_boot_ns)
        changed = np.flatnonzero(something)
        return Difference(
            ids=ids,
            told_wide=told_wide,
            told_narrow=told_narrow,
            added_wide=added_wide,
            added_narrow=added_narrow,
            changed=changed,
            changes=self._changes(
                ids[changed], added_wide[changed], added_narrow[changed], blocks["last_boot_ns"][changed]
            ),
            idle=order[quiet],
        )

    def commit(self, found: Difference, *, held_back: Collection[int] = ()) -> None:
        """Take ``found`` as told, but for the edges (ids) that are held back: they come again with the next reading."""
        added_wide, added_narrow = found.added_wide, found.added_narrow
        if held_back:
            rows = np.isin(found.ids, np.fromiter(held_back, np.uint64))
            added_wide[rows] = 0
            added_narrow[rows] = 0
        gone = set(self._edges).difference(found.ids.tolist())
        if gone:
            self._edges = {number: edge for number, edge in self._edges.items() if number not in gone}
            self._id_of = {key: number for key, number in self._id_of.items() if number not in gone}
        self._ids = found.ids
        self._wide = found.told_wide + added_wide
        self._narrow = found.told_narrow + added_narrow.view(np.uint32)

    def dump(self) -> dict[str, bytes]:
        """Give what was told, for a checkpoint."""
        return {"ids": self._ids.tobytes(), "wide": self._wide.tobytes(), "narrow": self._narrow.tobytes()}

    def load(self, data: Mapping[str, bytes]) -> None:
        """Go on from a checkpoint: edges that the kernel still has are not told again.

        Raises ValueError if it is damaged.
        """
        ids = np.frombuffer(data["ids"], np.uint64)
        self._wide = np.frombuffer(data["wide"], np.int64).reshape(len(ids), _WIDTH)
        self._narrow = np.frombuffer(data["narrow"], np.uint32).reshape(len(ids), wire.NARROW_WIDTH)
        self._ids = ids

    def _told(self, ids: npt.NDArray[np.uint64]) -> tuple[Wide, Narrow, npt.NDArray[np.bool_]]:
        """Line up what was told with ``ids``; zeros for edges that are new."""
        wide = np.zeros((len(ids), _WIDTH), np.int64)
        narrow = np.zeros((len(ids), wire.NARROW_WIDTH), np.uint32)
        if not len(self._ids):
            return wide, narrow, np.zeros(len(ids), np.bool_)
        at = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        known = self._ids[at] == ids
        wide[known] = self._wide[at[known]]
        narrow[known] = self._narrow[at[known]]
        return wide, narrow, known

    def _learn(
        self, keys: wire.Array, order: npt.NDArray[np.intp], ids: npt.NDArray[np.uint64], known: npt.NDArray[np.bool_]
    ) -> None:
        """Read the keys of edges that are new to this process."""
        fresh = ~known if len(self._edges) >= int(known.sum()) else np.ones(len(ids), np.bool_)
        rows = np.flatnonzero(fresh)
        for number, key in zip(ids[rows].tolist(), keys[order[rows]], strict=True):
            if number not in self._edges:
                self._edges[number] = read_key(number, key)
                self._id_of[key.tobytes()] = number

    def _add_pending(
        self, ids: npt.NDArray[np.uint64], wide: Wide, narrow: Narrow, pending: Mapping[bytes, model.Moved]
    ) -> None:
        for key, moved in pending.items():
            number = self._id_of.get(key)
            if number is None:
                continue  # an edge younger than the reading: the next one has it
            row = int(np.searchsorted(ids, number))
            if row < len(ids) and ids[row] == number:
                wide[row, :2] += (moved.sent_bytes, moved.received_bytes)
                narrow[row, _SENT_SEGMENTS : _RETRANSMITS + 1] += np.array(moved[2:], np.uint32)

    def _changes(
        self, ids: npt.NDArray[np.uint64], wide: Wide, narrow: npt.NDArray[np.int32], last: npt.NDArray[np.uint64]
    ) -> list[Change]:
        rows = zip(ids.tolist(), wide.tolist(), narrow.tolist(), last.tolist(), strict=True)
        return [Change(self._edges[number], counters(w, n), last_ns) for number, w, n, last_ns in rows]


def read_key(number: int, key: np.void) -> Edge:
    """Read one ``edge_key``."""
    return Edge(
        id=number,
        cgroup=model.CgroupId(int(key["cgroup"])),
        netns=model.NetnsCookie(int(key["netns"])),
        local=wire.address(key["local"].tobytes()),
        remote=wire.network(key["remote"].tobytes(), int(key["remote_prefix"])),
        port=int(key["port"]),
        direction=model.Direction(int(key["direction"])),
        protocol=model.Protocol(int(key["protocol"])),
    )


def counters(wide: list[int], narrow: list[int]) -> model.Counters:
    """Name the numbers of one row."""
    rtt, connect = narrow[_RTT:_CONNECT], narrow[_CONNECT:]
    return model.Counters(
        opened=narrow[_OPENED],
        closed=narrow[_CLOSED],
        failed=(narrow[2], narrow[3], narrow[4], narrow[5], narrow[6]),
        sent_bytes=wide[0],
        received_bytes=wide[1],
        sent_segments=narrow[_SENT_SEGMENTS],
        received_segments=narrow[_RECEIVED_SEGMENTS],
        retransmits=narrow[_RETRANSMITS],
        rtt_us_sum=wide[2],
        rtt_us_buckets=tuple(rtt) if any(rtt) else (),
        connect_us_sum=wide[3],
        connect_us_buckets=tuple(connect) if any(connect) else (),
    )


class Prefixes:
    """Which remote addresses the kernel keeps and which it collapses: mirrors ``collapse`` in bpf/include/maps.h."""

    def __init__(self, kept: Sequence[model.IpNetwork], collapsed: Sequence[model.IpNetwork]) -> None:
        """Let the longest prefix decide; an address in none of them collapses to everything of its family."""
        rules = [*((prefix, True) for prefix in kept), *((prefix, False) for prefix in collapsed)]
        rules += [(ipaddress.ip_network(text), False) for text in ("0.0.0.0/0", "::/0")]
        self.rules = sorted(rules, key=lambda rule: rule[0].prefixlen, reverse=True)

    def bits(self, address: model.IpAddress) -> int:
        """How many bits of the 128 the kernel keeps of this address."""
        for prefix, keep in self.rules:
            if prefix.version == address.version and address in prefix:
                return 128 if keep else prefix.prefixlen + (96 if address.version == 4 else 0)
        raise AssertionError(f"no rule for {address}")
