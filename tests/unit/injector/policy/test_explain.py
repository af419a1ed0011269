"""Answers to "may A call B, and why": the sentence, the rule, what to change. Leaves out names: ``test_subjects``."""

from typing import Any

import pytest

from injector import annotations
from injector.cluster import model as cluster
from injector.policy import answer, explain, match
from ipseity import identity
from tests.fakes import policies

CLIENT, DB = policies.pod("client"), policies.pod("db")
BARE = policies.pod("client", meshed=False, labels={})
CLIENTS = policies.policy(rules=policies.admitting("web", ports=[5432]))


def asked(source: Any = CLIENT, target: cluster.Pod = DB, *known: Any, port: int = 5432) -> explain.Explanation:
    return explain.explain(policies.state(CLIENT, target), known, source, target, port)


def test_a_refusal_names_the_rule_whom_it_admits_and_what_to_change() -> None:
    """The sample of the manual."""
    found = asked(CLIENT, DB, CLIENTS)
    assert (explain.Outcome.DENIED, match.Reason.NO_RULE) == (found.outcome, found.cause)
    assert ("shop/db-clients", 1) == (found.policy, found.rule)
    assert found.because == "shop/db admits spiffe://cluster.local/ns/shop/sa/web only"
    assert found.fix == "add ServiceAccount client to the sources of AuthorizationPolicy shop/db-clients, rule 1"
    assert found.evidence == (
        "shop/client calls as spiffe://cluster.local/ns/shop/sa/client",
        "shop/db runs as shop/db, mode permissive",
        "governed by AuthorizationPolicy shop/db-clients",
    )


def test_what_is_allowed_names_the_rule_and_changes_nothing() -> None:
    """By the rule that admits."""
    found = asked(policies.pod("web"), DB, CLIENTS)
    assert (explain.Outcome.ALLOWED, match.Reason.RULE, 1, "") == (found.outcome, found.cause, found.rule, found.fix)
    assert policies.who("db") == found.target_identity


def test_a_port_that_no_rule_names_needs_a_rule() -> None:
    """Not a source in a rule for another port."""
    found = asked(CLIENT, DB, CLIENTS, port=9187)
    assert ("shop/db-clients", 0) == (found.policy, found.rule)
    assert found.because == "shop/db admits nobody on port 9187"
    assert found.fix == "add a rule for port 9187 with ServiceAccount client to AuthorizationPolicy shop/db-clients"


def test_a_range_does_not_open_a_port_that_nobody_names() -> None:
    """The target's proxy knows ports by name only, so the answer must not promise more. The fix names the port."""
    rule = {**policies.admitting("client")[0], "networkAttributes": {"portRanges": [{"start": 8000, "end": 8099}]}}
    ranged = policies.policy(rules=[rule])
    named = policies.pod("db", ports=(cluster.PodPort(name="admin", port=8042),))
    assert explain.Outcome.ALLOWED is asked(CLIENT, named, ranged, port=8042).outcome
    found = asked(CLIENT, DB, ranged, port=8042)
    assert (explain.Outcome.DENIED, 8042) == (found.outcome, found.port)
    assert found.fix == "add a rule for port 8042 with ServiceAccount client to AuthorizationPolicy shop/db-clients"


@pytest.mark.parametrize(
    ("known", "mode", "fix"),
    [
        (
            [CLIENTS],
            "permissive",
            "inject shop/client (ipseity.io/inject: enabled), and add ServiceAccount client to the",
        ),
        ([policies.policy(rules=[{}])], "permissive", "inject shop/client (ipseity.io/inject: enabled)"),
        ([], "strict", "inject shop/client (ipseity.io/inject: enabled)"),
        ([], "deny", "inject shop/client (ipseity.io/inject: enabled), and write an AuthorizationPolicy in shop that"),
    ],
)
def test_plaintext_needs_an_identity_first(known: Any, mode: str, fix: str) -> None:
    """And a rule only where it would still not be admitted."""
    target = policies.pod("db", inbound=annotations.InboundMode(mode))
    found = asked(BARE, target, *known)
    assert (explain.Outcome.DENIED, None) == (found.outcome, found.source_identity)
    assert found.fix.startswith(fix)
    assert "shop/client calls in plaintext" in found.evidence


def test_an_audited_connection_is_allowed_and_says_what_enforcing_it_would_do() -> None:
    """With the policy that is not enforced."""
    found = asked(CLIENT, DB, policies.policy(rules=policies.admitting("web"), action="AUDIT"))
    assert (explain.Outcome.AUDITED, match.Reason.NO_RULE) == (found.outcome, found.cause)
    assert found.fix.startswith("add ServiceAccount client")
    assert "audited, not enforced AuthorizationPolicy shop/db-clients" in found.evidence


def test_a_caller_of_another_namespace_is_named_with_it() -> None:
    """So that what is copied into the policy means the caller."""
    other = policies.pod("job", ref=identity.PodRef("ops", "job", "u"), account=identity.ServiceAccount("ops", "job"))
    assert "ServiceAccount job of namespace ops" in asked(other, DB, CLIENTS).fix


def test_a_target_without_a_proxy_asks_nobody() -> None:
    """Policies for it are not enforced, and the answer says so; nothing is encrypted."""
    found = asked(CLIENT, policies.pod("db", meshed=False), CLIENTS)
    assert (explain.Outcome.ALLOWED, explain.Cause.NOT_INJECTED) == (found.outcome, found.cause)
    assert found.because == "shop/db is not injected: no proxy asks who calls, and nothing is encrypted"
    assert found.target_identity is None
    skipped = asked(CLIENT, policies.pod("db", skip_inbound_ports=frozenset({5432})), CLIENTS)
    assert (explain.Outcome.ALLOWED, explain.Cause.SKIPPED_PORT) == (skipped.outcome, skipped.cause)


def test_a_strict_caller_refuses_plaintext_itself() -> None:
    """Whatever the target would do."""
    strict = policies.pod("client", outbound=annotations.OutboundMode.STRICT)
    found = asked(strict, policies.pod("db", meshed=False))
    assert (explain.Outcome.DENIED, explain.Cause.PLAINTEXT_REFUSED) == (found.outcome, found.cause)
    assert found.fix == "inject shop/db"
    assert explain.Outcome.ALLOWED is asked(strict, DB).outcome


def test_an_identity_may_ask_for_itself() -> None:
    """One that no pod has, or of another cluster."""
    found = asked(policies.who("web"), DB, CLIENTS)
    assert (explain.Outcome.ALLOWED, "shop/web") == (found.outcome, found.source)


def test_many_sources_are_not_all_written_out() -> None:
    """Three, and how many more."""
    many = policies.policy(rules=policies.admitting("a", "b", "c", "d", "e"))
    assert asked(CLIENT, DB, many).because.endswith("sa/c and 2 more only")
    meshed = policies.policy(rules=[{}])
    assert asked(CLIENT, DB, meshed).because == "shop/db admits anybody with an identity"


def test_probes_are_evidence() -> None:
    """What is answered whoever asks."""
    plain, secured = (cluster.HttpProbe(port=5432, path=path, secured=path == "/tls") for path in ("/healthz", "/tls"))
    target = policies.pod("db", probes=(plain, secured))
    assert "answered whoever asks: GET /healthz, GET /tls by HTTPS" in asked(CLIENT, target, CLIENTS).evidence


def test_the_answer_for_people_is_short_and_says_it_once() -> None:
    """Pods of one workload with one answer are one; colour only where it is wanted."""
    account = identity.ServiceAccount("shop", "db")
    pods = [policies.pod(f"db-{n}", labels={"app": "db"}, account=account) for n in (1, 2, 3)]
    found = [asked(CLIENT, pod, CLIENTS) for pod in pods]
    rule = "(AuthorizationPolicy shop/db-clients, rule 1)"
    assert [
        f"DENIED   shop/db-1 admits spiffe://cluster.local/ns/shop/sa/web only   {rule}",
        "         shop/client -> shop/db-1, port 5432, and 2 more alike",
        "         shop/client calls as spiffe://cluster.local/ns/shop/sa/client",
        "         shop/db-1 runs as shop/db, mode permissive",
        "         governed by AuthorizationPolicy shop/db-clients",
        "         to allow: add ServiceAccount client to the sources of AuthorizationPolicy shop/db-clients,",
        "           rule 1",
    ] == answer.lines(found, width=100, colour=False)
    assert answer.lines(found[:1], width=100, colour=True)[0].startswith("\x1b[31mDENIED")
