"""Which policies do nothing, and where there are none. Pure.

A rule that no flow needs may be needed tomorrow: it is said beside the period that was looked at.
"""

import collections
import ipaddress
from collections.abc import Iterable, Iterator
from typing import Literal

from comparisons.ip_policy import evaluate, model
from comparisons.observed import flows, history, people, told

_Rule = tuple[str, str, int]
"""Policy, direction, number."""


def idle(seen: Iterable[flows.Flow], known: people.People) -> tuple[told.Idle, ...]:
    """List what does nothing."""
    used = _used(seen, known)
    return tuple(it for policy in known.state.policies for it in _idle(policy, known.state, used))


def _idle(policy: model.Policy, state: model.State, used: set[_Rule]) -> Iterator[told.Idle]:
    if not any(state.selects(policy, pod) for pod in state.pods.values()):
        yield told.Idle(policy=str(policy), what="no_pod", text=str(policy.pods))
        return
    for direction in model.Direction:
        for number, rule in enumerate(policy.rules(direction) or ()):
            what: Literal["no_peer", "no_flow", ""] = ""
            if rule.peers and not any(_means(policy, peer, state) for peer in rule.peers):
                what = "no_peer"
            elif (str(policy), direction.value, number) not in used and not _outside(rule):
                what = "no_flow"
            if what:
                yield told.Idle(
                    policy=str(policy), what=what, direction=direction.value, rule=number, text=_peers(rule)
                )


def _means(policy: model.Policy, peer: model.PodPeer | model.Block, state: model.State) -> bool:
    if isinstance(peer, model.Block):
        return True
    return any(state.means(peer, pod, policy.namespace) for pod in state.pods.values())


def _outside(rule: model.Rule) -> bool:
    """Whether a rule is about addresses: of those outside, flows tell prefixes only."""
    return any(isinstance(peer, model.Block) for peer in rule.peers)


def _peers(rule: model.Rule) -> str:
    """Write peers as a query would."""
    words = []
    for peer in rule.peers:
        if isinstance(peer, model.Block):
            words.append(str(peer.cidr))
        else:
            where = "" if peer.namespaces is None else f" in namespaces {peer.namespaces}"
            words.append(f"pods {peer.pods}{where}")
    return ", ".join(words) or "everybody"


def _used(seen: Iterable[flows.Flow], known: people.People) -> set[_Rule]:
    """Find the rules that flows need: those of true pods, at their own addresses."""
    asked: set[tuple[str, str, str, int]] = set()
    found: set[_Rule] = set()
    for it in seen:
        key = (it.source.pod_uid or it.source_address, it.destination.pod_uid, it.protocol, it.port)
        if it.destination.attribution.mismatch_reason in history.TRANSLATED or key in asked or it.within:
            continue
        asked.add(key)
        for direction, decision in _decisions(it, known):
            if decision.policy:
                found.add((decision.policy, direction, decision.rule))
    return found


def _decisions(it: flows.Flow, known: people.People) -> list[tuple[str, evaluate.Decision]]:
    try:
        source, destination = map(ipaddress.ip_address, (it.source_address, it.destination_address))
    except ValueError:  # outside
        return []
    ends = [
        known.pod(end, address)
        for end, address in ((it.source, it.source_address), (it.destination, it.destination_address))
        if end.kind == "pod"
    ]
    protocol = next((each for each in model.Protocol if each.value == it.protocol), None)
    there = {each.uid: each for each in ends if each is not None}
    state = model.State(
        pods=there, namespaces=known.state.namespaces, policies=known.state.policies, nodes=known.state.nodes
    )
    told_of = evaluate.verdict(
        state, evaluate.Connection(source=source, destination=destination, protocol=protocol, port=it.port)
    )
    return [("egress", told_of.egress), ("ingress", told_of.ingress)]


def bare(seen: Iterable[flows.Flow], known: people.People) -> tuple[told.Bare, ...]:
    """List namespaces that have pods and no policy."""
    governed = {policy.namespace for policy in known.state.policies}
    pods = collections.Counter(pod.namespace for pod in known.state.pods.values() if pod.subject)
    callers: dict[str, set[str]] = collections.defaultdict(set)
    for it in seen:
        if it.destination.kind == "pod" and it.source.namespace != it.destination.namespace and not it.within:
            callers[it.destination.namespace].add(str(it.source))
    return tuple(
        told.Bare(namespace=name, pods=count, callers=tuple(sorted(callers[name])))
        for name, count in sorted(pods.items())
        if name not in governed
    )
