"""What callers' proxies have counted, read, subtracted, added, and shown by ``ipseity top`` and ``ipseity routes``.

Leaves out Envoy (``tests/contract/deploy/test_linkerd``) and reading from pods (``test_scrape``).
"""

import math
from typing import Any

from injector.routes import book, model
from injector.seeing import routed, routes, top
from tests.scene import routed as written

RULE_1 = {"route_kind": "HTTPRoute", "route_namespace": "shop", "route_name": "r", "route_rule": "1"}
CALLED = {"direction": "outbound", "parent_namespace": "shop", "parent_name": "web", "parent_port": "8080"}
WEB = {"dst_namespace": "shop", "dst_service": "web"}
NEXT = {"dst_namespace": "shop", "dst_service": "next"}
WAY = routed.Way("shop/web", "8080", "HTTPRoute shop/r", "1", "shop/web")


def line(name: str, value: float | str, **labels: str) -> str:
    said = ",".join(f'{key}="{each}"' for key, each in labels.items())
    return f"envoy_ipseity_{name}{{{said}}} {value}\n"


def text(good: int = 19, bad: int = 4, **labels: str) -> str:
    said = {**CALLED, **RULE_1, **WEB, **labels}
    made = line("response_total", good, **said, classification="success")
    made += line("response_total", bad, **said, classification="failure")
    for bound, count in (("10", good), ("100", good + bad), ("+Inf", good + bad)):
        made += line("response_latency_ms_bucket", count, **said, le=bound)
    return made


def test_a_proxys_text_is_read_by_way() -> None:
    """Two Deployments behind one Service are one backend; what came in is not looked at."""
    whole = text(dst_deployment="a") + text(7, 0, dst_deployment="b") + text(99, direction="inbound")
    found = routed.read(whole + line("response_total", "NaN", **CALLED) + "nonsense{ 1\n")
    assert {WAY: routed.Sent(succeeded=26, failed=4, within={10: 26, 100: 30, math.inf: 30})} == found


def test_a_proxy_that_began_anew_is_not_negative() -> None:
    before, after = routed.read(text(19, 4)), routed.read(text(23, 4))
    assert (4, 0) == (routed.since(after, before)[WAY].succeeded, routed.since(after, before)[WAY].failed)
    assert after == routed.since(after, {})
    assert routed.read(text(3, 1)) == routed.since(routed.read(text(3, 1)), before)


def test_top_shows_the_busiest_first() -> None:
    """With its own latency; another namespace's is left out when one is asked for."""
    other = text(300, 0, parent_namespace="pay", parent_name="bank", route_name="", route_kind="", dst_service="")
    readings = [routed.read(text() + other), routed.read(text(19, 4, **NEXT))]
    both = top.rows(readings, 10, namespace="")
    assert [("pay/bank", 30.0), ("shop/web", 2.3), ("shop/web", 2.3)] == [(row.way.service, row.rps) for row in both]
    mine = top.rows(readings, 10, namespace="shop")
    shown = top.lines(mine, width=None, colour=False)
    assert ["SERVICE", "ROUTE", "BACKEND", "RPS", "SUCCESS", "P50", "P99"] == shown[0].split()
    assert "shop/web:8080  shop/r #1  shop/web   2.3   82.60%" in shown[2]
    (first, second) = top.document(mine, 10)["ways"]
    assert ("shop/next", "shop/web", 4) == (first["backend"], second["backend"], second["failed"])
    assert first["latencyMs"]["p50"] < 10 < first["latencyMs"]["p99"] <= 100


def known(*items: dict[str, Any]) -> list[book.Entry]:
    ours = book.Book()
    for item in items:
        ours.apply({**item, "metadata": {**item["metadata"], "uid": "u", "generation": 1, "resourceVersion": "1"}},
                   model.Kind(item["kind"]))  # fmt: skip
    return list(ours.entries.values())


def said(item: dict[str, Any], reason: str, *, holds: bool, message: str = "") -> dict[str, Any]:
    (ref,) = item["spec"]["parentRefs"]
    condition = {"type": "Accepted", "status": "True" if holds else "False", "reason": reason, "message": message}
    mine = {"parentRef": ref, "controllerName": "ipseity.io/mesh", "conditions": [condition]}
    return {**item, "status": {"parents": [{"parentRef": ref, "controllerName": "other"}, mine]}}


def test_routes_show_rules_weights_and_what_they_carried() -> None:
    """Under their Service: what was said of them, and each rule's requests."""
    rule = {"matches": [written.path("/cart")], "backendRefs": [written.to("web", 90), written.to("next", 10)]}
    gone = {"filters": [written.changed("RequestRedirect", "requestRedirect", hostname="else", statusCode=301)]}
    sent = routed.read(text(90, 0) + text(6, 4, **NEXT))
    (found,) = routes.applied(
        known(said(written.http(rule, gone), "Accepted", holds=True)), sent, wanted="shop/web", namespace=""
    )
    assert ("shop/web", "HTTPRoute shop/r", "Accepted", False) == (
        found.service, found.route, found.status, found.consumer
    )  # fmt: skip
    first, second = found.rules
    assert ("/cart*",) == first.matches
    assert [("shop/web:8080", 90, 90.0, 90), ("shop/next:8080", 10, 10.0, 10)] == [
        (each.backend, each.weight, each.percent, each.sent.requests) for each in first.shares
    ]
    assert ("redirect 301 to else", 0) == (second.does, second.sent.requests)
    shown = routes.lines([found], width=None, colour=False)
    assert "web:8080 90%, next:8080 10%       100   96.00%" in shown[1]
    assert 96 == routes.document([found])["routes"][0]["rules"][0]["backends"][0]["requests"] + 6


def test_a_route_that_does_nothing_says_why() -> None:
    """What the control plane wrote; that it has written nothing; that it cannot be read."""
    refused = said(written.http({}, name="a"), "NoMatchingParent", holds=False, message="there is no such Service")
    broken = written.http({"timeouts": {"request": "soon"}}, name="c")
    found = routes.applied(known(refused, written.http({}, name="b"), broken), {}, wanted="", namespace="shop")
    assert ["NoMatchingParent", "(not said)", "(not said)"] == [each.status for each in found]
    assert "HTTPRoute shop/a, shop/web: there is no such Service" in routes.lines(found, width=None, colour=False)
    assert [] == routes.applied(known(refused), {}, wanted="shop/db", namespace="")


def test_a_consumers_route_says_for_whom_it_is() -> None:
    item = written.http({"backendRefs": [written.to("web", namespace="shop")]}, namespace="billing", port=8080)
    item["spec"]["parentRefs"][0]["namespace"] = "shop"
    (found,) = routes.applied(known(item), {}, wanted="", namespace="")
    assert (True, "8080") == (found.consumer, found.port)
    assert "(clients of billing)" in routes.lines([found], width=None, colour=False)[1]


def test_matches_are_spelled() -> None:
    rule = {
        "matches": [
            {"method": "GET", "path": {"type": "Exact", "value": "/a"}, "headers": [{"name": "x-b", "value": "1"}]},
            {"path": {"type": "RegularExpression", "value": "/a.*"}, "queryParams": [{"name": "q", "value": "2"}]},
        ]
    }
    (found,) = routes.applied(known(written.http(rule)), {}, wanted="", namespace="")
    assert ("GET /a x-b=1", "~/a.* ?q=2") == found.rules[0].matches
