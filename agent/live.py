"""Open connections between their beginning and their end: what they have moved so far.

Outcome: for connections that the programs follow, what their edge will be charged with (``still_open``); for
connections older than the programs, differences since they were first seen (``Older``): what happened before is not
claimed. Here because both are the arithmetic of one sweep. Leaves out asking the kernel (``sockets``, ``kernel``) and
telling things once (``edges``).
"""

from collections.abc import Container, Iterable
from typing import Final

from agent import edges, model, pending, wire

_FIN_WAIT2, _CLOSE_WAIT, _LAST_ACK, _CLOSING = 5, 8, 9, 11
_EXACT: Final = 128


class Remotes:
    """Remote addresses as the kernel writes them into a key: masked to what it keeps.

    Remembers what it has worked out.
    """

    def __init__(self, prefixes: edges.Prefixes) -> None:
        self._prefixes = prefixes
        self._known: dict[bytes, tuple[bytes, int]] = {}

    def of(self, address: bytes) -> tuple[bytes, int]:
        """Return the 16 bytes kept and how many bits of them count."""
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= 100_000:  # arbitrary: some 20 MB; then worked out anew
                self._known.clear()
            bits = self._prefixes.bits(wire.address(address))
            mask = ((1 << bits) - 1) << (_EXACT - bits)
            known = self._known[address] = ((int.from_bytes(address, "big") & mask).to_bytes(16, "big"), bits)
        return known


def payload(moved: model.Moved, state: int, *, active: bool) -> model.Moved:
    """Take off what is not payload: the SYN of an active end and FINs that were counted in this state."""
    sent = moved.sent_bytes - active - (state == _FIN_WAIT2)
    received = moved.received_bytes - (state in {_CLOSE_WAIT, _LAST_ACK, _CLOSING})
    return moved._replace(sent_bytes=max(sent, 0), received_bytes=max(received, 0))


def still_open(
    connections: wire.Array, sockets: Iterable[model.OpenSocket] = (), *, asked_boot_ns: int = 0
) -> pending.Pending:
    """Add up what followed connections will charge their edges with.

    ``connections``: rows of ``wire.CONNECTION``, read after ``sockets``, which were asked no earlier than
    ``asked_boot_ns``. A socket whose row began later is passed over: it may have been closed and connected again.
    """
    rows = wire.rows(connections, connections["established"] != 0)
    row_of = dict(zip(rows["cookie"].tolist(), range(len(rows)), strict=True))
    active = (rows["key"]["direction"] == model.Direction.EGRESS).tolist()
    began_ns = rows["opened_boot_ns"].tolist()
    moved: list[model.Moved] = []
    of: list[int] = []
    for each in sockets:
        row = row_of.get(each.cookie)
        if row is not None and began_ns[row] <= asked_boot_ns:
            moved.append(payload(each.moved, each.state, active=active[row]))
            of.append(row)
    return pending.by_edge(rows, moved, of)


class Older:
    """Connections that began before the programs did, or that found no slot: followed by sweeps alone."""

    def __init__(self) -> None:
        self._seen: dict[int, model.Moved] = {}

    def __len__(self) -> int:
        """Count the connections followed."""
        return len(self._seen)

    def changes(
        self,
        sockets: Iterable[model.OpenSocket],
        followed: Container[int],
        listening: frozenset[tuple[int, int]],
        remotes: Remotes,
        now_boot_ns: int,
    ) -> list[edges.Change]:
        """Tell what each has moved since the last sweep, but for those (cookies) that the programs follow.

        ``listening``: (netns, port); such a local port makes it a passive end.
        """
        found: list[edges.Change] = []
        seen: dict[int, model.Moved] = {}
        for each in sockets:
            if each.cookie in followed:
                continue
            moved = seen[each.cookie] = payload(each.moved, each.state, active=False)
            before = self._seen.get(each.cookie)
            if before is not None and moved != before:
                passive = (each.netns, each.local_port) in listening
                found.append(
                    edges.Change(_edge(each, remotes, passive=passive), _difference(before, moved), now_boot_ns)
                )
        self._seen = seen
        return found


def _difference(before: model.Moved, after: model.Moved) -> model.Counters:
    sent, received, out, into, again = (max(b - a, 0) for a, b in zip(before, after, strict=True))
    return model.Counters(
        sent_bytes=sent, received_bytes=received, sent_segments=out, received_segments=into, retransmits=again
    )


def _edge(each: model.OpenSocket, remotes: Remotes, *, passive: bool) -> edges.Edge:
    remote, bits = remotes.of(each.remote)
    return edges.Edge(
        id=0,
        cgroup=each.cgroup,
        netns=each.netns,
        local=wire.address(each.local),
        remote=wire.network(remote, bits),
        port=each.local_port if passive else each.remote_port,
        direction=model.Direction.INGRESS if passive else model.Direction.EGRESS,
        protocol=model.Protocol.TCP,
    )
