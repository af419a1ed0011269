"""How often an address would have named somebody else, and why: the product's headline. Reasons: docs/mismatches.md."""

from typing import Final

from deploy.dashboards import board
from deploy.dashboards.board import RATE, Panel, ask


def _share(by: str, *more: str) -> str:
    """Give misnamed of checked; 0 where nothing was wrong, nothing where nothing was checked."""
    which = ", ".join(('node=~"$node"', *more))
    wrong = f"sum by ({by}) (rate(ipseity_attribution_mismatch_total{{{which}}}{RATE}))"
    checked = f"sum by ({by}) (rate(ipseity_attribution_checked_total{{{which}}}{RATE}))"
    return f"({wrong} or 0 * {checked}) / ({checked} > 0)"


BOARD: Final = board.Board(
    uid="ipseity-attribution",
    title="how often addresses mislead",
    doc="Who an IP address names, held against whose socket it was. Reasons: docs/mismatches.md.",
    variables=(board.Variable(name="node", label="Node", metric="ipseity_attribution_checked_total", of="node"),),
    rows=(
        (
            "",
            (
                Panel(
                    title="Addresses that name somebody else",
                    doc="Of all ends that could be checked: by a look-up at the time, and when the flow was read.",
                    kind="number",
                    unit="percentunit",
                    width=12,
                    height=6,
                    decimals=2,
                    levels=(("orange", 0.001), ("red", 0.01)),
                    queries=(ask(_share("method", 'method=~"ip|ip_read"'), "{{method}}"),),
                ),
                Panel(
                    title="Handshakes that the kernel contradicts",
                    doc="Always 0: anything else is a forged or broken identity.",
                    kind="number",
                    unit="short",
                    width=12,
                    height=6,
                    none="0",
                    levels=(("red", 0.5),),
                    queries=(
                        ask(
                            """sum(increase(ipseity_attribution_mismatch_total{
                            node=~"$node", method="handshake"}[$__range]))""",
                            "contradicted",
                        ),
                    ),
                ),
                Panel(
                    title="Error rate",
                    unit="percentunit",
                    width=24,
                    height=9,
                    queries=(ask(_share("method"), "{{method}}"),),
                ),
                Panel(
                    title="Why",
                    doc="Misnamed ends per second, by reason.",
                    kind="stack",
                    unit="cps",
                    height=10,
                    none="nobody",
                    queries=(
                        ask(
                            f"""sum by (reason) (rate(ipseity_attribution_mismatch_total{{
                            node=~"$node", method="ip"}}{RATE})) > 0""",
                            "{{reason}}",
                        ),
                    ),
                ),
                Panel(
                    title="Where",
                    doc="Error rate by node, of look-ups at the time.",
                    unit="percentunit",
                    height=10,
                    queries=(ask(_share("node", 'method="ip"'), "{{node}}"),),
                ),
            ),
        ),
    ),
)
