"""Metrics as text: Prometheus' format and OpenMetrics, in pieces.

Here because ``prometheus_client`` sorts and escapes every label of every line anew, 10 us a line: a scrape of 1,000
label sets would hold the agent for half a second and build one text of 15 MB. A series' labels are the same on each of
its lines, so they are spelled once, and the text leaves in pieces. A test holds the result against
``prometheus_client``'s.

Leaves out who asks for it and over what (``api``).
"""

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import exposition, metrics_core
from prometheus_client.openmetrics import exposition as openmetrics_exposition

from agent import catalogue, metrics, series

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_PIECE_LINES: Final = 512
"""Lines per piece: some 150 kB, well under a millisecond to make."""
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def wants_openmetrics(accept: str) -> bool:
    """Tell from an Accept header whether the reader takes OpenMetrics."""
    return "application/openmetrics-text" in accept


def pieces(flows: metrics.FlowMetrics, others: Iterable[metrics_core.Metric], *, openmetrics: bool) -> Iterator[bytes]:
    """Write the flow metrics, then the others (a few hundred lines, through ``prometheus_client``)."""
    held = [(each, _spell(flows.labels, each.labels)) for each in flows.held()]
    for metric in catalogue.FLOW_TABLE:
        lines = [_header(metric, openmetrics=openmetrics)]
        for each, labels in held:
            lines.extend(_lines(metric, each, labels, flows.bounds))
            if len(lines) >= _PIECE_LINES:
                yield "".join(lines).encode()
                lines.clear()
        yield "".join(lines).encode()
    generate = openmetrics_exposition.generate_latest if openmetrics else exposition.generate_latest
    yield generate(_Families(others))


class _Families:
    """What ``generate_latest`` takes for a registry."""

    def __init__(self, families: Iterable[metrics_core.Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[metrics_core.Metric]:
        return self._families


def _header(metric: catalogue.Metric, *, openmetrics: bool) -> str:
    name = metric.name if openmetrics else metric.exposed
    unit = f"# UNIT {name} {metric.unit}\n" if openmetrics and metric.unit else ""
    return f"# HELP {name} {metric.help}\n# TYPE {name} {metric.kind}\n{unit}"


def _lines(metric: catalogue.Metric, held: series.Series, labels: str, bounds: tuple[str, ...]) -> Iterator[str]:
    for suffix, extra, value in held.samples(metric, bounds):
        more = f',{extra[0]}="{extra[1]}"' if extra else ""
        yield f"{metric.name}{suffix}{{{labels}{more}}} {value}\n"


def _spell(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    return ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))


def _escape(value: str) -> str:
    """Spell a label's value; the name of a unit or a cgroup may hold bytes that are no UTF-8."""
    whole = value if value.isascii() else value.encode(errors="backslashreplace").decode()
    return whole.translate(_ESCAPES)
