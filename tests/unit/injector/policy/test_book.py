"""What stays in force when a version cannot be read. Leaves out how its status is worded: ``test_status``."""

import copy
from typing import Any

from injector.policy import book, model, status
from tests.fakes import policies

GOOD = policies.item(rules=policies.admitting("web"))
READ = policies.policy(rules=policies.admitting("web"))
NOBODY = policies.policy(rules=[])


def bad(generation: int = 2, said: Any = None, **spec: Any) -> Any:
    item = policies.item(rules=[{"paths": ["/"]}], generation=generation, status=said)
    item["spec"].update(spec)
    return item


def fresh(*items: Any) -> book.Book:
    known = book.Book(policies.TRUST_DOMAIN)
    for item in items:
        known.apply(item)
    return known


def said_by(known: book.Book) -> Any:
    """Give the status that would be written."""
    return status.desired(known.entries["shop/db-clients"], 1, now_text="2026-01-01T00:00:00Z")


def test_a_valid_policy_is_in_force() -> None:
    """The present version."""
    known = fresh(GOOD)
    assert (READ,) == known.policies
    assert book.Origin.SPEC is known.entries["shop/db-clients"].origin


def test_a_mistake_changes_nothing() -> None:
    """The last good version stays in force, through further mistakes, until there is a better one."""
    known = fresh(GOOD, bad(2), bad(3))
    entry = known.entries["shop/db-clients"]
    assert (READ,) == known.policies
    assert (book.Origin.KEPT, 1, 3) == (entry.origin, entry.kept_generation, entry.generation)
    assert "spec.rules[0].paths: no such field" in entry.error
    known.apply(policies.item(rules=[], generation=4))
    assert (NOBODY,) == known.policies


def test_a_mistake_in_a_new_policy_changes_nothing() -> None:
    """It never was in force, so nothing of it is."""
    known = fresh(bad(1))
    assert () == known.policies
    assert book.Origin.NONE is known.entries["shop/db-clients"].origin


def test_what_was_kept_outlives_the_process() -> None:
    """The status has it: another process that meets only the mistake acts as this one."""
    said = said_by(fresh(GOOD, bad(2)))
    assert {"generation": 1, "spec": GOOD["spec"]} == said["inForce"]
    known = fresh(bad(2, said))
    assert (READ,) == known.policies
    assert said["inForce"] == said_by(known)["inForce"]


def test_a_mistake_that_nobody_saw_come_admits_nobody() -> None:
    """It was in force, and what it said is lost: closed on the pods that it still selects, through further restarts."""
    said = said_by(fresh(GOOD))
    known = fresh(bad(2, said))
    assert (NOBODY,) == known.policies
    assert book.Origin.CLOSED is known.entries["shop/db-clients"].origin
    assert (NOBODY,) == fresh(bad(2, said_by(known))).policies


def test_a_lost_policy_that_only_watched_or_selects_nobody_knows_whom_does_nothing() -> None:
    """An audited policy refused nobody before; and where the target is unreadable there is nothing to close."""
    said = said_by(fresh(GOOD))
    assert () == fresh(bad(2, said, action="AUDIT")).policies
    assert () == fresh(bad(2, said, targetRefs=[])).policies


def test_a_deleted_policy_leaves_nothing() -> None:
    """Also one of which only an earlier version was in force."""
    known = fresh(GOOD, bad(2))
    known.forget(bad(2))
    assert () == known.policies
    known.forget(bad(2))
    assert {} == known.entries


def test_a_successor_of_the_same_name_inherits_nothing() -> None:
    """Another uid is another policy: its mistakes do not bring back what the one before said."""
    successor = copy.deepcopy(bad(1))
    successor["metadata"]["uid"] = "another"
    known = fresh(GOOD, successor)
    assert () == known.policies
    known.forget(GOOD)
    assert "shop/db-clients" in known.entries


def test_the_tuple_is_the_same_until_something_changes() -> None:
    """So that nobody computes what is computed already."""
    known = fresh(GOOD)
    before = known.policies
    known.apply({**copy.deepcopy(GOOD), "status": {"targets": 3}})
    assert before is known.policies


def test_what_has_no_name_is_counted() -> None:
    """No API server sends it, and nothing stops for it."""
    known = fresh(None, {}, {"metadata": {"namespace": "UPPER", "name": "a"}})
    known.forget({})
    assert (3, ()) == (known.nameless, known.policies)


def test_policies_come_in_the_order_of_their_names() -> None:
    """Whatever order they were seen in."""
    known = fresh(policies.item("b", []), policies.item("a", []))
    assert ["shop/a", "shop/b"] == [str(each) for each in known.policies]
    assert all(isinstance(each, model.AuthorizationPolicy) for each in known.policies)
