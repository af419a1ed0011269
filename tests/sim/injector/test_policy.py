"""Generated policies, workloads and identities: three judges that must agree, and JSON that must not break the reader.

    oracle     a few lines that read the JSON of the policies by themselves, straight from the manual
    match      the verdict
    Envoy      the RBAC configuration, evaluated

Leaves out a real Envoy (tests/functional) and how an answer is worded. ``--hypothesis-profile thorough`` tries 10,000.
"""

import copy
import itertools
from typing import Any

import hypothesis
from hypothesis import strategies as st

from injector import annotations, errors
from injector.policy import book, match, model, rbac, status
from tests.fakes import policies, rbac_engine

Json = dict[str, Any]
NAMESPACES, NAMES = ("shop", "shop2", "ops"), ("web", "db")
WHO = [policies.who(name, namespace) for namespace in NAMESPACES for name in NAMES]
PORTS = (80, 443, 5432)
APPS = ("web", "db", "cache", "lone")

SOURCE = st.one_of(
    st.builds(policies.account, st.sampled_from([*NAMES, "*"]), st.sampled_from([None, *NAMESPACES])),
    st.builds(lambda name: {"type": "Namespace", "namespace": name}, st.sampled_from(NAMESPACES)),
    st.builds(lambda who: {"type": "SPIFFE", "spiffe": str(who)}, st.sampled_from(WHO)),
)
ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "ports": st.lists(st.sampled_from(PORTS), min_size=1, max_size=2),
        "portRanges": st.just([{"start": 100, "end": 1000}]),
    },
)
RULES = st.lists(
    st.fixed_dictionaries({}, optional={"sources": st.lists(SOURCE, max_size=2), "networkAttributes": ATTRIBUTES}),
    max_size=3,
)
ITEMS = st.lists(
    st.tuples(RULES, st.sampled_from(["ALLOW", "ALLOW", "AUDIT"]), st.sampled_from([None, *APPS])), max_size=4
).map(lambda found: [policies.item(f"p{n}", rules, action, app) for n, (rules, action, app) in enumerate(found)])


def names(source: Json, who: Any) -> bool:
    """Read one source as the manual says it."""
    match source["type"]:
        case "SPIFFE":
            return bool(source["spiffe"] == str(who))
        case "Namespace":
            return bool(source["namespace"] == who.account.namespace)
    said = source["serviceAccount"]
    return said.get("namespace", "shop") == who.account.namespace and said["name"] in {"*", who.account.name}


def speaks(rule: Json, port: int) -> bool:
    """Read the ports of a rule."""
    said = rule.get("networkAttributes", {})
    if not said:
        return True
    return port in said.get("ports", []) or any(
        each["start"] <= port <= each["end"] for each in said.get("portRanges", [])
    )


def refuses(items: list[Json], mode: str, port: int, who: Any) -> bool:
    """Judge by policies as if each were enforced."""
    if not items:
        return mode == "deny" or (who is None and mode != "permissive")
    rules = [rule for item in items for rule in item["spec"].get("rules", []) if speaks(rule, port)]
    return who is None or not any(
        "sources" not in rule or any(names(s, who) for s in rule["sources"]) for rule in rules
    )


def oracle(items: list[Json], app: str, mode: str, port: int, who: Any) -> tuple[bool, bool]:
    """Give (allowed, audited) by brute force."""
    mine = [
        item
        for item in items
        if item["spec"]["targetRefs"][0]["selector"].get("matchLabels", {}).get("app", app) == app
    ]
    enforced = [item for item in mine if item["spec"]["action"] == "ALLOW"]
    if mode == "audit":
        return True, refuses(mine, "strict", port, who)
    if refuses(enforced, mode, port, who):
        return False, False
    return True, len(mine) > len(enforced) and refuses(mine, mode, port, who)


@hypothesis.settings(deadline=None)
@hypothesis.given(ITEMS)
def test_the_matrix_equals_the_oracle_and_envoy_equals_both(items: list[Json]) -> None:
    """Every mode, 4 workloads, 3 ports, 6 identities and plaintext, under whatever policies."""
    known = [model.parse(item, policies.TRUST_DOMAIN) for item in items]
    for mode, app, port in itertools.product(policies.MODES, APPS, PORTS):
        inbound = match.inbound(known, policies.pod(app, inbound=mode), port)
        configs = (rbac.http(inbound), rbac.network(inbound))
        sans = rbac.client_names(inbound)
        for who in (None, *WHO):
            verdict = inbound.verdict(who)
            assert oracle(items, app, mode, port, who) == (verdict.allowed, verdict.audited)
            asked = rbac_engine.Request(None if who is None else str(who))
            for config in configs if who is None else (*configs, rbac.network_for(inbound, who)):
                assert verdict.allowed is rbac_engine.allowed(config, asked)
                assert verdict.audited is (verdict.allowed and rbac_engine.audited(config, asked))
            if who is not None and sans is not None:
                assert verdict.allowed is any(rbac_engine.named(each, str(who)) for each in sans)
        assert {who for who in WHO if inbound.verdict(who).allowed} == inbound.admitted(WHO)


@hypothesis.settings(deadline=None)
@hypothesis.given(ITEMS, st.randoms(use_true_random=False))
def test_the_order_of_policies_does_not_matter(items: list[Json], shuffled: Any) -> None:
    """The configuration is the same object by value, so proxies see no change."""
    known = [model.parse(item, policies.TRUST_DOMAIN) for item in items]
    other = list(known)
    shuffled.shuffle(other)
    for app in APPS:
        assert match.inbound(known, policies.pod(app), 80) == match.inbound(other, policies.pod(app), 80)


WORDS = st.sampled_from(
    ["type", "sources", "rules", "spec", "metadata", "ports", "selector", "kind", "Pod", "ALLOW", "SPIFFE", "name", "*"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=5),
    max_leaves=12,
)


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """Give a policy with something put in place of one of its parts."""
    item: Any = copy.deepcopy(draw(ITEMS.filter(bool))[0])  # what strategies share must stay as it is
    inner = item
    while isinstance(inner, dict | list) and inner:
        key = draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
        if draw(st.integers(0, 3)) == 0 or not isinstance(inner[key], dict | list) or not inner[key]:
            inner[key] = draw(JSON)
            break
        inner = inner[key]
    return item


def refusal(item: Any) -> str:
    """Read an object; gives why it was refused, or the empty text."""
    try:
        model.parse(item, policies.TRUST_DOMAIN)
    except errors.InvalidPolicy as error:
        return str(error)
    return ""


@hypothesis.settings(deadline=None)
@hypothesis.given(JSON | damaged())
def test_whatever_json_comes_is_read_or_refused_with_its_place(item: Any) -> None:
    """Never another error, and a refusal says where, in a line that a person reads."""
    said = refusal(item)
    assert not said or said.startswith(("spec", "metadata"))
    assert len(said) < 600


@hypothesis.settings(deadline=None)
@hypothesis.given(st.lists(damaged() | ITEMS.filter(bool).map(lambda items: items[0]) | JSON, max_size=6), st.data())
def test_a_book_takes_whatever_comes_and_its_status_is_one(stream: list[Any], data: st.DataObject) -> None:
    """Whatever is seen and in whatever order: there is a status for it, and writing it leaves nothing to write."""
    known = book.Book(policies.TRUST_DOMAIN)
    for item in stream:
        known.apply(item)
        if data.draw(st.booleans()):
            known.forget(item)
    pods = [policies.pod(app) for app in APPS]
    entries = list(known.entries.values())
    plan = status.plan(entries, pods, {}, now_s=1.0, now_text="2026-01-01T00:00:00Z")
    assert len(entries) >= len(plan.writes)
    for entry in entries:
        said = status.desired(entry, status.targets(entry.policy, pods), now_text="2026-01-01T00:00:00Z")
        assert said["conditions"][0]["status"] == ("False" if entry.error else "True")
        assert (entry.policy is None) is (entry.origin is book.Origin.NONE)
    assert set(known.policies) == {entry.policy for entry in entries if entry.policy is not None}


def test_modes_are_all_there_are() -> None:
    """The oracle knows each by its word."""
    assert ["permissive", "strict", "deny", "audit"] == list(annotations.InboundMode)
