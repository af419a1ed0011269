"""What the evaluator says beside yes and no: which policy, which rule, and why not.

Whether yes and no are right: ``test_two_readings``.
"""

import ipaddress

from comparisons.ip_policy import evaluate, gathering, model
from tests.fakes import policed_cluster as cast


def verdict(source: str, destination: str, port: int, *more: cast.Json) -> evaluate.Verdict:
    asked = evaluate.Connection(
        source=ipaddress.ip_address(source),
        destination=ipaddress.ip_address(destination),
        protocol=model.Protocol.TCP,
        port=port,
    )
    return evaluate.verdict(gathering.state(cast.objects(*more)), asked)


def test_the_rule_that_admits() -> None:
    """It is named, and so are the policies that isolate."""
    found = verdict("10.7.1.2", "10.7.1.3", 5432, cast.ADMIT_WEB)
    assert found.allowed
    assert ("shop/db-clients", 1, ("shop/db-clients",)) == (
        found.ingress.policy,
        found.ingress.rule,
        found.ingress.policies,
    )
    assert "shop/db-clients, rule 1, admits it" == str(found.ingress)
    assert "no policy isolates the pod" == str(found.egress)


def test_why_not() -> None:
    """Whose rules do not admit it."""
    found = verdict("10.7.2.2", "10.7.1.3", 5432, cast.ADMIT_WEB)
    assert not found.allowed
    assert "no rule of shop/db-clients admits it" == str(found.ingress)


def test_who_is_no_pod() -> None:
    """Another node is nobody in particular; a pod's own node is always let in."""
    assert evaluate.Reason.NO_RULE is verdict("172.30.0.2", "10.7.1.3", 9, cast.ADMIT_WEB).ingress.reason
    assert evaluate.Reason.OWN_NODE is verdict("172.30.0.1", "10.7.1.3", 9, cast.ADMIT_WEB).ingress.reason
    assert evaluate.Reason.OWN_NODE is verdict("10.7.1.1", "10.7.1.3", 9, cast.ADMIT_WEB).ingress.reason
    assert evaluate.Reason.NOT_A_POD is verdict("10.7.1.3", "203.0.113.7", 9, cast.ADMIT_WEB).ingress.reason


def test_itself() -> None:
    """By any of its addresses of one family."""
    assert evaluate.Reason.ITSELF is verdict("fd00:1::3", "fd00:1::3", 9, cast.ADMIT_WEB).ingress.reason


def test_two_pods_claim_an_address() -> None:
    """The one that is being deleted has lost it; else the later one has it; a pod that has ended has none."""
    leaving = cast.pod("shop", "old", "1.9")
    leaving["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:09Z", "creationTimestamp": "2026-01-01T00:00:05Z"}
    older = cast.pod("bank", "older", "1.9")
    older["metadata"]["creationTimestamp"] = "2026-01-01T00:00:01Z"
    newer = cast.pod("bank", "newer", "1.9")
    newer["metadata"]["creationTimestamp"] = "2026-01-01T00:00:02Z"
    ended = cast.pod("bank", "ended", "1.9", phase="Succeeded")
    ended["metadata"]["creationTimestamp"] = "2026-01-01T00:00:07Z"
    address = ipaddress.ip_address("10.7.1.9")
    for order in ([leaving, older, newer, ended], [ended, newer, older, leaving]):
        assert "newer" == gathering.state(cast.objects(*order)).holders[address].name
    assert "old" == gathering.state(cast.objects(leaving, ended)).holders[address].name
    assert address not in gathering.state(cast.objects(ended)).holders


def test_a_pod_whose_containers_have_all_ended_is_over() -> None:
    """If it is being deleted: its sandbox, and address, may be gone before the object is."""
    ended = cast.pod("shop", "old", "1.9", containerStatuses=[{"state": {"terminated": {}}}])
    assert ipaddress.ip_address("10.7.1.9") in gathering.state(cast.objects(ended)).holders
    ended["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert ipaddress.ip_address("10.7.1.9") not in gathering.state(cast.objects(ended)).holders


def test_a_namespace_that_was_not_heard_of() -> None:
    """Its pods are in no namespace that a selector selects, not even by an empty one."""
    stray = cast.pod("new", "web", "1.9")
    everybody = cast.policy("all", {"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {}}]}]})
    assert not verdict("10.7.1.9", "10.7.1.3", 9, stray, everybody).allowed
    assert verdict("10.7.2.2", "10.7.1.3", 9, stray, everybody).allowed
