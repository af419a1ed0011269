"""Which tracked connections a strict node ends. Reading and ending them: ``tests/functional/ip_policy``."""

import ipaddress
import socket

from comparisons.ip_policy import connections, gathering
from tests.fakes import policed_cluster as cast


def tracked(source: str, answering: str, port: int, protocol: int = socket.IPPROTO_TCP) -> connections.Tracked:
    return connections.Tracked(
        protocol=protocol,
        source=ipaddress.ip_address(source),
        answering=ipaddress.ip_address(answering),
        answering_port=port,
    )


def test_which_are_refused() -> None:
    """Those of this node's pods that no rule admits now; by who answers, not by the Service that was called."""
    found = [
        tracked("10.7.1.2", "10.7.1.3", 5432),  # admitted
        tracked("10.7.1.2", "10.7.1.3", 5433),
        tracked("10.7.2.2", "10.7.1.3", 5432),
        tracked("10.7.2.2", "10.7.1.3", 9),  # admitted
        tracked("172.30.0.1", "10.7.1.3", 5433),  # its own node
        tracked("10.7.1.3", "203.0.113.7", 443),  # nobody restricts its egress
        tracked("172.30.0.1", "203.0.113.7", 443),  # no pod
        tracked("10.7.1.2", "10.7.1.3", 0, socket.IPPROTO_ICMP),
    ]
    state = gathering.state(cast.objects(cast.ADMIT_WEB))
    assert [found[1], found[2], found[7]] == connections.refused(state, "node-a", found)
    assert [found[2]] == connections.refused(state, "node-b", found)
