"""Routes of the Gateway API, by real requests through real Envoys: every match, filter, weight, time-out and retry.

One street for all cases of this file: each says which routes there are, and asks. Leaves out what stands behind a route
and for whom it is (``test_routes_attached``), statuses (``tests/contract/injector``), and which of many rules wins
(``tests/sim/injector/test_routes``).
"""

import collections
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from injector.discovery import clusters
from tests.scene import routed

pytestmark = pytest.mark.asyncio(loop_scope="module")
Json = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def block() -> AsyncIterator[routed.Block]:
    async with routed.block() as made:
        yield made


@pytest.mark.parametrize("version", [1, 2])
async def test_paths_are_matched(block: routed.Block, version: int) -> None:
    """Exact, by whole elements, by regular expression; what no rule means is 404."""
    await block.route(
        routed.http(
            routed.tagged("exact", routed.path("/a", "Exact")),
            routed.tagged("prefix", routed.path("/b/")),
            routed.tagged("regex", routed.path("/c[0-9]+", "RegularExpression")),
        )
    )
    paths = ("/a", "/a?x=1", "/a/", "/b", "/b/c", "/bc", "/c7", "/c7/", "/d")
    expected = ["exact", "exact", "404", "prefix", "prefix", "404", "regex", "404", "404"]
    assert expected == await block.rules(*(routed.url(each, version=version) for each in paths))


async def test_headers_queries_and_methods_are_matched(block: routed.Block) -> None:
    """All that a match says must hold; names of headers in any case, names of parameters exactly."""
    header = {"headers": [{"name": "X-Beta", "value": "yes"}]}
    pattern = {"headers": [{"name": "x-beta", "type": "RegularExpression", "value": "v[0-9]+"}]}
    query = {"queryParams": [{"name": "q", "value": "1"}]}
    many = {"queryParams": [{"name": "q", "type": "RegularExpression", "value": "[2-4]"}], "method": "POST"}
    host = {"headers": [{"name": "Host", "value": "other.example"}]}
    listed = (("header", header), ("pattern", pattern), ("query", query), ("many", many), ("host", host))
    await block.route(routed.http(*(routed.tagged(tag, match) for tag, match in listed)))
    found = await block.rules(
        routed.url("/", headers={"x-BETA": "yes"}),
        routed.url("/", headers={"x-beta": "v12"}),
        routed.url("/", headers={"x-beta": "v12b"}),
        routed.url("/?q=1"),
        routed.url("/?Q=1"),
        routed.url("/?q=3", method="POST"),
        routed.url("/?q=3"),
        routed.url("/", headers={"Host": "other.example"}),
    )
    assert ["header", "pattern", "404", "query", "404", "many", "404", "host"] == found


async def test_rules_may_have_names(block: routed.Block) -> None:
    """Which change nothing."""
    named = {"name": "one", **routed.tagged("named", routed.path("/named"))}
    await block.route(routed.http(named, {"name": "rest", **routed.tagged("rest")}))
    assert ["named", "rest"] == await block.rules(routed.url("/named/a"), routed.url("/"))


async def test_a_share_goes_where_its_weight_says(block: routed.Block) -> None:
    """5,000 requests at 90/10: within three standard errors, which are 64 of them."""
    await block.route(routed.http({"backendRefs": [routed.to("web", 90), routed.to("next", 10)]}))
    ((*found,),) = await block.ask(routed.url("/share", count=5000))
    assert {200} == {each["status"] for each in found}
    share = sum(each["body"]["name"] == "next-11" for each in found)
    assert abs(share - 500) <= 3 * (5000 * 0.9 * 0.1) ** 0.5


async def test_nothing_goes_where_the_weight_is_0(block: routed.Block) -> None:
    """Not one of 997; and where all are 0, nobody is asked: 500."""
    await block.route(routed.http({"backendRefs": [routed.to("web", 0), routed.to("next", 7)]}))
    ((*found,),) = await block.ask(routed.url("/none", count=997))
    assert {"next-11": 997} == collections.Counter(each["body"]["name"] for each in found)
    await block.route(routed.http({"backendRefs": [routed.to("web", 0)]}))
    assert 500 == (await block.get("/"))["status"]


async def test_headers_are_changed_on_the_way_and_back(block: routed.Block) -> None:
    """Set replaces, add adds, remove removes; a percent sign is itself; a backend's own changes too."""
    pairs = {"set": [{"name": "X-Set", "value": "50%"}], "add": [{"name": "x-add", "value": "b"}], "remove": ["x-gone"]}
    backend = routed.to(
        "web",
        filters=[
            routed.changed(
                "RequestHeaderModifier", "requestHeaderModifier", set=[{"name": "x-backend", "value": "web"}]
            )
        ],
    )
    await block.route(
        routed.http(
            {
                "filters": [
                    routed.changed("RequestHeaderModifier", "requestHeaderModifier", **pairs),
                    routed.changed(
                        "ResponseHeaderModifier",
                        "responseHeaderModifier",
                        set=[{"name": "x-back", "value": "1"}],
                        remove=["server"],
                    ),
                ],
                "backendRefs": [backend],
            }
        )
    )
    found = await block.get("/?told", headers={"x-set": "old", "x-add": "a", "x-gone": "1"})
    heard = found["body"]["headers"]
    assert ("50%", "web") == (heard["x-set"], heard["x-backend"])
    assert "x-gone" not in heard
    assert heard["x-add"] in {"a", "b", "a, b", "a,b"}
    assert "1" == found["headers"]["x-back"]
    assert "server" not in found["headers"]


@pytest.mark.parametrize(
    ("said", "location", "status"),
    [
        ({"hostname": "example.org", "statusCode": 301}, "http://example.org:8080/a/b?q=1", 301),
        ({"hostname": "example.org", "port": 80}, "http://example.org/a/b?q=1", 302),
        ({"scheme": "https", "hostname": "example.org"}, "https://example.org/a/b?q=1", 302),
        ({"port": 8443, "statusCode": 307}, f"http://{routed.WEB}:8443/a/b?q=1", 307),
        (
            {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/x"}, "statusCode": 303},
            f"http://{routed.WEB}:8080/x?q=1",
            303,
        ),
        (
            {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/x"}, "statusCode": 308},
            f"http://{routed.WEB}:8080/x/b?q=1",
            308,
        ),
    ],
)
async def test_clients_are_sent_elsewhere(block: routed.Block, said: Json, location: str, status: int) -> None:
    """What is not said stays as it was; a well-known port is not written."""
    rule = {"matches": [routed.path("/a")], "filters": [routed.changed("RequestRedirect", "requestRedirect", **said)]}
    await block.route(routed.http(rule))
    found = await block.get("/a/b?q=1")
    assert (status, location) == (found["status"], found["headers"]["location"])


@pytest.mark.parametrize(
    ("prefix", "new", "asked", "heard"),
    [
        ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz", "/foo", "/xyz"),
        ("/foo", "/xyz", "/foo/", "/xyz/"),
        ("/foo", "", "/foo/bar", "/bar"),
        ("/foo", "", "/foo/", "/"),
        ("/foo", "", "/foo", "/"),
        ("/foo", "/", "/foo/", "/"),
        ("/foo", "/", "/foo", "/"),
        ("/", "/xyz", "/bar", "/xyz/bar"),
    ],
)
async def test_prefixes_are_replaced_as_the_table_of_the_specification_says(
    block: routed.Block, prefix: str, new: str, asked: str, heard: str
) -> None:
    """Elements of a path stay whole."""
    said = {"type": "ReplacePrefixMatch", "replacePrefixMatch": new}
    rule = {
        "matches": [routed.path(prefix)],
        "filters": [routed.changed("URLRewrite", "urlRewrite", path=said)],
        "backendRefs": [routed.to("web")],
    }
    await block.route(routed.http(rule))
    assert heard == (await block.get(asked))["body"]["path"]


async def test_host_and_whole_path_are_rewritten(block: routed.Block) -> None:
    """The query stays."""
    new = {"type": "ReplaceFullPath", "replaceFullPath": "/all"}
    said = routed.changed("URLRewrite", "urlRewrite", hostname="web.internal", path=new)
    await block.route(routed.http({"filters": [said], "backendRefs": [routed.to("web")]}))
    found = (await block.get("/a/b/c?told"))["body"]
    assert ("/all", "web.internal") == (found["path"], found["headers"]["host"])


async def test_copies_are_sent_and_nobody_waits_for_them(block: routed.Block) -> None:
    """97 requests, 97 copies; the answer is the backend's, and the copy has the same host."""
    said = routed.changed("RequestMirror", "requestMirror", backendRef=routed.to("next"))
    before = (await block.get("/mirrored", host=routed.NEXT))["body"]["asked"]
    await block.route(routed.http({"filters": [said], "backendRefs": [routed.to("web")]}))
    ((*found,),) = await block.ask(routed.url("/mirrored", count=97))
    assert {"web-10"} == {each["body"]["name"] for each in found}
    copies = -1
    for asked in range(1, 50):  # each look is a request too
        copies = (await block.get("/mirrored", host=routed.NEXT))["body"]["asked"] - before - asked
        if copies >= 97:
            break
    assert 97 == copies


async def copied(block: routed.Block, path: str, count: int, *shares: Json) -> tuple[int, int]:
    """Ask ``web`` so often, and give how many copies came to ``next`` and to ``web`` itself."""
    said = [
        routed.changed("RequestMirror", "requestMirror", backendRef=routed.to(name), **share)
        for name, share in zip(("next", "web"), shares, strict=False)
    ]
    await block.route(routed.http({"filters": said, "backendRefs": [routed.to("web")]}))
    await block.ask(routed.url(path, count=count))
    await block.route()
    at_next = at_web = -1
    for asked in range(20):  # each look is a request too, and the last copies may be on their way
        now = [(await block.get(path, host=each))["body"]["asked"] - asked - 1 for each in (routed.NEXT, routed.POD)]
        if [at_next, at_web + count] == now:
            break
        at_next, at_web = now[0], now[1] - count
    return at_next, at_web


async def test_several_copies_are_sent(block: routed.Block) -> None:
    """One to each that is named."""
    assert (53, 53) == await copied(block, "/twice", 53, {}, {})


async def test_a_share_of_copies_is_sent(block: routed.Block) -> None:
    """A quarter of 1,000 by percent, and a third by fraction: within four standard errors."""
    quarter, third = await copied(
        block, "/some", 1000, {"percent": 25}, {"fraction": {"numerator": 1, "denominator": 3}}
    )
    assert abs(quarter - 250) <= 4 * (1000 * 0.25 * 0.75) ** 0.5
    assert abs(third - 333) <= 4 * (1000 / 3 * 2 / 3) ** 0.5


@pytest.mark.parametrize("which", ["request", "backendRequest"])
async def test_a_time_out_fires_when_it_is_due(block: routed.Block, which: str) -> None:
    """504 after 300 ms (how exactly: ``make prove WHAT=route-matrix``); a quick answer passes; one attempt."""
    rule = {"timeouts": {which: "300ms"}, "backendRefs": [routed.to("web")]}
    await block.route(routed.http(rule))
    found = await block.get(f"/slow-{which}?seconds=2")
    assert 504 == found["status"]
    assert 0.3 <= found["seconds"] + 0.01
    assert found["seconds"] < 0.5
    assert 200 == (await block.get("/quick"))["status"]
    assert 2 == (await block.get(f"/slow-{which}?seconds=2", host=routed.POD))["body"]["asked"]


async def test_a_time_out_of_0_is_none(block: routed.Block) -> None:
    """As long as it likes."""
    await block.route(routed.http({"timeouts": {"request": "0s"}, "backendRefs": [routed.to("web")]}))
    assert 200 == (await block.get("/slow?seconds=1"))["status"]


@pytest.mark.parametrize(
    ("retry", "asked", "heard", "status"),
    [
        ({"codes": [503], "attempts": 3}, "status=503", 4, 503),
        ({"codes": [503], "attempts": 3}, "status=503&times=2", 3, 200),
        ({"codes": [503], "attempts": 3}, "status=500", 1, 500),
        ({"codes": [500, 429], "attempts": 1}, "status=429", 2, 429),
        ({"codes": [503]}, "status=503", 2, 503),
        ({"codes": [503], "attempts": 0}, "status=503", 1, 503),
        ({"codes": [503], "attempts": 2, "backoff": "10ms"}, "status=503", 3, 503),
    ],
)
async def test_a_server_sees_exactly_the_attempts(
    block: routed.Block, request: pytest.FixtureRequest, *, retry: Json, asked: str, heard: int, status: int
) -> None:
    """One, and as many as the route says, for the codes that it says; also with a body."""
    await block.route(routed.http({"retry": retry, "backendRefs": [routed.to("web")]}))
    path = f"/{abs(hash(request.node.name))}?{asked}"
    found = await block.get(path, method="POST", body="seven")
    await block.route()
    assert (status, heard + 1) == (found["status"], (await block.get(path))["body"]["asked"])


async def test_what_takes_too_long_is_tried_again(block: routed.Block) -> None:
    """Each attempt has its time, and all together theirs."""
    rule = {"retry": {"attempts": 2, "backoff": "1ms"}, "backendRefs": [routed.to("web")]}
    await block.route(routed.http({**rule, "timeouts": {"backendRequest": "200ms"}}))
    found = await block.get("/each?seconds=2")
    await block.route(routed.http({**rule, "timeouts": {"backendRequest": "200ms", "request": "300ms"}}))
    whole = await block.get("/whole?seconds=2")
    await block.route()
    assert (504, 504) == (found["status"], whole["status"])
    assert 0.6 <= found["seconds"] + 0.01 < 1
    assert 0.3 <= whole["seconds"] + 0.01 < 0.55
    assert 4 == (await block.get("/each?seconds=2"))["body"]["asked"]
    assert 3 == (await block.get("/whole?seconds=2"))["body"]["asked"]


async def test_retries_have_a_budget(block: routed.Block) -> None:
    """A server that answers 64 requests at once, slowly and never well, is not asked much more for that."""
    retry = {"codes": [503], "attempts": 5, "backoff": "1ms"}
    await block.route(routed.http({"retry": retry, "backendRefs": [routed.to("web")]}))
    path = "/storm?status=503&seconds=0.05"
    ((*found,),) = await block.ask(routed.url(path, count=1600))
    await block.route()
    heard = (await block.get(path))["body"]["asked"] - 1
    assert {503} == {each["status"] for each in found}
    assert 1600 < heard <= 1600 * (1 + clusters.RETRY_BUDGET)
