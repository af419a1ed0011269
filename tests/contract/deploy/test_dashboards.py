"""Dashboards are what Grafana imports: by its own schema, with queries that Prometheus takes, of what is served.

Leaves out how they look, and whether a real server finds series for every query (tests/prove/rules.py).
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
from grafana_foundation_sdk.cog import encoder
from grafana_foundation_sdk.models import dashboard as models

from deploy.dashboards import __main__ as dashboards
from tests.golden import golden
from tests.scene import boards, clone

FILES = sorted(boards.FOLDER.glob("*.json"))
PAGE = (clone.ROOT / "docs/metrics.md").read_text()
OF_TARGETS = {"job", "namespace", "pod", "node"}
"""Labels that the chart's PodMonitors give to what is scraped."""
OF_PROXIES = {"envoy_http_conn_manager_prefix", "envoy_tcp_prefix", "envoy_cluster_name", "envoy_response_code_class"}
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
each_query = pytest.mark.parametrize(
    "query", boards.queries(), ids=lambda query: f"{query.board}: {query.panel} {query.ref}"
)


def panels(path: pathlib.Path) -> list[dict[str, Any]]:
    """Give panels that ask something."""
    return [panel for panel in json.loads(path.read_text())["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("name", dashboards.BOARDS)
def test_a_file_is_what_its_source_makes(name: str, request: pytest.FixtureRequest) -> None:
    """``make dashboards``, or --update."""
    golden.check(request, boards.FOLDER / f"{name}.json", dashboards.written(name))


def test_every_file_has_its_source() -> None:
    assert sorted(dashboards.BOARDS) == [path.stem for path in FILES]


@each_file
def test_grafanas_schema_knows_all_of_it(path: pathlib.Path) -> None:
    """Read into Grafana's own types and written again nothing is missing: a field that they do not have would be."""
    text = json.loads(path.read_text())
    read = models.Dashboard.from_json(text)
    assert text == json.loads(json.dumps(read, cls=encoder.JSONEncoder))


@each_file
def test_prometheus_takes_every_query(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """With Grafana's variables put in."""
    found = [query for query in boards.queries() if query.board == path.stem]
    rules = [{"record": f"query:number:{number}", "expr": query.filled("5m")} for number, query in enumerate(found)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    words = [str(clone.ROOT / ".venv/bin/promtool"), "check", "rules", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@functools.cache
def served() -> dict[str, set[str]]:
    """Give every series that docs/metrics.md has, with its labels; other tests hold that page against the code."""
    common = set(
        re.findall(r"`((?:source|destination)_\w+|port|protocol|direction)`", PAGE.partition("**The source")[0])
    )
    found: dict[str, set[str]] = {"up": set()}
    for name, kind, labels in re.findall(r"^\| `(ipseity_\w+)` \| (\w+) \| (.+?) \|", PAGE, re.MULTILINE):
        own = set(re.findall(r"`(\w+)`", labels)) | (common if name.startswith("ipseity_flow_") else set())
        found[name] = own
        if kind == "histogram":
            found |= {f"{name}_sum": own, f"{name}_count": own, f"{name}_bucket": own | {"le"}}
    page = PAGE.partition("### By route and backend")[2]
    linkerds = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.+?) \| .* \| .* \|$", page, re.MULTILINE))))
    found |= {
        name: linkerds | {"le"} for name in re.findall(r"^\| `(\w+)` \| (?:counter|histogram) ", page, re.MULTILINE)
    }
    for name in re.findall(r"`(envoy_\w+)`", PAGE.partition("## Sidecars")[2]):
        found[name] = OF_PROXIES | {"le"}
    return found


@each_query
def test_it_asks_for_what_is_served(query: boards.Query) -> None:
    """Every metric is one of docs/metrics.md, and every label is one that the query's metrics have."""
    expr = query.filled("5m")
    text = re.sub(r'"[^"]*"', '""', expr)
    names = set(re.findall(r"\b(?:ipseity|envoy)_\w+|\bup\b|\bre(?:sponse|quest)_\w+", text)) - OF_PROXIES
    assert names
    assert set() == names - served().keys()
    asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"\"", text))
    for listed in re.findall(r"\bby \(([^)]*)\)", text):
        asked |= {label.strip() for label in listed.split(",")}
    made = set(re.findall(r', "(\w+)", "\$1"', expr))
    known = set().union(*(served()[name] for name in names)) | OF_TARGETS | made
    assert set() == (asked | set(re.findall(r"{{(\w+)}}", query.legend))) - known


@each_file
def test_panels_are_whole_and_beside_each_other(path: pathlib.Path) -> None:
    """Each has a title, a query, a unit and a place of its own on Grafana's 24 columns."""
    found = panels(path)
    numbers = [panel["id"] for panel in json.loads(path.read_text())["panels"]]
    assert len(set(numbers)) == len(numbers) > 0
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


@each_file
def test_variables_are_labels_of_what_is_served(path: pathlib.Path) -> None:
    """A choice that is always empty hides everything."""
    for metric, label in boards.variables(path):
        assert label in served()[metric] | OF_TARGETS
