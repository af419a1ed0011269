"""What a program did, as it saw it: counts per (protocol, direction, remote address, service port).

The rows have the agent's own key for an edge, but come from the return values of the program's system calls.
"""

import dataclasses
import errno
import ipaddress
import json
import threading
from typing import NamedTuple

CAUSES = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timed_out",
    errno.ECONNRESET: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
}


class Edge(NamedTuple):
    """With whom, about which service, and who began."""

    protocol: str
    """"tcp" or "udp"."""
    direction: str
    """"egress": this program began."""
    remote: str
    """Address of the other end; an IPv4-mapped one as plain IPv4."""
    port: int
    """The port that was listened on."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of one edge. Bytes are what send and recv returned."""

    opened: int = 0
    closed: int = 0
    refused: int = 0
    timed_out: int = 0
    reset: int = 0
    unreachable: int = 0
    other: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    sent_datagrams: int = 0
    received_datagrams: int = 0

    def __add__(self, more: "Tally") -> "Tally":
        """Sum field by field."""
        names = [field.name for field in dataclasses.fields(self)]
        return Tally(**{name: getattr(self, name) + getattr(more, name) for name in names})


class Ledger:
    """Tallies by edge, filled from several threads."""

    def __init__(self) -> None:
        self.rows: dict[Edge, Tally] = {}
        self._lock = threading.Lock()

    def add(self, edge: Edge, tally: Tally) -> None:
        """Count what happened on an edge."""
        with self._lock:
            self.rows[edge] = self.rows.get(edge, Tally()) + tally

    def dump(self) -> str:
        """Return one line of JSON."""
        with self._lock:
            return json.dumps([edge._asdict() | dataclasses.asdict(tally) for edge, tally in sorted(self.rows.items())])


Tallies = dict[Edge, Tally]


def load(line: str) -> Tallies:
    """Read what ``Ledger.dump`` wrote."""
    rows = json.loads(line)
    return {Edge(*[row.pop(name) for name in Edge._fields]): Tally(**row) for row in rows}


def differences(seen: Tallies, expected: Tallies, side: str) -> list[str]:
    """Say in words where two sets of tallies differ."""
    found = []
    for edge in sorted(seen.keys() | expected.keys()):
        counted, true = (dataclasses.asdict(tallies.get(edge, Tally())) for tallies in (seen, expected))
        wrong = [f"{name} {counted[name]}, was {true[name]}" for name in true if counted[name] != true[name]]
        if wrong or edge not in expected:
            found.append(f"{side}: {' '.join(map(str, edge))}: {'; '.join(wrong) or 'an edge that was not'}")
    return found


def failure(error: OSError) -> Tally:
    """Count one failure under its cause."""
    return Tally(**{CAUSES.get(error.errno or 0, "other"): 1})


def plain(address: str) -> str:
    """Spell an address as the agent does: IPv4-mapped as IPv4, no zone."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if parsed.version == 6 else None
    return str(mapped or parsed)
