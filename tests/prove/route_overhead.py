"""Routes cost next to nothing: 50 rules at 1,000 requests/s, new weights at 500 proxies, a thousand changes a minute.

Limits, and how each figure is measured, are in ``tests.bench.route_latency`` and ``tests.bench.route_control``.
"""

import os

from tests.bench import figure, routes
from tests.prove import verdict


def prove() -> verdict.Verdict:
    """Measure every figure."""
    if os.geteuid() != 0:
        raise verdict.CannotMeasure("pods cannot be run without root", hint="run it with sudo")
    tally = figure.printed(routes.all_figures(), indent="  ")
    return verdict.Verdict(holds=tally.holds, figure=tally.said, lines=(f"the machine: {figure.machine()}",))
