"""Pods, policies and identities of a small shop, as values and as the API server's JSON."""

from typing import Any

from injector import annotations
from injector.cluster import model as cluster
from injector.policy import model
from ipseity import identity

Json = dict[str, Any]
TRUST_DOMAIN = identity.TrustDomain("cluster.local")


def who(name: str, namespace: str = "shop", trust_domain: str = "cluster.local") -> identity.SpiffeId:
    """Give an identity."""
    return identity.SpiffeId(identity.TrustDomain(trust_domain), identity.ServiceAccount(namespace, name))


def pod(name: str = "db", **more: Any) -> cluster.Pod:
    """Give an injected pod of the shop, with a label and a service account called like it."""
    said: Json = {
        "ref": identity.PodRef("shop", name, f"uid-{name}"),
        "account": identity.ServiceAccount("shop", name),
        "labels": {"app": name},
        "addresses": ("10.7.0.2",),
        "meshed": True,
        "workload": f"deployment/{name}",
    }
    return cluster.Pod(**{**said, **more})


def item(  # noqa: PLR0917  # a policy has these parts
    name: str = "db-clients",
    rules: Any = ...,
    action: str = "ALLOW",
    app: str | None = "db",
    generation: int = 1,
    status: Json | None = None,
) -> Json:
    """Give a policy as the API server has it; ``app`` None selects every pod. ``rules`` left out is no rules."""
    selector = {"matchLabels": {"app": app}} if app is not None else {}
    spec: Json = {"targetRefs": [{"group": "", "kind": "Pod", "selector": selector}], "action": action}
    if rules is not ...:
        spec["rules"] = rules
    metadata = {"namespace": "shop", "name": name, "uid": f"uid-{name}", "generation": generation}
    return {
        "apiVersion": "ipseity.io/v1alpha1",
        "kind": "AuthorizationPolicy",
        "metadata": metadata,
        "spec": spec,
        "status": status or {},
    }


def policy(name: str = "db-clients", rules: Any = ..., **more: Any) -> model.AuthorizationPolicy:
    """Give a policy that was read."""
    return model.parse(item(name, rules, **more), TRUST_DOMAIN)


def account(name: str, namespace: str | None = None) -> Json:
    """Give a source: a service account."""
    where = {} if namespace is None else {"namespace": namespace}
    return {"type": "ServiceAccount", "serviceAccount": {**where, "name": name}}


def admitting(*names: str, ports: list[int] | None = None) -> list[Json]:
    """Give rules: one, with these service accounts of the shop."""
    rule: Json = {"sources": [account(name) for name in names]}
    return [{**rule, "networkAttributes": {"ports": ports}} if ports else rule]


def state(*pods: cluster.Pod, services: tuple[cluster.Service, ...] = ()) -> cluster.ClusterState:
    """Give a cluster of these pods."""
    return cluster.ClusterState(
        revision=1,
        trust_domain=TRUST_DOMAIN,
        pods={each.ref: each for each in pods},
        services={each.key: each for each in services},
        addresses={},
        names={},
        behind={},
    )


MODES = tuple(annotations.InboundMode)
