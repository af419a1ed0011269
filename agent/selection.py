"""Which flows somebody wants to see: the filters of ``ipseity observe``, which mean what ``hubble observe`` means.

Here because a filter is a rule on a record, and rules are tested best without a terminal and an agent. Values of one
filter are alternatives; different filters must all hold. Leaves out flags (``cli``) and time (the API has ``since``).
"""

import dataclasses
import ipaddress
import re
from typing import Final, NamedTuple, Self

from agent import flowjson, model, verdicts

_LABEL_PREFIX: Final = "k8s:"
_REQUIREMENT: Final = re.compile(r"(?P<absent>!)?(?P<key>[\w./-]+)\s*(?:(?P<operator>!=|==?)\s*(?P<value>[\w.-]*))?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One term of a label selector."""

    key: str
    value: str | None
    """None: the key alone decides."""
    negated: bool

    def holds(self, labels: dict[str, str]) -> bool:
        """Tell whether the labels meet it."""
        found = labels.get(self.key)
        met = found is not None if self.value is None else found == self.value
        return met is not self.negated


LabelSelector = tuple[Requirement, ...]


def label_selector(text: str) -> LabelSelector:
    """Read ``app=web,tier!=front,!canary``. Raises ValueError."""
    return tuple(_requirement(term.strip()) for term in text.split(","))


def _requirement(term: str) -> Requirement:
    found = _REQUIREMENT.fullmatch(term.removeprefix(_LABEL_PREFIX))
    if found is None or (found["absent"] and found["operator"]):
        raise ValueError(f"{term!r} is no label selector; write app=web, app!=web, app or !app, joined by commas")
    negated = bool(found["absent"]) or found["operator"] == "!="
    return Requirement(key=found["key"], value=found["value"], negated=negated)


def prefix(text: str) -> model.IpNetwork:
    """Read an address or a prefix. Raises ValueError."""
    return ipaddress.ip_network(text, strict=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EndFilter:
    """What one end must be; an empty filter lets everything through."""

    pods: tuple[str, ...] = ()
    """``[namespace/]prefix`` of the pod's name; "shop/" is every pod of shop."""
    namespaces: tuple[str, ...] = ()
    labels: tuple[LabelSelector, ...] = ()
    addresses: tuple[model.IpNetwork, ...] = ()

    def admits(self, end: flowjson.Endpoint, address: str) -> bool:
        """Tell whether the end is wanted."""
        return (
            (not self.pods or any(_is_pod(end, pod) for pod in self.pods))
            and (not self.namespaces or end.namespace in self.namespaces)
            and (not self.labels or self._has_labels(end))
            and (not self.addresses or any(_is_within(address, each) for each in self.addresses))
        )

    def _has_labels(self, end: flowjson.Endpoint) -> bool:
        pairs = (label.removeprefix(_LABEL_PREFIX).partition("=") for label in end.labels)
        labels = {key: value for key, _, value in pairs}
        return any(all(requirement.holds(labels) for requirement in selector) for selector in self.labels)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """All filters of one question."""

    either: EndFilter = EndFilter()
    """One end, whichever, must pass all of these."""
    source: EndFilter = EndFilter()
    destination: EndFilter = EndFilter()
    ports: tuple[int, ...] = ()
    protocols: tuple[str, ...] = ()
    """In lower case."""
    evidence: tuple[model.Evidence, ...] = ()
    """What one of the two names rests on."""
    mismatch: bool = False
    """Whether some answer must have been wrong."""
    reasons: tuple[verdicts.Mismatch, ...] = ()
    """Why; one of them."""
    directions: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()

    def narrowed(self, types: tuple[str, ...]) -> Self:
        """Give the same for these types of records, unless types were asked for."""
        return self if self.types else dataclasses.replace(self, types=types)

    def admits(self, flow: flowjson.Flow) -> bool:
        """Tell whether the flow is wanted."""
        return self._admits_shape(flow) and self._admits_answers(flow) and self._admits_ends(flow)

    def _admits_shape(self, flow: flowjson.Flow) -> bool:
        protocol, ports = transport(flow)
        return (
            (not self.types or flow.type in self.types)
            and (not self.protocols or protocol in self.protocols)
            and (not self.ports or ports.destination_port in self.ports or ports.source_port in self.ports)
            and (not self.directions or flow.traffic_direction.lower() in self.directions)
            and (not self.nodes or flow.node_name in self.nodes)
        )

    def _admits_answers(self, flow: flowjson.Flow) -> bool:
        if not self.mismatch and not self.reasons:
            return True
        wrong = [*disagreements(flow.source), *disagreements(flow.destination)]
        return bool(wrong) and (not self.reasons or any(each.reason in self.reasons for each in wrong))

    def _admits_ends(self, flow: flowjson.Flow) -> bool:
        source, destination = (flow.source, flow.ip.source), (flow.destination, flow.ip.destination)
        return (
            (not self.evidence or flow.source.evidence in self.evidence or flow.destination.evidence in self.evidence)
            and self.source.admits(*source)
            and self.destination.admits(*destination)
            and (self.either.admits(*source) or self.either.admits(*destination))
        )


class Disagreement(NamedTuple):
    """An answer for an end that was wrong."""

    method: str
    said: flowjson.Answer | str
    """``same``, ``nobody`` or who."""
    reason: verdicts.Mismatch


def disagreements(end: flowjson.Endpoint) -> list[Disagreement]:
    """Give the answers for an end that were wrong, that of the look-up when it happened first."""
    found = end.attribution
    if found is None:
        return []
    answers = (
        ("ip", found.ip, found.match, found.mismatch_reason),
        ("ip_read", found.ip_read, found.read_match, found.read_mismatch_reason),
        ("handshake", found.handshake, found.handshake_match, verdicts.Mismatch.UNDETERMINED),
    )
    return [
        Disagreement(method, said or "nobody", reason)
        for method, said, match, reason in answers
        if match is verdicts.Match.DIFFERENT
    ]


def transport(flow: flowjson.Flow) -> tuple[str, flowjson.Ports]:
    """Give a record's protocol in lower case, and its ports."""
    if flow.l4.tcp is not None:
        return "tcp", flow.l4.tcp
    return "udp", flow.l4.udp or flowjson.Ports()


def _is_pod(end: flowjson.Endpoint, wanted: str) -> bool:
    namespace, slash, name = wanted.rpartition("/")
    return end.kind is model.Kind.POD and end.pod_name.startswith(name) and (not slash or end.namespace == namespace)


def _is_within(address: str, wanted: model.IpNetwork) -> bool:
    """Tell whether an address, or the prefix it was collapsed to, lies within the wanted one."""
    if not address:
        return False
    found = ipaddress.ip_network(address)
    if isinstance(found, ipaddress.IPv4Network):
        return isinstance(wanted, ipaddress.IPv4Network) and found.subnet_of(wanted)
    return isinstance(wanted, ipaddress.IPv6Network) and found.subnet_of(wanted)
