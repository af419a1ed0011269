"""Who has an address, as a good tool that knows only the Kubernetes API would say: what our evidence is held against.

Here because how often an address lies can only be measured against a look-up that makes no avoidable mistake. It hears
what this agent hears, when this agent hears it, and nothing else: no socket ever teaches it anything.

    the newest claim wins            a deletion ends only what that uid claimed, and what was claimed before holds again
    terminal pods claim nothing      hostNetwork pods claim nothing: the node does

It remembers what it would have said at a moment that is past, since a flow is read after it began. Leaves out what is
true (``ownership``) and why it differs (``ledger``).
"""

import collections
import dataclasses
import enum
import ipaddress
import operator
from collections.abc import Iterable, Sequence
from typing import Final

from agent import model, ownership

FOREVER_NS: Final = 1 << 62
_CLAIMS: Final = 64
"""Of one address, as many as tenures in ``ownership``."""


class Ending(enum.Enum):
    """Why a claim ended."""

    NOT = enum.auto()
    GONE = enum.auto()
    """The object was deleted, or has ended because it is being deleted."""
    TERMINAL = enum.auto()
    """The pod was told to have Succeeded or Failed; nobody has deleted it."""
    MOVED = enum.auto()
    """The object lives on without the address."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Claim:
    """One object's claim to one address, as it was told. Times are arrivals, not when it came true."""

    owner: ownership.Object
    """As it was last told."""
    from_ns: int
    since_ns: int
    """The earliest moment at which it may have become true: earlier than ``from_ns`` after an outage."""
    until_ns: int = FOREVER_NS
    ended_since_ns: int = FOREVER_NS
    ending: Ending = Ending.NOT

    def holds(self, at_ns: int) -> bool:
        """Tell whether it was believed at that moment."""
        return self.from_ns <= at_ns < self.until_ns


class IpLookup:
    """The index, with a history. ``now`` is always an argument."""

    def __init__(self, *, history_s: float, whole: bool = True) -> None:
        """Remember claims that ended for ``history_s``. ``whole``: it is told of all pods, not of one node's."""
        self.whole: Final = whole
        self._history_ns = int(history_s * 1e9)
        self._claims: dict[model.IpAddress, tuple[Claim, ...]] = {}
        self._open: dict[str, tuple[model.IpAddress, ...]] = {}
        """Addresses that are claimed, by uid: usually the object's own tuple. An object without a claim has none."""
        self._ended: collections.deque[tuple[int, model.IpAddress]] = collections.deque()
        self._ranges: dict[int, set[model.IpNetwork]] = {}
        """Of the nodes' pods, by length of the prefix."""

    def apply(self, event: model.ObjectEvent) -> None:
        """Take what the API told of a pod, a service or a node."""
        thing = event.object
        gone = event.change is model.Change.GONE
        terminal = isinstance(thing, model.Pod) and thing.terminal
        if isinstance(thing, model.Node):
            for each in thing.pod_cidrs:
                self._ranges.setdefault(each.prefixlen, set()).add(each)
        since_ns = event.boot_ns if event.since_boot_ns is None else event.since_boot_ns
        claimed = () if gone or terminal else _claims(thing)
        before = self._open.get(thing.uid, ())
        for ip in before:
            claim = self._opened(ip, thing.uid)
            if claim is None:
                continue
            claim.owner = thing
            if ip not in claimed:
                claim.ending = Ending.GONE if gone else _ending(thing)
                claim.until_ns, claim.ended_since_ns = event.boot_ns, since_ns
                self._ended.append((event.boot_ns, ip))
        # The very first list: whoever is in it was there before anybody asked.
        from_ns = event.boot_ns if since_ns else 0
        for ip in claimed:
            if self._opened(ip, thing.uid) is None:
                self._add(ip, Claim(owner=thing, from_ns=from_ns, since_ns=since_ns))
        if claimed:
            self._open[thing.uid] = claimed
        else:
            self._open.pop(thing.uid, None)

    def at(self, ip: model.IpAddress, at_ns: int) -> Claim | None:
        """Look an address up as of a moment; None: nobody had it, as far as was told by then."""
        return _at(self._claims.get(ip, ()), at_ns)

    def at_both(self, ip: model.IpAddress, at_ns: int, later_ns: int) -> tuple[Claim | None, Claim | None]:
        """Look an address up as of two moments."""
        held = self._claims.get(ip, ())
        return _at(held, at_ns), _at(held, later_ns)

    def changed_ns(self, ip: model.IpAddress, at_ns: int) -> int | None:
        """Say when another answer came than that of a moment; None: not yet, as far as was told."""
        held = self._claims.get(ip, ())
        then = self.at(ip, at_ns)
        news = sorted({moment for claim in held for moment in (claim.from_ns, claim.until_ns)})
        later = (moment for moment in news if at_ns < moment < FOREVER_NS)
        return next((moment for moment in later if self.at(ip, moment) is not then), None)

    def history(self, ip: model.IpAddress) -> Sequence[Claim]:
        """Give all claims to an address that are remembered, in the order in which they were told."""
        return self._claims.get(ip, ())

    def knows(self, ip: model.IpAddress) -> bool:
        """Tell whether it is an address of which the API tells: somebody claimed it, or a node has it for its pods."""
        if ip in self._claims:
            return True
        return any(
            ipaddress.ip_network((ip, length), strict=False) in ranges
            for length, ranges in self._ranges.items()
            if length <= ip.max_prefixlen
        )

    def expire(self, now_boot_ns: int) -> None:
        """Forget claims that ended longer than the history ago."""
        before_ns = now_boot_ns - self._history_ns
        while self._ended and self._ended[0][0] < before_ns:
            _, ip = self._ended.popleft()
            self._keep(ip, [claim for claim in self._claims.get(ip, ()) if claim.until_ns >= before_ns])

    def load(self, objects: Iterable[ownership.Known]) -> None:
        """Begin with what an earlier run was told, to the second."""
        for known in sorted(objects, key=lambda each: each.seen_ns):
            thing, began_ns = known.object, max(known.seen_ns, known.bound_ns or 0)
            self.apply(model.ObjectEvent(change=model.Change.SEEN, object=_living(thing), boot_ns=began_ns))
            if known.ended_ns is not None:
                change = model.Change.SEEN if known.gone_ns is None else model.Change.GONE
                self.apply(model.ObjectEvent(change=change, object=thing, boot_ns=known.ended_ns))
        self._ended = collections.deque(sorted(self._ended, key=operator.itemgetter(0)))

    def _opened(self, ip: model.IpAddress, uid: str) -> Claim | None:
        """Give the object's claim to an address that has not ended."""
        mine = (each for each in self._claims.get(ip, ()) if each.until_ns == FOREVER_NS and each.owner.uid == uid)
        return next(mine, None)

    def _add(self, ip: model.IpAddress, claim: Claim) -> None:
        held = (*self._claims.get(ip, ()), claim)
        if len(held) > _CLAIMS:
            oldest = min(held, key=lambda each: each.until_ns)
            held = tuple(each for each in held if each is not oldest)
        self._claims[ip] = held

    def _keep(self, ip: model.IpAddress, rest: list[Claim]) -> None:
        if rest:
            self._claims[ip] = tuple(rest)
        else:
            self._claims.pop(ip, None)


def _at(held: Sequence[Claim], at_ns: int) -> Claim | None:
    if len(held) == 1:  # asked for every end, and the usual address has had one owner
        (claim,) = held
        return claim if claim.from_ns <= at_ns < claim.until_ns else None
    found = [claim for claim in held if claim.holds(at_ns)]
    return max(reversed(found), key=_rank) if found else None


def _rank(claim: Claim) -> tuple[bool, int]:
    """Say who wins: a load balancer on a node's own address leaves it that node's; else whoever came last."""
    return not isinstance(claim.owner, model.Service), claim.from_ns


def _claims(thing: ownership.Object) -> tuple[model.IpAddress, ...]:
    """Addresses that are this object's own. A hostNetwork pod's are the node's."""
    shared = isinstance(thing, model.Pod) and thing.host_network
    return () if shared else thing.ips


def _ending(thing: ownership.Object) -> Ending:
    """Say why an object that is still there has no claim any more; the kubelet tells the end of a deleted pod too."""
    if isinstance(thing, model.Pod) and thing.terminal:
        return Ending.GONE if thing.deleting else Ending.TERMINAL
    return Ending.MOVED


def _living(thing: ownership.Object) -> ownership.Object:
    return dataclasses.replace(thing, terminal=False) if isinstance(thing, model.Pod) and thing.terminal else thing
