"""AuthorizationPolicy as values: whom it is about, and whom it admits.

The shape is GEP-3779's (Gateway API), under our group, with three additions: ``Namespace`` as a type of source (the GEP
writes it as service account ``*``, which works too), ``portRanges``, and the action ``AUDIT``. Here because matching,
explaining and Envoy's configuration must read an object alike. Leaves out what a policy does (``match``), and which of
several versions counts (``book``).
"""

import dataclasses
import enum
import re
from collections.abc import Mapping
from typing import Any, Final

from injector import names
from injector.policy import document
from ipseity import identity

PLURAL: Final = "authorizationpolicies"
KIND: Final = "AuthorizationPolicy"
VERSION: Final = "v1alpha1"
PATH: Final = f"/apis/{names.GROUP}/{VERSION}/{PLURAL}"
"""All of them, of every namespace."""
ANY_ACCOUNT: Final = "*"

MAX_RULES: Final = 64
MAX_SOURCES: Final = 256
MAX_PORTS: Final = 64
MAX_LABELS: Final = 64
"""Arbitrary, the same as in the schema: far above what a person writes, and they bound Envoy's configuration."""

_NAME: Final = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)"
_LABEL_KEY: Final = re.compile(rf"([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_NAME}")
_LABEL_VALUE: Final = re.compile(rf"{_NAME}?")
"""https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set"""


class Action(enum.StrEnum):
    """What a policy does with those that none of its rules admits."""

    ALLOW = "ALLOW"
    """They are refused."""
    AUDIT = "AUDIT"
    """They are admitted as if the policy were not there, logged and counted."""


class Operator(enum.StrEnum):
    """Of a label selector, as in Kubernetes."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class _SourceType(enum.StrEnum):
    SERVICE_ACCOUNT = "ServiceAccount"
    NAMESPACE = "Namespace"
    SPIFFE = "SPIFFE"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One condition of a selector."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Say whether labels fulfil it; NotIn holds for a label that is missing, as in Kubernetes."""
        match self.operator:
            case Operator.IN:
                return self.key in labels and labels[self.key] in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """One identity, exactly."""

    spiffe_id: identity.SpiffeId

    def holds(self, who: identity.SpiffeId) -> bool:
        """Say whether somebody is meant."""
        return who == self.spiffe_id

    def __str__(self) -> str:
        return str(self.spiffe_id)


@dataclasses.dataclass(frozen=True, slots=True)
class Namespace:
    """Every service account of one namespace."""

    trust_domain: identity.TrustDomain
    name: str

    def holds(self, who: identity.SpiffeId) -> bool:
        """Say whether somebody is meant."""
        return who.trust_domain == self.trust_domain and who.account.namespace == self.name

    @property
    def prefix(self) -> str:
        """What the SPIFFE IDs of all that are meant begin with, and no other."""
        return f"spiffe://{self.trust_domain}/ns/{self.name}/sa/"

    def __str__(self) -> str:
        return f"{self.prefix}*"


Source = Account | Namespace


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Ports:
    """A run of ports, both ends included."""

    first: int
    last: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An alternative: admits whom it means, on the ports that it means."""

    sources: tuple[Source, ...] | None = None
    """None: anybody with an identity. Empty: nobody."""
    ports: tuple[Ports, ...] = ()
    """Empty: every port."""

    def about(self, port: int) -> bool:
        """Say whether it speaks about a port."""
        return not self.ports or any(ports.first <= port <= ports.last for ports in self.ports)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationPolicy:
    """A policy that can be acted on."""

    namespace: str
    name: str
    action: Action
    selector: tuple[Requirement, ...]
    """All must hold for a pod of the policy's namespace to be governed; empty: every pod of it."""
    rules: tuple[Rule, ...]
    """Any may admit; empty: nobody is."""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    def selects(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Say whether it governs a pod."""
        return namespace == self.namespace and all(each.holds(labels) for each in self.selector)


def parse(item: Any, trust_domain: identity.TrustDomain) -> AuthorizationPolicy:
    """Read an object as the API server gives it, of a cluster whose service accounts are in ``trust_domain``.

    Raises errors.InvalidPolicy, which names the place, the value and what is allowed.
    """
    namespace, name = named(item)
    spec = document.Node("spec", item.get("spec")).fields(
        "targetRefs", "action", "enforcementLevel", "rules", required=("targetRefs", "action")
    )
    if "enforcementLevel" in spec:
        spec["enforcementLevel"].spelled(re.compile("Network"), "Network")
    rules = spec["rules"].items(at_most=MAX_RULES) if "rules" in spec else []
    return AuthorizationPolicy(
        namespace=namespace,
        name=name,
        action=spec["action"].choice(Action),
        selector=target(spec["targetRefs"]),
        rules=tuple(_rule(each, trust_domain, namespace) for each in rules),
    )


def named(item: Any) -> tuple[str, str]:
    """Read namespace and name of an object; its other metadata is Kubernetes'. Raises errors.InvalidPolicy."""
    metadata = item.get("metadata") if isinstance(item, dict) else None
    found = metadata if isinstance(metadata, dict) else {}
    namespace = document.Node("metadata.namespace", found.get("namespace"))
    name = document.Node("metadata.name", found.get("name"))
    return (
        namespace.made(_namespace, "the name of a namespace"),
        name.made(lambda text: identity.ServiceAccount("default", text).name, "the name of an object"),
    )


def target(refs: document.Node) -> tuple[Requirement, ...]:
    """Read ``targetRefs``: which pods. Raises errors.InvalidPolicy."""
    (ref,) = refs.items(at_least=1, at_most=1)
    found = ref.fields("group", "kind", "selector", required=("kind", "selector"))
    if "group" in found:
        found["group"].spelled(re.compile("(core)?"), '"" or "core"')
    found["kind"].spelled(re.compile("Pod"), "Pod")
    return _selector(found["selector"])


def _selector(node: document.Node) -> tuple[Requirement, ...]:
    found = node.fields("matchLabels", "matchExpressions")
    labels = found["matchLabels"].pairs(MAX_LABELS) if "matchLabels" in found else []
    expressions = found["matchExpressions"].items(at_most=MAX_LABELS) if "matchExpressions" in found else []
    equal = tuple(
        Requirement(
            key=document.Node(value.path, key).spelled(_LABEL_KEY, "the key of a label"),
            operator=Operator.IN,
            values=frozenset({value.spelled(_LABEL_VALUE, "the value of a label")}),
        )
        for key, value in labels
    )
    return equal + tuple(_requirement(each) for each in expressions)


def _requirement(node: document.Node) -> Requirement:
    found = node.fields("key", "operator", "values", required=("key", "operator"))
    operator = found["operator"].choice(Operator)
    values = found["values"].items(at_most=MAX_LABELS) if "values" in found else []
    if bool(values) != (operator in {Operator.IN, Operator.NOT_IN}):
        node.refuse("values for In and NotIn, and only for them")
    return Requirement(
        key=found["key"].spelled(_LABEL_KEY, "the key of a label"),
        operator=operator,
        values=frozenset(each.spelled(_LABEL_VALUE, "the value of a label") for each in values),
    )


def _rule(node: document.Node, trust_domain: identity.TrustDomain, namespace: str) -> Rule:
    found = node.fields("sources", "networkAttributes")
    sources = None
    if "sources" in found:
        listed = found["sources"].items(at_most=MAX_SOURCES)
        sources = tuple(_source(each, trust_domain, namespace) for each in listed)
    return Rule(sources=sources, ports=_ports(found["networkAttributes"]) if "networkAttributes" in found else ())


def _source(node: document.Node, trust_domain: identity.TrustDomain, namespace: str) -> Source:
    found = node.fields("type", "serviceAccount", "namespace", "spiffe", required=("type",))
    kind = found["type"].choice(_SourceType)
    member = {
        _SourceType.SERVICE_ACCOUNT: "serviceAccount",
        _SourceType.NAMESPACE: "namespace",
        _SourceType.SPIFFE: "spiffe",
    }[kind]
    found = node.fields("type", member, required=(member,))
    match kind:
        case _SourceType.SERVICE_ACCOUNT:
            return _service_account(found[member], trust_domain, namespace)
        case _SourceType.NAMESPACE:
            return Namespace(trust_domain, found[member].made(_namespace, "the name of a namespace"))
        case _SourceType.SPIFFE:
            form = "spiffe://<trust domain>/ns/<namespace>/sa/<service account>"
            return Account(found[member].made(identity.SpiffeId.parse, form))


def _service_account(node: document.Node, trust_domain: identity.TrustDomain, namespace: str) -> Source:
    found = node.fields("namespace", "name", required=("name",))
    if "namespace" in found:
        namespace = found["namespace"].made(_namespace, "the name of a namespace")
    if found["name"].value == ANY_ACCOUNT:
        return Namespace(trust_domain, namespace)
    account = found["name"].made(
        lambda name: identity.ServiceAccount(namespace, name), "the name of a service account, or *"
    )
    return Account(identity.SpiffeId(trust_domain, account))


def _namespace(name: str) -> str:
    return identity.ServiceAccount(name, "default").namespace


def _ports(node: document.Node) -> tuple[Ports, ...]:
    """Read what a rule says of ports; said but empty is refused, since it could mean all or none."""
    found = node.fields("ports", "portRanges")
    ports: list[Ports] = []
    if "ports" in found:
        ports += [Ports(each.port(), each.port()) for each in found["ports"].items(at_least=1, at_most=MAX_PORTS)]
    if "portRanges" in found:
        for each in found["portRanges"].items(at_least=1, at_most=MAX_PORTS):
            run = each.fields("start", "end", required=("start", "end"))
            first = run["start"].port()
            ports.append(Ports(first, run["end"].port(first)))
    return tuple(sorted(set(ports)))
