"""Connections that a node tracks, and which of them are not allowed any more.

Here because a rule decides about new connections only: what is established passes until the kernel forgets it.
Pure. Leaves out how the kernel is asked (``tracking``).
"""

import dataclasses
import socket
from collections.abc import Iterable

from comparisons.ip_policy import evaluate, model

PROTOCOLS = {
    socket.IPPROTO_TCP: model.Protocol.TCP,
    socket.IPPROTO_UDP: model.Protocol.UDP,
    socket.IPPROTO_SCTP: model.Protocol.SCTP,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """A connection as connection tracking has it."""

    protocol: int
    """IPPROTO_*."""
    source: model.Address
    answering: model.Address
    """Who answers: the destination after translation."""
    answering_port: int
    """0 where the protocol has none."""
    key: bytes = b""
    """What tells the kernel which one is meant."""

    @property
    def connection(self) -> evaluate.Connection:
        """As policies see it."""
        return evaluate.Connection(
            source=self.source,
            destination=self.answering,
            protocol=PROTOCOLS.get(self.protocol),
            port=self.answering_port,
        )


def refused(state: model.State, node: str, found: Iterable[Tracked]) -> list[Tracked]:
    """Return those of a node's pods that no policy allows now."""
    ends = {address for address, pod in state.holders.items() if pod.node == node}
    return [
        each
        for each in found
        if (each.source in ends or each.answering in ends) and not evaluate.verdict(state, each.connection).allowed
    ]
