"""The verdict matrix of docs/policy.md, row by row. Leaves out generated policies: tests/sim has an oracle for them."""

from typing import Any

import pytest

from injector import annotations
from injector.cluster import model as cluster
from injector.policy import match
from tests.fakes import policies

WEB, OTHER = policies.who("web"), policies.who("other")
ADMITS_WEB = policies.policy(rules=policies.admitting("web"))
NOBODY = policies.policy(rules=[])
MESHED = policies.policy(rules=[{}])
AUDITED = policies.policy(rules=policies.admitting("web"), action="AUDIT")

Y, A, N = "allowed", "audited", "refused"
MATRIX: list[tuple[str, list[Any], str, str, str]] = [
    # mode, policies, plaintext, web, other
    ("permissive", [], Y, Y, Y),
    ("permissive", [ADMITS_WEB], N, Y, N),
    ("permissive", [NOBODY], N, N, N),
    ("permissive", [MESHED], N, Y, Y),
    ("permissive", [AUDITED], A, Y, A),
    ("strict", [], N, Y, Y),
    ("strict", [ADMITS_WEB], N, Y, N),
    ("strict", [NOBODY], N, N, N),
    ("strict", [MESHED], N, Y, Y),
    ("strict", [AUDITED], N, Y, A),
    ("deny", [], N, N, N),
    ("deny", [ADMITS_WEB], N, Y, N),
    ("deny", [NOBODY], N, N, N),
    ("deny", [MESHED], N, Y, Y),
    ("deny", [AUDITED], N, N, N),
    ("audit", [], A, Y, Y),
    ("audit", [ADMITS_WEB], A, Y, A),
    ("audit", [NOBODY], A, A, A),
    ("audit", [MESHED], A, Y, Y),
    ("audit", [AUDITED], A, Y, A),
]


def word(verdict: match.Verdict) -> str:
    return A if verdict.audited else Y if verdict.allowed else N


@pytest.mark.parametrize(("mode", "known", "plaintext", "web", "other"), MATRIX)
def test_the_matrix_of_the_manual(mode: str, known: list[Any], plaintext: str, web: str, other: str) -> None:
    """Mode by policies by identity."""
    inbound = match.inbound(known, policies.pod(inbound=annotations.InboundMode(mode)), 5432)
    assert (plaintext, web, other) == tuple(word(inbound.verdict(who)) for who in (None, WEB, OTHER))
    assert inbound.needs_identity is (plaintext == N)


@pytest.mark.parametrize(
    ("mode", "known", "who", "reason"),
    [
        ("permissive", [], None, "no-policy"),
        ("permissive", [ADMITS_WEB], None, "no-identity"),
        ("permissive", [ADMITS_WEB], OTHER, "no-rule"),
        ("strict", [], WEB, "meshed"),
        ("strict", [], None, "no-identity"),
        ("deny", [], None, "deny-mode"),
        ("deny", [], WEB, "deny-mode"),
        ("deny", [NOBODY], None, "no-identity"),
        ("audit", [], None, "no-identity"),
        ("audit", [NOBODY], WEB, "no-rule"),
    ],
)
def test_every_verdict_says_why(mode: str, known: list[Any], who: Any, reason: str) -> None:
    """An audited one says why it would be refused."""
    inbound = match.inbound(known, policies.pod(inbound=annotations.InboundMode(mode)), 5432)
    assert reason == inbound.verdict(who).reason


def test_the_rule_that_admits_is_named() -> None:
    """By the policy's name and the rule's number, counted from 1, in the order of names."""
    first = policies.policy("a-first", [{"sources": []}, *policies.admitting("other")])
    verdict = match.inbound([ADMITS_WEB, first], policies.pod(), 5432).verdict(OTHER)
    assert match.Verdict(allowed=True, reason=match.Reason.RULE, policy="shop/a-first", rule=2) == verdict


def test_rules_of_several_policies_add_up() -> None:
    """Any rule of any policy may admit."""
    more = policies.policy("more", policies.admitting("other"))
    inbound = match.inbound([ADMITS_WEB, more], policies.pod(), 5432)
    assert frozenset({WEB, OTHER}) == inbound.admitted([WEB, OTHER, policies.who("third")])


def test_a_policy_closes_the_ports_that_its_rules_do_not_name() -> None:
    """As in GEP-3779: a governed pod admits exactly what rules admit, on every port."""
    known = [policies.policy(rules=policies.admitting("web", ports=[5432]))]
    assert match.inbound(known, policies.pod(), 5432).verdict(WEB).allowed
    assert not match.inbound(known, policies.pod(), 9187).verdict(WEB).allowed
    assert not match.inbound(known, policies.pod(), 9187).verdict(None).allowed


def test_policies_of_other_pods_and_namespaces_have_no_say() -> None:
    """Only what selects the pod governs it."""
    known = [policies.policy(rules=[], app="web")]
    assert match.Admission(default=match.Default.EVERYBODY) == match.inbound(known, policies.pod(), 80).enforced


def test_a_foreign_trust_domain_is_another_identity() -> None:
    """The same namespace and name of another trust domain is not meant by a service account."""
    inbound = match.inbound([ADMITS_WEB], policies.pod(), 5432)
    assert not inbound.verdict(policies.who("web", trust_domain="other.org")).allowed


def test_probes_are_those_of_the_port_and_nothing_beside_them() -> None:
    """Exact method and path; a query does not matter; gRPC is POST."""
    probes = (
        cluster.HttpProbe(port=80, path="/healthz?full=1"),
        cluster.HttpProbe(port=80, path="/grpc.health.v1.Health/Check"),
        cluster.HttpProbe(port=81, path="/other"),
        cluster.HttpProbe(port=80, path="/tls", secured=True),
    )
    inbound = match.inbound([NOBODY], policies.pod(probes=probes), 80)
    assert (match.Probe("GET", "/tls"),) == inbound.secured_probes
    assert not inbound.is_probe("GET", "/tls")
    assert inbound.is_probe("GET", "/healthz")
    assert inbound.is_probe("GET", "/healthz?x=y")
    assert inbound.is_probe("POST", "/grpc.health.v1.Health/Check")
    assert not inbound.is_probe("POST", "/healthz")
    assert not inbound.is_probe("GET", "/healthz/")
    assert not inbound.is_probe("GET", "/other")


def test_an_audited_policy_beside_an_enforced_one_changes_no_verdict() -> None:
    """It can only admit more, so nobody would be refused by it."""
    inbound = match.inbound(
        [ADMITS_WEB, policies.policy("z", policies.admitting("other"), action="AUDIT")], policies.pod(), 1
    )
    assert match.Verdict(allowed=True, reason=match.Reason.RULE, policy="shop/db-clients", rule=1) == inbound.verdict(
        WEB
    )
    assert not inbound.verdict(OTHER).allowed
