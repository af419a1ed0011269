"""The ledger of differences: what each kind of evidence says of an end, and why a look-up by address is wrong.

Here because this is the product's other half: that kernel and handshake know who it is says little as long as nobody
knows how often the address would have said something else. Checked is only what the kernel or the handshake knows and
of which the API tells; all else is unchecked. The reason follows from evidence (who claimed the address when, how that
ended, what kind of address it is, who opened); where that is not there yet the verdict is ``pending``, and where it
never comes it is ``undetermined``. Pure. Leaves out the look-up (``iplookup``) and adding up (``differences``).
"""

from collections.abc import Sequence
from typing import NamedTuple

from agent import iplookup, model, ownership, verdicts
from agent.verdicts import Mismatch

_SAME = verdicts.Verdict(verdicts.Match.SAME)
_UNCHECKED = verdicts.Verdict()


class Subject(NamedTuple):
    """One end of a flow, to be looked at from all sides."""

    address: model.IpAddress
    opener: bool
    """Whether this end opened the flow."""
    at_boot_ns: int
    """When what is told of it began."""
    read_boot_ns: int
    """When it was read."""
    here: model.End | None = None
    """The end on this node, where that is the other one."""


class Answers(NamedTuple):
    """Who it is, by the evidence that can be trusted."""

    kernel: model.Who | None = None
    """By its socket, if that is on this node."""
    handshake: model.Who | None = None


class Ledger:
    """Judges ends, one by one."""

    def __init__(self, owners: ownership.Ownership, lookup: iplookup.IpLookup) -> None:
        self.heard_from_ns: int | None = None
        """When the API's lists had been read; None: not yet. A look-up of a moment before it cannot be blamed."""
        self._silent_from_ns = self._silent_to_ns = 0
        """When the API was out of reach last; up to ``FOREVER_NS`` while it is."""
        self._owners = owners
        self._lookup = lookup

    def listen(self, silent_since_ns: int | None, now_ns: int) -> None:
        """Take that the API is out of reach since then; None: it is not."""
        if silent_since_ns is not None:
            self._silent_from_ns, self._silent_to_ns = silent_since_ns, iplookup.FOREVER_NS
        elif self._silent_to_ns == iplookup.FOREVER_NS:
            self._silent_to_ns = now_ns

    def views(self, of: Subject, answers: Answers) -> model.Views | None:
        """Give every answer, and a verdict on each; None where there is none but the end's own."""
        kernel, handshake = answers
        claim, later = self._lookup.at_both(of.address, of.at_boot_ns, of.read_boot_ns)
        says = claim is not None or later is not None or self._speaks_of(of.address)
        if not says and handshake is None:
            return None
        said = _of_claim(claim) if says else None
        said_later = said if later is claim or not says else _of_claim(later)
        truth = kernel or handshake
        if truth is None or self.heard_from_ns is None:
            return model.Views(kernel, handshake, said, said_later)
        proof = _UNCHECKED
        if kernel is not None and handshake is not None:
            same = _agree(kernel, handshake)
            proof = _SAME if same else verdicts.Verdict(verdicts.Match.DIFFERENT, Mismatch.UNDETERMINED)
        if not says:
            return model.Views(kernel, handshake, judged=verdicts.Verdicts(handshake=proof))
        case = _Case(of, truth, by_kernel=kernel is not None)
        first, waits = self._verdict(case, claim, of.at_boot_ns)
        agrees = later is claim and first.match is verdicts.Match.SAME
        second, waits_too = (first, False) if agrees else self._verdict(case, later, of.read_boot_ns)
        judged = verdicts.Verdicts(first, second, proof)
        return model.Views(kernel, handshake, said, said_later, judged, waits or waits_too)

    def _speaks_of(self, ip: model.IpAddress) -> bool:
        """Whether the API tells of such addresses at all."""
        private = ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast
        return not private and self._lookup.knows(ip)

    def _verdict(self, case: "_Case", claim: iplookup.Claim | None, at_ns: int) -> tuple[verdicts.Verdict, bool]:
        """Hold one look-up against who it was; True if more evidence may come."""
        if self.heard_from_ns is None or at_ns < self.heard_from_ns:
            return _UNCHECKED, False  # nobody listened then
        if claim is None and not (case.truth.kind is model.Kind.POD and (self._lookup.whole or case.by_kernel)):
            return _UNCHECKED, False  # it names nobody, and was not told of such
        if claim is not None and _names(claim.owner, case.truth):
            return _SAME, False
        reason, waits = self._reason(case, claim, at_ns)
        return verdicts.Verdict(verdicts.Match.DIFFERENT, reason), waits

    def _reason(  # a decision table, one row a line
        self, case: "_Case", claim: iplookup.Claim | None, at_ns: int
    ) -> tuple[Mismatch, bool]:
        truth = case.truth
        pod = self._owners.pod(truth.uid) if truth.uid else None
        if not case.by_kernel:
            return self._on_the_way(case, pod, claim, at_ns)
        if truth.kind is not model.Kind.POD:
            return Mismatch.UNDETERMINED, False
        if pod is None and self._is_silent(at_ns):
            return Mismatch.LATE_EVENT if claim is None else Mismatch.STALE_CACHE, False
        if pod is None:
            return Mismatch.UNKNOWN_CGROUP, False
        if pod.host_network:
            return Mismatch.HOST_NETWORK, False
        # Its own socket has the address, so the address is its own.
        return self._changed_hands(case, claim, at_ns)

    def _on_the_way(  # noqa: PLR0911  # a decision table, one row a line
        self, case: "_Case", pod: model.Pod | None, claim: iplookup.Claim | None, at_ns: int
    ) -> tuple[Mismatch, bool]:
        """Find the reason where the handshake tells who it is: the address may be anybody's who stands between."""
        of, truth, here = case.of, case.truth, case.of.here
        owner = claim.owner if claim is not None else None
        if not of.opener and here is not None and here.mesh is not None and here.pod_uid == truth.uid:
            return Mismatch.SIDECAR, False
        if isinstance(owner, model.Service) and not of.opener:
            return Mismatch.CLUSTERIP, False
        if pod is None:
            return Mismatch.UNDETERMINED, False  # whether it has an address of its own is not known
        if any(each.owner.uid == truth.uid for each in self._lookup.history(of.address)):
            return self._changed_hands(case, claim, at_ns)
        if pod.host_network and (owner is None or (isinstance(owner, model.Node) and owner.name == pod.node)):
            return Mismatch.HOST_NETWORK, False
        has_other = pod.host_network or _has_other(pod, of.address)
        if of.opener and has_other:
            return Mismatch.SNAT, False
        if isinstance(owner, model.Node):
            return Mismatch.UNDETERMINED if of.opener else Mismatch.NODE_IP, False
        # A pod that has not told its address yet may be the one that has this one.
        stale = claim is not None and not has_other and self._is_silent(at_ns)
        return Mismatch.STALE_CACHE if stale else Mismatch.UNDETERMINED, not has_other

    def _changed_hands(self, case: "_Case", claim: iplookup.Claim | None, at_ns: int) -> tuple[Mismatch, bool]:
        """Find why an address's owner is not named: it was another's before, or is since, or nobody was told."""
        if claim is None:
            return Mismatch.LATE_EVENT, False
        if not isinstance(claim.owner, model.Pod):
            return Mismatch.UNDETERMINED, False
        mine = [each for each in self._lookup.history(case.of.address) if each.owner.uid == case.truth.uid]
        if claim.from_ns > case.of.at_boot_ns:
            return Mismatch.IP_REUSED, False  # told since: the next owner, or one before of whom the news came late
        if _was_out_of_reach(claim, mine, at_ns):
            return Mismatch.STALE_CACHE, False
        if claim.ending is iplookup.Ending.TERMINAL:
            return Mismatch.TERMINAL_POD_KEPT_IP, False
        # How the former owner ended may be told in a moment, unless nothing can be heard.
        waits = claim.ending is iplookup.Ending.NOT
        return Mismatch.STALE_CACHE if waits and self._is_silent(at_ns) else Mismatch.IP_REUSED, waits

    def _is_silent(self, at_ns: int) -> bool:
        """Whether the API was out of reach at that moment."""
        return self._silent_from_ns <= at_ns < self._silent_to_ns


class _Case(NamedTuple):
    """An end, and who it was."""

    of: Subject
    truth: model.Who
    by_kernel: bool


def _was_out_of_reach(claim: iplookup.Claim, mine: Sequence[iplookup.Claim], at_ns: int) -> bool:
    """Whether what would have put the look-up right may have been true, and could not be heard."""
    if claim.ended_since_ns <= at_ns < claim.until_ns:
        return True
    return any(each.since_ns <= at_ns < each.from_ns for each in mine)


def _names(owner: ownership.Object, truth: model.Who) -> bool:
    """Whether the owner is who it was; a process of the node outside any pod is well named by its node."""
    match owner:
        case model.Pod() if truth.uid:
            return owner.uid == truth.uid
        case model.Pod():
            mine = (truth.namespace, truth.service_account)
            return truth.kind is model.Kind.POD and mine == (owner.namespace, owner.service_account)
        case model.Node():
            return truth.kind is model.Kind.HOST
        case model.Service():
            return False


def _agree(one: model.Who, other: model.Who) -> bool:
    if one.uid and other.uid:
        return one.uid == other.uid
    mine, others = (one.kind, one.namespace, one.service_account), (other.kind, other.namespace, other.service_account)
    return mine == others


def _has_other(pod: model.Pod, ip: model.IpAddress) -> bool:
    """Whether the pod is known by another address of this family, and not by this one."""
    return ip not in pod.ips and any(each.version == ip.version for each in pod.ips)


def who(end: model.End) -> model.Who:
    """Say who an end is, without what that rests on."""
    return model.Who(
        end.kind, end.namespace, end.name, end.pod_uid, end.workload, end.workload_kind, end.service_account
    )


def _of_claim(claim: iplookup.Claim | None) -> model.Who:
    owner = claim.owner if claim is not None else None
    match owner:
        case model.Pod():
            return model.Who(
                model.Kind.POD,
                owner.namespace,
                owner.name,
                owner.uid,
                owner.workload or owner.name,
                owner.workload_kind,
                owner.service_account,
            )
        case model.Service():
            return model.Who(model.Kind.SERVICE, owner.namespace, owner.name, "", owner.name, "Service")
        case model.Node():
            return model.Who(model.Kind.NODE, "", owner.name)
        case None:
            return model.NOBODY
