"""What goes where, and what nobody pays for. Left out: what the outlets do (test_flowlog.py, test_otlp.py)."""

import pathlib
import subprocess
import sys

from agent import clock, config, health, metrics, outlets
from tests.fakes import collector, flows


def totals() -> metrics.FlowMetrics:
    return metrics.FlowMetrics(max_series=9, grace_s=60, pod_labels=False, bounds_us=flows.BOUNDS_US)


def test_an_agent_that_exports_nothing_loads_nothing_for_it() -> None:
    """OpenTelemetry's messages and protobuf are some 7 MB."""
    look = "import agent.app, sys; print([name for name in sys.modules if name.split('.')[0] in ('opentelemetry',) "
    look += "or name.startswith('google.protobuf')])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_flow_log_has_records_only_if_it_is_to(tmp_path: pathlib.Path) -> None:
    """Also where the export has made the kernel tell of connections."""
    for records, lines in ((True, 2), (False, 1)):
        path = tmp_path / f"flows-{records}"
        held = outlets.Outlets(config.Config(flow_log=str(path), records=records))
        held.take([flows.edge()], [flows.connection()])
        held.close()
        assert lines == len(path.read_bytes().splitlines())
    assert ({}, {}) == (held.drops(), held.health())


async def test_totals_go_out_when_they_are_due_and_at_the_end() -> None:
    """And flows beside them; what became of both is in the agent's own metrics."""
    async with collector.running() as gathered:
        held = outlets.Outlets(config.Config(otlp_endpoint=gathered.url + "/", otlp_metrics_interval_s=10))
        seconds = [clock.Now(at * 10**9, at * 10**9) for at in (100, 101, 109, 110, 111)]
        for now in seconds:
            held.measure(now, totals(), lambda: health.Health(version="1", kernel="6"))
            await collector.until(lambda: held._otlp is not None and held._otlp._snapshot is None)
        held.measure(seconds[-1], totals(), lambda: health.Health(version="1", kernel="6"), last=True)
        held.take([flows.edge()], [flows.connection()])
        await collector.aside(held.close)
    times = [each.gauge.data_points[0].time_unix_nano for each in gathered.families() if each.name == "ipseity.edges"]
    assert [100, 110, 111] == [each // 10**9 for each in times]
    assert 1 == len(gathered.records()) == held.health()["otlp_sent"]["logs"]
    assert {} == held.drops()
