"""Flows and objects in, results, page and policies out: addresses that changed hands, and everything that is refused.

Leaves out where flows and objects come from: ``tests/functional/comparisons/test_from_cluster.py``.
"""

import json
import pathlib

import jsonschema
import kubernetes_validate
import msgspec
import pytest
import yaml

from comparisons import report, results
from comparisons.ip_policy import gathering
from comparisons.observed import flows, run, told
from injector.policy import book
from ipseity import identity
from tests.golden import golden
from tests.scene import clone

HERE = pathlib.Path(__file__).parent
CASES = sorted(path.name for path in HERE.iterdir() if (path / "flows.jsonl").exists())
MADE_S = 1795219200.0


def observed(case: str) -> told.Observed:
    lines = (HERE / case / "flows.jsonl").read_bytes().splitlines(keepends=True)
    objects = gathering.from_files([str(HERE / case / "objects.yaml")])
    return run.observe(flows.read(lines), objects, made_s=MADE_S, command="ipseity compare --from-cluster")


@pytest.mark.parametrize("case", CASES)
def test_what_is_found(case: str, request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> None:
    """Through the file: the page knows nothing else."""
    results.write(tmp_path / report.RESULTS / report.OBSERVED / "results.json", observed(case))
    report.write(tmp_path)
    found = (tmp_path / report.RESULTS / report.OBSERVED / "results.json").read_text()
    golden.check(request, HERE / case / "results.golden.json", found)
    golden.check(request, HERE / case / "report.golden.md", (tmp_path / "report.md").read_text())
    for kind in ("identity", "network"):
        golden.check(
            request, HERE / case / f"{kind}.golden.yaml", (tmp_path / "suggested" / f"{kind}.yaml").read_text()
        )


@pytest.mark.parametrize("case", CASES)
def test_the_order_of_lines_does_not_matter(case: str) -> None:
    """Flow logs of several nodes come in any order."""
    lines = (HERE / case / "flows.jsonl").read_bytes().splitlines(keepends=True)
    objects = gathering.from_files([str(HERE / case / "objects.yaml")])
    backwards = run.observe(flows.read(reversed(lines)), objects[::-1], made_s=MADE_S, command="")
    forwards = run.observe(flows.read(lines), objects, made_s=MADE_S, command="")
    assert msgspec.structs.replace(forwards, unreadable_why="") == msgspec.structs.replace(backwards, unreadable_why="")


@pytest.mark.parametrize("case", CASES)
def test_what_is_suggested_would_be_taken(case: str) -> None:
    """By our definition's schema and our own reading of it, and by Kubernetes' schema, strictly."""
    definition = yaml.safe_load((clone.ROOT / "deploy/crds/authorizationpolicies.yaml").read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    suggestions = observed(case).suggestions
    assert suggestions
    for it in suggestions:
        if it.identity is not None:
            jsonschema.validate(it.identity, schema)
            entry = book.Book(identity.TrustDomain("cluster.local")).apply(it.identity)
            assert entry is not None
            assert "" == entry.error
            assert it.identity["spec"]["action"] == "AUDIT"
        if it.network is not None:
            kubernetes_validate.validate(it.network, "1.36", strict=True)


def test_no_rule_rests_on_an_address_that_changed_hands() -> None:
    """``batch`` was named by an address that was others' within the half hour: in no policy, and said so."""
    found = observed("reuse")
    written = json.dumps([it.identity for it in found.suggestions] + [it.network for it in found.suggestions])
    assert '"batch"' not in written
    assert '"late"' in written
    assert [("shop/batch", "shop/db")] == [
        (it.caller, it.target) for it in found.refused if it.reason == "address_reuse"
    ]
