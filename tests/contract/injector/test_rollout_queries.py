"""The queries of rollouts, answered by Prometheus' own engine over series as Envoy writes them.

Leaves out what is made of an answer: ``tests/unit/injector/rollout/test_judge.py``.
"""

import json
import pathlib
import subprocess
from typing import Any

import pytest

from injector.rollout import place, prometheus
from tests.scene import clone

WHERE = place.Place(namespace="shop", service="web-v2")
CANARY = 'envoy_cluster_name="outbound|8080|shop/web-v2"'
OTHERS = ('envoy_cluster_name="outbound|8080|shop/web-v1"', 'envoy_cluster_name="outbound|8080|shop/web-v22"')
WINDOW_S = 60.0


def series(name: str, values: str, *labels: str) -> dict[str, str]:
    return {"series": f"{name}{{{', '.join(labels)}}}", "values": values}


def good(pod: str, labels: str) -> list[dict[str, str]]:
    """Write a caller's sidecar: 10 requests in each 10 s, all well, nine of ten within 50 ms."""
    of = (labels, f'pod="{pod}"')
    return [
        series(prometheus.COMPLETED, "0+10x18", *of),
        series(prometheus.BY_CLASS, "0+10x18", 'envoy_response_code_class="2"', *of),
        series(prometheus.BUCKET, "0+9x18", 'le="50"', *of),
        series(prometheus.BUCKET, "0+10x18", 'le="100"', *of),
        series(prometheus.BUCKET, "0+10x18", 'le="+Inf"', *of),
    ]


def failing(labels: str) -> list[dict[str, str]]:
    """Write one of which every tenth request begins to fail half-way: that series was not there before."""
    of = (labels, 'pod="b"')
    return [
        series(prometheus.COMPLETED, "0+10x18", *of),
        series(prometheus.BY_CLASS, "0+10x9 99+9x8", 'envoy_response_code_class="2"', *of),
        series(prometheus.BY_CLASS, "_x9 1+1x8", 'envoy_response_code_class="5"', *of),
    ]


def gone(labels: str) -> list[dict[str, str]]:
    """Write one that is scraped no more."""
    return [series(prometheus.COMPLETED, "0+10x6 stale", labels, 'pod="c"')]


@pytest.mark.parametrize(
    ("given", "query", "expected"),
    [
        (good("a", CANARY) + good("b", CANARY), prometheus.requests, 120.0),
        (good("a", CANARY) + good("b", CANARY), prometheus.success, 100.0),
        (good("a", CANARY) + good("b", CANARY), prometheus.p99, 95.0),
        (good("a", CANARY) + failing(CANARY), prometheus.success, 95.0),
        (failing(CANARY), prometheus.success, 90.0),
        (good("a", OTHERS[0]) + failing(OTHERS[1]), prometheus.requests, None),
        (good("a", OTHERS[0]) + failing(OTHERS[1]), prometheus.success, None),
        (gone(CANARY), prometheus.requests, None),
        ([], prometheus.p99, None),
    ],
)
def test_a_query_says_what_is_so(
    given: list[dict[str, str]], query: Any, expected: float | None, tmp_path: pathlib.Path
) -> None:
    """At 3 minutes, of the last one; None: nothing, which is no measurement."""
    samples = [] if expected is None else [{"labels": "{}", "value": expected}]
    asked = {"expr": query(WHERE, WINDOW_S), "eval_time": "3m", "exp_samples": samples}
    case = {"interval": "10s", "input_series": given, "promql_expr_test": [asked]}
    file = tmp_path / "queries.yaml"
    file.write_text(json.dumps({"rule_files": [], "evaluation_interval": "10s", "tests": [case]}))
    done = subprocess.run(
        [clone.ROOT / ".venv/bin/promtool", "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
