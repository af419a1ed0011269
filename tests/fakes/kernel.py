"""A kernel side that counts as bpf/tcp.c does, without a kernel: connections charge their edge when they end."""

import dataclasses
import ipaddress

import numpy as np

from agent import model, wire

NETNS = model.NetnsCookie(4026)


def key(cgroup: int, *, local: str, remote: str, port: int, direction: int = 0, protocol: int = 6) -> wire.Array:
    """Make one ``edge_key``."""
    made = np.zeros(1, wire.EDGE_KEY)
    made["cgroup"], made["netns"], made["port"] = cgroup, NETNS, port
    made["local"] = np.frombuffer(wire.packed(ipaddress.ip_address(local)), np.uint8)
    made["remote"] = np.frombuffer(wire.packed(ipaddress.ip_address(remote)), np.uint8)
    made["direction"], made["protocol"], made["remote_prefix"] = direction, protocol, 128
    return made


@dataclasses.dataclass(eq=False)
class Connection:
    """An open connection: its bytes are known to its socket only."""

    key: bytes
    sent: int = 0
    received: int = 0


class Kernel:
    """The table of edges and the open connections."""

    def __init__(self) -> None:
        self.keys: dict[bytes, wire.Array] = {}
        self.values: dict[bytes, wire.Array] = {}
        self.open: list[Connection] = []
        self.forgotten = 0
        self._cpu = 0

    def edge(self, of: wire.Array, now_ns: int) -> wire.Array:
        """Find or make an edge; a key that comes back has a new id."""
        name = of.tobytes()
        if name not in self.values:
            self.keys[name] = of
            self.values[name] = np.zeros(1, wire.EDGE_VALUE)
            self._cpu += 1
            self.values[name]["id"] = now_ns << 8 | self._cpu & 0xFF
        self.values[name]["last_boot_ns"] = now_ns
        return self.values[name]

    def establish(self, of: wire.Array, now_ns: int) -> Connection:
        """Count one opened connection."""
        self.edge(of, now_ns)["opened"] += 1
        self.open.append(Connection(of.tobytes()))
        return self.open[-1]

    def end(self, connection: Connection, now_ns: int) -> None:
        """Charge the edge with all that the connection moved."""
        self.open.remove(connection)
        value = self.edge(np.frombuffer(connection.key, wire.EDGE_KEY), now_ns)
        value["closed"] += 1
        value["sent_bytes"] += connection.sent
        value["received_bytes"] += connection.received

    def edges(self) -> tuple[wire.Array, wire.Array]:
        """Read the table."""
        if not self.keys:
            return np.zeros(0, wire.EDGE_KEY), np.zeros(0, wire.EDGE_VALUE)
        return np.concatenate(list(self.keys.values())), np.concatenate(list(self.values.values()))

    def pending(self) -> dict[bytes, model.Moved]:
        """Ask the open sockets."""
        sums: dict[bytes, model.Moved] = {}
        for each in self.open:
            known = sums.get(each.key, model.Moved(0, 0, 0, 0, 0))
            sums[each.key] = known._replace(
                sent_bytes=known.sent_bytes + each.sent, received_bytes=known.received_bytes + each.received
            )
        return sums

    def forget(self, keys: wire.Array) -> None:
        """Delete edges."""
        for one in keys:
            del self.keys[one.tobytes()], self.values[one.tobytes()]
            self.forgotten += 1
