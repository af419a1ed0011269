"""A route is read whole or refused, with the place and what is allowed there. Leaves out what it applies to."""

from typing import Any

import pytest

from injector import errors
from injector.discovery import consistency, resource, routing
from injector.routes import attach, model, paths, reading
from tests.scene import routed

Json = dict[str, Any]
BACKEND = routed.to("web")


def read(*rules: Json, kind: model.Kind = model.Kind.HTTP) -> model.Route:
    return reading.route(routed.http(*rules), kind)


def refused(rule: Json, kind: model.Kind = model.Kind.HTTP) -> str:
    with pytest.raises(errors.InvalidPolicy) as caught:
        read(rule, kind=kind)
    return str(caught.value)


def test_every_field_of_an_http_rule_is_read() -> None:
    """Nothing of what is written is lost."""
    rule = {
        "name": "one",
        "matches": [
            {
                "path": {"type": "PathPrefix", "value": "/a/"},
                "headers": [{"name": "X-A", "value": "1"}, {"name": "x-a", "value": "2"}],
                "queryParams": [{"type": "RegularExpression", "name": "q", "value": "[0-9]"}],
                "method": "PATCH",
            }
        ],
        "filters": [
            routed.changed(
                "RequestHeaderModifier", "requestHeaderModifier", add=[{"name": "a", "value": "b"}], remove=["c"]
            ),
            routed.changed("ResponseHeaderModifier", "responseHeaderModifier", set=[{"name": "d", "value": "e"}]),
            routed.changed("RequestMirror", "requestMirror", backendRef=BACKEND, percent=7),
            routed.changed(
                "RequestMirror", "requestMirror", backendRef=BACKEND, fraction={"numerator": 1, "denominator": 3}
            ),
            routed.changed(
                "URLRewrite",
                "urlRewrite",
                hostname="web.internal",
                path={"type": "ReplacePrefixMatch", "replacePrefixMatch": "/b/"},
            ),
        ],
        "backendRefs": [routed.to("web", 3), routed.to("next", namespace="pay")],
        "timeouts": {"request": "1m30s", "backendRequest": "1500ms"},
        "retry": {"codes": [503, 500, 503], "attempts": 7, "backoff": "100ms"},
    }
    to = model.Reference(group="", kind="Service", namespace="shop", name="web", port=8080)
    other = model.Reference(group="", kind="Service", namespace="pay", name="next", port=8080)
    expected = model.Rule(
        matches=(
            model.Match(
                path=(model.PathKind.PREFIX, "/a"),
                method="PATCH",
                headers=(model.Named("x-a", model.Text("1")),),
                query=(model.Named("q", model.Text("[0-9]", regex=True)),),
            ),
        ),
        request=model.Headers(add=(("a", "b"),), remove=("c",)),
        response=model.Headers(set=(("d", "e"),)),
        mirrors=(
            model.Mirror(reference=to, numerator=7),
            model.Mirror(reference=to, numerator=1, denominator=3),
        ),
        rewrite=model.Rewrite(hostname="web.internal", path=model.NewPath("/b", prefix=True)),
        backends=(model.Backend(reference=to, weight=3), model.Backend(reference=other)),
        request_s=90.0,
        backend_s=1.5,
        retry=model.Retry(codes=(500, 503), attempts=7, backoff_s=0.1),
    )
    assert (expected,) == read(rule).rules


def test_every_field_of_a_grpc_rule_is_read() -> None:
    """A service, a method, headers."""
    rule = {
        "matches": [{"method": {"service": "a.B", "method": "C"}, "headers": [{"name": "h", "value": "1"}]}],
        "backendRefs": [BACKEND],
    }
    (found,) = read(rule, kind=model.Kind.GRPC).rules
    named = (model.Named("h", model.Text("1")),)
    assert (model.Match(service=model.Text("a.B"), call=model.Text("C"), headers=named),) == found.matches


def test_only_services_are_parents() -> None:
    """A Gateway's part of a route is the gateway's, whatever it says."""
    item = routed.http({"backendRefs": [BACKEND]}, port=8080, sectionName="http")
    item["spec"]["parentRefs"].insert(0, {"name": "gate", "something": "new"})
    (parent,) = reading.route(item, model.Kind.HTTP).parents
    assert ("shop/web", 8080, "http") == (parent.key, parent.port, parent.section)
    assert {"group": "", "kind": "Service", "name": "web", "port": 8080, "sectionName": "http"} == parent.written


def test_a_parent_that_cannot_be_read_leaves_the_others_alone() -> None:
    """It keeps its place, and what is wrong with it."""
    item = routed.http({"backendRefs": [BACKEND]})
    item["spec"]["parentRefs"].append({"group": "", "kind": "Service", "name": "next", "port": 0})
    good, bad = reading.route(item, model.Kind.HTTP).parents
    assert ("shop/web", "") == (good.key, good.error)
    assert bad.error.startswith("spec.parentRefs[1].port: 0 is not allowed")
    assert {"group": "", "kind": "Service", "name": "next", "port": 0} == bad.written


@pytest.mark.parametrize(
    "more", [{"sessionPersistence": {}}, {"timeouts": {"request": "5"}}, {"retry": {"codes": [1]}}]
)
def test_a_rule_that_cannot_be_acted_on_fails_and_the_others_hold(more: Json) -> None:
    """What it means is known; it has no backends, so that it is answered with 500."""
    wrong = {"matches": [routed.path("/a")], "backendRefs": [BACKEND], **more}
    found = read({"backendRefs": [BACKEND]}, wrong)
    good, bad = found.rules
    assert (1, ()) == (len(good.backends), bad.backends)
    assert model.Rule(matches=(model.Match(path=(model.PathKind.PREFIX, "/a")),)) == bad
    assert found.broken[0].startswith(f"spec.rules[1].{next(iter(more))}")


def test_a_rule_whose_matches_cannot_be_read_takes_the_route_with_it() -> None:
    """Nobody knows which requests would have to fail."""
    with pytest.raises(errors.InvalidPolicy, match=r"^spec.rules\[1\].matches\[0\].path.type"):
        read({"backendRefs": [BACKEND]}, {"matches": [{"path": {"type": "Glob", "value": "/*"}}]})


def test_a_route_without_rules_has_one_for_everything() -> None:
    """As the API server would have written; nobody is behind it."""
    assert (model.Rule(),) == read().rules


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ({"sessionPersistence": {}}, "spec.rules[0].sessionPersistence: no such field"),
        ({"timeouts": {"request": "5"}}, 'spec.rules[0].timeouts.request: "5" is not allowed'),
        ({"timeouts": {"request": "1.5s"}}, "spec.rules[0].timeouts.request"),
        ({"timeouts": {"request": "1s", "backendRequest": "2s"}}, "spec.rules[0].timeouts.backendRequest"),
        ({"retry": {"codes": [99]}}, "spec.rules[0].retry.codes[0]: 99 is not allowed"),
        ({"retry": {"attempts": True}}, "spec.rules[0].retry.attempts"),
        ({"matches": [routed.path("a")]}, "spec.rules[0].matches[0].path.value"),
        ({"matches": [routed.path("/a//b")]}, "spec.rules[0].matches[0].path.value"),
        ({"matches": [routed.path("/a?b", "Exact")]}, "spec.rules[0].matches[0].path.value"),
        ({"matches": [routed.path("(?=a)", "RegularExpression")]}, "RE2 (invalid perl operator: (?=)"),
        ({"matches": [routed.path("a{1001}", "RegularExpression")]}, "spec.rules[0].matches[0].path.value"),
        ({"matches": [{"method": "CONNECT"}]}, "spec.rules[0].matches[0].method"),
        ({"matches": [{"headers": [{"name": "a b", "value": "c"}]}]}, "spec.rules[0].matches[0].headers[0].name"),
        ({"matches": [{"headers": [{"name": "a", "value": "b\nc"}]}]}, "spec.rules[0].matches[0].headers[0].value"),
        ({"backendRefs": [routed.to("web", -1)]}, "spec.rules[0].backendRefs[0].weight"),
        ({"backendRefs": [routed.to("web", filters=[{"type": "URLRewrite"}])]}, "backendRefs[0].filters[0]"),
        ({"filters": [{"type": "CORS", "cors": {}}]}, "spec.rules[0].filters[0].cors"),
        ({"filters": [{"type": "ExtensionRef", "extensionRef": {}}]}, "spec.rules[0].filters[0].extensionRef"),
        ({"filters": [{"type": "RequestMirror"}]}, "spec.rules[0].filters[0].requestMirror: is required"),
        (
            {"filters": [routed.changed("RequestHeaderModifier", "requestHeaderModifier", remove=["Host"])]},
            "spec.rules[0].filters[0].requestHeaderModifier.remove[0]",
        ),
        (
            {"filters": [routed.changed("ResponseHeaderModifier", "responseHeaderModifier")] * 2},
            "spec.rules[0].filters[1]",
        ),
        (
            {"filters": [routed.changed("RequestRedirect", "requestRedirect", statusCode=304)]},
            "spec.rules[0].filters[0].requestRedirect.statusCode: 304",
        ),
        (
            {"filters": [routed.changed("RequestRedirect", "requestRedirect", port=1)], "backendRefs": [BACKEND]},
            "spec.rules[0].backendRefs",
        ),
        (
            {
                "filters": [
                    routed.changed("RequestRedirect", "requestRedirect", port=1),
                    routed.changed("URLRewrite", "urlRewrite", hostname="a"),
                ]
            },
            "spec.rules[0].filters",
        ),
        (
            {
                "matches": [routed.path("/a", "Exact")],
                "filters": [
                    routed.changed(
                        "URLRewrite", "urlRewrite", path={"type": "ReplacePrefixMatch", "replacePrefixMatch": "/b"}
                    )
                ],
            },
            "ReplacePrefixMatch beside exactly one match",
        ),
    ],
)
def test_what_cannot_be_acted_on_is_refused_with_its_place(rule: Json, place: str) -> None:
    """Half of a route is not what anybody has written."""
    assert place in refused(rule)


@pytest.mark.parametrize(
    "rule",
    [
        {"timeouts": {"request": "1s"}},
        {"filters": [routed.changed("URLRewrite", "urlRewrite", hostname="a")]},
        {"matches": [{"method": {}}]},
        {"matches": [{"method": {"service": "a/b"}}]},
        {"matches": [{"method": {"method": "a" * 1025}}]},
        {"matches": [{"path": {"value": "/"}}]},
    ],
)
def test_what_only_http_has_is_refused_in_a_grpc_route(rule: Json) -> None:
    """And a method must be the name of one."""
    assert refused(rule, model.Kind.GRPC).startswith("spec.rules[0].")


@pytest.mark.parametrize(
    "said",
    [
        {"service": r"\Qabc", "method": "d"},
        {"service": r"\pL{250}", "method": r"\pL{250}"},
        {"service": r"a|\Qb"},
        {"method": r"\Qabc"},
    ],
)
def test_a_grpc_regex_must_be_one_as_a_whole(said: Json) -> None:
    """Envoy gets service and method in one; of what it refuses there it takes nothing that it was told with it."""
    found = refused({"matches": [{"method": {"type": "RegularExpression", **said}}]}, model.Kind.GRPC)
    assert found.startswith("spec.rules[0].matches[0].method: ")
    assert "a regular expression of RE2" in found


def test_good_grpc_regexes_are_told_as_they_were_tried() -> None:
    """What was compiled here is what Envoy gets, to the letter."""
    regex = {"type": "RegularExpression", "service": "a|b", "method": r"\Qc.d\E"}
    route = read({"matches": [{"method": regex}]}, kind=model.Kind.GRPC)
    (match,) = route.rules[0].matches
    origin = attach.Origin(namespace="shop", name="r", number=1)
    bound = attach.Bound(kind=model.Kind.GRPC, origin=origin, rule=route.rules[0], targets=(), mirrors=())
    made = routing.route("shop/web", (attach.Entry(match, bound),), port=80)
    (told,) = consistency.decode(resource.ROUTE, made).virtual_hosts[0].routes
    assert r"/(?:a|b)/(?:\Qc.d\E)" == paths.call(match.service, match.call) == told.match.safe_regex.regex


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0), ("10s", 10), ("1h1m1s1ms", 3661.001), ("99999ms", 99.999)])
def test_durations_are_those_of_gep_2257(text: str, seconds: float) -> None:
    """Hours, minutes, seconds, milliseconds, four parts at most."""
    assert seconds == pytest.approx(read({"timeouts": {"request": text}}).rules[0].request_s)


@pytest.mark.parametrize("name", ["q" * 257, "é" * 512])
def test_a_query_parameter_has_a_short_name(name: str) -> None:
    """Envoy refuses a longer one, and with it everything that it was told together with it."""
    place = "spec.rules[0].matches[0].queryParams[0].name"
    assert refused({"matches": [{"queryParams": [{"name": name, "value": "1"}]}]}).startswith(place)
    assert read({"matches": [{"queryParams": [{"name": name[:256], "value": "1"}]}]}).rules[0].matches[0].query


@pytest.mark.parametrize(
    "name",
    [
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Upgrade",
        "TE",
        "Trailer",
        "Keep-Alive",
        "Proxy-Connection",
        "X-Envoy-Retry-On",
        "X-Ipseity-Any",
        "Host",
    ],
)
@pytest.mark.parametrize("how", ["set", "add", "remove"])
def test_headers_of_the_connection_are_not_a_routes_to_change(name: str, how: str) -> None:
    """In whatever way, in requests, in answers, and for one backend."""
    body = {how: [name if how == "remove" else {"name": name, "value": "1"}]}
    for kind, member in (("Request", "request"), ("Response", "response")):
        filters = [routed.changed(f"{kind}HeaderModifier", f"{member}HeaderModifier", **body)]
        assert f"filters[0].{member}HeaderModifier.{how}[0]" in refused({"filters": filters})
        assert f"{member}HeaderModifier.{how}[0]" in refused({"backendRefs": [routed.to("web", filters=filters)]})


def many(matches: int, value: str = "", rules: int = 1) -> list[Json]:
    """Write rules that change a header, each with so many matches."""
    filters = [routed.changed("RequestHeaderModifier", "requestHeaderModifier", set=[{"name": "a", "value": value}])]
    return [{"matches": [routed.path(f"/{each}") for each in range(matches)], "filters": filters}] * rules


def test_a_route_has_so_many_matches_in_all() -> None:
    """Each is an entry for every proxy."""
    assert 128 == sum(len(each.matches) for each in read(*many(64, "b", rules=2)).rules)
    with pytest.raises(errors.InvalidPolicy, match=r"^spec.rules: .*at most 128 matches in all"):
        read(*many(43, "b", rules=3))


def test_a_rule_counts_once_for_each_match() -> None:
    """Proxies are told all of it with each: a short text must not be a long list."""
    assert 64 == len(read(*many(64, "b" * 3900)).rules[0].matches)
    with pytest.raises(errors.InvalidPolicy, match=r"^spec.rules: .*at most 256 KiB.*: here 260 KiB"):
        read(*many(64, "b" * 4000))


def test_a_grant_says_who_may_send_where() -> None:
    """By kind and namespace of the route, to all Services or to one."""
    to = model.Reference(group="", kind="Service", namespace="pay", name="bank", port=80)
    every, one = reading.grant(routed.grant()), reading.grant(routed.grant(name="safe"))
    assert every is not None
    assert one is not None
    asked = [("HTTPRoute", "shop"), ("GRPCRoute", "shop"), ("HTTPRoute", "billing")]
    assert [True, False, False] == [every.allows(*each, to) for each in asked]
    assert not one.allows("HTTPRoute", "shop", to)


def test_a_grant_for_others_is_none_of_ours() -> None:
    """Gateways refer to Secrets."""
    item = routed.grant()
    item["spec"]["to"] = [{"group": "", "kind": "Secret"}]
    assert reading.grant(item) is None
