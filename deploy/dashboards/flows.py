"""Who talks to whom: traffic, connections, failures and times of the whole cluster, by workload."""

from typing import Final

from deploy.dashboards import board
from deploy.dashboards.board import RATE, Panel, ask

_SIDE: Final = 'direction="egress", source_namespace=~"$source", destination_namespace=~"$destination"'
"""One direction, or everything is counted twice."""
_PAIR: Final = "source_namespace, source_workload, destination_namespace, destination_workload"
_ARROW: Final = "{{source_namespace}}/{{source_workload}} → {{destination_namespace}}/{{destination_workload}}"
_TARGET: Final = "{{destination_namespace}}/{{destination_workload}}"


def _rate(name: str, *more: str) -> str:
    return f"rate({name}{{{', '.join((_SIDE, *more))}}}{RATE})"


BOARD: Final = board.Board(
    uid="ipseity-flows",
    title="flows of the cluster",
    doc="Both ends of every flow by name, seen from the source. Metrics: docs/metrics.md.",
    hours=3,
    variables=(
        board.Variable(
            name="source", label="From", metric="ipseity_flow_connections_opened_total", of="source_namespace"
        ),
        board.Variable(
            name="destination",
            label="To",
            metric="ipseity_flow_connections_opened_total",
            of="destination_namespace",
        ),
    ),
    rows=(
        (
            "",
            (
                Panel(
                    title="Payload",
                    kind="number",
                    unit="Bps",
                    width=6,
                    height=4,
                    queries=(
                        ask(
                            f"""sum({_rate("ipseity_flow_sent_bytes_total")}
                            + {_rate("ipseity_flow_received_bytes_total")})"""
                        ),
                    ),
                ),
                Panel(
                    title="New connections",
                    kind="number",
                    unit="cps",
                    width=6,
                    height=4,
                    queries=(ask(f"sum({_rate('ipseity_flow_connections_opened_total')})"),),
                ),
                Panel(
                    title="Failed",
                    doc="Attempts that never established, and connections that broke.",
                    kind="number",
                    unit="cps",
                    width=6,
                    height=4,
                    none="0",
                    levels=(("orange", 0.1), ("red", 10)),
                    queries=(ask(f"sum({_rate('ipseity_flow_connections_failed_total')})"),),
                ),
                Panel(
                    title="Ends without a name",
                    doc="What the agents could not name, of all ends that they told of.",
                    kind="number",
                    unit="percentunit",
                    width=6,
                    height=4,
                    decimals=2,
                    levels=(("orange", 0.05), ("red", 0.2)),
                    queries=(
                        ask(
                            f'sum(rate(ipseity_attributed_ends_total{{evidence="none"}}{RATE}))'
                            f" / sum(rate(ipseity_attributed_ends_total{RATE}))"
                        ),
                    ),
                ),
            ),
        ),
        (
            "Traffic",
            (
                Panel(
                    title="Sent, by who to whom",
                    doc="The ten largest.",
                    kind="stack",
                    unit="Bps",
                    queries=(ask(f"topk(10, sum by ({_PAIR}) ({_rate('ipseity_flow_sent_bytes_total')}))", _ARROW),),
                ),
                Panel(
                    title="Received, by who from whom",
                    doc="The ten largest.",
                    kind="stack",
                    unit="Bps",
                    queries=(
                        ask(f"topk(10, sum by ({_PAIR}) ({_rate('ipseity_flow_received_bytes_total')}))", _ARROW),
                    ),
                ),
                Panel(
                    title="Leaving the cluster",
                    doc="To addresses outside, by configured prefix.",
                    unit="Bps",
                    queries=(
                        ask(
                            f"""topk(10, sum by (source_namespace, source_workload, destination_workload) (
                            {_rate("ipseity_flow_sent_bytes_total", 'destination_kind="external"')}))""",
                            "{{source_namespace}}/{{source_workload}} → {{destination_workload}}",
                        ),
                    ),
                ),
                Panel(
                    title="What names rest on",
                    doc="Ends each second. kernel: the socket itself; handshake: the peer's proof; ip: a look-up.",
                    kind="stack",
                    unit="cps",
                    queries=(ask(f"sum by (evidence) (rate(ipseity_attributed_ends_total{RATE}))", "{{evidence}}"),),
                ),
            ),
        ),
        (
            "Connections",
            (
                Panel(
                    title="New, by destination",
                    unit="cps",
                    queries=(
                        ask(
                            f"""topk(10, sum by (destination_namespace, destination_workload)
                            ({_rate("ipseity_flow_connections_opened_total")}))""",
                            _TARGET,
                        ),
                    ),
                ),
                Panel(
                    title="Failed, by destination and cause",
                    unit="cps",
                    none="none",
                    queries=(
                        ask(
                            f"""topk(10, sum by (destination_namespace, destination_workload, cause)
                            ({_rate("ipseity_flow_connections_failed_total")}))""",
                            _TARGET + " {{cause}}",
                        ),
                    ),
                ),
                Panel(
                    title="Open",
                    doc="Opened less closed, since the agents count.",
                    unit="short",
                    queries=(
                        ask(
                            f"""topk(10, sum by (destination_namespace, destination_workload) (
                            ipseity_flow_connections_opened_total{{{_SIDE}}}
                            - ipseity_flow_connections_closed_total{{{_SIDE}}}))""",
                            _TARGET,
                        ),
                    ),
                ),
                Panel(
                    title="Sent again",
                    doc="Share of segments that the source sent more than once.",
                    unit="percentunit",
                    queries=(
                        ask(
                            f"""topk(10, sum by ({_PAIR}) ({_rate("ipseity_flow_retransmits_total")})
                            / (sum by ({_PAIR}) ({_rate("ipseity_flow_sent_segments_total")}) > 0))""",
                            _ARROW,
                        ),
                    ),
                ),
            ),
        ),
        (
            "Times",
            (
                Panel(
                    title="Time to connect, 99th percentile",
                    doc="From SYN to established, as the source measured it.",
                    unit="s",
                    queries=(
                        ask(
                            f"""topk(10, histogram_quantile(0.99,
                            sum by (destination_namespace, destination_workload, le) (
                            {_rate("ipseity_flow_connect_seconds_bucket")})))""",
                            _TARGET,
                        ),
                    ),
                ),
                Panel(
                    title="Round trip, 99th percentile",
                    doc="Smoothed, at the end of each connection.",
                    unit="s",
                    queries=(
                        ask(
                            f"""topk(10, histogram_quantile(0.99,
                            sum by (destination_namespace, destination_workload, le) (
                            {_rate("ipseity_flow_rtt_seconds_bucket")})))""",
                            _TARGET,
                        ),
                    ),
                ),
            ),
        ),
    ),
)
