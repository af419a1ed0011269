"""What agents counted, in the form in which the programs tell what they did."""

from collections.abc import Iterable

from agent import flowjson
from tests.traffic import tally


def local(flow: flowjson.Flow) -> flowjson.Endpoint:
    """Take the end that is on the agent's node."""
    return flow.source if flow.traffic_direction == "EGRESS" else flow.destination


def remote(flow: flowjson.Flow) -> flowjson.Endpoint:
    """Take the other end."""
    return flow.destination if flow.traffic_direction == "EGRESS" else flow.source


def tallies(flows: Iterable[flowjson.Flow]) -> tally.Tallies:
    """Add up edges; records of single connections would count everything twice."""
    counted: tally.Tallies = {}
    for flow in flows:
        if flow.type == "edge":
            edge = edge_of(flow)
            counted[edge] = counted.get(edge, tally.Tally()) + count_of(flow)
    return counted


def edge_of(flow: flowjson.Flow) -> tally.Edge:
    """Name the edge as the program at the local end would."""
    ports = flow.l4.udp or flow.l4.tcp or flowjson.Ports()
    return tally.Edge(
        protocol="udp" if flow.l4.udp is not None else "tcp",
        direction=flow.traffic_direction.lower(),
        remote=flow.ip.destination if flow.traffic_direction == "EGRESS" else flow.ip.source,
        port=ports.destination_port,
    )


def count_of(flow: flowjson.Flow) -> tally.Tally:
    """Read the counters as the program at the local end would tell them."""
    counters, udp = flow.counters, flow.l4.udp is not None
    there = (counters.sent_bytes, counters.sent_segments)
    back = (counters.received_bytes, counters.received_segments)
    (sent_bytes, sent), (received_bytes, received) = (
        (there, back) if flow.traffic_direction == "EGRESS" else (back, there)
    )
    return tally.Tally(
        opened=counters.opened,
        closed=counters.closed,
        sent_bytes=sent_bytes,
        received_bytes=received_bytes,
        sent_datagrams=sent if udp else 0,
        received_datagrams=received if udp else 0,
        **counters.failed,
    )
