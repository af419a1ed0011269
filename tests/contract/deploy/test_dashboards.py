"""Dashboards are what Grafana imports: whole panels, queries that Prometheus takes, of metrics that we serve.

Leaves out how they look.
"""

import functools
import itertools
import json
import pathlib
import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.scene import clone

FILES = sorted((clone.ROOT / "deploy/grafana").glob("*.json"))
PAGE = (clone.ROOT / "docs/metrics.md").read_text()
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$node": ".*"}


def panels(path: pathlib.Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["panels"]
    return found


def queries(path: pathlib.Path) -> list[str]:
    return [target["expr"] for panel in panels(path) for target in panel["targets"]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_prometheus_takes_every_query(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """With Grafana's variables put in."""
    rules = []
    for number, query in enumerate(queries(path)):
        filled = functools.reduce(lambda text, variable: text.replace(*variable), VARIABLES.items(), query)
        rules.append({"record": f"query:number:{number}", "expr": filled})
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    words = [str(clone.ROOT / ".venv/bin/promtool"), "check", "rules", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_metric_is_one_of_ours(path: pathlib.Path) -> None:
    """As docs/metrics.md has it."""
    read = {name for query in queries(path) for name in re.findall(r"\bipseity_[a-z0-9_]+", query)}
    assert read
    assert [] == sorted(name for name in read if f"`{name}`" not in PAGE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_panels_are_whole_and_beside_each_other(path: pathlib.Path) -> None:
    """Each has a title, a query, a unit and a place of its own on Grafana's 24 columns."""
    found = panels(path)
    assert len({panel["id"] for panel in found}) == len(found) > 0
    taken: set[tuple[int, int]] = set()
    for panel in found:
        assert panel["title"]
        assert panel["targets"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        at = panel["gridPos"]
        cells = set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
        assert at["x"] + at["w"] <= 24
        assert not taken & cells
        taken |= cells


def test_there_is_one_on_attribution() -> None:
    """The product's headline."""
    assert "attribution.json" in {path.name for path in FILES}
