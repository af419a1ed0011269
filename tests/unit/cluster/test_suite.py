"""``make test-cluster`` without a cluster: its order, what it says, what it leaves out, that it always cleans up.

Leaves out the checks: ``tests/prove/cluster_suite.py`` runs them against a lab.
"""

import ast
import asyncio
import io
import json
import signal
from collections.abc import Iterator
from typing import Any, cast

import pytest

from ipseity import kube, screen
from tests.cluster import checks, ground, own, record, suite, workloads
from tests.repo import tree

PARAMETERS = ground.Parameters(mesh_image="example.com/mesh:1", pull_policy="Never", pull_secret="ops/pull")


@pytest.fixture
def page() -> screen.Page:
    return screen.Page(stream=io.StringIO(), terminal=False, colour=False)


def said(page: screen.Page) -> str:
    return cast("io.StringIO", page.stream).getvalue()


@pytest.fixture
def cleaned(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Note what would be taken out."""
    runs: list[str] = []

    async def clean(on: Any, say: Any, *, run: str = "") -> list[str]:
        runs.append(run)
        return []

    monkeypatch.setattr(own, "clean", clean)
    return runs


def standing(**more: Any) -> ground.Ground:
    """Make a ground that no check of these tests speaks to."""
    return ground.Ground(cast("Any", None), ground.Parameters(**more), "abcde")


def check(key: str, outcome: str | Exception, *needs: str, **more: bool) -> checks.Check:
    async def run(on: ground.Ground) -> str:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return checks.Check(key=key, says=f"{key} holds", run=run, needs=needs, **more)


async def played(monkeypatch: pytest.MonkeyPatch, page: screen.Page, on: ground.Ground, *order: checks.Check) -> Any:
    monkeypatch.setattr(suite, "ORDER", order)
    kept = record.Record(page)
    whole = await suite.play(on, kept)
    return whole, kept


def test_nothing_of_a_lab_is_in_it() -> None:
    """It knows Kubernetes, what we install, and itself."""
    allowed = ("ipseity", "tests.cluster", "injector.proto", "injector.sidecar")
    for path in tree.files("tests/cluster/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            ours = [
                name
                for name in names
                if name.partition(".")[0] in {"agent", "comparisons", "injector", "ipseity", "tests"}
            ]
            assert [] == [name for name in ours if not name.startswith(allowed)], path


def test_every_check_stands_on_earlier_ones() -> None:
    keys = [each.key for each in suite.ORDER]
    assert len(keys) == len(set(keys))
    assert [] == [
        (each.key, need) for number, each in enumerate(suite.ORDER) for need in each.needs if need not in keys[:number]
    ]


async def test_what_stands_on_a_failure_is_left_out_and_the_rest_is_made(
    monkeypatch: pytest.MonkeyPatch, page: screen.Page, cleaned: list[str]
) -> None:
    """Each with its reason; afterwards everything is taken out."""
    failed = record.Failed("two\nlines", hint="look there")
    whole, kept = await played(
        monkeypatch, page, standing(),
        check("a/one", failed), check("a/two", "seen", "a/one"), check("b/three", "seen"),
        check("b/four", kube.KubernetesError("no", hint="ask")), check("b/five", ZeroDivisionError("odd")),
    )  # fmt: skip
    assert whole
    assert ["FAIL", "left", "ok", "FAIL", "FAIL"] == [each.outcome for each in kept.results]
    text = said(page)
    assert "FAIL  a           a/one holds\n      why  two\n           lines\n      do   look there\n" in text
    assert "it stands on a/one" in text
    assert "ZeroDivisionError: odd" in text
    assert ["abcde"] == cleaned
    assert not kept.holds()
    assert "1 of 5 checks hold, 1 not made, 3 s" in kept.summary(3.0)
    assert "failed: a/one: a/one holds" in kept.summary(3.0)
    document = json.loads(kept.document(interrupted=False))
    assert (False, False, 5) == (document["holds"], document["interrupted"], len(document["checks"]))


async def test_what_an_account_may_not_and_what_is_not_ours_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, page: screen.Page, cleaned: list[str]
) -> None:
    on = standing(installed=True)
    on.admin = False
    order = (check("a/one", "seen", admin=True), check("a/two", "seen", changes=True), check("a/three", "seen"))
    _, kept = await played(monkeypatch, page, on, *order)
    assert ["left", "left", "ok"] == [each.outcome for each in kept.results]
    assert "it needs cluster-admin" in said(page)
    assert "stays as it is" in said(page)
    assert kept.holds()


async def test_an_interruption_ends_the_check_and_cleans_up(
    monkeypatch: pytest.MonkeyPatch, page: screen.Page, cleaned: list[str]
) -> None:
    """Ctrl-C, once."""

    async def endless(on: ground.Ground) -> str:
        signal.raise_signal(signal.SIGINT)
        await asyncio.Event().wait()
        raise AssertionError

    after = check("a/two", "seen")
    endless_check = checks.Check(key="a/one", says="", run=endless)
    whole, kept = await played(monkeypatch, page, standing(), endless_check, after)
    assert not whole
    assert [] == kept.results
    assert ["abcde"] == cleaned
    assert "interrupted: taking out what was made" in said(page)


def test_nothing_held_if_nothing_was_checked(page: screen.Page) -> None:
    assert not record.Record(page).holds()


def test_what_is_said_of_images_is_in_every_pod() -> None:
    """Image, policy and Secret; as Pod Security ``restricted`` has it."""
    pod = workloads.pod_spec(PARAMETERS, "server", {})
    (app,) = pod["containers"]
    assert ("example.com/mesh:1", "Never") == (app["image"], app["imagePullPolicy"])
    assert [{"name": "pull"}] == pod["imagePullSecrets"]
    security = app["securityContext"]
    assert (True, False, {"drop": ["ALL"]}) == (
        security["runAsNonRoot"], security["allowPrivilegeEscalation"], security["capabilities"]
    )  # fmt: skip
    assert ["--mesh-image", "example.com/mesh:1", "--pull-policy", "Never", "--pull-secret", "pull"] == PARAMETERS.flags


def test_without_an_image_it_is_the_one_that_is_shipped() -> None:
    assert workloads.image(ground.Parameters()).startswith("ipseity/mesh:")


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ('violates PodSecurity "restricted"', "does a policy change the labels?"),
        ("admission webhook denied the request: no", ground.MARK),
        ("User cannot create", "cluster-admin"),
    ],
)
def test_a_refusal_has_a_remedy(body: str, hint: str) -> None:
    assert hint in ground.refusal_hint(ground.Answer(403, {}, {"message": body}))
