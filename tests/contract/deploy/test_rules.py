"""Prometheus takes the rules, each alert fires when it should and only then, and what they read is what we serve.

Leaves out whether a real server finds series for them.
"""

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.scene import chart, clone

FOLDER = clone.ROOT / "deploy/prometheus"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if not path.name.endswith(".test.yaml"))
TESTS = sorted(FOLDER.glob("*.test.yaml"))
OURS = re.compile(r"(?<![\w:])(?:ipseity|envoy)_[a-z0-9_]+")
LABELS = {"envoy_http_conn_manager_prefix", "envoy_response_code_class"}


def promtool(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [clone.ROOT / ".venv/bin/promtool", *map(str, words)], capture_output=True, text=True, check=False
    )


def rules() -> list[dict[str, Any]]:
    """Give every rule there is."""
    groups = [group for path in FILES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_prometheus_takes_them(path: object) -> None:
    done = promtool("check", "rules", path)
    assert (0, "SUCCESS" in done.stdout) == (done.returncode, True), done.stdout + done.stderr


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_they_say_what_they_should(path: object) -> None:
    """Fed with series of a cluster that is well, and of one that is not."""
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_is_tested() -> None:
    """An alert by a case in which it fires, a record by its value."""
    cases = [case for path in TESTS for case in yaml.safe_load(path.read_text())["tests"]]
    expected = [
        sample["labels"]
        for case in cases
        for test in case.get("promql_expr_test", ())
        for sample in test["exp_samples"]
    ]
    fired = {name for labels in expected for name in re.findall(r'alertname="(\w+)"', labels)}
    fired |= {test["alertname"] for case in cases for test in case.get("alert_rule_test", ()) if test.get("exp_alerts")}
    recorded = {labels.partition("{")[0] for labels in expected}
    assert [] == [rule["alert"] for rule in rules() if "alert" in rule and rule["alert"] not in fired]
    assert [] == [rule["record"] for rule in rules() if "record" in rule and rule["record"] not in recorded]


def test_they_read_what_is_served() -> None:
    """Every metric of ours in an expression is one that docs/metrics.md has."""
    page = (clone.ROOT / "docs/metrics.md").read_text()
    read = {name for rule in rules() for name in OURS.findall(rule["expr"])} - LABELS
    known = {re.sub(r"_(bucket|sum|count)$", "", name) for name in read}
    assert len(read) > 15
    assert [] == sorted(name for name in known if f"`{name}`" not in page and f"`{name}_bucket`" not in page)


def test_every_alert_says_what_to_do() -> None:
    """A severity, one sentence on what is so, one on what follows."""
    alerts = [rule for rule in rules() if "alert" in rule]
    assert {"info", "warning", "critical"} >= {rule["labels"]["severity"] for rule in alerts}
    assert [] == [rule["alert"] for rule in alerts if {"summary", "description"} - rule["annotations"].keys()]


def test_the_chart_carries_them_as_they_are() -> None:
    """Helm's templates and Prometheus' are written alike: nothing of the one is taken for the other."""
    objects = chart.rendered({"monitoring": {"rules": True}})
    groups = chart.find(objects, "PrometheusRule", "ipseity")["spec"]["groups"]
    assert [group for path in FILES for group in yaml.safe_load(path.read_text())["groups"]] == groups


def test_the_chart_carries_the_dashboards_as_they_are() -> None:
    """Grafana's braces and Helm's are not taken for each other either."""
    objects = chart.rendered({"monitoring": {"dashboards": True}})
    folder = clone.ROOT / "deploy/grafana"
    assert {path.name: path.read_text() for path in folder.glob("*.json")} == chart.find(
        objects, "ConfigMap", "ipseity-dashboards"
    )["data"]
