"""A small cluster with policies, as the API server has it: shop/web and shop/db on node-a, bank/web on node-b."""

from typing import Any

Json = dict[str, Any]


def node(name: str, number: int) -> Json:
    return {
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {"podCIDRs": [f"10.7.{number}.0/24", f"fd00:{number}::/64"]},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": f"172.30.0.{number}"},
                {"type": "Hostname", "address": name},
            ]
        },
    }


def pod(namespace: str, name: str, number: str, **said: Any) -> Json:
    """Give a pod; ``number`` is the end of its addresses: ``1.2`` is 10.7.1.2 and fd00:1::2, on node-a."""
    net, _, host = number.partition(".")
    return {
        "kind": "Pod",
        "metadata": {"uid": f"uid-{namespace}-{name}", "namespace": namespace, "name": name, "labels": {"app": name}},
        "spec": {"nodeName": {"1": "node-a", "2": "node-b"}[net], "containers": said.pop("containers", [])},
        "status": {"phase": "Running", "podIPs": [{"ip": f"10.7.{number}"}, {"ip": f"fd00:{net}::{host}"}], **said},
    }


def policy(name: str, spec: Json, namespace: str = "shop") -> Json:
    return {"kind": "NetworkPolicy", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def objects(*more: Json) -> list[Json]:
    """Give the cluster, and what a test adds."""
    port = {"name": "http", "containerPort": 8080}
    return [
        node("node-a", 1),
        node("node-b", 2),
        {"kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "shop"}}},
        {"kind": "Namespace", "metadata": {"name": "bank", "labels": {"team": "bank"}}},
        pod("shop", "web", "1.2", containers=[{"name": "c", "ports": [port]}]),
        pod("shop", "db", "1.3"),
        pod("bank", "web", "2.2"),
        *more,
    ]


ADMIT_WEB = policy(
    "db-clients",
    {
        "podSelector": {"matchLabels": {"app": "db"}},
        "ingress": [
            {"from": [{"namespaceSelector": {"matchLabels": {"team": "bank"}}}], "ports": [{"port": 9}]},
            {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": 5432}]},
        ],
    },
)
