"""To which Service ports routes apply, for whom, and what their conditions say.

Each case is a sentence of the specification: the Gateway API's reference, GEP-1294, GEP-1426. Leaves out Envoy.
"""

from typing import Any

import pytest

from injector.cluster import model as cluster
from injector.routes import attach, model, reading
from tests.fakes import clusters as fake
from tests.scene import routed

Json = dict[str, Any]


def services(**more: cluster.Service) -> dict[str, cluster.Service]:
    """Give ``shop/web`` (80), ``shop/bytes`` (opaque), ``shop/headless``, ``pay/bank``; and others."""
    made = [
        fake.service("web", []),
        fake.service("next", []),
        fake.service("bytes", [], protocol=cluster.Protocol.OPAQUE),
        fake.service("headless", [], address=""),
        fake.service("bank", [], namespace="pay"),
        fake.service("till", [], namespace="till"),
    ]
    return {each.key: each for each in made} | more


def attached(*items: Json, grants: tuple[Json, ...] = ()) -> attach.Attached:
    read = [reading.route(each, model.Kind(each["kind"])) for each in items]
    allowed = [found for each in grants if (found := reading.grant(each)) is not None]
    return attach.attach(services(), read, allowed)


def to(name: str = "web", **said: Any) -> Json:
    return {"backendRefs": [routed.to(name, **{"port": 80, **said})]}


def reasons(item: Json, *others: Json, grants: tuple[Json, ...] = ()) -> tuple[str, str]:
    """Give the reasons of both conditions with the first parent."""
    metadata = item["metadata"]
    found = attached(item, *others, grants=grants)
    verdict = found.verdicts[model.Kind(item["kind"]), metadata["namespace"], metadata["name"]][0]
    assert (verdict.accepted.reason == "Accepted") == verdict.accepted.holds
    assert (verdict.resolved.reason == "ResolvedRefs") == verdict.resolved.holds
    assert verdict.accepted.message
    assert verdict.resolved.message
    return verdict.accepted.reason, verdict.resolved.reason


@pytest.mark.parametrize(
    ("parent", "reason"),
    [
        ({}, "Accepted"),
        ({"port": 80}, "Accepted"),
        ({"port": 81}, "NoMatchingParent"),
        ({"sectionName": "metrics"}, "NoMatchingParent"),
        ({"service": "gone"}, "NoMatchingParent"),
        ({"service": "headless"}, "NoMatchingParent"),
        ({"service": "bytes"}, "NoMatchingParent"),
    ],
)
def test_a_route_is_accepted_by_a_service_that_is_called_and_has_the_port(parent: Json, reason: str) -> None:
    """Headless Services are not parents; a port that carries bytes has no requests."""
    assert (reason, "ResolvedRefs") == reasons(routed.http(to(), **parent))


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        (to(), "ResolvedRefs"),
        (to("gone"), "BackendNotFound"),
        (to(port=81), "BackendNotFound"),
        (to("bytes"), "UnsupportedProtocol"),
        (to(kind="Deployment", group="apps"), "InvalidKind"),
        (to("bank", namespace="pay"), "RefNotPermitted"),
    ],
)
def test_every_backend_must_be_there_and_may_be_sent_to(backend: Json, reason: str) -> None:
    """If not the route is accepted all the same: only what is sent there fails."""
    item = routed.http(backend)
    assert ("Accepted", reason) == reasons(item)
    ((entry,),) = attached(item).produced.values()
    (target,) = entry.bound.targets
    assert (target.port is not None) == (reason == "ResolvedRefs")


def test_the_same_is_true_of_mirrors() -> None:
    """A copy that cannot be sent is not sent; the request is."""
    mirror = routed.changed("RequestMirror", "requestMirror", backendRef=routed.to("gone", port=80))
    item = routed.http({"filters": [mirror], **to()})
    assert ("Accepted", "BackendNotFound") == reasons(item)
    ((entry,),) = attached(item).produced.values()
    assert ((), ("shop/web", 80)) == (entry.bound.mirrors, entry.bound.targets[0].port)


@pytest.mark.parametrize(
    ("grant", "reason"),
    [
        (routed.grant(), "ResolvedRefs"),
        (routed.grant(name="bank"), "ResolvedRefs"),
        (routed.grant(name="safe"), "RefNotPermitted"),
        (routed.grant(kind="GRPCRoute"), "RefNotPermitted"),
        (routed.grant(sender="billing"), "RefNotPermitted"),
        (routed.grant("till"), "RefNotPermitted"),
    ],
)
def test_another_namespace_is_sent_to_with_its_grant(grant: Json, reason: str) -> None:
    """The grant stands in the namespace that is sent to, and names kind and namespace of the route."""
    assert ("Accepted", reason) == reasons(routed.http(to("bank", namespace="pay")), grants=(grant,))


def consumer(*rules: Json, name: str = "c") -> Json:
    return routed.http(*rules, name=name, namespace="billing") | {
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": "web", "namespace": "shop"}],
            "rules": list(rules),
        }
    }


def test_a_consumer_needs_no_grant_for_what_it_may_call_anyway() -> None:
    """The namespace of the Service that the route is for."""
    assert ("Accepted", "ResolvedRefs") == reasons(consumer(to("next", namespace="shop")))
    assert ("Accepted", "RefNotPermitted") == reasons(consumer(to("till", namespace="till")))


def test_a_consumers_routes_replace_the_producers_for_its_namespace_only() -> None:
    """They are not merged: only routes of one side are."""
    found = attached(routed.http(to()), consumer(to("next", namespace="shop")))
    there = {who: [each.bound.targets[0].port for each in found.rules("shop/web", 80, who) or ()] for who in WHO}
    assert {"": [("shop/web", 80)], "billing": [("shop/next", 80)], "ops": [("shop/web", 80)]} == there
    assert found.rules("shop/next", 80, "billing") is None


WHO = ("", "billing", "ops")


def test_a_grpc_route_wins_over_an_http_route_on_the_same_port() -> None:
    """GEP-1426: only one kind applies; the others say Conflicted."""
    grpc = routed.grpc(to("next"), name="g")
    assert ("Conflicted", "ResolvedRefs") == reasons(routed.http(to()), grpc)
    assert ("Accepted", "ResolvedRefs") == reasons(grpc, routed.http(to()))
    (entry,) = attached(routed.http(to()), grpc).produced["shop/web", 80]
    assert model.Kind.GRPC is entry.bound.kind


def test_a_consumers_grpc_route_does_not_disturb_the_producers_http_route() -> None:
    """They are for different clients."""
    theirs = consumer(to("next", namespace="shop")) | {"kind": "GRPCRoute"}
    assert ("Accepted", "ResolvedRefs") == reasons(routed.http(to()), theirs)


def test_routes_of_one_kind_are_merged_and_the_oldest_wins() -> None:
    """Then the name; within a route the first rule."""
    first, second = routed.http(to(), name="b"), routed.http(to("next"), to("bytes"), name="a")
    second["metadata"]["creationTimestamp"] = "2025-12-31T00:00:00Z"
    entries = attached(first, second).produced["shop/web", 80]
    assert ["next", "bytes", "web"] == [each.bound.targets[0].backend.reference.name for each in entries]
    second["metadata"]["creationTimestamp"] = first["metadata"]["creationTimestamp"]
    entries = attached(first, second).produced["shop/web", 80]
    assert ["next", "bytes", "web"] == [each.bound.targets[0].backend.reference.name for each in entries]


def test_a_route_with_two_parents_stands_with_each_by_itself() -> None:
    """A parent that is gone does not take the other one with it."""
    item = routed.http(to())
    item["spec"]["parentRefs"].append({"group": "", "kind": "Service", "name": "gone"})
    found = attached(item)
    reasons_ = [each.accepted.reason for each in found.verdicts[model.Kind.HTTP, "shop", "r"]]
    assert ["Accepted", "NoMatchingParent"] == reasons_
    assert {("shop/web", 80)} == set(found.produced)


def test_a_port_has_room_for_so_many_matches_and_the_oldest_have_it() -> None:
    """A namespace that writes routes without end does not fill the proxies of all; its newest routes say so."""
    rules = [{"matches": [routed.path(f"/{each}") for each in range(64)], **to("next")}] * 2
    items = [routed.http(*rules, name=f"r{number}") for number in range(8)]
    small = routed.http(to(), name="small")
    small["spec"]["parentRefs"].append({"group": "", "kind": "Service", "name": "next"})
    found = attached(*items, small, consumer(to("next", namespace="shop")))
    assert 7 * 128 + 1 == len(found.produced["shop/web", 80])
    (last,) = found.verdicts[model.Kind.HTTP, "shop", "r7"]
    assert (False, "TooManyMatches") == (last.accepted.holds, last.accepted.reason)
    assert "1000 matches of port 80" in last.accepted.message
    for name in ("r0", "r6", "small"):
        assert all(each.accepted.holds for each in found.verdicts[model.Kind.HTTP, "shop", name])
    assert 1 == len(found.consumed["billing"]["shop/web", 80])


def test_a_port_has_room_for_so_many_bytes_and_the_oldest_have_it() -> None:
    """Few matches may be long ones. Other ports and Services do not notice."""
    filters = [
        routed.changed("RequestHeaderModifier", "requestHeaderModifier", set=[{"name": "a", "value": "b" * 3900}])
    ]
    rules = [{"matches": [routed.path(f"/{each}") for each in range(60)], "filters": filters, **to("next")}]
    items = [routed.http(*rules, name=f"r{number}") for number in range(5)]
    found = attached(*items, routed.http(*rules, name="elsewhere", service="next"))
    assert (4 * 60, 60) == (len(found.produced["shop/web", 80]), len(found.produced["shop/next", 80]))
    (last,) = found.verdicts[model.Kind.HTTP, "shop", "r4"]
    assert (False, "TooLarge") == (last.accepted.holds, last.accepted.reason)
    assert "1024 KiB of port 80" in last.accepted.message


def test_a_route_of_which_some_rules_hold_says_which_do_not() -> None:
    """In the specification's words; it is accepted all the same."""
    (verdict,) = attached(routed.http(to(), {"retry": {"codes": [1]}})).verdicts[model.Kind.HTTP, "shop", "r"]
    assert verdict.accepted.holds
    assert verdict.partial is not None
    assert (True, "UnsupportedValue") == (verdict.partial.holds, verdict.partial.reason)
    assert verdict.partial.message.startswith("Dropped Rule")
    assert "spec.rules[1].retry.codes[0]" in verdict.partial.message


def test_nothing_is_made_anew_when_only_endpoints_change() -> None:
    """A roll-out of a thousand pods costs nothing here."""
    attacher = attach.Attacher()
    routes = [reading.route(routed.http(to()), model.Kind.HTTP)]
    before = attacher.update(services(), routes, [])
    pods = [fake.pod(1), fake.pod(2)]
    assert before is attacher.update(services(**{"shop/web": fake.service("web", pods)}), routes, [])
    assert before is not attacher.update(services(**{"shop/web": fake.service("web", pods, port=81)}), routes, [])
    assert attach.NOTHING is attacher.update(services(), [], [])
