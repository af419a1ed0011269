"""Whether a connection is allowed, and which policy and rule say so.

    evaluate.verdict(state, Connection(source, destination, Protocol.TCP, 8080))

The meaning of NetworkPolicy in one place, as plainly as the Kubernetes documentation says it; what ``rules`` makes of
it for the kernel is tested against this, packet by packet. Pure. Leaves out time: which connections exist already.
"""

import dataclasses
import enum

from comparisons.ip_policy import model


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Who opens it to whom, after any translation of addresses."""

    source: model.Address
    destination: model.Address
    protocol: model.Protocol | None
    """None: another one, such as ICMP, which has no ports."""
    port: int = 0
    """The destination's."""


class Reason(enum.Enum):
    """Why one end does, or does not, let a connection pass."""

    NOT_A_POD = "not a pod"
    ITSELF = "a pod cannot block access to itself"
    OWN_NODE = "traffic of a pod with its own node is always allowed"
    NOT_ISOLATED = "no policy isolates the pod"
    RULE = "a rule admits it"
    NO_RULE = "no rule admits it"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One end's."""

    allowed: bool
    reason: Reason
    policies: tuple[str, ...] = ()
    """Which policies isolate the pod in this direction."""
    policy: str = ""
    """Which of them admits the connection."""
    rule: int = -1
    """By which of its rules; the first is 0."""

    def __str__(self) -> str:
        if self.reason is Reason.RULE:
            return f"{self.policy}, rule {self.rule}, admits it"
        if self.reason is Reason.NO_RULE:
            return f"no rule of {', '.join(self.policies)} admits it"
        return str(self.reason.value)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Both ends must agree."""

    egress: Decision
    ingress: Decision

    @property
    def allowed(self) -> bool:
        """Whether the connection passes."""
        return self.egress.allowed and self.ingress.allowed


def verdict(state: model.State, it: Connection) -> Verdict:
    """Decide about a connection."""
    source, destination = state.holders.get(it.source), state.holders.get(it.destination)
    if source is not None and source is destination:
        itself = Decision(allowed=True, reason=Reason.ITSELF)
        return Verdict(egress=itself, ingress=itself)
    return Verdict(
        egress=_decide(state, model.Direction.EGRESS, source, it),
        ingress=_decide(state, model.Direction.INGRESS, destination, it),
    )


def _decide(state: model.State, direction: model.Direction, pod: model.Pod | None, it: Connection) -> Decision:
    """Decide at the end where this pod is."""
    if pod is None:
        return Decision(allowed=True, reason=Reason.NOT_A_POD)
    other = it.source if direction is model.Direction.INGRESS else it.destination
    node = state.node_addresses.get(other)
    if node is not None and node.name == pod.node:
        return Decision(allowed=True, reason=Reason.OWN_NODE)
    isolating = [each for each in state.policies if each.rules(direction) is not None and state.selects(each, pod)]
    if not isolating:
        return Decision(allowed=True, reason=Reason.NOT_ISOLATED)
    names = tuple(map(str, isolating))
    for policy in isolating:
        for index, rule in enumerate(policy.rules(direction) or ()):
            if _admits(state, policy, rule, other, it):
                return Decision(allowed=True, reason=Reason.RULE, policies=names, policy=str(policy), rule=index)
    return Decision(allowed=False, reason=Reason.NO_RULE, policies=names)


def _admits(state: model.State, policy: model.Policy, rule: model.Rule, other: model.Address, it: Connection) -> bool:
    peer = not rule.peers or any(_is_peer(state, policy, each, other) for each in rule.peers)
    return peer and (not rule.ports or any(_is_port(state, each, it) for each in rule.ports))


def _is_peer(state: model.State, policy: model.Policy, peer: model.PodPeer | model.Block, other: model.Address) -> bool:
    if isinstance(peer, model.Block):
        return peer.holds(other)
    pod = state.holders.get(other)
    return pod is not None and state.means(peer, pod, policy.namespace)


def _is_port(state: model.State, ports: model.Ports, it: Connection) -> bool:
    if ports.protocol is not it.protocol:
        return False
    if ports.name:
        return it.port in named(state.holders.get(it.destination), ports)
    return not ports.first or ports.first <= it.port <= ports.last


def named(pod: model.Pod | None, ports: model.Ports) -> frozenset[int]:
    """Return the numbers that a port's name means at the pod that is connected to."""
    known = () if pod is None else pod.ports
    return frozenset(each.number for each in known if (each.name, each.protocol) == (ports.name, ports.protocol))
