"""Whether the numbers can be believed: how full, how late and how stale each agent is, and what it let go."""

from typing import Final

from deploy.dashboards import board
from deploy.dashboards.board import RATE, Panel, ask

_NODE: Final = 'node=~"$node"'

_STATE: Final = (
    Panel(
        title="Agents",
        doc="That answer.",
        kind="number",
        unit="short",
        width=6,
        height=5,
        queries=(ask(f'sum(up{{job="ipseity-agent", {_NODE}}})'),),
    ),
    Panel(
        title="Programs missing",
        doc="Of the kernel's programs, on all nodes. Without tcp_ops or a packet program nothing is counted there.",
        kind="number",
        unit="short",
        width=6,
        height=5,
        levels=(("red", 0.5),),
        queries=(ask(f"sum(1 - ipseity_programs_attached{{{_NODE}}})"),),
    ),
    Panel(
        title="Dropped",
        doc="Everything that some stage could not take, in the time that is shown.",
        kind="number",
        unit="short",
        width=6,
        height=5,
        levels=(("orange", 0.5),),
        queries=(ask(f"sum(increase(ipseity_agent_drops_total{{{_NODE}}}[$__range]))"),),
    ),
    Panel(
        title="Versions",
        kind="table",
        unit="short",
        width=6,
        height=5,
        queries=(ask(f"count by (version, kernel) (ipseity_build_info{{{_NODE}}})"),),
    ),
)
_LOSSES: Final = (
    Panel(
        title="Dropped, by stage",
        doc="What is lost at each, and what to do: docs/metrics.md.",
        unit="cps",
        none="nothing",
        queries=(ask(f"topk(10, sum by (stage) (rate(ipseity_agent_drops_total{{{_NODE}}}{RATE}))) > 0", "{{stage}}"),),
    ),
    Panel(
        title="Not heard from the API server",
        doc="Time since it last told anything; it does about once a minute also where nothing changes.",
        unit="s",
        low=None,
        queries=(
            ask(
                f"max by (node, resource) (ipseity_kubernetes_watch_staleness_seconds{{{_NODE}}})",
                "{{node}} {{resource}}",
            ),
        ),
    ),
    Panel(
        title="Ends without a name",
        doc="Each second, by why.",
        kind="stack",
        unit="cps",
        none="none",
        queries=(
            ask(
                f"""sum by (reason) (rate(ipseity_attributed_ends_total{{{_NODE}, evidence="none"}}{RATE})) > 0""",
                "{{reason}}",
            ),
        ),
    ),
    Panel(
        title="Time of a drain",
        doc="Of a processor, to read the kernel's tables and name what changed.",
        unit="s",
        queries=tuple(
            ask(
                f"histogram_quantile({share}, sum by (le) (rate(ipseity_drain_seconds_bucket{{{_NODE}}}{RATE})))",
                name,
            )
            for share, name in ((0.5, "p50"), (0.99, "p99"))
        ),
    ),
)
_ROOM: Final = (
    Panel(
        title="Table of edges",
        doc="How full.",
        unit="percentunit",
        width=8,
        levels=(("orange", 0.8), ("red", 0.95)),
        queries=(ask(f"max by (node) (ipseity_edges{{{_NODE}}} / ipseity_edges_max{{{_NODE}}})", "{{node}}"),),
    ),
    Panel(
        title="Label sets",
        doc="Of flow metrics; over the cap they are counted as other.",
        unit="short",
        width=8,
        queries=(
            ask(f"max by (node) (ipseity_flow_label_sets{{{_NODE}}})", "{{node}}"),
            ask(f"sum(increase(ipseity_flow_label_sets_overflowed_total{{{_NODE}}}[$__range]))", "counted as other"),
        ),
    ),
    Panel(
        title="Crowding owners",
        doc="Cgroups that fill the table: what they reach anew is counted together.",
        unit="short",
        width=8,
        queries=(ask(f"max by (node) (ipseity_crowded_owners{{{_NODE}}})", "{{node}}"),),
    ),
)
_OTLP: Final = (
    Panel(
        title="Exported",
        doc="Log records and data points that the OTLP endpoint has taken.",
        unit="cps",
        width=8,
        none="no export",
        queries=(ask(f"sum by (signal) (rate(ipseity_otlp_sent_total{{{_NODE}}}{RATE}))", "{{signal}}"),),
    ),
    Panel(
        title="Requests not taken",
        doc="Most are tried again; what was lost is among the drops.",
        unit="cps",
        width=8,
        none="none",
        queries=(
            ask(
                f"sum by (signal, reason) (rate(ipseity_otlp_requests_failed_total{{{_NODE}}}{RATE}))",
                "{{signal}} {{reason}}",
            ),
        ),
    ),
    Panel(
        title="Flows that wait",
        unit="short",
        width=8,
        none="no export",
        queries=(ask(f"max by (node) (ipseity_otlp_flows_waiting{{{_NODE}}})", "{{node}}"),),
    ),
)

BOARD: Final = board.Board(
    uid="ipseity-agent",
    title="agents",
    doc="How full, how late, how stale, and what was dropped where. Metrics: docs/metrics.md.",
    variables=(board.Variable(name="node", label="Node", metric="ipseity_build_info", of="node"),),
    rows=(("", _STATE), ("Losses", _LOSSES), ("Room", _ROOM), ("Export", _OTLP)),
)
