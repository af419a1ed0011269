"""Why one workload may call another, or may not: the verdict, the rule, the evidence, and what to change.

Here because ``match`` answers with a reason, and people ask about pods: whether they have an identity at all, whether
the port reaches a proxy, which rule admits. Leaves out who is meant by a name (``subjects``), how it is printed
(``commands``), and the network between: a NetworkPolicy may still drop what is allowed here.
"""

import dataclasses
import enum
from collections.abc import Iterable, Sequence
from typing import Final

from injector import annotations, names
from injector.cluster import model as cluster
from injector.policy import match, model, subjects
from ipseity import identity

_MOST_SOURCES: Final = 3
"""Written out in one line."""


class Outcome(enum.StrEnum):
    """The verdict, in one word."""

    ALLOWED = "allowed"
    AUDITED = "audited"
    """Allowed, but logged and counted as what would be refused."""
    DENIED = "denied"


class Cause(enum.StrEnum):
    """What decided; a match.Reason, or that no policy was asked."""

    NOT_INJECTED = "not-injected"
    """The target has no proxy: nobody asks who calls."""
    SKIPPED_PORT = "skipped-port"
    """The target's port does not reach its proxy."""
    PLAINTEXT_REFUSED = "plaintext-refused"
    """The caller's own proxy refuses: nothing proves who is there."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer to one question."""

    outcome: Outcome
    cause: Cause | match.Reason
    source: str
    """``namespace/name`` of the pod or account."""
    source_identity: identity.SpiffeId | None
    """What it proves; None: plaintext."""
    target: str
    target_identity: identity.SpiffeId | None
    """What the caller expects there; None: nothing."""
    port: int
    policy: str
    """``namespace/name`` of what admits, or of what would have to; empty: none has a say."""
    rule: int
    """Of ``policy``, from 1; 0: none."""
    because: str
    """One sentence."""
    evidence: tuple[str, ...]
    """What it rests on, a line each."""
    fix: str
    """What to change so that it is allowed (or no longer audited); empty where it is."""


def explain(
    state: cluster.ClusterState,
    policies: Sequence[model.AuthorizationPolicy],
    source: subjects.Source,
    target: cluster.Pod,
    port: int,
) -> Explanation:
    """Answer for one caller, one pod and one port. ``policies`` are those in force."""
    question = _Question(
        source=source,
        account_id=_account_id(state, source),
        meshed=isinstance(source, identity.SpiffeId) or source.meshed,
        target=target,
        inbound=_inbound(state, policies, target, port),
    )
    beside = _beside_policy(question)
    ruling = beside or _ruling(question)
    return Explanation(
        outcome=ruling.outcome,
        cause=ruling.cause,
        source=question.caller,
        source_identity=question.who,
        target=str(target.ref),
        target_identity=None if beside else cluster.account_id(state.trust_domain, target.account),
        port=port,
        policy=ruling.policy,
        rule=ruling.rule,
        because=ruling.because,
        evidence=_evidence(question),
        fix=ruling.fix,
    )


def _inbound(
    state: cluster.ClusterState, policies: Sequence[model.AuthorizationPolicy], target: cluster.Pod, port: int
) -> match.Inbound:
    """Decide as the target's proxy does: a port that nobody names is one of the others, though a range covers it."""
    governing = [each for each in policies if each.selects(target.ref.namespace, target.labels)]
    named = match.named_ports(target, state.services_of(target), governing)
    decided = match.inbound(governing, target, port if port in named else match.UNNAMED)
    return dataclasses.replace(decided, port=port)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    source: subjects.Source
    account_id: identity.SpiffeId
    """What the caller would prove if it were injected."""
    meshed: bool
    target: cluster.Pod
    inbound: match.Inbound

    @property
    def who(self) -> identity.SpiffeId | None:
        return self.account_id if self.meshed else None

    @property
    def caller(self) -> str:
        return str(self.source.ref if isinstance(self.source, cluster.Pod) else self.source.account)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Ruling:
    outcome: Outcome
    cause: Cause | match.Reason
    because: str
    fix: str = ""
    policy: str = ""
    rule: int = 0


def _ruling(question: _Question) -> _Ruling:
    """Ask the target's proxy."""
    verdict = question.inbound.verdict(question.who)
    audited = question.inbound.audited if verdict.audited else None
    admission = audited or question.inbound.enforced
    policy, rule = verdict.policy, verdict.rule
    if verdict.reason is match.Reason.NO_RULE:
        policy, rule = _nearest(admission)
    outcome = Outcome.AUDITED if verdict.audited else Outcome.ALLOWED if verdict.allowed else Outcome.DENIED
    return _Ruling(
        outcome=outcome,
        cause=verdict.reason,
        because=_because(question, admission, verdict.reason),
        fix="" if outcome is Outcome.ALLOWED else _fix(question, admission),
        policy=policy,
        rule=rule,
    )


def _nearest(admission: match.Admission) -> tuple[str, int]:
    """Give the first rule that speaks of the port, else the first policy; "" where there is none."""
    if admission.rules:
        return admission.rules[0].policy, admission.rules[0].number
    return (admission.policies[0], 0) if admission.policies else ("", 0)


def _account_id(state: cluster.ClusterState, source: subjects.Source) -> identity.SpiffeId:
    return source if isinstance(source, identity.SpiffeId) else cluster.account_id(state.trust_domain, source.account)


def _beside_policy(question: _Question) -> _Ruling | None:
    """Say what happens where the target's proxy is not asked."""
    source, target, port = question.source, question.target, question.inbound.port
    if target.meshed and port not in target.skip_inbound_ports:
        return None
    where = f"port {port} of {target.ref} is skipped" if target.meshed else f"{target.ref} is not injected"
    if isinstance(source, cluster.Pod) and source.meshed and source.outbound is annotations.OutboundMode.STRICT:
        return _Ruling(
            outcome=Outcome.DENIED,
            cause=Cause.PLAINTEXT_REFUSED,
            because=f"{where}, and {names.CONFIG_PREFIX}outbound-policy: strict of {source.ref} refuses plaintext",
            fix=f"take {port} out of its skip-inbound-ports" if target.meshed else f"inject {target.ref}",
        )
    return _Ruling(
        outcome=Outcome.ALLOWED,
        cause=Cause.SKIPPED_PORT if target.meshed else Cause.NOT_INJECTED,
        because=f"{where}: no proxy asks who calls, and nothing is encrypted",
    )


def _because(question: _Question, admission: match.Admission, reason: match.Reason) -> str:
    target, mode = question.target.ref, question.inbound.mode
    match reason:
        case match.Reason.RULE | match.Reason.NO_RULE:
            return f"{target} admits {_admitted(admission, question.inbound.port)}"
        case match.Reason.NO_POLICY:
            return f"{target} admits anybody: no policy governs it and its mode is {mode}"
        case match.Reason.MESHED:
            return f"{target} admits anybody with an identity: its mode is {mode} and no policy governs it"
        case match.Reason.DENY_MODE:
            return f"{target} admits nobody: its mode is {mode} and no policy governs it"
        case match.Reason.NO_IDENTITY:
            why = f"AuthorizationPolicy {admission.policies[0]}" if admission.policies else f"mode {mode}"
            return f"{question.caller} is not injected, so it has no identity, and {target} asks for one ({why})"


def _admitted(admission: match.Admission, port: int) -> str:
    """Name whom the rules admit."""
    if any(rule.sources is None for rule in admission.rules):
        return "anybody with an identity"
    sources = list(dict.fromkeys(str(each) for rule in admission.rules for each in rule.sources or ()))
    if not sources:
        return f"nobody on port {port}"
    more = len(sources) - _MOST_SOURCES
    return ", ".join(sources[:_MOST_SOURCES]) + (f" and {more} more only" if more > 0 else " only")


def _fix(question: _Question, admission: match.Admission) -> str:
    """Say what to change: the least that admits this caller, and nothing that opens more."""
    named = "" if admission.verdict(question.account_id).allowed else _name_it(question, admission)
    if question.meshed:
        return named
    return f"inject {question.caller} ({names.INJECT}: enabled)" + (f", and {named}" if named else "")


def _name_it(question: _Question, admission: match.Admission) -> str:
    account, target = question.account_id.account, question.target.ref
    source = f"ServiceAccount {account.name}"
    if account.namespace != target.namespace:
        source += f" of namespace {account.namespace}"
    policy, rule = _nearest(admission)
    if rule:
        return f"add {source} to the sources of AuthorizationPolicy {policy}, rule {rule}"
    if policy:
        return f"add a rule for port {question.inbound.port} with {source} to AuthorizationPolicy {policy}"
    return f"write an AuthorizationPolicy in {target.namespace} that selects {target.name} and names {source}"


def _evidence(question: _Question) -> tuple[str, ...]:
    target, inbound = question.target, question.inbound
    lines = [
        f"{question.caller} calls as {question.who}" if question.who else f"{question.caller} calls in plaintext",
        f"{target.ref} runs as {target.account}, mode {inbound.mode}",
        *_governing("governed by", inbound.enforced.policies),
    ]
    if inbound.audited is not None:
        lines += _governing("audited, not enforced", set(inbound.audited.policies) - set(inbound.enforced.policies))
    paths = ", ".join(
        [
            *(f"{probe.method} {probe.path}" for probe in inbound.probes),
            *(f"{probe.method} {probe.path} by HTTPS" for probe in inbound.secured_probes),
        ]
    )
    return (*lines, *([f"answered whoever asks: {paths}"] if paths else []))


def _governing(what: str, policies: Iterable[str]) -> list[str]:
    found = sorted(policies)
    return [f"{what} AuthorizationPolicy {', '.join(found)}"] if found else []
