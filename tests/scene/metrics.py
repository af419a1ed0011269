"""Read an agent's metrics as a monitoring system does."""

from prometheus_client import parser

from tests.scene import agent

Sums = dict[tuple[str, ...], float]


def sums(watched: agent.Agent, *labels: str) -> dict[str, Sums]:
    """Add up every metric over all series that agree in ``labels``: {"name": {(label values): sum}}."""
    found: dict[str, Sums] = {}
    text = watched.get("/metrics")[1].decode()
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            key = tuple(sample.labels.get(label, "") for label in labels)
            row = found.setdefault(sample.name, {})
            row[key] = row.get(key, 0.0) + sample.value
    return found
