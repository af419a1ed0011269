"""A real Envoy refuses whom ``match`` refuses: 403 and a reason over HTTP, a closed connection for bytes.

Leaves out discovery's listeners and what a change of policy cuts: those are made of many chains.
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from injector import annotations
from injector.cluster import model as cluster
from injector.policy import match
from tests.fakes import policies
from tests.scene import guard

WEB, OTHER, OPS = policies.who("web"), policies.who("other"), policies.who("job", "ops")
RULES = [{"sources": [policies.account("web"), {"type": "Namespace", "namespace": "ops"}]}]
PROBES = (cluster.HttpProbe(port=80, path="/healthz?full=1"),)


def decided(mode: str = "permissive", *known: Any) -> match.Inbound:
    return match.inbound(known, policies.pod(inbound=annotations.InboundMode(mode), probes=PROBES), 80)


ENFORCED = decided("permissive", policies.policy(rules=RULES))
AUDITED = decided("audit", policies.policy(rules=RULES))


@contextlib.contextmanager
def guarded(inbound: match.Inbound, directory: pathlib.Path, *, by_name: bool = False) -> Iterator[guard.Guard]:
    with guard.running(inbound, directory, by_name=by_name) as running:
        yield running


@pytest.mark.parametrize("mode", list(annotations.InboundMode))
@pytest.mark.parametrize("known", [[], [policies.policy(rules=RULES)], [policies.policy(rules=RULES, action="AUDIT")]])
def test_every_verdict_is_envoys_too(mode: str, known: list[Any], tmp_path: pathlib.Path) -> None:
    """HTTP and bytes, with each identity and with none."""
    inbound = decided(mode, *known)
    with guarded(inbound, tmp_path) as envoy:
        for who in (None, WEB, OTHER, OPS):
            allowed = inbound.verdict(who).allowed
            assert (200 if allowed else 403) == envoy.request(who).status
            assert allowed is envoy.heard(who, b"hello").endswith(b"hello")


def test_a_refused_request_gets_403_and_the_reason(tmp_path: pathlib.Path) -> None:
    """By what was missing: a rule, or an identity. gRPC gets PERMISSION_DENIED, and the same header."""
    with guarded(ENFORCED, tmp_path) as envoy:
        said = {who: envoy.request(who) for who in (OTHER, None)}
        assert {OTHER: (403, "no-rule"), None: (403, "no-identity")} == {
            who: (response.status, response.headers["x-ipseity-denied"]) for who, response in said.items()
        }
        grpc = envoy.request(OTHER, method="POST", headers={"content-type": "application/grpc"})
        assert (200, "7", "no-rule") == (grpc.status, grpc.headers["grpc-status"], grpc.headers["x-ipseity-denied"])
        assert envoy.request(WEB).headers["x-ipseity-denied"] is None


def test_probes_are_answered_where_nobody_may(tmp_path: pathlib.Path) -> None:
    """Exactly theirs: another path or method is refused, also one that only looks like it."""
    with guarded(decided("deny"), tmp_path) as envoy:
        assert 200 == envoy.request(None, "/healthz?x=1").status
        for path in ("/", "/healthz/", "/healthz/../x", "/HEALTHZ", "//healthz", "/x#/healthz", "/healthz%00"):
            assert envoy.request(None, path).status in {400, 403}
        assert 403 == envoy.request(None, "/healthz", method="POST").status
        for header in ({"content-length": "9"}, {"upgrade": "websocket"}):
            said = {**header, "connection": "upgrade"} if "upgrade" in header else header
            assert 403 == envoy.request(None, "/healthz", headers=said).status


def test_a_refusal_in_the_handshake_keeps_a_server_that_speaks_first_from_being_heard(tmp_path: pathlib.Path) -> None:
    """The network filter alone judges at the client's first byte, which is too late there."""
    with guarded(ENFORCED, tmp_path) as envoy:
        assert guard.GREETING == envoy.heard(OTHER)
    with guarded(ENFORCED, tmp_path, by_name=True) as envoy:
        assert b"" == envoy.heard(OTHER)
        assert [guard.GREETING] * 2 == [envoy.heard(who) for who in (WEB, OPS)]
    (line,) = [json.loads(each) for each in envoy.log.read_text().splitlines() if each.startswith("{")]
    assert ("refused", "certificate", str(OTHER)) == (line["event"], line["reason"], line["source_identity"])


def test_what_is_audited_passes_is_counted_and_leaves_a_line(tmp_path: pathlib.Path) -> None:
    """With who it was and why it would be refused; what would be admitted leaves none."""
    with guarded(AUDITED, tmp_path) as envoy:
        for who in (WEB, OTHER, None):
            assert 200 == envoy.request(who, "/paid?card=1").status
            assert envoy.heard(who, b"hello").endswith(b"hello")
        counted = envoy.stats()
    assert (2, 2) == (counted["http.inbound.rbac.audit.shadow_denied"], counted["inbound.rbac.audit.shadow_denied"])
    lines = [json.loads(line) for line in envoy.log.read_text().splitlines() if line.startswith("{")]
    assert {("audited", "no-rule", str(OTHER)), ("audited", "no-identity", None)} == {
        (line["event"], line["reason"], line["source_identity"]) for line in lines
    }
    assert ["/paid", "/paid"] == [line["path"] for line in lines if "path" in line]
    assert len(lines) == 4


def test_a_refusal_is_counted_and_leaves_a_line(tmp_path: pathlib.Path) -> None:
    """HTTP and bytes."""
    with guarded(ENFORCED, tmp_path) as envoy:
        envoy.request(OTHER)
        envoy.heard(OTHER, b"hello")
        counted = envoy.stats()
    assert (1, 1) == (counted["http.inbound.rbac.denied"], counted["inbound.rbac.denied"])
    lines = [json.loads(line) for line in envoy.log.read_text().splitlines() if line.startswith("{")]
    assert [("refused", "no-rule", str(OTHER), 80)] * 2 == [
        (line["event"], line["reason"], line["source_identity"], line["port"]) for line in lines
    ]


@pytest.mark.parametrize("mode", list(annotations.InboundMode))
@pytest.mark.parametrize("rules", [None, [], [{}], RULES, [{"sources": []}]])
def test_envoy_takes_every_configuration(mode: str, rules: Any, tmp_path: pathlib.Path) -> None:
    """``envoy --mode validate``."""
    known = [] if rules is None else [policies.policy(rules=rules), policies.policy("x", rules, action="AUDIT")]
    assert "" == guard.validate(decided(mode, *known), tmp_path)
