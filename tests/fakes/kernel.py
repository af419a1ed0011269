"""A kernel side that counts as bpf/tcp.c does, without a kernel: connections charge their edge when they end."""

import dataclasses
import ipaddress
import itertools
from collections.abc import Callable

import numpy as np

from agent import edges, model, pending, wire

NETNS = model.NetnsCookie(4026)


def key(cgroup: int, *, local: str, remote: str, port: int, direction: int = 0, protocol: int = 6) -> wire.Array:
    """Make one ``edge_key``."""
    made = np.zeros(1, wire.EDGE_KEY)
    made["cgroup"], made["netns"], made["port"] = cgroup, NETNS, port
    made["local"] = np.frombuffer(wire.packed(ipaddress.ip_address(local)), np.uint8)
    made["remote"] = np.frombuffer(wire.packed(ipaddress.ip_address(remote)), np.uint8)
    made["direction"], made["protocol"], made["remote_prefix"] = direction, protocol, 128
    return made


@dataclasses.dataclass(eq=False, kw_only=True)
class Connection:
    """An open connection: that it is open stands in its slot, its bytes are known to its socket only."""

    key: bytes
    cookie: int
    opened_ns: int
    connect_us: int
    sent: int = 0
    received: int = 0

    @property
    def id(self) -> int:
        """Name the edge that it makes; no two begin on one CPU in one nanosecond."""
        return self.opened_ns << 8 | self.cookie & 0xFF

    @property
    def row(self) -> wire.Array:
        """Give its slot."""
        made = np.zeros(1, wire.CONNECTION)
        made["cookie"], made["opened_boot_ns"], made["cpu"] = self.cookie, self.opened_ns, self.cookie & 0xFF
        made["connect_us"], made["established"] = self.connect_us, 1
        made["key"] = np.frombuffer(self.key, wire.EDGE_KEY)
        return made


def _nothing() -> None:
    """Nothing happens in between."""


class Kernel:
    """The table of edges and the open connections."""

    def __init__(self, *, max_edges: int = 1 << 16) -> None:
        self.keys: dict[bytes, wire.Array] = {}
        self.values: dict[bytes, wire.Array] = {}
        self.open: list[Connection] = []
        self.forgotten = 0
        self.refused = 0
        self.gone = 0
        self._max_edges = max_edges
        self._taken: list[tuple[wire.Array, wire.Array]] = []
        self._as_read: dict[bytes, bytes] = {}
        self._cookies = itertools.count(1)

    def edge(self, of: wire.Array, now_ns: int, number: int = 0) -> wire.Array:
        """Find or make an edge; a key that comes back has a new id."""
        name = of.tobytes()
        if name not in self.values:
            self.keys[name] = of
            self.values[name] = np.zeros(1, wire.EDGE_VALUE)
            self.values[name]["id"] = number or now_ns << 8 | next(self._cookies) & 0xFF
        self.values[name]["last_boot_ns"] = now_ns
        return self.values[name]

    def establish(self, of: wire.Array, now_ns: int, *, connect_us: int = 0) -> Connection:
        """Open a connection: its slot is taken, no edge is touched."""
        made = Connection(key=of.tobytes(), cookie=next(self._cookies), opened_ns=now_ns, connect_us=connect_us)
        self.open.append(made)
        return made

    def end(self, connection: Connection, now_ns: int) -> None:
        """Charge the edge with all that the connection was."""
        self.open.remove(connection)
        of = np.frombuffer(connection.key, wire.EDGE_KEY)
        value = self.edge(of, now_ns, connection.id)
        value["opened"] += 1
        value["closed"] += 1
        value["sent_bytes"] += connection.sent
        value["received_bytes"] += connection.received
        if of["direction"] == model.Direction.EGRESS:
            value["connect_us_sum"] += connection.connect_us
            value["connect"][0, min((connection.connect_us >> 6).bit_length(), wire.HISTOGRAM_BUCKETS - 1)] += 1

    def edges(self) -> tuple[wire.Array, wire.Array]:
        """Read the table, and once more what was forgotten."""
        taken, self._taken = self._taken, []
        self.gone = len(taken)
        self._as_read = {name: value.tobytes() for name, value in self.values.items()}
        keys = [np.zeros(0, wire.EDGE_KEY), *(key for key, _ in taken), *self.keys.values()]
        values = [np.zeros(0, wire.EDGE_VALUE), *(value for _, value in taken), *self.values.values()]
        return np.concatenate(keys), np.concatenate(values)

    def make_edges(self, keys: wire.Array, values: wire.Array) -> int:
        """Enter edges where there are none, as far as there is room."""
        refused = 0
        for at in range(len(keys)):
            name = keys[at].tobytes()
            if name in self.values:
                continue
            if len(self.values) >= self._max_edges:
                refused += 1
                continue
            self.keys[name], self.values[name] = keys[at : at + 1].copy(), values[at : at + 1].copy()
        self.refused += refused
        return refused

    def connections(self) -> wire.Array:
        """Read the slots."""
        return np.concatenate([np.zeros(0, wire.CONNECTION), *(each.row for each in self.open)])

    def still_open(self, *, sweeps: bool = True) -> pending.Pending:
        """Read the slots, and ask the open sockets."""
        moved = [model.Moved(each.sent, each.received, 0, 0, 0) for each in self.open] if sweeps else []
        return pending.by_edge(self.connections(), moved, range(len(moved)))

    def forget(self, keys: wire.Array) -> None:
        """Delete edges; the next reading has their last values."""
        for one in keys:
            name = one.tobytes()
            self._taken.append((self.keys.pop(name), self.values.pop(name)))
            self.forgotten += 1

    @property
    def holds_news(self) -> bool:
        """Whether an edge got something between being read and being forgotten, which only this process knows now."""
        return any(value.tobytes() != self._as_read.get(of.tobytes()) for of, value in self._taken)

    def process_dies(self) -> None:
        """Lose what is not in the kernel."""
        self._taken.clear()


def read(
    of: Kernel, table: edges.Table, *, sweeps: bool = True, meanwhile: Callable[[], None] = _nothing
) -> tuple[wire.Array, wire.Array, pending.Pending]:
    """Read all in the order in which ``agent.reader`` does, while other things go on."""
    wanted = of.still_open(sweeps=False)
    new = table.unknown(wanted.keys)
    fresh = np.zeros(len(new), wire.EDGE_VALUE)
    fresh["id"], fresh["last_boot_ns"] = wanted.values["id"][new], wanted.values["last_boot_ns"][new]
    meanwhile()
    of.make_edges(wanted.keys[new], fresh)
    meanwhile()
    keys, values = of.edges()
    meanwhile()
    return keys, values, of.still_open(sweeps=sweeps)
