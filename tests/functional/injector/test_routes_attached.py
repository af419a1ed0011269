"""For whom routes are, and what becomes of requests whose backend is not there; gRPC: by real requests through Envoys.

One street for all cases of this file: each says which routes there are, and asks. Leaves out what a rule can do
(``test_routes``), statuses and Kubernetes (``tests/contract/injector``).
"""

import collections
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from injector.routes import model
from tests.scene import routed, street

pytestmark = pytest.mark.asyncio(loop_scope="module")
Json = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def block() -> AsyncIterator[routed.Block]:
    async with routed.block() as made:
        yield made


async def test_without_routes_all_is_as_before(block: routed.Block) -> None:
    """Other Services are not touched by a route, and a route that is gone is gone."""
    await block.route(routed.http(routed.tagged("only", routed.path("/only"))))
    assert [200, 404] == [(await block.get("/", host=each))["status"] for each in (routed.NEXT, routed.WEB)]
    await block.route()
    assert 200 == (await block.get("/"))["status"]


async def test_a_producers_route_changes_nothing_it_does_not_say(block: routed.Block) -> None:
    """Clients of any namespace; the request arrives as it was sent."""
    await block.route(routed.http({"backendRefs": [routed.to("web")]}))
    for who in (block.client, block.stranger):
        found = await block.get("/a%20b/?told&q=1", of=who, method="POST", body="seven", headers={"x-Mine": "1"})
        heard = found["body"]
        assert (200, "web-10", 5) == (found["status"], heard["name"], heard["bytes"])
        assert ("1", f"{routed.WEB}:8080") == (heard["headers"]["x-mine"], heard["headers"]["host"])


async def test_a_backend_that_is_not_there_fails_its_share_only(block: routed.Block) -> None:
    """Half of 1,000 requests: 500; the other rule and the other Service are as they were."""
    broken = {"matches": [routed.path("/half")], "backendRefs": [routed.to("web"), routed.to("nobody")]}
    await block.route(routed.http(broken, routed.tagged("good", routed.path("/good"))))
    assert ("Accepted", "BackendNotFound") == block.conditions("r")
    ((*found,), (good,)) = await block.ask(routed.url("/half", count=1000), routed.url("/good"))
    failed = collections.Counter(each["status"] for each in found)
    assert {200, 500} == set(failed)
    assert abs(failed[500] - 500) <= 4 * 250**0.5
    assert "good" == good["headers"]["x-rule"]
    assert 200 == (await block.get("/half", host=routed.NEXT))["status"]


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        (routed.to("nobody"), "BackendNotFound"),
        (routed.to("web", port=81), "BackendNotFound"),
        (routed.to("web", kind="Deployment", group="apps"), "InvalidKind"),
        (routed.to("bank", namespace="pay"), "RefNotPermitted"),
        (routed.to("web", port=3306), "UnsupportedProtocol"),
    ],
)
async def test_a_rule_without_a_backend_that_may_be_sent_to_is_500(
    block: routed.Block, backend: Json, reason: str
) -> None:
    """And its condition says why."""
    await block.route(routed.http({"backendRefs": [backend]}))
    assert ("Accepted", reason) == block.conditions("r")
    assert 500 == (await block.get("/"))["status"]


async def test_a_rule_that_cannot_be_acted_on_is_500_and_the_others_hold(block: routed.Block) -> None:
    """What it means must not fall to another rule."""
    wrong = {"matches": [routed.path("/pay")], "retry": {"codes": [1]}, "backendRefs": [routed.to("web")]}
    await block.route(routed.http({"backendRefs": [routed.to("web")]}, wrong))
    assert [500, 200] == [(await block.get(path))["status"] for path in ("/pay/now", "/")]


async def test_a_grant_lets_a_route_send_to_another_namespace(block: routed.Block) -> None:
    """And taking it back takes that back."""
    item = routed.http({"backendRefs": [routed.to("bank", namespace="pay")]})
    await block.route(item, grants=(routed.grant(),))
    assert ("Accepted", "ResolvedRefs") == block.conditions("r")
    assert "next-11" == (await block.get("/"))["body"]["name"]
    await block.route(item, grants=(routed.grant(name="safe"),))
    assert 500 == (await block.get("/"))["status"]


async def test_a_backend_without_endpoints_is_503(block: routed.Block) -> None:
    """It is there; nobody is behind it."""
    await block.route(routed.http({"backendRefs": [routed.to("empty")]}))
    assert 503 == (await block.get("/"))["status"]


async def test_a_consumers_route_is_for_its_own_namespace_and_replaces_the_producers(block: routed.Block) -> None:
    """Clients of other namespaces see the producer's."""
    theirs = routed.http(routed.tagged("consumer"), name="c", namespace="billing")
    theirs["spec"]["parentRefs"][0]["namespace"] = "shop"
    theirs["spec"]["rules"][0]["backendRefs"][0]["namespace"] = "shop"
    await block.route(routed.http(routed.tagged("producer", routed.path("/p"))), theirs)
    asked = (routed.url("/p"), routed.url("/"))
    assert ["producer", "404"] == await block.rules(*asked)
    assert ["consumer", "consumer"] == await block.rules(*asked, of=block.stranger)


async def test_a_service_is_known_by_its_address_and_not_by_its_name(block: routed.Block) -> None:
    """Whatever the client calls it, and whatever hostnames the route has."""
    item = routed.http(routed.tagged("web"))
    item["spec"]["hostnames"] = ["other.example"]
    await block.route(item)
    assert ["web"] == await block.rules(routed.url("/", headers={"Host": "next"}))
    found = await block.get("/", host=routed.NEXT, headers={"Host": "web"})
    assert (200, None) == (found["status"], found["headers"].get("x-rule"))


async def test_a_pods_own_address_has_no_routes(block: routed.Block) -> None:
    """Routes are in front of Services."""
    await block.route(routed.http(routed.tagged("only", routed.path("/only"))))
    assert 200 == (await block.get("/", host=routed.POD))["status"]


async def test_a_route_may_be_for_one_port(block: routed.Block) -> None:
    """By number or by name; the other ports are as before."""
    await block.route(routed.http(routed.tagged("one"), port=7000))
    assert "x-rule" not in (await block.get("/"))["headers"]
    await block.route(routed.http(routed.tagged("one"), sectionName="8080"))
    assert "one" == (await block.get("/"))["headers"]["x-rule"]


async def test_grpc_calls_are_matched_and_shared(block: routed.Block) -> None:
    """By service, method and header; what no rule means is UNIMPLEMENTED; a broken backend is UNAVAILABLE."""
    call = {"method": {"service": "probe.Echo", "method": "Say"}}
    beta = {"headers": [{"name": "beta", "value": "yes"}]}
    nobody = {"method": {"service": "probe.Nobody"}}
    pattern = {"method": {"type": "RegularExpression", "method": "Ch.+"}}
    await block.route(
        routed.grpc(
            {"matches": [{**call, **beta}], "backendRefs": [routed.to("next", port=9090)]},
            routed.tagged("say", call, port=9090),
            {"matches": [nobody], "backendRefs": [routed.to("nobody", port=9090)]},
            routed.tagged("pattern", pattern, port=9090),
        )
    )
    assert ("Accepted", "BackendNotFound") == block.conditions("r", model.Kind.GRPC)
    plain, marked = await block.call(question="told"), await block.call(headers={"beta": "yes"})
    assert ("web-10", "say") == (plain["body"]["name"], plain["headers"]["x-rule"])
    assert "next-11" == marked["body"]["name"]
    assert 14 == (await block.call("/probe.Nobody/Say"))["status"]
    assert "pattern" == (await block.call("/probe.Echo/Chat"))["headers"].get("x-rule")
    assert 12 == (await block.call("/probe.Else/Say"))["status"]


async def test_grpc_has_weights_and_changes_headers(block: routed.Block) -> None:
    """997 calls at 70/30: within four standard errors."""
    said = routed.changed("RequestHeaderModifier", "requestHeaderModifier", set=[{"name": "x-set", "value": "1"}])
    backends = [routed.to("web", 70, port=9090), routed.to("next", 30, port=9090)]
    await block.route(routed.grpc({"filters": [said], "backendRefs": backends}, port=9090))
    ((*found,),) = await block.ask(
        {"grpc": f"{routed.WEB}:9090", "call": "/probe.Echo/Say", "question": "told", "count": 997}
    )
    assert {"1"} == {each["body"]["headers"]["x-set"] for each in found}
    share = sum(each["body"]["name"] == "next-11" for each in found)
    assert abs(share - 299.1) <= 4 * (997 * 0.7 * 0.3) ** 0.5


async def test_a_grpc_route_has_the_port_that_an_http_route_wants_too(block: routed.Block) -> None:
    """The more specific kind; the other one says so, and keeps its other ports."""
    grpc = routed.grpc(routed.tagged("grpc", port=9090), port=9090, name="g")
    await block.route(routed.http(routed.tagged("http")), grpc)
    assert "grpc" == (await block.call())["headers"]["x-rule"]
    assert "http" == (await block.get("/"))["headers"]["x-rule"]
    await block.route(routed.http(routed.tagged("http"), port=9090), grpc)
    assert "Conflicted" == block.conditions("r")[0]


async def test_what_is_counted_says_which_rule_and_which_backend(block: routed.Block) -> None:
    """Under the names of ``docs/metrics.md``; what is said of gRPC is in ``tests/contract/deploy/test_linkerd``."""
    half = {"backendRefs": [routed.to("web"), routed.to("next")]}
    await block.route(routed.http(routed.tagged("one", routed.path("/one")), half, name="counted"))
    await block.ask(routed.url("/one", count=7), routed.url("/two", count=40))

    async def told(house: street.House, *words: str) -> list[float]:
        text = await house.admin("/stats/prometheus?usedonly")
        lines = (line for line in text.splitlines() if line.startswith("envoy_ipseity_response_total{"))
        return [float(line.rsplit(" ", 1)[1]) for line in lines if all(word in line for word in words)]

    mine = (
        'route_name="counted"',
        'route_kind="HTTPRoute"',
        'parent_name="web"',
        'tls="true"',
        'classification="success"',
    )
    assert [7] == await told(block.client, *mine, 'route_rule="1"', 'dst_service="web"')
    shares = [await told(block.client, *mine, 'route_rule="2"', f'dst_service="{name}"') for name in ("web", "next")]
    assert 40 == sum(sum(each) for each in shares)
    assert all(shares)
    assert [] == await told(block.client, 'route_name="counted"', 'classification="failure"')
