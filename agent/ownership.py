"""Who owned a cgroup, a network namespace or an address, and when: the agent's memory of identities.

Here because a flow is attributed by who owned the socket and the address when it happened, never by who owns them now.
Facts come from the Kubernetes API (objects), from the tree of cgroups, and from the kernel itself (a socket of this
pod used this address); they may come late and in any order. Leaves out the lives of cgroup ids (``lives``), the
tenures of addresses (``addresses``, ``tenure``), and what an answer means for a flow (``attribution``).

    terminal pods stop owning their addresses        hostNetwork pods never own one: the node does
    a deletion removes only what that uid owned      several possible owners are an ambiguity, never a guess
"""

import collections
import dataclasses
from typing import Literal, TypeVar, assert_never

from agent import addresses, lives, model, places, tenure

Object = model.Pod | model.Service | model.Node
AnyObject = TypeVar("AnyObject", model.Pod, model.Service, model.Node)
Nobody = Literal[model.Reason.NO_OWNER, model.Reason.AMBIGUOUS]
Unplaced = Literal[model.Reason.UNKNOWN_CGROUP, model.Reason.NO_TAG]

_NO_NAMESPACE = model.NetnsCookie(0)
REPORT_LAG_NS = 5 * 10**9
"""A pod's address is in use before the API tells it. Arbitrary, because: the kubelet looks at its containers every
second and then reports; five times that is generous, and too much only makes an answer ambiguous, never wrong."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where the memory ends. What does not fit is counted, see ``Ownership.evicted``."""

    objects: int = 250_000
    """Kubernetes' own limits of a cluster are 150,000 pods, 5,000 nodes and 10,000 Services; the rest is for those that
    are gone and remembered, 140 pods a second."""
    cgroups: int = 65_536
    tenures: int = 64
    """Of one address."""
    sightings: int = 4_096
    """Pods whose sockets were seen before the API told of them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One line of an address's history."""

    owner: Object
    from_ns: int
    """0: before anything was known."""
    until_ns: int | None
    """None: up to now, as far as is known."""
    source: tenure.Source
    proven_from_ns: int | None
    """First and last moment for which there is proof, from sockets of this node; None: there is only the API's word."""
    proven_until_ns: int | None


@dataclasses.dataclass(slots=True, kw_only=True)
class Known:
    """An object, and what its last event said of its addresses."""

    object: Object
    seen_ns: int
    """When it was first heard of."""
    bound_ns: int | None = None
    """When the pod was first seen bound to a node: it had no address before."""
    ended_ns: int | None = None
    """When it was first seen terminal or gone: it has no address since."""
    gone_ns: int | None = None
    claims: tuple[model.IpAddress, ...] = ()
    """Usually the object's own tuple: 200 bytes less than a set."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Sighting:
    """A local socket used an address for a pod of which the API has not told enough."""

    netns: model.NetnsCookie
    first_ns: int
    last_ns: int


class Ownership:
    """The memory. ``now`` is always an argument; ``version`` grows whenever an answer may have changed."""

    def __init__(self, *, history_s: float, limits: Limits | None = None) -> None:
        """Remember what is gone for ``history_s``."""
        self.history_s = history_s
        self._limits = limits or Limits()
        self._history_ns = int(history_s * 1e9)
        self.lives = lives.Lives(history_ns=self._history_ns, limit=self._limits.cgroups)
        self.addresses = addresses.Addresses(history_ns=self._history_ns, limit=self._limits.tenures)
        self.objects: dict[str, Known] = {}
        self.namespaces: dict[model.NetnsCookie, str] = {}
        """Network namespace -> uid of the one pod whose sockets were seen in it; empty for one seen with several."""
        self.version = 0
        self._evicted: collections.Counter[str] = collections.Counter()
        self._gone: collections.deque[tuple[int, str]] = collections.deque()
        self._static: dict[str, str] = {}
        self._nodes: dict[str, str] = {}
        self._sightings: dict[str, dict[model.IpAddress, Sighting]] = {}

    @property
    def evicted(self) -> dict[str, int]:
        """What the limits have cost so far, by kind."""
        own = {kind: self._evicted[kind] for kind in ("objects", "sightings")}
        return {**own, "cgroups": self.lives.evicted, "tenures": self.addresses.evicted}

    # What becomes known

    def apply_cgroup(self, event: model.CgroupEvent) -> None:
        """Take the coming or going of a cgroup directory."""
        self.version += self.lives.apply(event)

    def apply_object(self, event: model.ObjectEvent) -> None:
        """Take what the API told of a pod, a service or a node."""
        uid = event.object.uid
        known = self.objects.get(uid)
        if known is None:
            if len(self.objects) >= self._limits.objects and not self._evict():
                return
            known = self.objects[uid] = Known(object=event.object, seen_ns=event.boot_ns)
        known.object = event.object
        self._index(event.object)
        match event.change:
            case model.Change.SEEN:
                self._seen(known, event)
            case model.Change.GONE:
                self._ended(known, event.boot_ns)
                known.gone_ns = event.boot_ns
                self._gone.append((event.boot_ns, uid))
            case _:
                assert_never(event.change)
        self.version += 1
        self._replay_sightings(event.object)

    def observe_kernel(
        self, ip: model.IpAddress, cgroup: model.CgroupId, netns: model.NetnsCookie, boot_ns: int
    ) -> None:
        """Take that a socket of this cgroup, in this network namespace, used this local address at that moment."""
        place = self.lives.place(cgroup, boot_ns)
        if isinstance(place, places.InPod):
            self._sight(place.uid, ip, Sighting(netns=netns, first_ns=boot_ns, last_ns=boot_ns))

    def expire(self, now_boot_ns: int) -> None:
        """Forget what ended longer than the history ago."""
        self.lives.expire(now_boot_ns)
        self.addresses.expire(now_boot_ns)
        while self._gone and self._gone[0][0] < now_boot_ns - self._history_ns:
            self._forget(*self._gone.popleft())

    # What is asked

    def local(
        self, cgroup: model.CgroupId, at_boot_ns: int, netns: model.NetnsCookie = _NO_NAMESPACE
    ) -> places.Place | Unplaced:
        """Say who owned that cgroup then; where the kernel has no cgroup for a socket, whose its namespace is."""
        place = self.lives.place(cgroup, at_boot_ns)
        if place is not None:
            return place
        uid = self.namespaces.get(netns, "")
        if uid:
            return places.InPod(model.PodUid(uid))
        return model.Reason.UNKNOWN_CGROUP if cgroup else model.Reason.NO_TAG

    def pod(self, uid: str) -> model.Pod | None:
        """Give the pod with this uid, or this static pod's hash; one that is gone too, while it is remembered."""
        known = self.objects.get(self._static.get(uid, uid))
        return known.object if known is not None and isinstance(known.object, model.Pod) else None

    def at(self, ip: model.IpAddress, start_boot_ns: int, end_boot_ns: int) -> Object | Nobody:
        """Say who owned the address from start to end, as far as is known."""
        found = [self.objects[uid].object for uid in self.addresses.owners(ip, start_boot_ns, end_boot_ns)]
        if any(isinstance(each, model.Node) for each in found):
            # A load balancer on a node's own address (k3s) leaves it that node's address.
            found = [each for each in found if not isinstance(each, model.Service)]
        if not found:
            return model.Reason.NO_OWNER
        return found[0] if len(found) == 1 else model.Reason.AMBIGUOUS

    def history(self, ip: model.IpAddress) -> list[Held]:
        """List who had the address, in order of time; where lines overlap it cannot be told who it was."""
        return [
            Held(
                owner=self.objects[span.tenure.owner].object,
                from_ns=span.from_ns,
                until_ns=None if span.until_ns == tenure.FOREVER_NS else span.until_ns,
                source=span.tenure.source,
                proven_from_ns=span.tenure.began_by_ns if span.tenure.is_proven else None,
                proven_until_ns=span.tenure.lasted_to_ns if span.tenure.is_proven else None,
            )
            for span in self.addresses.spans(ip)
        ]

    def alive(self, kind: type[AnyObject]) -> dict[str, AnyObject]:
        """Give the objects of a kind that are not gone, by uid: what a restarted informer starts from."""
        return {
            uid: known.object
            for uid, known in self.objects.items()
            if isinstance(known.object, kind) and known.gone_ns is None
        }

    def load_object(self, known: Known) -> None:
        """Take back what an earlier run knew of one object."""
        self.objects[known.object.uid] = known
        self._index(known.object)
        if known.gone_ns is not None:
            self._gone.append((known.gone_ns, known.object.uid))

    def loaded(self) -> None:
        """Take that all is taken back: what is gone goes on in order of time, as whoever forgets relies on."""
        self._gone = collections.deque(sorted(self._gone))
        self.lives.loaded()
        self.addresses.loaded()

    # Objects

    def _seen(self, known: Known, event: model.ObjectEvent) -> None:
        since_ns = event.boot_ns if event.since_boot_ns is None else event.since_boot_ns
        known.gone_ns = None
        thing = known.object
        if isinstance(thing, model.Pod):
            if known.bound_ns is None and thing.node:
                known.bound_ns = since_ns
            if thing.terminal:
                self._ended(known, event.boot_ns)
                return
            known.ended_ns = None
        self._claim(known, _claims(thing), event.boot_ns, since_ns)

    def _ended(self, known: Known, boot_ns: int) -> None:
        """End the claims. An address told only now was its own at some time of its life, nobody can say when."""
        self._claim(known, (), boot_ns, boot_ns)
        if known.ended_ns is None:
            known.ended_ns = boot_ns
            for ip in _claims(known.object):
                self.addresses.had(ip, known.object.uid, from_ns=known.bound_ns or known.seen_ns, until_ns=boot_ns)

    def _claim(self, known: Known, claims: tuple[model.IpAddress, ...], boot_ns: int, since_ns: int) -> None:
        """Act on what differs from the last event. An old status that is sent again is no new fact."""
        before, uid = known.claims, known.object.uid
        if claims == before:
            return
        for ip in before:
            if ip not in claims:
                self.addresses.end(ip, uid, boot_ns)
        earliest_ns = max(known.bound_ns or 0, since_ns - REPORT_LAG_NS, 0)
        for ip in dict.fromkeys(claims):
            if ip not in before:
                self.addresses.claim(ip, uid, earliest_ns=earliest_ns, at_ns=boot_ns)
        known.claims = claims

    def _index(self, thing: Object) -> None:
        if isinstance(thing, model.Pod) and thing.static_hash:
            self._static[thing.static_hash] = thing.uid
        elif isinstance(thing, model.Node):
            self._nodes[thing.name] = thing.uid

    def _evict(self) -> bool:
        """Make room for one; False if nothing is gone."""
        self._evicted["objects"] += 1
        while self._gone:
            before = len(self.objects)
            self._forget(*self._gone.popleft())
            if len(self.objects) < before:
                return True
        return False

    def _forget(self, gone_ns: int, uid: str) -> None:
        known = self.objects.get(uid)
        if known is None or known.gone_ns != gone_ns:
            return  # it came back
        del self.objects[uid]
        self.addresses.forget(uid)
        self._sightings.pop(uid, None)
        self.namespaces = {netns: of for netns, of in self.namespaces.items() if of != uid}
        if isinstance(known.object, model.Pod) and self._static.get(known.object.static_hash) == uid:
            del self._static[known.object.static_hash]
        if isinstance(known.object, model.Node) and self._nodes.get(known.object.name) == uid:
            del self._nodes[known.object.name]
        self.version += 1

    # What the kernel shows

    def _sight(self, uid: str, ip: model.IpAddress, seen: Sighting) -> None:
        known = self.objects.get(self._static.get(uid, uid))
        if known is None or not isinstance(known.object, model.Pod):
            self._remember(uid, ip, seen)
            return
        pod = known.object
        if pod.host_network:
            return
        if known.ended_ns is not None:
            # Orphaned sockets of an ended pod go on retransmitting, though its address is somebody else's by then.
            if seen.first_ns > known.ended_ns:
                return
            seen.last_ns = min(seen.last_ns, known.ended_ns)
        self._learn_namespace(seen.netns, pod.uid)
        if ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified:
            return
        if self._is_pod_address(ip, pod):
            changed = self.addresses.sighted(
                ip, pod.uid, first_ns=seen.first_ns, last_ns=seen.last_ns, ended_ns=known.ended_ns
            )
            self.version += changed
        elif known.ended_ns is None:
            self._remember(uid, ip, seen)  # the API may yet tell that this is the pod's address

    def _is_pod_address(self, ip: model.IpAddress, pod: model.Pod) -> bool:
        """Whether an address that a pod's socket used is one that pods are known by.

        Others are the pod's private matter (Docker inside it, a tunnel): many pods may use the same.
        """
        if ip in pod.ips or any(isinstance(self.objects[uid].object, model.Pod) for uid in self.addresses.ever(ip)):
            return True
        node = self.objects.get(self._nodes.get(pod.node, ""))
        return (
            node is not None and isinstance(node.object, model.Node) and any(ip in net for net in node.object.pod_cidrs)
        )

    def _learn_namespace(self, netns: model.NetnsCookie, uid: str) -> None:
        """Remember whose a namespace is. Cookies are never reused; one with sockets of two pods tells nothing."""
        before = self.namespaces.get(netns)
        if netns and before not in {uid, ""}:
            self.namespaces[netns] = uid if before is None else ""
            self.version += 1

    def _remember(self, uid: str, ip: model.IpAddress, seen: Sighting) -> None:
        if uid not in self._sightings and len(self._sightings) >= self._limits.sightings:
            del self._sightings[next(iter(self._sightings))]
            self._evicted["sightings"] += 1
        of_pod = self._sightings.setdefault(uid, {})
        before = of_pod.get(ip)
        if before is not None:
            before.first_ns, before.last_ns = min(before.first_ns, seen.first_ns), max(before.last_ns, seen.last_ns)
        elif len(of_pod) < self._limits.tenures:
            of_pod[ip] = seen
        else:
            self._evicted["sightings"] += 1

    def _replay_sightings(self, thing: Object) -> None:
        if isinstance(thing, model.Pod) and self._sightings:
            for uid in (thing.uid, thing.static_hash):
                for ip, seen in self._sightings.pop(uid, {}).items():
                    self._sight(uid, ip, seen)


def _claims(thing: Object) -> tuple[model.IpAddress, ...]:
    """Addresses that are this object's own. A hostNetwork pod's are the node's."""
    shared = isinstance(thing, model.Pod) and thing.host_network
    return () if shared else thing.ips
