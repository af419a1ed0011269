"""The figures that the mesh must meet, each measured and put beside its limit; cheapest first."""

from collections.abc import Iterator

from tests.bench import figure, mesh_control, mesh_latency


def all_figures() -> Iterator[figure.Figure]:
    """Measure everything."""
    yield from mesh_control.figures()
    yield from mesh_latency.figures()
