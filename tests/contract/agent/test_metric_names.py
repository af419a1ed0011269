"""The metrics as Prometheus reads them: promtool's opinion, and the page against the table.

Left out: what is counted (tests/unit/agent/test_metrics.py).
"""

import pathlib
import re
import shutil
import subprocess

from agent import catalogue, exposition, health, metrics
from tests.fakes import flows

PAGE = (
    (pathlib.Path(__file__).resolve().parents[3] / "docs/metrics.md").read_text().partition("## The control plane")[0]
)
"""The agent's part of it; tests/repo has the rest."""


def scrape() -> bytes:
    held = metrics.FlowMetrics(max_series=2, grace_s=60, pod_labels=True, bounds_us=flows.BOUNDS_US)
    for flow in (flows.edge(), flows.mirrored(), flows.edge(port=9), flows.edge(remote=flows.OUTSIDE)):
        held.add(flow, 1)
    state = health.Health(
        version="0.1.0",
        kernel="6.1.0",
        drops={"ring": 3},
        watch_staleness_s={"pods": -1.0},
        map_entries={"edges": 7},
        map_capacity={"edges": 65536},
        programs_attached={"tcp_ops": True},
    )
    return b"".join(exposition.pieces(held, health.families(state, held), openmetrics=False))


def test_promtool_has_nothing_to_say() -> None:
    """Names, units, help and text are as Prometheus wants them."""
    promtool = shutil.which("promtool")
    assert promtool, "promtool is not installed: deploy/debian/ensure check"
    done = subprocess.run([promtool, "check", "metrics"], input=scrape(), capture_output=True, check=False)
    assert (0, b"", b"") == (done.returncode, done.stdout, done.stderr)


def test_every_row_is_on_the_page_as_it_is() -> None:
    """Name, kind, labels and help, in the order of the table."""
    rows = re.findall(r"^\| `(ipseity_\w+)` \| (\w+) \| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)
    expected = [
        (metric.exposed, metric.kind.value, ", ".join(f"`{label}`" for label in metric.labels) or "-", metric.help)
        for metric in catalogue.TABLE
    ]
    assert expected == rows


def test_every_label_is_on_the_page() -> None:
    """The labels that all flow metrics have."""
    held = metrics.FlowMetrics(max_series=1, grace_s=0, pod_labels=True, bounds_us=flows.BOUNDS_US)
    assert [] == [label for label in held.labels if f"`{label}`" not in PAGE]


def test_names_keep_to_the_rules() -> None:
    """One prefix, base units at the end, one name each, a help that is a sentence."""
    names = [metric.name for metric in catalogue.TABLE]
    assert len(set(names)) == len(names)
    for metric in catalogue.TABLE:
        assert metric.name.startswith("ipseity_")
        assert metric.name.endswith(metric.unit)
        assert metric.help.endswith(".")
        assert not metric.name.endswith("_total")
