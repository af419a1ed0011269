"""Decisions as Envoy's configuration, as golden files; a small engine shows that they mean the same.

Leaves out generated policies (tests/sim) and a real Envoy (tests/functional).
"""

import pathlib
from typing import Any

import pytest
from google.protobuf import json_format

from injector import annotations
from injector.cluster import model as cluster
from injector.policy import accesslog, match, rbac
from tests.fakes import policies, rbac_engine
from tests.golden import golden

GOLDEN = pathlib.Path(__file__).parents[3] / "golden/injector/policy"
WEB, OTHER = policies.who("web"), policies.who("other")
RULES = [
    {"sources": [policies.account("web"), {"type": "Namespace", "namespace": "ops"}]},
    {"sources": []},
    {"sources": [policies.account("pay", "billing")]},
]
PROBES = (cluster.HttpProbe(port=80, path="/healthz?full=1"),)


def decided(mode: str, *known: Any) -> match.Inbound:
    return match.inbound(known, policies.pod(inbound=annotations.InboundMode(mode), probes=PROBES), 80)


CASES = {
    "open": decided("permissive"),
    "strict": decided("strict"),
    "deny": decided("deny"),
    "rules": decided("permissive", policies.policy(rules=RULES)),
    "anybody-meshed": decided("permissive", policies.policy(rules=[{}])),
    "audit-mode": decided("audit", policies.policy(rules=RULES)),
    "audited-policy": decided("strict", policies.policy(rules=RULES, action="AUDIT")),
}


@pytest.mark.parametrize("name", CASES)
def test_the_configuration_is_as_it_was_read_and_approved(name: str, request: pytest.FixtureRequest) -> None:
    """HTTP and network filter, certificate names and answers of one decision."""
    inbound = CASES[name]
    parts: dict[str, Any] = {"http": rbac.http(inbound), "network": rbac.network(inbound)}
    if rbac.network(inbound) is not None:
        parts["network_for_web"] = rbac.network_for(inbound, WEB)
    if inbound.needs_identity:
        parts["local_reply"] = rbac.local_reply(inbound, identified=False)
    parts |= {f"log_{n}": log for n, log in enumerate(accesslog.of_chain(inbound, http=True, identified=True))}
    text = "".join(f"# {key}\n{_json(part)}\n" for key, part in parts.items())
    golden.check(request, GOLDEN / f"{name}.json.txt", text)


def _json(part: Any) -> str:
    if part is None:
        return "null"
    return json_format.MessageToJson(part, preserving_proto_field_name=True, sort_keys=True)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("who", [None, WEB, OTHER, policies.who("a", "ops"), policies.who("pay", "billing")])
def test_envoy_would_judge_as_match_does(name: str, who: Any) -> None:
    """By the HTTP filter, the network filter, the filter of one identity, and the names in the handshake."""
    inbound = CASES[name]
    verdict = inbound.verdict(who)
    asked = rbac_engine.Request(None if who is None else str(who))
    for config in (rbac.http(inbound), rbac.network(inbound), *([rbac.network_for(inbound, who)] if who else [])):
        assert verdict.allowed is rbac_engine.allowed(config, asked)
        assert verdict.audited is (verdict.allowed and rbac_engine.audited(config, asked))
    names = rbac.client_names(inbound)
    if who is not None and names is not None:
        assert verdict.allowed is any(rbac_engine.named(each, str(who)) for each in names)


def test_a_probe_passes_where_nobody_may() -> None:
    """Over HTTP, without an identity; not for audit either: it is nobody's attempt."""
    for name in ("deny", "rules", "audit-mode"):
        config = rbac.http(CASES[name])
        assert rbac_engine.allowed(config, rbac_engine.Request(None, "GET", "/healthz?x=1"))
        assert not rbac_engine.audited(config, rbac_engine.Request(None, "GET", "/healthz"))
    assert not rbac_engine.allowed(rbac.http(CASES["deny"]), rbac_engine.Request(None, "POST", "/healthz"))


def test_where_nobody_has_a_certificate_tls_alone_opens_nothing() -> None:
    """Envoy takes whoever comes by TLS for authenticated: beside the probe no rule stands there."""
    config = rbac.only((match.Probe("GET", "/healthz"),))
    for who in (None, str(WEB)):
        assert rbac_engine.allowed(config, rbac_engine.Request(who, "GET", "/healthz"))
        assert not rbac_engine.allowed(config, rbac_engine.Request(who, "GET", "/"))


@pytest.mark.parametrize("header", ["content-length", "upgrade"])
def test_nothing_passes_in_the_shadow_of_a_probe(header: str) -> None:
    """A body that the application does not read is its next request."""
    asked = rbac_engine.Request(None, "GET", "/healthz", frozenset({header}))
    assert not rbac_engine.allowed(rbac.http(CASES["deny"]), asked)


def test_nothing_to_refuse_is_no_filter() -> None:
    """An open port costs nothing."""
    assert (None, None, None) == (
        rbac.http(CASES["open"]),
        rbac.network(CASES["open"]),
        rbac.client_names(CASES["open"]),
    )
    assert () == accesslog.of_chain(CASES["open"], http=True, identified=True)


def test_nobody_is_not_anybody() -> None:
    """Envoy takes an empty list of names as "any": what admits nobody is an empty tuple, what admits any is None."""
    assert () == rbac.client_names(CASES["deny"])
    assert () == rbac.client_names(decided("permissive", policies.policy(rules=[{"sources": []}])))
    assert rbac.client_names(CASES["strict"]) is None
    assert rbac.client_names(CASES["anybody-meshed"]) is None


def test_what_is_said_of_others_does_not_touch_the_filter_of_one() -> None:
    """So Envoy keeps the connections of those who are still admitted."""
    both = decided("strict", policies.policy(rules=policies.admitting("web", "other")))
    one = decided("strict", policies.policy(rules=policies.admitting("web")))
    assert rbac.network_for(both, WEB) == rbac.network_for(one, WEB)
    assert rbac.network_for(both, OTHER) != rbac.network_for(one, OTHER)


def test_a_refusal_says_its_reason_by_how_the_client_came() -> None:
    """In the header and in the body."""
    said = {
        (name, identified): rbac.local_reply(CASES[name], identified=identified).mappers[0]
        for name in ("rules", "deny")
        for identified in (True, False)
    }
    assert {
        ("rules", True): "no-rule",
        ("rules", False): "no-identity",
        ("deny", True): "deny-mode",
        ("deny", False): "deny-mode",
    } == {key: mapper.headers_to_add[0].header.value for key, mapper in said.items()}
