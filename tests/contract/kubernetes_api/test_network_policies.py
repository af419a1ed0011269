"""NetworkPolicies as objects: what is filled in, what is refused, and how people see them through kubectl.

Leaves out what they do to packets: nobody at the API knows.
"""

import json
from typing import Any

import pytest

from tests.contract.kubernetes_api import cluster
from tests.contract.kubernetes_api import kubectl as kubectl_program

Value = dict[str, Any]


def path(namespace: str) -> str:
    return f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"


def body(spec: Value) -> Value:
    return {"metadata": {"name": "p"}, "spec": spec}


def block(cidr: str, *but: str) -> Value:
    return {"ingress": [{"from": [{"ipBlock": {"cidr": cidr, "except": list(but)}}]}]}


def port(**said: Any) -> Value:
    return {"egress": [{"ports": [said]}]}


FILLED: list[tuple[Value, list[str]]] = [
    ({}, ["Ingress"]),
    ({"ingress": []}, ["Ingress"]),
    ({"egress": []}, ["Ingress"]),
    ({"egress": [{}]}, ["Ingress", "Egress"]),
    ({"policyTypes": ["Egress"]}, ["Egress"]),
]


@pytest.mark.parametrize(("spec", "types"), FILLED, ids=json.dumps)
async def test_policy_types_are_filled_in(api: cluster.Cluster, namespace: str, spec: Value, types: list[str]) -> None:
    """Ingress always, Egress if there is a rule for it, and nothing where they are said."""
    made = await api.create(path(namespace), body({"podSelector": {}, **spec}))
    assert types == made["spec"]["policyTypes"]
    assert 1 == made["metadata"]["generation"]


async def test_protocols_are_filled_in(api: cluster.Cluster, namespace: str) -> None:
    """TCP; and an empty port stays one that matches every port of it."""
    made = await api.create(path(namespace), body({"podSelector": {}, "ingress": [{"ports": [{}, {"port": "web"}]}]}))
    assert [{"protocol": "TCP"}, {"protocol": "TCP", "port": "web"}] == made["spec"]["ingress"][0]["ports"]


async def test_empty_and_missing_peers_are_one(api: cluster.Cluster, namespace: str) -> None:
    """As everywhere in Kubernetes, an empty list is not kept; an empty selector is."""
    rules = [{"from": []}, {"from": [{"namespaceSelector": {}}]}]
    made = await api.create(path(namespace), body({"podSelector": {}, "ingress": rules}))
    assert [{}, {"from": [{"namespaceSelector": {}}]}] == made["spec"]["ingress"]


IMPOSSIBLE: list[tuple[Value, str]] = [
    (block("10.0.0.0"), 'spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.0": must be a valid CIDR value'),
    (block("10.0.0.0/33"), "spec.ingress[0].from[0].ipBlock.cidr: Invalid value"),
    (block("10.0.0.0/8", "11.0.0.0/16"), 'ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset'),
    (block("10.0.0.0/8", "10.0.0.0/8"), 'ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset'),
    (block("10.0.0.0/8", "fd00::/64"), 'ipBlock.except[0]: Invalid value: "fd00::/64": must be a strict subset'),
    (block("10.0.0.0/8", "10.1.0.0"), 'ipBlock.except[0]: Invalid value: "10.1.0.0": must be a valid CIDR value'),
    ({"ingress": [{"from": [{}]}]}, "spec.ingress[0].from[0]: Required value: must specify a peer"),
    (
        {"egress": [{"to": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
        "spec.egress[0].to[0]: Forbidden: may not specify both ipBlock and another peer",
    ),
    (port(port=0), "spec.egress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
    (port(port=80, endPort=79), "endPort: Invalid value: 79: must be greater than or equal to `port`"),
    (port(port=80, endPort=65536), "endPort: Invalid value: 65536: must be between 1 and 65535, inclusive"),
    (port(port="http", endPort=80), "endPort: Invalid value: 80: may not be specified when `port` is non-numeric"),
    (port(endPort=80), "endPort: Invalid value: 80: may not be specified when `port` is not specified"),
    (port(port="a-name-that-is-long"), 'ports[0].port: Invalid value: "a-name-that-is-long": must be no more than 15'),
    (port(port="HTTP"), "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"),
    (port(port="8-0"), "must contain at least one letter (a-z)"),
    (port(port="a--b"), "must not contain consecutive hyphens"),
    (port(port="-a"), "must not begin or end with a hyphen"),
    (
        port(protocol="ICMP"),
        'spec.egress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"',
    ),
    (
        {"policyTypes": ["Both"]},
        'spec.policyTypes[0]: Unsupported value: "Both": supported values: "Egress", "Ingress"',
    ),
    (
        {"policyTypes": ["Ingress", "Egress", "Ingress"]},
        'spec.policyTypes: Invalid value: ["Ingress", "Egress", "Ingress"]: may not specify more than two policyTypes',
    ),
    (
        {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
        "spec.podSelector.matchExpressions[0].values: Required value: must be specified when `operator` is",
    ),
    (
        {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}},
        "spec.podSelector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is",
    ),
    (
        {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}},
        'spec.podSelector.matchExpressions[0].operator: Invalid value: "Like": not a valid selector operator',
    ),
    ({"podSelector": {"matchLabels": {"a b": "c"}}}, 'spec.podSelector.matchLabels: Invalid value: "a b": '),
    ({"podSelector": {"matchLabels": {"a": "b c"}}}, 'spec.podSelector.matchLabels: Invalid value: "b c": '),
]


@pytest.mark.parametrize(("spec", "words"), IMPOSSIBLE, ids=lambda value: json.dumps(value)[:70])
async def test_what_is_refused(api: cluster.Cluster, namespace: str, spec: Value, words: str) -> None:
    """With the field's path and the reason."""
    answer = await api.call("POST", path(namespace), body({"podSelector": {}, **spec}), dryRun="All")
    assert words in answer.refused(422, "Invalid")["message"]


async def test_an_update_is_checked_too(api: cluster.Cluster, namespace: str) -> None:
    """And counted where it changes the spec."""
    await api.create(path(namespace), body({"podSelector": {}}))
    where = f"{path(namespace)}/p"
    answer = await api.call("PUT", where, body({"podSelector": {}, "policyTypes": ["Neither"]}))
    answer.refused(422, "Invalid")
    changed = (await api.call("PUT", where, body({"podSelector": {"matchLabels": {"a": "b"}}}))).expect(200)
    assert 2 == changed["metadata"]["generation"]


async def test_kubectl(kubectl: kubectl_program.Kubectl, namespace: str) -> None:
    """Apply, look by the short name, describe, delete."""
    selector = {
        "matchLabels": {"app": "db"},
        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["b", "a"]}],
    }
    spec = {"podSelector": selector, "ingress": [{"ports": [{"port": 5432, "protocol": "TCP"}]}]}
    manifest = json.dumps({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", **body(spec)})
    assert "networkpolicy.networking.k8s.io/p created\n" == await kubectl("apply", "-f", "-", stdin=manifest)
    assert "networkpolicy.networking.k8s.io/p unchanged\n" == await kubectl("apply", "-f", "-", stdin=manifest)
    shown = (await kubectl("get", "netpol")).splitlines()
    assert ["NAME", "POD-SELECTOR", "AGE"] == shown[0].split()
    assert shown[1].startswith("p      app=db,tier in (a,b)")
    assert "To Port: 5432/TCP" in await kubectl("describe", "netpol", "p")
    assert "deleted" in await kubectl("delete", "netpol", "p")
