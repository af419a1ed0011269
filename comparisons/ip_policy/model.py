"""NetworkPolicy as values: policies, pods, namespaces, nodes, and who holds which address.

Here so that the evaluator and the compiler read the same words. Everything is immutable and hashable, so that what is
equal need not be computed twice. Leaves out Kubernetes' spelling (``reading``) and every decision (``evaluate``).
"""

import dataclasses
import enum
import functools
import ipaddress
from collections.abc import Iterable, Mapping
from typing import assert_never

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Labels = frozenset[tuple[str, str]]


class Protocol(enum.Enum):
    """What a NetworkPolicy can name."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class Direction(enum.Enum):
    """Of a connection, as the selected pod sees it."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Operator(enum.Enum):
    """Of a requirement on one label."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One of ``matchExpressions``."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def admits(self, labels: Labels) -> bool:
        """Whether these labels satisfy it. NotIn is also satisfied where the label is missing."""
        match self.operator:
            case Operator.IN:
                return any((self.key, value) in labels for value in self.values)
            case Operator.NOT_IN:
                return not any((self.key, value) in labels for value in self.values)
            case Operator.EXISTS:
                return any(key == self.key for key, _ in labels)
            case Operator.DOES_NOT_EXIST:
                return all(key != self.key for key, _ in labels)
            case _:
                assert_never(self.operator)

    def __str__(self) -> str:
        listed = f"({','.join(sorted(self.values))})"
        words = {Operator.IN: f"{self.key} in {listed}", Operator.NOT_IN: f"{self.key} notin {listed}"}
        return words.get(self.operator, self.key if self.operator is Operator.EXISTS else f"!{self.key}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """A LabelSelector. An empty one matches everything."""

    labels: Labels = frozenset()
    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Labels) -> bool:
        """Whether something with these labels is selected."""
        return self.labels <= labels and all(each.admits(labels) for each in self.requirements)

    def __str__(self) -> str:
        """As a query would say it; equal selectors say the same."""
        parts = sorted({*(f"{key}={value}" for key, value in self.labels), *map(str, self.requirements)})
        return ",".join(parts) or "*"


EVERYTHING = Selector()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PodPeer:
    """Pods of some namespaces."""

    namespaces: Selector | None
    """None: the policy's own namespace."""
    pods: Selector = EVERYTHING


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """An ``ipBlock``."""

    cidr: Network
    but: tuple[Network, ...] = ()

    def holds(self, address: Address) -> bool:
        """Whether an address is in it. One of the other family never is."""
        return address in self.cidr and not any(address in each for each in self.but)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """One item of ``ports``: a number, a range, a name, or every port of a protocol."""

    protocol: Protocol
    first: int = 0
    """0: every port, unless there is a name."""
    last: int = 0
    name: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What one rule admits: any of its peers at any of its ports."""

    peers: tuple[PodPeer | Block, ...] = ()
    """Empty: everybody."""
    ports: tuple[Ports, ...] = ()
    """Empty: everything, whatever the protocol."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One NetworkPolicy."""

    namespace: str
    name: str
    pods: Selector
    ingress: tuple[Rule, ...] | None
    """None: it says nothing about ingress. Empty: it admits nobody."""
    egress: tuple[Rule, ...] | None
    version: str = dataclasses.field(default="", compare=False)
    """``metadata.resourceVersion``, so that a delay can be told of the change that it belongs to."""

    def rules(self, direction: Direction) -> tuple[Rule, ...] | None:
        """Return the rules of one direction."""
        return self.ingress if direction is Direction.INGRESS else self.egress

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPort:
    """A port that a pod names."""

    name: str
    protocol: Protocol
    number: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """What policies may know of a pod."""

    uid: str
    namespace: str
    name: str
    labels: Labels
    node: str
    addresses: tuple[Address, ...]
    ports: tuple[ContainerPort, ...] = ()
    host_network: bool = False
    over: bool = False
    """Whether nothing runs in it any more, and its addresses may be somebody else's."""
    leaving: bool = False
    """Whether it is being deleted."""
    created: str = ""
    """RFC 3339 in UTC, so that text order is time order."""
    version: str = dataclasses.field(default="", compare=False)

    @property
    def subject(self) -> bool:
        """Whether policies can select it, and peers mean it: it has addresses, and they are its own."""
        return bool(self.addresses) and not self.host_network and not self.over

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """A namespace."""

    name: str
    labels: Labels
    version: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node."""

    name: str
    addresses: tuple[Address, ...]
    pod_ranges: tuple[Network, ...] = ()
    version: str = dataclasses.field(default="", compare=False)

    @property
    def own(self) -> tuple[Address, ...]:
        """Every address of the node itself: of each range of pods it keeps the first, as host-local IPAM does."""
        return (*self.addresses, *(each.network_address + 1 for each in self.pod_ranges))


NO_LABELS: Labels = frozenset()


@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """Everything that decides, at one moment."""

    pods: Mapping[str, Pod] = dataclasses.field(default_factory=dict)
    """By UID."""
    namespaces: Mapping[str, Namespace] = dataclasses.field(default_factory=dict)
    """By name."""
    policies: tuple[Policy, ...] = ()
    """In the order of their names."""
    nodes: Mapping[str, Node] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def holders(self) -> Mapping[Address, Pod]:
        """Who has which address. Of two that claim one, the one that stays, then the later one: the other is going."""
        found: dict[Address, Pod] = {}
        for pod in sorted(filter(lambda each: each.subject, self.pods.values()), key=_claim):
            found |= dict.fromkeys(pod.addresses, pod)
        return found

    @functools.cached_property
    def node_addresses(self) -> Mapping[Address, Node]:
        """Which node has which address."""
        return {address: node for node in self.nodes.values() for address in node.own}

    def namespace_labels(self, name: str) -> Labels:
        """Return a namespace's labels; none where it was not heard of yet."""
        found = self.namespaces.get(name)
        return NO_LABELS if found is None else found.labels

    def selects(self, policy: Policy, pod: Pod) -> bool:
        """Whether a policy is about a pod."""
        return pod.subject and policy.namespace == pod.namespace and policy.pods.matches(pod.labels)

    def means(self, peer: PodPeer, pod: Pod, home: str) -> bool:
        """Whether a peer of a policy in the namespace ``home`` is this pod, or among others this pod."""
        if peer.namespaces is None:
            there = pod.namespace == home
        else:
            there = pod.namespace in self.namespaces and peer.namespaces.matches(self.namespace_labels(pod.namespace))
        return there and pod.subject and peer.pods.matches(pod.labels)


def _claim(pod: Pod) -> tuple[bool, str, str]:
    return (not pod.leaving, pod.created, pod.uid)


def labels(found: Mapping[str, str] | None) -> Labels:
    """Make labels of what an object says."""
    return frozenset((found or {}).items())


def ordered(policies: Iterable[Policy]) -> tuple[Policy, ...]:
    """Put policies into the order in which they are named."""
    return tuple(sorted(policies, key=lambda each: (each.namespace, each.name)))
