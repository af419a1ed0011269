"""What flows are evidence for: this account called that workload at this port; and what is no evidence, and why.

A name by kernel or handshake is evidence. A name by address is, unless the address is known to have been somebody
else's near the time of the flow: then it may be the other's flow. Pure. Leaves out what is written of it (``writing``).
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Final

from comparisons.observed import flows, history, people, seeing, told

_REUSED: Final = "{end} was named by its address alone, and {address} was also {others} within {minutes:.0f} min of it"


@dataclasses.dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Caller:
    """Who called."""

    namespace: str
    account: str
    kind: str
    workload: str
    """The account's name where the pod is not known."""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.workload}"


@dataclasses.dataclass(slots=True, kw_only=True)
class Grounds:
    """What a rule rests on."""

    tally: seeing.Tally = dataclasses.field(default_factory=seeing.Tally)
    kinds: set[str] = dataclasses.field(default_factory=set)
    misnamed: seeing.Tally = dataclasses.field(default_factory=seeing.Tally)
    """Of these, the flows that an address would have taken for somebody else's."""


@dataclasses.dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Call:
    """What may become a rule."""

    target: people.Group = dataclasses.field(compare=False)
    caller: Caller
    port: int
    protocol: str

    @property
    def where(self) -> str:
        """Port and protocol."""
        return f"{self.port}/{self.protocol}"


@dataclasses.dataclass(slots=True, kw_only=True)
class Evidence:
    """All of it."""

    grounds: dict[people.Group, dict[Call, Grounds]] = dataclasses.field(default_factory=dict)
    refused: dict[tuple[str, str, str, told.Refusal], tuple[seeing.Tally, str]] = dataclasses.field(
        default_factory=dict
    )
    """By caller, target, port and reason: how often, and the words."""

    def refuse(self, it: flows.Flow, reason: told.Refusal, why: str) -> None:
        """Keep what is no evidence."""
        port = f"{it.port}/{it.protocol}" if reason not in {"port_hidden", "behind_service"} else "?"
        key = (str(it.source) if it.source.kind != "unknown" else it.source_address, str(it.destination), port, reason)
        self.refused.setdefault(key, (seeing.Tally(), why))[0].add(it)


def collect(seen: Iterable[flows.Flow], known: people.People, past: history.History) -> Evidence:
    """Weigh all flows. Calls of pods to themselves, and to what is no pod, are nobody's policy."""
    found, hidden = Evidence(), []
    for it in seen:
        if it.within or it.destination.kind not in {"pod", "service"}:
            continue
        if it.port == flows.PROXY_PORT and not it.egress:
            hidden.append(it)
            continue
        refusal = _refusal(it, known, past)
        if refusal is not None:
            found.refuse(it, *refusal)
            continue
        call = _call(it, known)
        grounds = found.grounds.setdefault(call.target, {}).setdefault(call, Grounds())
        grounds.tally.add(it)
        grounds.kinds.add(f"{it.source.evidence}/{it.destination.evidence}")
        if "mismatch" in {it.source.attribution.match, it.destination.attribution.match}:
            grounds.misnamed.add(it)
    _unhide(found, hidden, known)
    _settle(found)
    return found


def _call(it: flows.Flow, known: people.People) -> Call:
    who = known.group(it.source)
    caller = Caller(
        namespace=who.namespace, account=it.source.service_account or "default", kind=who.kind, workload=who.name
    )
    return Call(target=known.group(it.destination), caller=caller, port=it.port, protocol=it.protocol)


def _refusal(it: flows.Flow, known: people.People, past: history.History) -> tuple[told.Refusal, str] | None:
    """Say why a flow is no evidence; None if it is."""
    if not it.went:
        return "only_failed", "no attempt came through"
    if it.destination.kind == "service" or it.destination.attribution.mismatch_reason in {"clusterip", "node_ip"}:
        return "behind_service", "only the caller's node told of it, with the Service's port; the server's node did not"
    pod = known.state.pods.get(it.destination.pod_uid)
    if it.destination.reason == "host_network" or (pod is not None and pod.host_network):
        return "host_network", "the server has its node's network: neither kind of policy governs it"
    return _nobody(it.source) or _reused(it, past)


def _nobody(caller: flows.End) -> tuple[told.Refusal, str] | None:
    if caller.kind == "unknown" or (caller.kind == "pod" and caller.evidence == "none"):
        return "unnamed", f"nobody knows who called ({caller.reason or 'no evidence'})"
    if caller.kind != "pod":
        return "no_identity", f"the caller is no pod ({caller.kind}): it can prove no identity"
    return None


def _reused(it: flows.Flow, past: history.History) -> tuple[told.Refusal, str] | None:
    """Say that a name by address may be somebody else's."""
    for end, address, name in (
        (it.source, it.source_address, "the caller"),
        (it.destination, it.destination_address, "the server"),
    ):
        others = [] if end.proven else past.others(address, end.pod_uid, it.start_s, it.end_s)
        if others:
            words = _REUSED.format(
                end=name, address=address, others=" and ".join(others[:3]), minutes=history.NEAR_S / 60
            )
            return "address_reuse", words
    return None


def _unhide(found: Evidence, hidden: Iterable[flows.Flow], known: people.People) -> None:
    """Of what arrived at a sidecar the caller's node tells the port; if it did not, the port is not known."""
    there = {(target, call.caller) for target, calls in found.grounds.items() for call in calls}
    for it in hidden:
        call = _call(it, known)
        if it.source.kind != "pod" or not it.went:
            found.refuse(it, "no_identity", f"the caller is no pod ({it.source.kind}): it can prove no identity")
        elif (call.target, call.caller) not in there:
            found.refuse(it, "port_hidden", "it arrived at the sidecar, and the caller's node has not told the port")


def _settle(found: Evidence) -> None:
    """Keep of the refused only what rests on nothing else."""
    good: Mapping[tuple[str, str, str], bool] = {
        (str(call.caller), str(target), call.where): True for target, calls in found.grounds.items() for call in calls
    }
    anywhere = collections.Counter((caller, target) for caller, target, _ in good)
    for key in list(found.refused):
        caller, target, port, reason = key
        same = (caller, target, port) in good
        if (same and reason in {"address_reuse", "only_failed"}) or (
            reason in {"behind_service", "port_hidden"} and anywhere[caller, target]
        ):
            del found.refused[key]
