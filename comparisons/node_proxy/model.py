"""Pods that take part, and who may call them, as one node's proxy needs to know it. Pure."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from comparisons.ip_policy import model, reading
from ipseity import identity

Json = Mapping[str, Any]
TAKES_PART: Final = "comparisons.ipseity.io/node-proxy"
"""Annotation of a pod: ``enabled``."""
DOMAIN: Final = identity.TrustDomain("cluster.local")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod that takes part."""

    uid: str
    name: str
    node: str
    account: identity.ServiceAccount
    labels: model.Labels
    address: str
    """Empty until the API has it."""

    @property
    def spiffe_id(self) -> str:
        """Who it is."""
        return spiffe_id(self.account)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Some accounts, at some ports."""

    callers: tuple[str, ...]
    """SPIFFE IDs."""
    ports: tuple[int, ...]
    """Empty: every port."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What of an AuthorizationPolicy a comparison says: pods by labels, callers by service account, ports."""

    namespace: str
    pods: model.Selector
    rules: tuple[Rule, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """All that one node's configuration is made of."""

    local: Sequence[tuple[Pod, pathlib.Path]]
    """Its own pods whose certificate is there, each with its network namespace."""
    everybody: Sequence[Pod]
    policies: Sequence[Policy]
    keys: pathlib.Path
    """A directory for each account below it; see ``folder``."""
    trust: pathlib.Path
    """The anchors."""


def spiffe_id(account: identity.ServiceAccount) -> str:
    """Write who an account is."""
    return str(identity.SpiffeId(DOMAIN, account))


def server_name(who: str) -> str:
    """Give the name that a caller says in the handshake, by which the server finds what concerns it; as sidecars do."""
    return f"{identity.identity_tag(identity.SpiffeId.parse(who)):016x}.ipseity"


def folder(account: identity.ServiceAccount) -> str:
    """Name the directory of an account's key."""
    return f"{account.namespace}.{account.name}"


def pod(it: Json) -> Pod | None:
    """Read a pod; None for one that takes no part or has ended."""
    metadata, spec, status = it["metadata"], it.get("spec") or {}, it.get("status") or {}
    if (metadata.get("annotations") or {}).get(TAKES_PART) != "enabled" or spec.get("hostNetwork"):
        return None
    if status.get("phase") in reading.OVER:
        return None
    return Pod(
        uid=metadata["uid"],
        name=metadata["name"],
        node=spec.get("nodeName") or "",
        account=identity.ServiceAccount(metadata["namespace"], spec.get("serviceAccountName") or "default"),
        labels=model.labels(metadata.get("labels")),
        address=status.get("podIP") or "",
    )


def policy(it: Json) -> Policy:
    """Read an AuthorizationPolicy. ValueError for what this proxy cannot say: a comparison does not ask for it."""
    namespace, spec = it["metadata"]["namespace"], it["spec"]
    if spec["action"] != "ALLOW":
        raise ValueError(f"action {spec['action']!r}: only ALLOW")
    rules = []
    for each in spec.get("rules") or ():
        if "sources" not in each or any(source["type"] != "ServiceAccount" for source in each["sources"]):
            raise ValueError("sources: only service accounts")
        callers = [source["serviceAccount"] for source in each["sources"]]
        accounts = [identity.ServiceAccount(who.get("namespace") or namespace, who["name"]) for who in callers]
        ports = (each.get("networkAttributes") or {}).get("ports") or ()
        rules.append(Rule(callers=tuple(map(spiffe_id, accounts)), ports=tuple(map(int, ports))))
    selector = reading.selector(spec["targetRefs"][0]["selector"])
    return Policy(namespace=namespace, pods=selector, rules=tuple(rules))
