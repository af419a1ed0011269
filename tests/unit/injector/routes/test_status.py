"""What a route's status says, beside what others say, and when it is written. Leaves out why (``test_attach``)."""

import dataclasses
from typing import Any

from injector.routes import attach, book, model, status
from tests.fakes import clusters as fake
from tests.scene import routed

Json = dict[str, Any]
NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"
SERVICES = {"shop/web": fake.service("web", [])}
OTHERS: Json = {"parentRef": {"name": "gate"}, "controllerName": "example.org/gate", "conditions": []}


def item(*rules: Json, said: list[Json] | None = None, **parent: Any) -> Json:
    made = routed.http(*(rules or ({"backendRefs": [routed.to("web", port=80)]},)), **parent)
    made["metadata"] |= {"uid": "u", "generation": 3, "resourceVersion": "7"}
    return made | {"status": {} if said is None else {"parents": said}}


def plan(one: Json, now: str = NOW, services: Any = None) -> tuple[status.Write, ...]:
    known = book.Book()
    known.apply(one, model.Kind.HTTP)
    found = attach.attach(SERVICES if services is None else services, known.routes, known.grants)
    return status.plan(known.entries.values(), found, now_text=now)


def written(*writes: status.Write) -> Any:
    ((first, second, third),) = (each.body for each in writes)
    assert ("test", "test", "add", "/status") == (first["op"], second["op"], third["op"], third["path"])
    assert ("u", "7") == (first["value"], second["value"])
    return third["value"]["parents"]


def test_both_conditions_are_written_for_each_parent() -> None:
    """With the parent as it is in the spec, our name, and the generation that was read."""
    (write,) = plan(item())
    assert "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/r/status" == write.path
    (parent,) = written(write)
    assert {"group": "", "kind": "Service", "name": "web"} == parent["parentRef"]
    assert "ipseity.io/mesh" == parent["controllerName"]
    assert [("Accepted", "True", 3, NOW), ("ResolvedRefs", "True", 3, NOW)] == [
        (each["type"], each["status"], each["observedGeneration"], each["lastTransitionTime"])
        for each in parent["conditions"]
    ]


def test_nothing_is_written_that_is_there() -> None:
    """Or two control planes would never rest."""
    ours = written(*plan(item()))
    assert () == plan(item(said=ours), LATER)


def test_what_others_said_stays() -> None:
    """A route may have a gateway too."""
    assert [OTHERS] == written(*plan(item(said=[OTHERS])))[:-1]


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    """The other one gets a new one."""
    ours = written(*plan(item()))
    (parent,) = written(*plan(item({"backendRefs": [routed.to("gone", port=80)]}, said=ours), LATER))
    assert [("True", NOW), ("False", LATER)] == [
        (each["status"], each["lastTransitionTime"]) for each in parent["conditions"]
    ]


def test_a_route_that_cannot_be_acted_on_says_what_and_where() -> None:
    """One condition: what it refers to was not looked at."""
    (parent,) = written(*plan(item({"sessionPersistence": {}})))
    (condition,) = parent["conditions"]
    assert ("Accepted", "False", "UnsupportedValue") == tuple(condition[key] for key in ("type", "status", "reason"))
    assert condition["message"].startswith("spec.rules[0].sessionPersistence: no such field")


def test_a_parent_that_cannot_be_read_is_answered() -> None:
    """Also where the rest cannot be read either; the other parents stand for themselves."""
    bad = {"group": "", "kind": "Service", "name": "web", "port": 0}
    one = item()
    one["spec"]["parentRefs"].append(bad)
    good, refused = written(*plan(one))
    assert ["True", "False"] == [each["conditions"][0]["status"] for each in (good, refused)]
    assert bad == refused["parentRef"]
    assert refused["conditions"][0]["message"].startswith("spec.parentRefs[1].port")
    one["spec"]["rules"] = "none"
    assert ["spec.rules", "spec.parentRefs[1].port"] == [
        each["conditions"][0]["message"].partition(":")[0] for each in written(*plan(one))
    ]


def test_rules_that_do_not_hold_are_a_condition_of_their_own() -> None:
    """Which goes when they do."""
    one = item({"backendRefs": [routed.to("web", port=80)]}, {"retry": {"codes": [1]}})
    (parent,) = written(*plan(one))
    assert ["Accepted", "ResolvedRefs", "PartiallyInvalid"] == [each["type"] for each in parent["conditions"]]
    assert [2] == [len(each["conditions"]) for each in written(*plan(item(said=[parent])))]


def test_what_we_said_goes_when_its_parent_goes() -> None:
    """From the spec; a Service that is gone is still a parent."""
    ours = written(*plan(item()))
    changed = item(said=[OTHERS, *ours])
    changed["spec"]["parentRefs"] = [{"name": "gate"}]
    assert [OTHERS] == written(*plan(changed))
    assert "NoMatchingParent" == written(*plan(item(said=ours), services={}))[0]["conditions"][0]["reason"]


def test_a_route_for_others_is_not_written_to() -> None:
    """Nor read."""
    theirs = item({"anything": "new"})
    theirs["spec"]["parentRefs"] = [{"name": "gate"}]
    assert () == plan(theirs)


def test_a_route_that_was_seen_after_routes_were_attached_waits() -> None:
    """Its verdict is on the way."""
    known = book.Book()
    entry = known.apply(item(), model.Kind.HTTP)
    assert () == status.plan([entry], attach.NOTHING, now_text=NOW)


def test_a_deleted_route_leaves_the_book_and_its_successor_stays() -> None:
    """By uid."""
    known = book.Book()
    known.apply(item(), model.Kind.HTTP)
    other = item()
    other["metadata"]["uid"] = "old"
    known.forget(other, model.Kind.HTTP)
    assert 1 == len(known.routes)
    known.forget(item(), model.Kind.HTTP)
    assert () == known.routes


def test_an_unchanged_route_leaves_the_tuple_as_it_was() -> None:
    """A written status comes back as an event, and nothing is made anew for it."""
    known = book.Book()
    known.apply(item(), model.Kind.HTTP)
    before = known.routes
    entry = known.apply(item(said=[OTHERS]), model.Kind.HTTP)
    assert before is known.routes
    assert dataclasses.replace(entry, status={}) != entry


def test_grants_come_and_go() -> None:
    """One that cannot be read allows nothing."""
    known = book.Book()
    grant = routed.grant()
    known.allow(grant)
    assert 1 == len(known.grants)
    known.allow({**grant, "spec": {}})
    assert () == known.grants
    known.allow(grant)
    known.revoke(grant)
    assert () == known.grants
