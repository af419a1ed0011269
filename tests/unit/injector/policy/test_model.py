"""AuthorizationPolicy objects are read strictly. Leaves out what the API server's schema says: ``test_crd``."""

import copy
from typing import Any

import pytest

from injector import errors
from injector.policy import model
from tests.fakes import policies

DOMAIN = policies.TRUST_DOMAIN


def changed(place: tuple[Any, ...], value: Any) -> Any:
    """Give a policy with one value replaced, or removed."""
    item = copy.deepcopy(
        policies.item(
            rules=[
                {
                    "sources": [policies.account("web")],
                    "networkAttributes": {"ports": [5432], "portRanges": [{"start": 8000, "end": 8099}]},
                }
            ]
        )
    )
    inner = item
    for step in place[:-1]:
        inner = inner[step]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return item


def test_a_policy_is_read_whole() -> None:
    """Sources of each type, ports and ranges, a selector with labels and expressions."""
    item = policies.item(
        rules=[
            {
                "sources": [
                    policies.account("web"),
                    policies.account("pay", "billing"),
                    policies.account("*", "tools"),
                    {"type": "Namespace", "namespace": "ops"},
                    {"type": "SPIFFE", "spiffe": "spiffe://other.org/ns/a/sa/b"},
                ],
                "networkAttributes": {"ports": [5432], "portRanges": [{"start": 8000, "end": 8099}]},
            },
            {},
            {"sources": []},
        ]
    )
    selector = item["spec"]["targetRefs"][0]["selector"]
    selector["matchExpressions"] = [{"key": "tier", "operator": "NotIn", "values": ["test"]}]
    assert model.AuthorizationPolicy(
        namespace="shop",
        name="db-clients",
        action=model.Action.ALLOW,
        selector=(
            model.Requirement(key="app", operator=model.Operator.IN, values=frozenset({"db"})),
            model.Requirement(key="tier", operator=model.Operator.NOT_IN, values=frozenset({"test"})),
        ),
        rules=(
            model.Rule(
                sources=(
                    model.Account(policies.who("web")),
                    model.Account(policies.who("pay", "billing")),
                    model.Namespace(DOMAIN, "tools"),
                    model.Namespace(DOMAIN, "ops"),
                    model.Account(policies.who("b", "a", "other.org")),
                ),
                ports=(model.Ports(5432, 5432), model.Ports(8000, 8099)),
            ),
            model.Rule(),
            model.Rule(sources=()),
        ),
    ) == model.parse(item, DOMAIN)


RULE = ("spec", "rules", 0)
REF = ("spec", "targetRefs", 0)
WRONG: list[tuple[tuple[Any, ...], Any, str]] = [
    (("spec",), ..., "spec: null is not allowed; allowed: an object"),
    (("spec", "action"), ..., "spec.action: is required and missing"),
    (("spec", "action"), "DENY", 'spec.action: "DENY" is not allowed; allowed: ALLOW, AUDIT'),
    (("spec", "action"), ["ALLOW"], "spec.action: a list of 1 is not allowed; allowed: ALLOW, AUDIT"),
    (("spec", "enforcementLevel"), "Application", 'spec.enforcementLevel: "Application" is not allowed'),
    (("spec", "selector"), {}, "spec.selector: no such field; there are: targetRefs, action, enforcementLevel, rules"),
    (("spec", "a b"), 1, 'spec["a b"]: no such field'),
    (("spec", "targetRefs"), [], "spec.targetRefs: a list of 0 is not allowed; allowed: a list of exactly 1"),
    ((*REF, "kind"), "Service", 'spec.targetRefs[0].kind: "Service" is not allowed; allowed: Pod'),
    ((*REF, "name"), "db", "spec.targetRefs[0].name: no such field"),
    ((*REF, "group"), "apps", 'spec.targetRefs[0].group: "apps" is not allowed; allowed: "" or "core"'),
    ((*REF, "selector"), ..., "spec.targetRefs[0].selector: is required and missing"),
    ((*REF, "selector"), None, "spec.targetRefs[0].selector: null is not allowed; allowed: an object"),
    ((*REF, "selector", "matchLabels"), {"a b": "c"}, 'selector.matchLabels["a b"]: "a b" is not allowed'),
    ((*REF, "selector", "matchLabels"), {"app": True}, 'matchLabels["app"]: true is not allowed'),
    (
        (*REF, "selector", "matchExpressions"),
        [{"key": "a", "operator": "In"}],
        "matchExpressions[0]: an object of 2 is not allowed; allowed: values for In and NotIn, and only for them",
    ),
    (("spec", "rules"), None, "spec.rules: null is not allowed; allowed: a list of 0 to 64 entries"),
    (("spec", "rules"), [{}] * 65, "spec.rules: a list of 65 is not allowed"),
    ((*RULE, "sources"), None, "spec.rules[0].sources: null is not allowed; allowed: a list of 0 to 256 entries"),
    ((*RULE, "paths"), ["/"], "spec.rules[0].paths: no such field; there are: sources, networkAttributes"),
    (
        (*RULE, "sources", 0, "type"),
        "User",
        'spec.rules[0].sources[0].type: "User" is not allowed; allowed: ServiceAccount, Namespace, SPIFFE',
    ),
    (
        (*RULE, "sources", 0, "type"),
        "Namespace",
        "sources[0].serviceAccount: no such field; there are: type, namespace",
    ),
    ((*RULE, "sources", 0, "namespace"), "a", "sources[0].namespace: no such field; there are: type, serviceAccount"),
    ((*RULE, "sources", 0), {"type": "Namespace", "namespace": "*"}, 'namespace: "*" is not allowed'),
    ((*RULE, "sources", 0), {"type": "SPIFFE", "spiffe": "spiffe://a/b"}, 'spiffe: "spiffe://a/b" is not allowed'),
    ((*RULE, "sources", 0, "serviceAccount", "name"), "we*", 'serviceAccount.name: "we*" is not allowed'),
    ((*RULE, "networkAttributes", "ports"), [], "networkAttributes.ports: a list of 0 is not allowed"),
    ((*RULE, "networkAttributes", "ports"), [True], "ports[0]: true is not allowed; allowed: a number from 1 to 65535"),
    ((*RULE, "networkAttributes", "ports"), ["80"], 'ports[0]: "80" is not allowed'),
    ((*RULE, "networkAttributes", "ports"), [65536], "ports[0]: 65536 is not allowed"),
    (
        (*RULE, "networkAttributes", "portRanges", 0, "end"),
        7999,
        "portRanges[0].end: 7999 is not allowed; allowed: a number from 8000 to 65535",
    ),
    (("metadata", "namespace"), "Shop", 'metadata.namespace: "Shop" is not allowed; allowed: the name of a namespace'),
    (("metadata", "name"), ..., "metadata.name: null is not allowed; allowed: the name of an object"),
]


@pytest.mark.parametrize(("place", "value", "said"), WRONG, ids=[each[2][:60] for each in WRONG])
def test_what_is_wrong_is_named_with_its_place(place: tuple[Any, ...], value: Any, said: str) -> None:
    """The message has the path, the value and what is allowed there; nothing is ignored or guessed."""
    with pytest.raises(errors.InvalidPolicy) as caught:
        model.parse(changed(place, value), DOMAIN)
    assert said in str(caught.value)
    assert caught.value.hint or "null" in said


@pytest.mark.parametrize("item", [None, [], "text", {}, {"metadata": []}, {"metadata": {"name": "a"}}])
def test_what_is_no_policy_at_all_is_refused(item: Any) -> None:
    """Whatever comes is an InvalidPolicy, and no other error."""
    with pytest.raises(errors.InvalidPolicy):
        model.parse(item, DOMAIN)


@pytest.mark.parametrize(
    ("operator", "values", "labels", "holds"),
    [
        ("In", ["a", "b"], {"k": "b"}, True),
        ("In", ["a"], {"k": "c"}, False),
        ("In", ["a"], {}, False),
        ("NotIn", ["a"], {"k": "a"}, False),
        ("NotIn", ["a"], {"k": "b"}, True),
        ("NotIn", ["a"], {}, True),
        ("Exists", [], {"k": ""}, True),
        ("Exists", [], {}, False),
        ("DoesNotExist", [], {}, True),
        ("DoesNotExist", [], {"k": "a"}, False),
    ],
)
def test_a_selector_means_what_kubernetes_means(
    operator: str, values: list[str], labels: dict[str, str], *, holds: bool
) -> None:
    """As apimachinery's labels.Requirement.Matches."""
    requirement = model.Requirement(key="k", operator=model.Operator(operator), values=frozenset(values))
    assert holds is requirement.holds(labels)


def test_a_policy_never_selects_beyond_its_namespace() -> None:
    """An empty selector is every pod, of its own namespace only."""
    everything = policies.policy(app=None)
    assert everything.selects("shop", {})
    assert not everything.selects("shop2", {})


@pytest.mark.parametrize(
    ("who", "meant"),
    [
        (policies.who("a", "tools"), True),
        (policies.who("a", "tools2"), False),
        (policies.who("a", "tool"), False),
        (policies.who("a", "tools", "other.org"), False),
    ],
)
def test_a_namespace_is_the_whole_name(who: Any, *, meant: bool) -> None:
    """No other namespace that begins alike, and none of another trust domain; Envoy's prefix agrees."""
    source = model.Namespace(DOMAIN, "tools")
    assert meant is source.holds(who) is str(who).startswith(source.prefix)
