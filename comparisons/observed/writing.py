"""The policies that evidence suggests: an AuthorizationPolicy that only audits, and a NetworkPolicy beside it.

Each caller of each rule keeps what it rests on. What cannot be written is refused with the reason. Pure.
"""

import collections
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from comparisons.observed import evidence, people, told

Json = dict[str, Any]
EVIDENCE: Final = "ipseity.io/evidence"
NAME_MAX: Final = 63
_ENDING: Final = "-observed"
RULES_MAX: Final = 64
"""Of an AuthorizationPolicy: its definition in ``deploy/crds``."""
SOURCES_MAX: Final = 256


def suggest(
    found: evidence.Evidence, known: people.People
) -> tuple[tuple[told.Suggestion, ...], tuple[told.Refused, ...]]:
    """Write everything; gives what is suggested, and what is refused."""
    written = []
    refused = [
        told.Refused(caller=caller, target=target, port=port, reason=reason, why=why, seen=tally.seen())
        for (caller, target, port, reason), (tally, why) in found.refused.items()
    ]
    for target, calls in sorted(found.grounds.items(), key=lambda each: (each[0].namespace, each[0].name)):
        selector = known.selector(target)
        if selector is None:
            refused += [
                _refused(call, grounds, "no_label", f"no label tells {target} from others of its namespace")
                for call, grounds in sorted(calls.items())
            ]
            continue
        twice = sum((it.namespace, it.name) == (target.namespace, target.name) for it in found.grounds) > 1
        name = f"{target.name}-{target.kind.lower()}" if twice else target.name
        suggestion, more = _suggestion(target, _called(name), selector, calls, known)
        refused += more
        if suggestion.identity is not None or suggestion.network is not None:
            written.append(suggestion)
    return tuple(written), tuple(sorted(refused, key=lambda it: (it.reason, it.target, it.caller, it.port)))


def _called(name: str) -> str:
    """Name a policy after a workload."""
    return f"{name[: NAME_MAX - len(_ENDING)].rstrip('-.')}{_ENDING}"


def _refused(call: evidence.Call, grounds: evidence.Grounds, reason: told.Refusal, why: str) -> told.Refused:
    return told.Refused(
        caller=str(call.caller),
        target=str(call.target),
        port=call.where,
        reason=reason,
        why=why,
        seen=grounds.tally.seen(),
    )


def _suggestion(
    target: people.Group,
    name: str,
    selector: dict[str, str],
    calls: Mapping[evidence.Call, evidence.Grounds],
    known: people.People,
) -> tuple[told.Suggestion, list[told.Refused]]:
    by_caller: dict[evidence.Caller, list[tuple[evidence.Call, evidence.Grounds]]] = collections.defaultdict(list)
    for call, grounds in sorted(calls.items(), key=lambda each: (each[0].caller, each[0].port, each[0].protocol)):
        by_caller[call.caller].append((call, grounds))
    callers = {caller: _caller(caller, mine) for caller, mine in by_caller.items()}
    refused = [
        _refused(call, grounds, "udp", "UDP passes by every sidecar: only a NetworkPolicy can speak of it")
        for call, grounds in calls.items()
        if call.protocol == "UDP"
    ]
    identity = _identity(target, name, selector, calls, callers)
    if identity is not None and len(identity["spec"]["rules"]) > RULES_MAX:
        why = f"{len(identity['spec']['rules'])} different sets of ports; a policy has at most {RULES_MAX} rules"
        refused += [_refused(call, grounds, "too_many", why) for call, grounds in calls.items()]
        identity = None
    network, unmeant = _network(target, name, selector, calls, callers, known)
    refused += unmeant
    return (
        told.Suggestion(
            namespace=target.namespace,
            workload=target.name,
            kind=target.kind,
            callers=tuple(callers.values()),
            identity=identity,
            network=network,
            notes=tuple(_notes(target, callers, known)),
        ),
        refused,
    )


def _caller(caller: evidence.Caller, mine: Sequence[tuple[evidence.Call, evidence.Grounds]]) -> told.Caller:
    """Put the ports of one caller together."""
    seen = [grounds.tally.seen() for _, grounds in mine]
    return told.Caller(
        namespace=caller.namespace,
        account=caller.account,
        workload=caller.workload,
        ports=tuple(call.where for call, _ in mine),
        evidence=tuple(sorted({kind for _, grounds in mine for kind in grounds.kinds})),
        misnamed=sum(max(grounds.misnamed.intervals.values()) for _, grounds in mine),
        seen=told.Seen(
            flows=sum(it.flows for it in seen),
            connections=sum(it.connections for it in seen),
            first=min(it.first for it in seen),
            last=max(it.last for it in seen),
        ),
    )


def _identity(
    target: people.Group,
    name: str,
    selector: dict[str, str],
    calls: Mapping[evidence.Call, evidence.Grounds],
    callers: Mapping[evidence.Caller, told.Caller],
) -> Json | None:
    """Write the AuthorizationPolicy: a rule for each set of ports, with the accounts that use just these."""
    ports: dict[tuple[str, str], set[int]] = collections.defaultdict(set)
    for call in calls:
        if call.protocol == "TCP":
            ports[call.caller.namespace, call.caller.account].add(call.port)
    rules: dict[tuple[int, ...], list[tuple[str, str]]] = collections.defaultdict(list)
    for account, used in sorted(ports.items()):
        rules[tuple(sorted(used))].append(account)
    if not rules:
        return None
    written = []
    for numbers, accounts in sorted(rules.items()):
        for at in range(0, len(accounts), SOURCES_MAX):
            sources = [_source(target, *each) for each in accounts[at : at + SOURCES_MAX]]
            written.append({"sources": sources, "networkAttributes": {"ports": list(numbers)}})
    return {
        "apiVersion": "ipseity.io/v1alpha1",
        "kind": "AuthorizationPolicy",
        "metadata": _metadata(
            target, name, [it for it in callers.values() if any("/TCP" in port for port in it.ports)]
        ),
        "spec": {
            "targetRefs": [{"kind": "Pod", "selector": {"matchLabels": selector}}],
            "action": "AUDIT",
            "rules": written,
        },
    }


def _source(target: people.Group, namespace: str, account: str) -> Json:
    there = {} if namespace == target.namespace else {"namespace": namespace}
    return {"type": "ServiceAccount", "serviceAccount": {"name": account, **there}}


def _network(  # noqa: PLR0913, PLR0917  # everything that a policy is made of
    target: people.Group,
    name: str,
    selector: dict[str, str],
    calls: Mapping[evidence.Call, evidence.Grounds],
    callers: Mapping[evidence.Caller, told.Caller],
    known: people.People,
) -> tuple[Json | None, list[told.Refused]]:
    """Write the NetworkPolicy: a rule for each caller."""
    rules, refused, meant = [], [], []
    for caller, told_of in callers.items():
        mine = sorted(call for call in calls if call.caller == caller)
        labels = known.selector(people.Group(namespace=caller.namespace, kind=caller.kind, name=caller.workload))
        if labels is None:
            why = f"no label tells {caller} from others of its namespace: the NetworkPolicy leaves it out"
            refused += [_refused(call, calls[call], "no_label", why) for call in mine]
            continue
        peer: Json = {"podSelector": {"matchLabels": labels}}
        if caller.namespace != target.namespace:
            peer["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": caller.namespace}}
        rules.append({"from": [peer], "ports": [{"port": call.port, "protocol": call.protocol} for call in mine]})
        meant.append(told_of)
    if not rules:
        return None, refused
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(target, name, meant),
        "spec": {"podSelector": {"matchLabels": selector}, "policyTypes": ["Ingress"], "ingress": rules},
    }, refused


def _metadata(target: people.Group, name: str, callers: Sequence[told.Caller]) -> Json:
    grounds = [
        {
            "caller": f"{it.namespace}/{it.workload}",
            "ports": list(it.ports),
            "connections": it.seen.connections,
            "flows": it.seen.flows,
            "first": it.seen.first,
            "last": it.seen.last,
            "evidence": list(it.evidence),
        }
        for it in callers
    ]
    return {
        "name": name,
        "namespace": target.namespace,
        "annotations": {EVIDENCE: json.dumps(grounds)},
    }


def _notes(target: people.Group, callers: Mapping[evidence.Caller, told.Caller], known: people.People) -> list[str]:
    """Say what a person should know before enforcing."""
    found = []
    if not known.meshed(target):
        found.append(f"{target} has no sidecar yet: the AuthorizationPolicy governs nothing before it is injected.")
    for caller in callers:
        group = people.Group(namespace=caller.namespace, kind=caller.kind, name=caller.workload)
        others = [name for name in known.sharing(caller.namespace, caller.account) if name != caller.workload]
        if others:
            shared = f"{caller.namespace}/{caller.account}"
            found.append(f"Service account {shared} is also that of {', '.join(others)}: they would be admitted, too.")
        if not known.meshed(group):
            found.append(f"{caller} has no sidecar: it proves no identity, and would be refused once this is ALLOW.")
    return list(dict.fromkeys(found))
