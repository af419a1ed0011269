"""The dashboards as files: what they ask, with Grafana's variables put in. Leaves out who answers."""

import dataclasses
import functools
import json
import pathlib
import re

from tests.scene import clone

FOLDER = clone.ROOT / "deploy/grafana"
_CHOICE = re.compile(r"label_values\((\w+), (\w+)\)")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query of one panel."""

    board: str
    panel: str
    ref: str
    expr: str
    legend: str

    def filled(self, window: str) -> str:
        """Put in what Grafana does, with everything chosen; ``window`` is a range as PromQL writes it."""
        text = self.expr.replace("$__rate_interval", window).replace("$__range", window)
        return re.sub(r'=~"\$\w+"', '=~".*"', text)


@functools.cache
def queries() -> tuple[Query, ...]:
    """Give every query of every dashboard."""
    return tuple(
        Query(board=path.stem, panel=panel["title"], ref=target["refId"], expr=target["expr"],
              legend=target.get("legendFormat", ""))
        for path in sorted(FOLDER.glob("*.json"))
        for panel in json.loads(path.read_text())["panels"]
        for target in panel.get("targets", ())
    )  # fmt: skip


def variables(path: pathlib.Path) -> list[tuple[str, str]]:
    """Give the choices at the top of a dashboard: a metric, and whose values of which label."""
    listed = json.loads(path.read_text())["templating"]["list"]
    return [found for each in listed if each["type"] == "query" for found in _CHOICE.findall(each["query"]["query"])]
