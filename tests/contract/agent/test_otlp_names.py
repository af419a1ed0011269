"""OpenTelemetry's names of what we export: against the page, and against what Prometheus makes of them.

Left out: the values (tests/unit/agent/test_otlplogs.py, test_otlpmetrics.py).
"""

import re

import pytest

from agent import catalogue, metrics, model, otlpwords
from tests.fakes import flows
from tests.scene import clone

PAGE = (clone.ROOT / "docs/otlp.md").read_text()
SUFFIXES = {"By": "_bytes", "s": "_seconds"}
"""Of the units that the compatibility specification spells out; one in braces is dropped."""


def translated(metric: catalogue.Metric) -> str:
    """Name a metric as "Prometheus and OpenMetrics Compatibility" says, and Prometheus and its collector do."""
    name = re.sub(r"[^a-zA-Z0-9:_]", "_", otlpwords.metric_name(metric))
    name += SUFFIXES.get(otlpwords.unit(metric), "")
    return name + ("_total" if metric.kind is catalogue.Kind.COUNTER else "")


@pytest.mark.parametrize("metric", catalogue.TABLE, ids=lambda metric: metric.name)
def test_prometheus_calls_it_what_a_scrape_does(metric: catalogue.Metric) -> None:
    """So dashboards and rules hold whichever way the numbers came."""
    assert metric.exposed == translated(metric)


def test_every_label_of_a_flow_has_its_attribute() -> None:
    """With and without pods."""
    held = metrics.FlowMetrics(max_series=1, grace_s=0, pod_labels=True, bounds_us=flows.BOUNDS_US)
    assert [] == [label for label in (*held.labels, *catalogue.FAILED.labels) if label not in otlpwords.OF_LABEL]


def test_every_attribute_is_on_the_page() -> None:
    """Those of ends stand there once for both."""
    end = flows.CLIENT
    names = {each.key.partition(".")[2] for each in otlpwords.end(end, "source")}
    names = {re.sub(r"^k8s\.pod\.label\..*", "k8s.pod.label.<key>", name) for name in names}
    names |= {
        name.removeprefix("source.") for name in otlpwords.OF_LABEL.values() if not name.startswith("destination.")
    }
    names |= {"ipseity.reason", "ipseity.attribution.match", "ipseity.attribution.mismatch_reason"}
    assert [] == sorted(name for name in names if f"`{name}`" not in PAGE and f"`source.{name}`" not in PAGE)
    assert all(f"`{cause.name.lower()}`" in PAGE for cause in model.FailCause)
