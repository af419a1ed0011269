"""What a status says and when it is written. Leaves out which version is in force: ``test_book``."""

import dataclasses
from typing import Any

from injector.policy import book, status
from tests.fakes import policies

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"
PODS = [policies.pod("db"), policies.pod("web")]


def entry(*items: Any) -> book.Entry:
    known = book.Book(policies.TRUST_DOMAIN)
    return [known.apply(item) for item in items][-1] or _none()


def _none() -> book.Entry:
    raise AssertionError("it has a name")


def bad(said: Any = None) -> Any:
    return policies.item(rules=[{"sources": "all"}], generation=2, status=said)


def told(one: book.Entry, count: int, now: str = NOW) -> Any:
    return status.desired(one, count, now_text=now)


def plan(one: book.Entry, pods: Any = PODS, written: Any = None, now_s: float = 100.0) -> status.Plan:
    return status.plan([one], pods, written or {}, now_s=now_s, now_text=NOW)


def stored(one: book.Entry, count: int = 1) -> book.Entry:
    """Give the entry whose status is what it should be."""
    return dataclasses.replace(one, status=told(one, count))


def test_a_policy_that_governs_pods_is_accepted() -> None:
    """With how many."""
    assert {
        "observedGeneration": 1,
        "targets": 1,
        "conditions": [
            {
                "type": "Accepted",
                "status": "True",
                "observedGeneration": 1,
                "reason": "Accepted",
                "message": "governs 1 pod",
                "lastTransitionTime": NOW,
            }
        ],
    } == told(entry(policies.item()), 1)


def test_a_policy_that_selects_nobody_is_accepted_and_says_so() -> None:
    """It may be there before its pods."""
    (condition,) = told(entry(policies.item()), 0)["conditions"]
    assert ("True", "NoTarget") == (condition["status"], condition["reason"])
    assert condition["message"] == "selects no pod of its namespace at present"


def test_a_mistake_is_named_and_what_it_means_is_said() -> None:
    """What is wrong, where, and what is in force instead."""
    new = told(entry(bad()), 0)["conditions"][0]
    assert ("False", "Invalid") == (new["status"], new["reason"])
    assert new["message"] == (
        'spec.rules[0].sources: "all" is not allowed; allowed: a list of 0 to 256 entries; nothing of it is in force'
    )
    kept = told(entry(policies.item(), bad()), 2)
    assert kept["conditions"][0]["message"].endswith("; generation 1 stays in force, and governs 2 pods")
    closed = told(entry(bad(told(entry(policies.item()), 1))), 1)
    assert "what was in force before is not known any more: 1 pod" in closed["conditions"][0]["message"]


def test_a_condition_keeps_its_time_while_it_holds() -> None:
    """Its time is that of the last change of its status."""
    one = stored(entry(policies.item()))
    assert NOW == told(one, 2, LATER)["conditions"][0]["lastTransitionTime"]
    turned = dataclasses.replace(entry(bad()), status=one.status)
    assert LATER == told(turned, 2, LATER)["conditions"][0]["lastTransitionTime"]


def test_nothing_is_written_that_is_there() -> None:
    """Also where the API server keeps members that are not ours."""
    one = stored(entry(policies.item()))
    assert status.Plan(writes=(), again_s=None) == plan(one)
    more = dataclasses.replace(one, status={**one.status, "other": 1})
    assert () == plan(more).writes


def test_a_write_replaces_the_status_of_this_object_only() -> None:
    """A JSON patch that tests the uid: a successor of the same name must not get it."""
    one = entry(policies.item())
    (write,) = plan(one).writes
    assert write.path == "/apis/ipseity.io/v1alpha1/namespaces/shop/authorizationpolicies/db-clients/status"
    assert write.body == [
        {"op": "test", "path": "/metadata/uid", "value": "uid-db-clients"},
        {"op": "add", "path": "/status", "value": told(one, 1)},
    ]


def test_counts_wait_their_turn_and_conditions_do_not() -> None:
    """A roll-out does not cost a write for each pod; a mistake is told at once."""
    one = stored(entry(policies.item()), count=7)
    waiting = plan(one, written={"shop/db-clients": 95.0})
    assert status.Plan(writes=(), again_s=95.0 + status.COUNT_EVERY_S) == waiting
    assert len(plan(one, written={"shop/db-clients": 90.0}).writes) == 1
    wrong = dataclasses.replace(entry(bad()), status=one.status)
    assert len(plan(wrong, written={"shop/db-clients": 99.9}).writes) == 1


def test_pods_of_other_namespaces_are_not_counted() -> None:
    """An empty selector is every pod of the policy's namespace."""
    everybody = entry(policies.item(app=None))
    (write,) = plan(everybody).writes
    assert write.body[1]["value"]["targets"] == 2
