"""The figures that routes must meet, each measured and put beside its limit; cheapest first."""

from collections.abc import Iterator

from tests.bench import figure, route_control, route_latency


def all_figures() -> Iterator[figure.Figure]:
    """Measure everything."""
    yield from route_control.figures()
    yield from route_latency.figures()
