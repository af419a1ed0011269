"""From the kernel's cumulative counters to what happened since: differences, each told once.

Outcome: a ``Table`` that holds for every edge what was already told, finds what has been added, and tells it when the
caller commits. Open connections and what they have moved (``pending``) are told before the kernel has charged the edge,
and not again after: told = max(told, charged + pending) never runs ahead of the truth as long as ``pending`` is read
after ``charged``. Here because it is the agent's arithmetic; on whole arrays, since a node may have 65,536 edges.
Leaves out names (``attribution``).
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from agent import model, pending, wire

_WIDTH: Final = len(wire.WIDE)
_WORDS: Final = wire.EDGE_VALUE.itemsize // 8
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
    peer_tag: int = 0
    """Identity of the peer as its handshake proves it (``ipseity.identity.identity_tag``); 0: it proves none."""
    peer_pod: int = 0
    """``ipseity.identity.pod_tag`` of the peer's pod; 0 likewise."""

    @property
    def first_boot_ns(self) -> int:
        """When the connection (UDP: the datagram) began that made the edge."""
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
    """Of every edge in the reading, in its order."""
    changed: npt.NDArray[np.intp]
    """Rows with something to tell."""
    changes: Sequence[Change]
    """One for each row of ``changed``, in order."""
    idle: npt.NDArray[np.intp]
    """Rows that may be forgotten: nothing open, nothing new, long quiet.

    An edge with an open connection is never one: what was told of that connection would be told again under a new id.
    """
    added_wide: Wide
    """What is to be told, for the rows of ``changed``."""
    added_narrow: Narrow
    touched: npt.NDArray[np.intp]
    """Rows that were looked at; ``read`` is what they held."""
    read: npt.NDArray[np.uint64]


class Table:
    """What has been told of every edge. One owner.

    All arrays are in the order of the last reading: the kernel walks its table in the same order while no edge comes or
    goes, so that most readings need no sorting. Rows that are as they were read last are passed over: ``_read``.
    """

    def __init__(self) -> None:
        self._ids = np.zeros(0, np.uint64)
        self._read: npt.NDArray[np.uint64] = np.zeros((0, _WORDS), np.uint64)
        self._wide: Wide = np.zeros((0, _WIDTH), np.int64)
        self._narrow: Narrow = np.zeros((0, wire.NARROW_WIDTH), np.uint32)
        self._edges: dict[int, Edge] = {}
        self._id_of: dict[bytes, int] = {}
        """Of the keys that the kernel's table has, as far as is known."""
        self._order: npt.NDArray[np.intp] | None = None
        """What sorts ``_ids``; worked out when somebody asks."""

    def __len__(self) -> int:
        """Edges known."""
        return len(self._ids)

    def difference(
        self,
        keys: wire.Array,
        values: wire.Array,
        *,
        still_open: pending.Pending = pending.NONE,
        gone: int = 0,
        idle_before_boot_ns: int,
    ) -> Difference:
        """Compare a reading (all edges of the kernel, in any order) with what was told.

        ``still_open`` must have been read after ``values``. Of connections whose edge is younger than this reading
        nothing is told yet. ``gone``: so many edges at the front are not in the kernel any more (``kernel.gone``).
        What is open under such a key belongs to the edge that is made next.
        """
        ids = np.ascontiguousarray(values["id"])
        self._line_up(keys, ids)
        for key, number in zip(wire.raw_keys(keys[:gone]), ids[:gone].tolist(), strict=True):
            if self._id_of.get(key) == number:
                del self._id_of[key]
        words = values.view(np.uint64).reshape(len(values), _WORDS)
        touched = (words != self._read).any(axis=1)
        opened, known = self._rows_of(still_open.keys)
        touched[opened] = True
        rows = np.flatnonzero(touched)
        read = words[rows]
        blocks = read.copy().reshape(-1).view(wire.EDGE_BLOCKS)
        more, at = wire.rows(still_open.values.view(wire.EDGE_BLOCKS), known), np.searchsorted(rows, opened)
        blocks["wide"][at] += more["wide"]
        blocks["narrow"][at] += more["narrow"]
        blocks["last_boot_ns"][at] = np.maximum(blocks["last_boot_ns"][at], more["last_boot_ns"])
        wide, narrow = blocks["wide"].astype(np.int64), blocks["narrow"]
        # A count may also move to another cause (bpf/tcp.c, tcp_error_report): what is taken back waits until it is
        # overtaken.
        wide = np.maximum(wide - self._wide[rows], 0)
        narrow = np.maximum((narrow - self._narrow[rows]).view(np.int32), 0).view(np.uint32)
        news = wide.any(axis=1) | narrow.any(axis=1)
        changed, wide, narrow, last = rows[news], wide[news], narrow[news], blocks["last_boot_ns"][news]
        return Difference(
            ids=ids,
            changed=changed,
            changes=self._changes(ids[changed], wide, narrow, last),
            idle=_idle(values, idle_before_boot_ns, but=(changed, opened, np.arange(gone))),
            added_wide=wide,
            added_narrow=narrow,
            touched=rows,
            read=read,
        )

    def commit(self, found: Difference, *, held_back: Collection[int] = ()) -> None:
        """Take ``found`` as told, but for the edges (ids) that are held back: they come again with the next reading."""
        rows, wide, narrow = found.changed, found.added_wide, found.added_narrow
        self._read[found.touched] = found.read
        if held_back:
            held = np.isin(found.ids[rows], np.fromiter(held_back, np.uint64))
            self._read[rows[held]] = 0
            rows, wide, narrow = rows[~held], wide[~held], narrow[~held]
        self._wide[rows] += wide
        self._narrow[rows] += narrow

    def unknown(self, keys: wire.Array) -> npt.NDArray[np.intp]:
        """Say which keys had no edge in the last reading."""
        _, known = self._rows_of(keys)
        return np.flatnonzero(~known)

    def dump(self) -> dict[str, bytes]:
        """Give what was told, for a checkpoint."""
        return {"ids": self._ids.tobytes(), "wide": self._wide.tobytes(), "narrow": self._narrow.tobytes()}

    def load(self, data: Mapping[str, bytes]) -> None:
        """Go on from a checkpoint: what it says was told is not told again. Raises ValueError if it is damaged."""
        ids = np.frombuffer(data["ids"], np.uint64).copy()
        wide = np.frombuffer(data["wide"], np.int64).reshape(len(ids), _WIDTH).copy()
        narrow = np.frombuffer(data["narrow"], np.uint32).reshape(len(ids), wire.NARROW_WIDTH).copy()
        self._ids, self._wide, self._narrow, self._order = ids, wide, narrow, None
        self._read = np.zeros((len(ids), _WORDS), np.uint64)

    def _line_up(self, keys: wire.Array, ids: npt.NDArray[np.uint64]) -> None:
        """Bring what was told into the order of this reading: nothing told of new edges, gone ones forgotten."""
        if np.array_equal(ids, self._ids) and len(self._edges) == len(ids):
            return
        known, at = _find(ids, self._ids, self._sorted())
        self._read = _lined_up(self._read, known, at)
        self._wide = _lined_up(self._wide, known, at)
        self._narrow = _lined_up(self._narrow, known, at)
        self._ids, self._order = ids, None
        self._learn(keys, ids)

    def _learn(self, keys: wire.Array, ids: npt.NDArray[np.uint64]) -> None:
        """Read the keys of edges that are new to this process; forget those of edges that are gone."""
        there = ids.tolist()
        edges = {number: edge for number in there if (edge := self._edges.get(number)) is not None}
        fresh = [row for row, number in enumerate(there) if number not in edges]
        for row, key in zip(fresh, wire.edge_keys(keys[fresh]), strict=True):
            edges[there[row]] = read_key(there[row], key)
            self._id_of[key.raw] = there[row]
        if len(self._id_of) > len(edges):
            self._id_of = {key: number for key, number in self._id_of.items() if number in edges}
        self._edges = edges

    def _rows_of(self, keys: wire.Array) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
        """Find the rows of those keys that have one, and say which those are."""
        numbers = np.array([self._id_of.get(key, 0) for key in wire.raw_keys(keys)], np.uint64)
        known, at = _find(numbers, self._ids, self._sorted() if len(numbers) else np.zeros(0, np.intp))
        return at, known

    def _sorted(self) -> npt.NDArray[np.intp]:
        if self._order is None:
            self._order = np.argsort(self._ids, kind="stable")
        return self._order

    def _changes(
        self, ids: npt.NDArray[np.uint64], wide: Wide, narrow: Narrow, last: npt.NDArray[np.uint64]
    ) -> list[Change]:
        rows = zip(ids.tolist(), wide.tolist(), narrow.tolist(), last.tolist(), strict=True)
        return [Change(self._edges[number], counters(w, n), last_ns) for number, w, n, last_ns in rows]


def _idle(values: wire.Array, before_boot_ns: int, *, but: Sequence[npt.NDArray[np.intp]]) -> npt.NDArray[np.intp]:
    quiet = values["last_boot_ns"] < before_boot_ns
    for rows in but:
        quiet[rows] = False
    return np.flatnonzero(quiet)


def _find(
    wanted: npt.NDArray[np.uint64], among: npt.NDArray[np.uint64], order: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]:
    """Say which of ``wanted`` are there, and where those are. ``order`` sorts ``among``."""
    if not len(among) or not len(wanted):
        return np.zeros(len(wanted), np.bool_), np.zeros(0, np.intp)
    at = order[np.minimum(np.searchsorted(among, wanted, sorter=order), len(among) - 1)]
    known = among[at] == wanted
    return known, at[known]


def _lined_up(rows: npt.NDArray[Any], known: npt.NDArray[np.bool_], at: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """Put rows where they belong now; zeros for what is not known."""
    lined = np.zeros((len(known), rows.shape[1]), rows.dtype)
    lined[known] = rows[at]
    return lined


def read_key(number: int, key: wire.Key) -> Edge:
    """Name the columns of one ``edge_key``."""
    return Edge(
        id=number,
        cgroup=model.CgroupId(key.cgroup),
        netns=model.NetnsCookie(key.netns),
        local=wire.address(key.local),
        remote=wire.network(key.remote, key.remote_prefix),
        port=key.port,
        direction=model.Direction(key.direction),
        protocol=model.Protocol(key.protocol),
        peer_tag=key.peer_tag,
        peer_pod=key.peer_pod,
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
        rules = [*((prefix, False) for prefix in collapsed), *((prefix, True) for prefix in kept)]  # as Kernel.settle
        rules += [(prefix, False) for prefix in wire.EVERYTHING]
        self.rules = sorted(rules, key=lambda rule: rule[0].prefixlen, reverse=True)

    def bits(self, address: model.IpAddress) -> int:
        """How many bits of the 128 the kernel keeps of this address."""
        for prefix, keep in self.rules:
            if prefix.version == address.version and address in prefix:
                return 128 if keep else prefix.prefixlen + (96 if address.version == 4 else 0)
        raise AssertionError(f"no rule for {address}")
