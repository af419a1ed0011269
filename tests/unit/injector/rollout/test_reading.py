"""What a Canary says, read: everything that is written there is acted on or refused. And its status, back again.

Leaves out what the API server's schema refuses before: ``tests/contract/injector/test_rollout.py``.
"""

from typing import Any

import pytest

from injector.rollout import model, reading, status
from tests.fakes import rollouts
from tests.fakes.rollouts import canary


def test_a_canary_is_read() -> None:
    found = reading.canary(canary())
    assert (rollouts.WANTED, "", model.Order.RESUME) == (found.spec, found.error, found.order)


@pytest.mark.parametrize(
    ("analysis", "expected"),
    [
        ({"stepWeight": 20, "maxWeight": 50}, (20, 40, 50)),
        ({"stepWeight": 20, "maxWeight": None}, (20, 40, 50)),
        ({"stepWeight": 60, "maxWeight": None}, (60,)),
        ({"stepWeight": 50, "maxWeight": 100}, (50, 100)),
        ({"stepWeight": None, "maxWeight": None, "stepWeights": [1, 5, 80]}, (1, 5, 80)),
    ],
)
def test_weights_are_each_step(analysis: Any, expected: tuple[int, ...]) -> None:
    found = reading.canary(canary(analysis=analysis))
    assert found.spec is not None
    assert expected == found.spec.weights


SUCCESS = {"name": "request-success-rate", "thresholdRange": {"min": 99}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stable": None}, "spec.stable: is required"),
        ({"canary": "web-v1"}, "spec.canary"),
        ({"canary": "Web"}, "spec.canary"),
        ({"provider": "datadog"}, "spec.provider"),
        ({"metricsServer": "http://x"}, "spec.metricsServer: no such field"),
        ({"progressDeadlineSeconds": 0}, "progressDeadlineSeconds"),
        ({"targetRef": {"kind": "Deployment", "name": "web"}}, "spec.targetRef.kind"),
        ({"targetRef": {"kind": "HTTPRoute", "name": "../web"}}, "spec.targetRef.name"),
        ({"targetRef": {"apiVersion": "apps/v1", "kind": "HTTPRoute", "name": "web"}}, "spec.targetRef.apiVersion"),
        ({"targetRef": {"group": "apps", "kind": "HTTPRoute", "name": "web"}}, "spec.targetRef.group"),
        ({"analysis": {"interval": "0s"}}, "spec.analysis.interval"),
        ({"analysis": {"interval": "2h"}}, "spec.analysis.interval"),
        ({"analysis": {"threshold": 0}}, "spec.analysis.threshold"),
        ({"analysis": {"threshold": True}}, "spec.analysis.threshold"),
        ({"analysis": {"stepWeight": None}}, "either stepWeight or stepWeights"),
        ({"analysis": {"stepWeights": [10]}}, "either stepWeight or stepWeights"),
        ({"analysis": {"stepWeight": 40}}, "spec.analysis.stepWeight"),
        ({"analysis": {"stepWeight": None, "stepWeights": [5, 6]}}, "spec.analysis.maxWeight"),
        ({"analysis": {"stepWeight": None, "maxWeight": None, "stepWeights": [6, 5]}}, "weights that rise"),
        ({"analysis": {"stepWeight": None, "maxWeight": None, "stepWeights": [101]}}, "stepWeights[0]"),
        ({"analysis": {"minRequests": 0}}, "minRequests"),
        ({"analysis": {"metrics": []}}, "spec.analysis.metrics"),
        ({"analysis": {"metrics": [SUCCESS, SUCCESS]}}, "each metric once"),
        ({"analysis": {"metrics": [{**SUCCESS, "name": "errors"}]}}, "metrics[0].name"),
        ({"analysis": {"metrics": [{**SUCCESS, "thresholdRange": {}}]}}, "min, max or both"),
        ({"analysis": {"metrics": [{**SUCCESS, "thresholdRange": {"min": 101}}]}}, "from 0 to 100"),
        ({"analysis": {"metrics": [{**SUCCESS, "thresholdRange": {"min": 9, "max": 8}}]}}, "min not above max"),
        ({"analysis": {"metrics": [{**SUCCESS, "interval": "5s"}]}}, "metrics[0].interval"),
        ({"analysis": {"webhooks": []}}, "spec.analysis.webhooks: no such field"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(changes: Any, said: str) -> None:
    found = reading.canary(canary(**changes))
    assert found.spec is None
    assert said in found.error


@pytest.mark.parametrize("spec", [None, [], "x", {"analysis": 5}, {"targetRef": None}])
def test_nonsense_is_no_error_of_ours(spec: Any) -> None:
    assert reading.canary({**canary(), "spec": spec}).error


def test_a_window_of_a_query_is_no_longer_than_a_weight_is_held() -> None:
    """For Prometheus, which remembers what was before."""
    metrics = [{**SUCCESS, "interval": "10s"}]
    found = reading.canary(canary(provider="prometheus", analysis={"metrics": metrics}))
    assert found.spec is not None
    assert 10.0 == found.spec.ranges[0].window_s
    metrics = [{**SUCCESS, "interval": "1m"}]
    assert "metrics[0].interval" in reading.canary(canary(provider="prometheus", analysis={"metrics": metrics})).error


@pytest.mark.parametrize("order", list(model.Order))
def test_orders_are_annotations(order: model.Order) -> None:
    assert order is reading.canary(canary({model.ORDER: order.value})).order


def test_another_order_is_refused_and_holds() -> None:
    """It may have been meant as abort. Checks go on: a version that fails them is still rolled back."""
    found = reading.canary(canary({model.ORDER: "Abort"}))
    assert (rollouts.WANTED, model.Order.PAUSE) == (found.spec, found.order)
    assert "Abort" in found.error


def test_a_long_name_is_refused() -> None:
    """An annotation of the route has it in its name."""
    assert "63" in reading.canary(canary(name="x" * 64)).error


def test_what_is_rolled_out_is_named_by_pair_route_and_restart() -> None:
    items = [canary(), canary({model.RESTART: "2"}), canary(canary="web-v3"), canary(stable="web-v0")]
    assert 4 == len({reading.canary(each).rollout for each in items})
    assert reading.canary(canary()).rollout == reading.canary(canary(analysis={"threshold": 9})).rollout


def test_of_two_that_move_the_same_the_older_does() -> None:
    one, other = canary(name="a"), canary(name="b", stable="web-v2", canary="web-v1")
    other["metadata"]["creationTimestamp"] = "2025-01-01T00:00:00Z"
    read = [reading.canary(each) for each in (one, other, canary(name="c", canary="web-v9"))]
    assert ["b", "", ""] == [reading.rival(each, read) for each in read]


STATUSES = [
    rollouts.STATUS,
    rollouts.status(phase=model.Phase.FAILED, weight=0, why=model.Why.CHECKS_FAILED, failed_checks=3, iterations=4),
    rollouts.status(revisions=frozenset(), paused=True, message=""),
    rollouts.status(retired=("b", "", "a"), aborted=True),
]


@pytest.mark.parametrize("before", STATUSES, ids=["progressing", "failed", "paused", "aborted"])
def test_a_status_is_read_back_as_it_was_written(before: model.Status) -> None:
    """It is all that the next process knows."""
    found = reading.canary(canary())
    written = status.wanted(found, before, "", now_s=1000.0)
    assert before == reading.canary(canary(status=written)).before
    assert written == status.wanted(reading.canary(canary(status=written)), before, "", now_s=9999.0)


@pytest.mark.parametrize("phase", list(model.Phase))
def test_the_condition_promoted_tells_the_end(phase: model.Phase) -> None:
    written = status.wanted(reading.canary(canary()), rollouts.status(phase=phase), "", now_s=0)
    told = {each["type"]: each["status"] for each in written["conditions"]}
    ends = {model.Phase.SUCCEEDED: "True", model.Phase.FAILED: "False"}
    assert {"Accepted": "True", "Promoted": ends.get(phase, "Unknown"), "Paused": "False"} == told


def test_a_refusal_changes_nothing_else() -> None:
    """A rollout that is under way stays where it is until the object can be read again."""
    written = status.wanted(reading.canary(canary()), rollouts.STATUS, "", now_s=0)
    found = reading.canary(canary(status=written, stable=None))
    refused = status.wanted(found, None, found.error, now_s=5)
    assert ("False", "Invalid") == (refused["conditions"][0]["status"], refused["conditions"][0]["reason"])
    assert rollouts.STATUS == reading.status_of(refused)


def test_a_status_that_cannot_be_read_is_none() -> None:
    written = status.wanted(reading.canary(canary()), rollouts.STATUS, "", now_s=0)
    for key, value in (
        ("phase", "Nonsense"),
        ("step", -1),
        ("canaryWeight", "5"),
        ("revisions", [5]),
        ("conditions", 1),
    ):
        assert reading.status_of({**written, key: value}) is None
    assert reading.status_of({}) is None


def test_a_patch_is_for_what_was_read() -> None:
    """Of two that decide about the same moment one is refused."""
    found = reading.canary(canary())
    tests = {each["path"]: each["value"] for each in status.patch(found, {}) if each["op"] == "test"}
    assert {"/metadata/uid": rollouts.UID, "/metadata/resourceVersion": "7"} == tests
