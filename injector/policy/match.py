"""The verdict: who is admitted on a port of a pod, by which rule, and whom it would refuse if that were enforced.

Here because Envoy's configuration, ``ipseity authz explain`` and the tests' oracle must mean the same by a policy. The
meaning is one sentence: a pod without policies does what its mode says, and a pod with policies admits exactly whom
their rules admit; an ``AUDIT`` policy and the mode ``audit`` only tell what that would be. Leaves out Envoy (``rbac``)
and ports that never reach the proxy: those are nobody's verdict.
"""

import dataclasses
import enum
from collections.abc import Iterable, Sequence
from typing import Final, assert_never

from injector import annotations, names
from injector.cluster import model as cluster
from injector.policy import model
from ipseity import identity

MAX_PORTS: Final = 64
"""Named ports that are judged singly; the others are treated like those that nobody names."""
UNNAMED: Final = 0
"""Stands for all ports that nobody names: only rules without ports speak about it."""
_GRPC_HEALTH: Final = "/grpc.health.v1.Health/Check"
"""What the kubelet calls for a gRPC probe; gRPC is POST, HTTP probes are GET."""


class Default(enum.Enum):
    """Who is admitted where no policy speaks."""

    EVERYBODY = "everybody"
    """Also without an identity: plaintext."""
    MESHED = "meshed"
    """Anybody who proves an identity."""
    NOBODY = "nobody"


class Reason(enum.StrEnum):
    """Why; the refusals are the values of the header ``x-ipseity-denied``."""

    RULE = "rule"
    """A rule admits."""
    NO_POLICY = "no-policy"
    """Nothing restricts this port."""
    MESHED = "meshed"
    """The mode admits whoever proves an identity."""
    NO_IDENTITY = "no-identity"
    """Refused: plaintext, and an identity is needed."""
    NO_RULE = "no-rule"
    """Refused: policies govern the pod and none of their rules admits."""
    DENY_MODE = "deny-mode"
    """Refused: the mode is ``deny`` and no policy governs the pod."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What happens to a connection."""

    allowed: bool
    audited: bool = False
    """Allowed, but only because what would refuse it is audited and not enforced; ``reason`` is why it would be."""
    reason: Reason
    policy: str = ""
    """``namespace/name`` of the policy whose rule admits."""
    rule: int = 0
    """Number of that rule, from 1 as people count; 0: no rule had a say."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Admits:
    """A rule that speaks about the port."""

    policy: str
    number: int
    sources: tuple[model.Source, ...] | None
    """None: anybody who proves an identity. Empty: nobody."""

    def holds(self, who: identity.SpiffeId) -> bool:
        """Say whether it admits somebody."""
        return self.sources is None or any(source.holds(who) for source in self.sources)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whom a set of policies admits on one port."""

    default: Default
    """Counts only where ``policies`` is empty."""
    policies: tuple[str, ...] = ()
    """Those that govern the pod, whether or not they speak about the port."""
    rules: tuple[Admits, ...] = ()

    @property
    def needs_identity(self) -> bool:
        """Whether plaintext is refused."""
        return bool(self.policies) or self.default is not Default.EVERYBODY

    def verdict(self, who: identity.SpiffeId | None) -> Verdict:
        """Judge one client."""
        if who is None and self.needs_identity:
            return Verdict(allowed=False, reason=self.refusal(identified=False))
        if not self.policies:
            return self._by_default()
        for rule in self.rules:
            if who is not None and rule.holds(who):
                return Verdict(allowed=True, reason=Reason.RULE, policy=rule.policy, rule=rule.number)
        return Verdict(allowed=False, reason=Reason.NO_RULE)

    def refusal(self, *, identified: bool) -> Reason:
        """Give the reason for which somebody is refused here, with a proven identity or without one."""
        if not self.policies and self.default is Default.NOBODY:
            return Reason.DENY_MODE
        return Reason.NO_RULE if identified else Reason.NO_IDENTITY

    def _by_default(self) -> Verdict:
        match self.default:
            case Default.EVERYBODY:
                return Verdict(allowed=True, reason=Reason.NO_POLICY)
            case Default.MESHED:
                return Verdict(allowed=True, reason=Reason.MESHED)
            case Default.NOBODY:
                return Verdict(allowed=False, reason=Reason.DENY_MODE)
        assert_never(self.default)


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Probe:
    """An HTTP request that is answered in every mode, whoever sends it."""

    method: str
    path: str
    """Exactly, without a query."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """All that is decided about one port of one pod."""

    mode: annotations.InboundMode
    port: int
    enforced: Admission
    audited: Admission | None = None
    """Stricter: whom it refuses is admitted, logged and counted. None: nothing is audited."""
    probes: tuple[Probe, ...] = ()
    secured_probes: tuple[Probe, ...] = ()
    """Those that come inside TLS of the application's own."""

    def verdict(self, who: identity.SpiffeId | None) -> Verdict:
        """Judge a client: its proven identity, or None for plaintext. Probes aside: see ``is_probe``."""
        verdict = self.enforced.verdict(who)
        if not verdict.allowed or self.audited is None:
            return verdict
        stricter = self.audited.verdict(who)
        if stricter.allowed:
            return verdict
        return dataclasses.replace(stricter, allowed=True, audited=True)

    def is_probe(self, method: str, path: str) -> bool:
        """Say whether a request is one of the pod's own probes; the query, if any, does not matter."""
        return Probe(method, path.partition("?")[0]) in self.probes

    def admitted(self, identities: Iterable[identity.SpiffeId]) -> frozenset[identity.SpiffeId]:
        """Give those of some identities that are let in, audited or not."""
        return frozenset(who for who in identities if self.enforced.verdict(who).allowed)

    @property
    def needs_identity(self) -> bool:
        """Whether plaintext is refused, probes aside."""
        return self.enforced.needs_identity


def inbound(policies: Sequence[model.AuthorizationPolicy], pod: cluster.Pod, port: int) -> Inbound:
    """Decide about a port of a pod. ``policies`` may be all there are; the order does not matter."""
    governing = sorted(
        (policy for policy in policies if policy.selects(pod.ref.namespace, pod.labels)), key=lambda policy: policy.name
    )
    enforced = [policy for policy in governing if policy.action is model.Action.ALLOW]
    audits = len(enforced) < len(governing)
    default = _default(pod.inbound)
    here = [probe for probe in pod.probes if probe.port == port]
    probes, secured = (
        tuple(sorted({_probe(probe.path) for probe in here if probe.secured is kind})) for kind in (False, True)
    )
    if pod.inbound is annotations.InboundMode.AUDIT:
        return Inbound(
            mode=pod.inbound,
            port=port,
            enforced=Admission(default=Default.EVERYBODY),
            audited=_admission(governing, port, Default.MESHED),
            probes=probes,
            secured_probes=secured,
        )
    return Inbound(
        mode=pod.inbound,
        port=port,
        enforced=_admission(enforced, port, default),
        audited=_admission(governing, port, default) if audits else None,
        probes=probes,
        secured_probes=secured,
    )


def named_ports(
    pod: cluster.Pod, services: Iterable[cluster.Service], governing: Iterable[model.AuthorizationPolicy]
) -> tuple[int, ...]:
    """Give the ports of a pod that somebody has named, but for whole ranges: those first of which most depends on it.

    Without being judged singly a probe fails, a rule does not admit, a Service's protocol is not known; a container's
    port that nothing else speaks of is treated alike with and without.
    """
    targets = (each.target for service in services for each in service.ports)
    numbers = (each if isinstance(each, int) else pod.port_named(each) for each in targets)
    ranges = (ports for each in governing for rule in each.rules for ports in rule.ports)
    ranked = (
        {each.port for each in pod.probes},
        {ports.first for ports in ranges if ports.first == ports.last},
        {number for number in numbers if number is not None},
        {each.port for each in pod.ports if each.protocol == "TCP"},
    )
    ours = {names.OUTBOUND_PORT, names.INBOUND_PORT, names.STATUS_PORT} | pod.skip_inbound_ports
    found = dict.fromkeys(number for rank in ranked for number in sorted(rank) if number not in ours)
    return tuple(found)[:MAX_PORTS]


def _default(mode: annotations.InboundMode) -> Default:
    match mode:
        case annotations.InboundMode.PERMISSIVE | annotations.InboundMode.AUDIT:
            return Default.EVERYBODY
        case annotations.InboundMode.STRICT:
            return Default.MESHED
        case annotations.InboundMode.DENY:
            return Default.NOBODY
    assert_never(mode)


def _admission(policies: Sequence[model.AuthorizationPolicy], port: int, default: Default) -> Admission:
    return Admission(
        default=default,
        policies=tuple(str(policy) for policy in policies),
        rules=tuple(
            Admits(policy=str(policy), number=number, sources=rule.sources)
            for policy in policies
            for number, rule in enumerate(policy.rules, start=1)
            if rule.about(port)
        ),
    )


def _probe(path: str) -> Probe:
    bare = path.partition("?")[0]
    return Probe("POST" if bare == _GRPC_HEALTH else "GET", bare)
