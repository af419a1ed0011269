"""What the chart renders for values that together say everything that can be said, and what is made from it.

Leaves out whether Kubernetes would take it: ``tests/contract/deploy``.
"""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.golden import golden
from tests.scene import chart, clone

HERE = pathlib.Path(__file__).parent
CASES = sorted(path.name.removesuffix(".values.yaml") for path in HERE.glob("*.values.yaml"))
PLAIN = clone.ROOT / "ipseity/manifests"
PLAINLY: chart.Json = {"namespace": {"create": True}, "managedBy": "ipseity"}
HEAD = "# Made from deploy/chart: tests/golden/deploy/test_manifests.py --update\n"


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """Give the paths of what can be said; a list, and a map that is empty, is one thing."""
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from leaves(below, f"{path}.{key}")
    else:
        yield path


def said(case: str) -> chart.Json:
    return chart.values_of(HERE / f"{case}.values.yaml")


@pytest.mark.parametrize("case", CASES)
def test_what_is_rendered(case: str, request: pytest.FixtureRequest) -> None:
    found = chart.rendered(said(case))
    for each in found:
        if each["kind"] == "PrometheusRule":  # compared with deploy/prometheus in tests/contract/deploy/test_rules.py
            each["spec"]["groups"] = []
        if each["metadata"]["name"] == "ipseity-dashboards":
            each["data"] = dict.fromkeys(each["data"], "as in deploy/grafana")
    golden.check(request, HERE / f"{case}.golden.yaml", chart.written(found))


def test_the_cases_say_every_value() -> None:
    """A value that no case sets is one that nobody has seen rendered."""
    every = set(leaves(chart.values_of(chart.CHART / "values.yaml")))
    covered = {path for case in CASES for path in leaves(said(case))}
    assert set() == {path for path in every if not any(each.startswith(path) for each in covered)}


@pytest.mark.parametrize("part", ["namespace", "agent", "mesh", "crds"])
def test_plain_manifests_are_the_chart_with_its_defaults(part: str, request: pytest.FixtureRequest) -> None:
    """``kubectl apply -k deploy/kustomize`` and ``ipseity install`` apply these."""
    golden.check(request, PLAIN / f"{part}.yaml", HEAD + chart.written(plain()[part]))


def plain() -> dict[str, list[chart.Json]]:
    """Sort the objects by what they belong to."""
    found = chart.rendered(PLAINLY)
    component = {"agent": "agent", "control-plane": "mesh", "system": "namespace"}
    parts: dict[str, list[chart.Json]] = {"namespace": [], "agent": [], "mesh": [], "crds": chart.definitions()}
    for each in found:
        parts[component[each["metadata"]["labels"]["app.kubernetes.io/component"]]].append(each)
    return parts
