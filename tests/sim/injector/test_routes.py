"""Generated routes: which rule a request gets, by an oracle that reads the specification alone; and Envoy accepts all.

The oracle compares the matches of all rules that hold for a request two by two, in the words of the specification, and
never sorts. Leaves out traffic (``tests/functional/injector/test_routes``) and regular expressions in the oracle: the
specification leaves their rank to implementations.
"""

import pathlib
import random
import subprocess
from typing import Any

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.route.v3 import route_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from injector import errors
from injector.discovery import http, naming, routing
from injector.routes import attach, model, reading
from tests.fakes import clusters as fake
from tests.scene import guard, routed

Json = dict[str, Any]
Request = dict[str, Any]
MANY = 400 if settings().max_examples <= 100 else 4000
PATHS = ("/", "/a", "/a/b", "/a/b/c", "/ab", "/z")
METHODS = ("GET", "POST")
NAMES = ("x-a", "x-b", "x-c")
PRINTABLE = "%\\$1é&'\"<>{}|^` "


def match(chance: random.Random, *, regexes: bool = False) -> Json:
    """Make a match of HTTP."""
    made: Json = {}
    if chance.random() < 0.8:
        kinds = ["Exact", "PathPrefix", "PathPrefix"] + (["RegularExpression"] if regexes else [])
        made["path"] = {"type": chance.choice(kinds), "value": chance.choice(PATHS)}
    if chance.random() < 0.3:
        made["method"] = chance.choice(METHODS)
    for key, likely in (("headers", 0.4), ("queryParams", 0.4)):
        if chance.random() < likely:
            names = chance.sample(NAMES, chance.randint(1, 2))
            kind = {"type": "RegularExpression"} if regexes and chance.random() < 0.3 else {}
            made[key] = [{**kind, "name": name, "value": chance.choice("12")} for name in names]
    return made


def plain(chance: random.Random, number: int) -> Json:
    """Make a route whose rules have nothing but matches and a name in a header."""
    rules = []
    for index in range(chance.randint(1, 4)):
        tag = {"name": "x-rule", "value": f"r{number}.{index}"}
        said = routed.changed("ResponseHeaderModifier", "responseHeaderModifier", set=[tag])
        rules.append({"matches": [match(chance) for _ in range(chance.randint(1, 3))], "filters": [said]})
    made = routed.http(*rules, name=f"r{number}")
    made["metadata"]["creationTimestamp"] = f"2026-01-0{chance.randint(1, 3)}T00:00:00Z"
    return made


def request(chance: random.Random) -> Request:
    return {
        "path": chance.choice(PATHS),
        "method": chance.choice(METHODS),
        "headers": {name: chance.choice("12") for name in NAMES if chance.random() < 0.6},
        "query": {name: chance.choice("12") for name in NAMES if chance.random() < 0.6},
    }


def holds(one: Json, asked: Request) -> bool:
    """Say whether a match, as it is written, means a request."""
    path = one.get("path", {"type": "PathPrefix", "value": "/"})
    value = path["value"]
    if path["type"] == "Exact":
        same = asked["path"] == value
    else:
        same = asked["path"] == value or asked["path"].startswith(value.rstrip("/") + "/")
    return (
        same
        and one.get("method", asked["method"]) == asked["method"]
        and all(asked["headers"].get(each["name"]) == each["value"] for each in one.get("headers", ()))
        and all(asked["query"].get(each["name"]) == each["value"] for each in one.get("queryParams", ()))
    )


def beats(one: tuple[Json, Json, int], other: tuple[Json, Json, int]) -> bool:
    """Say whether a match (of a route, as the n-th rule) goes before another, in the specification's words."""
    (first, mine, here), (second, theirs, there) = one, other
    for better in (
        lambda each: each.get("path", {}).get("type") == "Exact",
        lambda each: len(each.get("path", {"value": "/"})["value"]),
        lambda each: "method" in each,
        lambda each: len(each.get("headers", ())),
        lambda each: len(each.get("queryParams", ())),
    ):
        if better(first) != better(second):
            return bool(better(first) > better(second))
    if mine is not theirs:
        a, b = mine["metadata"], theirs["metadata"]
        return bool((a["creationTimestamp"], a["name"]) < (b["creationTimestamp"], b["name"]))
    return here < there


def oracle(items: list[Json], asked: Request) -> str:
    """Give the tag of the rule that a request gets; empty: none."""
    best: tuple[Json, Json, int] | None = None
    for item in items:
        for index, rule in enumerate(item["spec"]["rules"]):
            for one in rule["matches"]:
                if holds(one, asked) and (best is None or beats((one, item, index), best)):
                    best = (one, item, index)
    if best is None:
        return ""
    filters = best[1]["spec"]["rules"][best[2]]["filters"]
    return str(filters[0]["responseHeaderModifier"]["set"][0]["value"])


def answered(configuration: Any, asked: Request) -> str:
    """Give the tag of the first route of Envoy's configuration that means a request."""
    for each in configuration.virtual_hosts[0].routes:
        if _meant(each.match, asked):
            return str(each.response_headers_to_add[0].header.value)
    return ""


def _meant(one: Any, asked: Request) -> bool:
    path = asked["path"]
    kind = one.WhichOneof("path_specifier")
    same = {
        "prefix": lambda: path.startswith(one.prefix),
        "path": lambda: path == one.path,
        "path_separated_prefix": lambda: (
            path == one.path_separated_prefix or path.startswith(f"{one.path_separated_prefix}/")
        ),
    }[kind]()
    there = {**asked["headers"], ":method": asked["method"]}
    return (
        same
        and all(there.get(each.name) == each.string_match.exact for each in one.headers)
        and all(asked["query"].get(each.name) == each.string_match.exact for each in one.query_parameters)
    )


def configured(items: list[Json]) -> Any:
    """Give Envoy's configuration of the routes of ``shop/web``."""
    services = {"shop/web": fake.service("web", []), "shop/next": fake.service("next", [])}
    read = [reading.route(each, model.Kind(each["kind"])) for each in items]
    rules = attach.attach(services, read, []).rules("shop/web", 80)
    assert rules is not None
    return route_pb2.RouteConfiguration.FromString(routing.route("outbound|80|shop/web", rules, port=80).body)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=settings().max_examples * 3, deadline=None)
def test_a_request_gets_the_rule_that_the_specification_says(seed: int) -> None:
    """Several routes of several ages, merged; whatever order they come in."""
    chance = random.Random(seed)
    items = [plain(chance, number) for number in range(chance.randint(1, 4))]
    made = configured(chance.sample(items, len(items)))
    for _ in range(20):
        asked = request(chance)
        assert oracle(items, asked) == answered(made, asked), asked


def anything(chance: random.Random) -> Json:
    """Make a route with every kind of thing in it; some are contradictory and refused."""
    rules = [_rule(chance, grpc=False) for _ in range(chance.randint(0, 3))]
    return routed.http(*rules)


def anything_grpc(chance: random.Random) -> Json:
    """Make one of gRPC."""
    return routed.grpc(*[_rule(chance, grpc=True) for _ in range(chance.randint(0, 3))])


def _rule(chance: random.Random, *, grpc: bool) -> Json:
    rule: Json = {"matches": [_grpc_match(chance) if grpc else match(chance, regexes=True) for _ in range(2)]}
    filters = [_modifier(chance, kind) for kind in ("Request", "Response") if chance.random() < 0.5]
    if chance.random() < 0.3:
        share = chance.choice([{}, {"percent": 33}, {"fraction": {"numerator": 1, "denominator": 7}}])
        filters.append(routed.changed("RequestMirror", "requestMirror", backendRef=_to(chance), **share))
    if not grpc:
        rule["matches"] = rule["matches"][: chance.randint(1, 2)]
        new = chance.choice(
            [
                {"type": "ReplaceFullPath", "replaceFullPath": chance.choice(PATHS)},
                {"type": "ReplacePrefixMatch", "replacePrefixMatch": chance.choice((*PATHS, ""))},
            ]
        )
        host = {"hostname": "a.example"} if chance.random() < 0.5 else {}
        if chance.random() < 0.3:
            said = {"scheme": chance.choice(["http", "https"])} if chance.random() < 0.5 else {"port": 8443}
            filters.append(routed.changed("RequestRedirect", "requestRedirect", path=new, **said, **host))
        if chance.random() < 0.3:
            filters.append(routed.changed("URLRewrite", "urlRewrite", path=new, **host))
        rule["timeouts"] = chance.choice([{}, {"request": "0s"}, {"request": "99999h"}, {"backendRequest": "1ms"}])
        rule["retry"] = chance.choice([{}, {"codes": [400, 599], "attempts": 100, "backoff": "0s"}])
    rule["filters"] = filters
    rule["backendRefs"] = [_backend(chance) for _ in range(chance.randint(0, 3))]
    return rule


def _grpc_match(chance: random.Random) -> Json:
    method = {}
    if chance.random() < 0.7:
        method["service"] = "a.B"
    if chance.random() < 0.7 or not method:
        method["method"] = "C"
    kind = {"type": "RegularExpression"} if chance.random() < 0.3 else {}
    return {"method": {**kind, **method}} if chance.random() < 0.8 else {}


def _modifier(chance: random.Random, kind: str) -> Json:
    value = "".join(chance.choice(PRINTABLE) for _ in range(chance.randint(1, 9)))
    said = {"set": [{"name": "X-S", "value": value}], "add": [{"name": "x-add", "value": value}], "remove": ["x-r"]}
    chosen = {key: each for key, each in said.items() if chance.random() < 0.6}
    return routed.changed(f"{kind}HeaderModifier", f"{kind.lower()}HeaderModifier", **chosen)


def _to(chance: random.Random) -> Json:
    return routed.to(chance.choice(["web", "next", "gone"]), port=80)


def _backend(chance: random.Random) -> Json:
    made = {**_to(chance), "weight": chance.choice([0, 1, 1_000_000])}
    return {**made, "filters": [_modifier(chance, "Request")]} if chance.random() < 0.3 else made


def test_envoy_accepts_every_configuration(tmp_path: pathlib.Path) -> None:
    """Whatever passes our reading passes ``envoy --mode validate``: hundreds of routes in one process."""
    bootstrap = bootstrap_pb2.Bootstrap()
    made = refused = 0
    for seed in range(MANY):
        chance = random.Random(seed)
        item = chance.choice([anything, anything_grpc])(chance)
        try:
            found = configured([item])
        except errors.InvalidPolicy:
            refused += 1
            continue
        made += 1
        listener = bootstrap.static_resources.listeners.add(name=f"l{seed}")
        listener.address.CopyFrom(http.socket(f"127.{seed // 250}.{seed % 250}.1", 80))
        chain = listener.filter_chains.add()
        chain.filters.append(http.manager(naming.OUTBOUND_STATS, found, http.ClientCert.DROPPED))
    assert made > MANY // 3
    assert refused
    path = tmp_path / "bootstrap.pb"
    path.write_bytes(bootstrap.SerializeToString())
    words = (guard.ENVOY, "--mode", "validate", "--config-path", path, "--component-log-level", "misc:error")
    judged = subprocess.run(words, capture_output=True, text=True, check=False)
    assert 0 == judged.returncode, judged.stderr[-2000:]
