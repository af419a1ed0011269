"""``ipseity top``: requests that are being sent, by Service, rule and backend, the busiest first.

Here because an outage is looked at from who calls whom by which rule, and now. As callers' proxies counted, so what
was waited for on the way is in it. Leaves out reading (``scrape``) and drawing (``watching``).
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from injector.seeing import routed, stat
from ipseity import table


class Row(NamedTuple):
    """One way that requests took in one window."""

    way: routed.Way
    sent: routed.Sent
    rps: float
    """Requests a second."""

    def quantile_ms(self, q: float) -> float | None:
        """Estimate the time within which this share was answered; None: nobody knows."""
        return stat.quantile(self.sent.within, q)


def rows(grown: Iterable[routed.Reading], window_s: float, *, namespace: str) -> list[Row]:
    """Add up what proxies counted in a window; of Services of ``namespace`` only, unless it is empty."""
    found = routed.added(grown)
    wanted = [
        Row(way, sent, sent.requests / window_s)
        for way, sent in found.items()
        if sent.requests and (not namespace or (way.service or way.backend).startswith(f"{namespace}/"))
    ]
    return sorted(wanted, key=lambda row: (-row.rps, row.way))


def lines(found: Sequence[Row], *, width: int | None, colour: bool) -> list[str]:
    """Lay out the table."""
    right = {"right": True}
    columns = [
        table.Column(title="SERVICE", shrinks=True),
        table.Column(title="ROUTE", shrinks=True),
        table.Column(title="BACKEND", shrinks=True),
        *(table.Column(title=title, **right) for title in ("RPS", "SUCCESS", "P50", "P99")),
    ]
    return table.lines(columns, [_cells(row) for row in found], width=width, colour=colour)


def _cells(row: Row) -> list[table.Cell]:
    way = row.way
    return [
        table.Cell(f"{way.service}:{way.port}" if way.service else "(pods)"),
        table.Cell(f"{way.route.partition(' ')[2]} #{way.rule}") if way.route else stat.NOTHING,
        table.Cell(way.backend) if way.backend else stat.NOTHING,
        table.Cell(f"{row.rps:.1f}"),
        stat.success(row.sent.success),
        *(stat.latency(row.quantile_ms(q)) for q in (0.50, 0.99)),
    ]


def document(found: Iterable[Row], window_s: float) -> dict[str, Any]:
    """Give everything for programs."""
    return {
        "windowSeconds": window_s,
        "ways": [
            {
                "service": row.way.service or None,
                "port": row.way.port or None,
                "route": row.way.route or None,
                "rule": int(row.way.rule) if row.way.rule else None,
                "backend": row.way.backend or None,
                "requests": row.sent.requests,
                "failed": row.sent.failed,
                "requestsPerSecond": row.rps,
                "successRate": row.sent.success,
                "latencyMs": {"p50": row.quantile_ms(0.50), "p99": row.quantile_ms(0.99)},
            }
            for row in found
        ],
    }
