"""Which flows an address would have attributed to somebody else, and what the policies in force would have made of it.

The policies are asked twice with ``ip_policy.evaluate``: with the pod that had the address, and with the one that a
look-up named when the flow began. Pure. Leaves out how a look-up goes wrong (``docs/mismatches.md``).
"""

import collections
import dataclasses
import ipaddress
from collections.abc import Iterable, Iterator
from typing import Final, Literal

from comparisons.ip_policy import evaluate, model
from comparisons.observed import flows, history, people, seeing, told

Side = Literal["source", "destination"]
_PEERS: Final = 5
"""How many peers and addresses are named; arbitrary: a page is read by people."""
_GONE: Final = "the labels of a pod that is gone are not known"
_PROTOCOLS: Final = {it.value: it for it in model.Protocol}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All of it."""

    checked: int
    wrong: int
    misnamed: tuple[told.Misnamed, ...]
    judged: int
    unjudged: dict[str, int]
    misjudged: tuple[told.Misjudged, ...]


@dataclasses.dataclass(slots=True, kw_only=True)
class _Group:
    tally: seeing.Tally = dataclasses.field(default_factory=seeing.Tally)
    addresses: set[str] = dataclasses.field(default_factory=set)
    peers: set[str] = dataclasses.field(default_factory=set)


def look(seen: Iterable[flows.Flow], known: people.People) -> Found:
    """Go through all flows."""
    checked = wrong = judged = 0
    names: dict[tuple[Side, str, str, str], _Group] = collections.defaultdict(_Group)
    unjudged: collections.Counter[str] = collections.Counter()
    verdicts: dict[tuple[object, ...], seeing.Tally] = collections.defaultdict(seeing.Tally)
    judge = _Judge(known)
    for it in seen:
        for side, end, other, address in _sides(it):
            said = end.attribution
            checked += bool(said.match)
            if said.match != "mismatch":
                continue
            wrong += 1
            group = names[side, str(end), whom(said), said.mismatch_reason]
            group.tally.add(it)
            group.addresses.add(address)
            group.peers.add(str(other))
            judgement = judge.ask(it, side)
            if isinstance(judgement, str):
                unjudged[judgement] += 1
                continue
            judged += 1
            if judgement is not None:
                outcome, policy, rule, direction = judgement
                port = f"{it.port}/{it.protocol}"
                key = (outcome, str(end), whom(said), str(other), side, port, policy, rule, direction)
                verdicts[*key, said.mismatch_reason].add(it)
    return Found(
        checked=checked,
        wrong=wrong,
        misnamed=tuple(_misnamed(key, group) for key, group in sorted(names.items(), key=_most)),
        judged=judged,
        unjudged=dict(sorted(unjudged.items())),
        misjudged=tuple(
            told.Misjudged(**dict(zip(_JUDGED, key, strict=True)), seen=tally.seen())  # type: ignore[arg-type]  # in the order of the fields
            for key, tally in sorted(verdicts.items(), key=lambda each: tuple(map(str, each[0])), reverse=True)
        ),
    )


def _sides(it: flows.Flow) -> Iterator[tuple[Side, flows.End, flows.End, str]]:
    yield "source", it.source, it.destination, it.source_address
    yield "destination", it.destination, it.source, it.destination_address


_JUDGED: Final = ("outcome", "was", "said", "other", "end", "port", "policy", "rule", "direction", "reason")


def _most(each: tuple[tuple[Side, str, str, str], _Group]) -> tuple[int, tuple[str, ...]]:
    return -max(each[1].tally.intervals.values()), each[0]


def _misnamed(key: tuple[Side, str, str, str], group: _Group) -> told.Misnamed:
    side, was, said, reason = key
    return told.Misnamed(
        end=side,
        was=was,
        said=said,
        reason=reason,
        addresses=_few(group.addresses),
        peers=_few(group.peers),
        seen=group.tally.seen(),
    )


def _few(found: set[str]) -> tuple[str, ...]:
    listed = sorted(found)
    return (*listed[:_PEERS], f"and {len(listed) - _PEERS} more") if len(listed) > _PEERS else tuple(listed)


def whom(said: flows.Attribution) -> str:
    """Say whom a look-up named."""
    if not isinstance(said.ip, flows.Answer):
        return str(said.ip or "nobody")
    if said.ip.kind == "pod":
        name = said.ip.workloads[0].name if said.ip.workloads else said.ip.name
        return f"{said.ip.namespace}/{name}"
    return f"{said.ip.kind} {said.ip.namespace + '/' if said.ip.namespace else ''}{said.ip.name}"


class _Judge:
    """Asks the policies, once for each pair of ends."""

    def __init__(self, known: people.People) -> None:
        self._known = known

    def ask(self, it: flows.Flow, side: Side) -> str | tuple[str, str, int, str] | None:
        """Say outcome, policy, rule and direction; None if both answers are the same; a text if it cannot be told."""
        connection = _connection(it, side)
        if isinstance(connection, str):
            return connection
        at = {"source": str(connection.source), "destination": str(connection.destination)}
        ends: dict[Side, flows.End] = {"source": it.source, "destination": it.destination}
        truth: dict[Side, model.Pod] = {}
        for which, end in ends.items():
            if end.kind == "pod":
                pod = self._known.pod(end, at[which])
                if pod is None:
                    return _GONE
                truth[which] = pod
        belief = {which: pod for which, pod in truth.items() if which != side}
        answer = ends[side].attribution.ip
        if isinstance(answer, flows.Answer) and answer.kind == "pod":
            said = self._known.named(answer.uid, answer.namespace, answer.name, at[side])
            if said is None:
                return _GONE
            belief[side] = said
        return _changed(self._verdict(connection, truth.values()), self._verdict(connection, belief.values()))

    def _verdict(self, connection: evaluate.Connection, pods: Iterable[model.Pod]) -> evaluate.Verdict:
        state = self._known.state
        there = {it.uid: it for it in pods}
        return evaluate.verdict(
            model.State(pods=there, namespaces=state.namespaces, policies=state.policies, nodes=state.nodes), connection
        )


def _connection(it: flows.Flow, side: Side) -> evaluate.Connection | str:
    """Give what a policy's rules would have seen, or why that cannot be told."""
    reasons = {it.destination.attribution.mismatch_reason, getattr(it, side).attribution.mismatch_reason}
    if it.destination.kind == "service" or reasons & history.TRANSLATED:
        return "seen before or after its address was translated"
    if it.port == flows.PROXY_PORT:
        return "the port that was called is hidden by the sidecar"
    try:
        return evaluate.Connection(
            source=ipaddress.ip_address(it.source_address),
            destination=ipaddress.ip_address(it.destination_address),
            protocol=_PROTOCOLS.get(it.protocol),
            port=it.port,
        )
    except ValueError:
        return "the other end is outside, and only its prefix is told"


def _changed(truth: evaluate.Verdict, belief: evaluate.Verdict) -> tuple[str, str, int, str] | None:
    if truth.allowed == belief.allowed:
        return None
    outcome, refusing = ("lets_in", truth) if belief.allowed else ("keeps_out", belief)
    direction = "ingress" if not refusing.ingress.allowed else "egress"
    decision: evaluate.Decision = getattr(belief, direction)
    policy = decision.policy or ", ".join(decision.policies) or str(decision)
    return outcome, policy, decision.rule, direction
