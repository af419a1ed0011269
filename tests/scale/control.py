"""The control plane with 1,000 Services, 10,000 endpoints and 2,000 proxies."""

from collections.abc import Iterator

from tests.bench import figure


def figures() -> Iterator[figure.Figure]:
    """Measure: nothing yet."""
    yield from ()
