"""Every case beside this file, and every review that a real kube-apiserver sent, with its answer.

Leaves out whether the patched pods run: ``tests/functional``.
"""

import json
import pathlib

import pytest
import yaml

from tests.fakes import admission
from tests.golden import golden

HERE = pathlib.Path(__file__).parent
VECTORS = HERE.parents[2] / "vectors/kubernetes"
CASES = sorted(path.name.removesuffix(".pod.yaml") for path in HERE.glob("*.pod.yaml"))
RECORDED = sorted(path.stem for path in VECTORS.glob("admissionreview-*.json"))


@pytest.mark.parametrize("case", CASES)
def test_a_case_is_answered_as_in_its_file(case: str, request: pytest.FixtureRequest) -> None:
    """``<case>.pod.yaml`` goes in, ``<case>.answer.txt`` comes out."""
    given = yaml.safe_load((HERE / f"{case}.pod.yaml").read_text())
    raw = admission.body({"apiVersion": "v1", "kind": "Pod", **given["pod"]}, given["pod"]["metadata"]["namespace"])
    outcome = admission.ask(raw, given.get("namespace", {}).get("annotations"))
    golden.check(request, HERE / f"{case}.answer.txt", admission.shown(outcome))


@pytest.mark.parametrize("recorded", RECORDED)
def test_a_recorded_review_is_answered_as_in_its_file(recorded: str, request: pytest.FixtureRequest) -> None:
    """As if its namespace had opted in."""
    body = json.loads((VECTORS / f"{recorded}.json").read_text())["body"]
    outcome = admission.ask(json.dumps(body).encode(), {"ipseity.io/inject": "enabled"})
    golden.check(request, HERE / f"{recorded}.answer.txt", admission.shown(outcome))
