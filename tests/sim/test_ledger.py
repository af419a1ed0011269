"""Random lives of one address, and random ways through a cluster, before the real ``ledger.Ledger``.

The world knows when each pod had the address, how it ended, when the API told, when the API was out of reach, and what
stood between two ends. From that, and never from what the ledger keeps, follows what a look-up said at a moment and why
it was wrong. What must hold:

    the look-up     says at every moment what had been told by then
    the verdict     is a match exactly where it says who it was
    the reason      is the one that the world knows; where it waits, it is decided once all is told

Left out: a whole agent (test_pipeline), single reasons one by one (tests/unit/agent/test_ledger.py).
"""

import dataclasses
import ipaddress

import hypothesis
from hypothesis import strategies as st

from agent import iplookup, ledger, model, ownership
from agent.verdicts import Match, Mismatch, Verdict

T = 10**15
MS = 10**6
IP = ipaddress.ip_address("10.7.0.9")
NODE_A, NODE_B, SERVICE = (ipaddress.ip_address(text) for text in ("192.0.2.1", "192.0.2.2", "10.96.0.7"))


@dataclasses.dataclass(frozen=True)
class Life:
    """One pod's time with the address, in milliseconds: as it was, and when the API told."""

    number: int
    born: int
    ended: int
    address_told: int
    completed: bool
    """It was told to have Succeeded, and deleted only later; else it was deleted."""
    end_told: int
    cleared: int
    """When the deletion of a completed pod was told."""

    @property
    def uid(self) -> model.PodUid:
        return model.PodUid(f"{self.number:08x}-0000-4000-8000-000000000000")

    def value(self, *, has: bool = True, terminal: bool = False) -> model.Pod:
        ips = (IP,) if has else ()
        return model.Pod(
            uid=self.uid, namespace="shop", name=f"pod-{self.number}", node="a", ips=ips, terminal=terminal
        )


@dataclasses.dataclass(frozen=True)
class World:
    """Pods that have the address one after the other, and one time in which the API is out of reach."""

    lives: tuple[Life, ...]
    outage: tuple[int, int]

    def arrives(self, at: int) -> int:
        """Say when news of that moment are heard."""
        began, ended = self.outage
        return ended if began <= at < ended else at

    def events(self) -> list[tuple[int, model.ObjectEvent]]:
        """Give all news in the order in which they are heard; those of the outage at its end."""
        news = []
        for life in self.lives:
            news.append((life.born, model.Change.SEEN, life.value(has=False)))
            if life.address_told < life.end_told:
                news.append((life.address_told, model.Change.SEEN, life.value()))
            if life.completed:
                news.append((life.end_told, model.Change.SEEN, life.value(terminal=True)))
            news.append((life.cleared if life.completed else life.end_told, model.Change.GONE, life.value()))
        found = []
        for at, change, pod in sorted(news, key=lambda each: each[0]):
            heard, since = T + self.arrives(at) * MS, T + self.outage[0] * MS
            late = self.arrives(at) != at
            event = model.ObjectEvent(change=change, object=pod, boot_ns=heard, since_boot_ns=since if late else None)
            found.append((heard, event))
        return sorted(found, key=lambda each: each[0])

    def said(self, at: int) -> Life | None:
        """Say whom a look-up named: the last who was told to have the address and not to have ended."""
        named = [
            life
            for life in self.lives
            if life.address_told < life.end_told and self.arrives(life.address_told) <= at < self.arrives(life.end_told)
        ]
        return max(named, key=lambda life: (life.address_told, life.number)) if named else None

    def verdict(self, owner: Life, at: int, began: int) -> Verdict:
        """Say what is to be thought of a look-up at that moment, about the owner of what began then."""
        said = self.said(at)
        if said is owner:
            return Verdict(Match.SAME)
        if said is None:
            return Verdict(Match.DIFFERENT, Mismatch.LATE_EVENT)
        if said.number > owner.number or self.arrives(said.address_told) > began:
            return Verdict(Match.DIFFERENT, Mismatch.IP_REUSED)
        began, ended = self.outage
        told = owner.address_told < owner.end_told
        held_back = [said.end_told, *([owner.address_told] if told else [])]
        if began <= at < ended and any(began <= news < ended for news in held_back):
            return Verdict(Match.DIFFERENT, Mismatch.STALE_CACHE)
        reason = Mismatch.TERMINAL_POD_KEPT_IP if said.completed else Mismatch.IP_REUSED
        return Verdict(Match.DIFFERENT, reason)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Let up to six pods share the address; news take up to 900 ms, and may overtake the next owner."""
    lives, now = [], 0
    for number in range(1, draw(st.integers(1, 6)) + 1):
        born = now + draw(st.integers(1, 300))
        ended = born + draw(st.integers(2, 2_000))
        address_told = born + draw(st.integers(1, 900))
        end_told = ended + draw(st.integers(1, 900))
        cleared = end_told + draw(st.integers(1, 3_000))
        lives.append(Life(number, born, ended, address_told, draw(st.booleans()), end_told, cleared))
        now = ended
    began = draw(st.integers(0, now))
    return World(tuple(lives), (began, began + draw(st.sampled_from((0, 700, 2_500)))))


def judged(world: World, owner: Life, at: int, read: int, *, until: int | None = None) -> model.Views | None:
    """Ask the ledger, once it has heard what was to be heard by then; None: all there is."""
    owners = ownership.Ownership(history_s=600)
    lookup = iplookup.IpLookup(history_s=600)
    book = ledger.Ledger(owners, lookup)
    book.heard_from_ns = 0
    range_ = ipaddress.ip_network("10.7.0.0/24")
    node = model.Node(uid="n", name="a", ips=(NODE_A,), pod_cidrs=(range_,))
    for heard, event in [(0, model.ObjectEvent(change=model.Change.SEEN, object=node, boot_ns=T)), *world.events()]:
        if until is None or heard <= T + until * MS:
            owners.apply_object(event)
            lookup.apply(event)
    subject = ledger.Subject(IP, opener=True, at_boot_ns=T + at * MS, read_boot_ns=T + read * MS)
    known = model.Who(model.Kind.POD, "shop", f"pod-{owner.number}", owner.uid)
    return book.views(subject, ledger.Answers(kernel=known))


@hypothesis.settings(deadline=None)
@hypothesis.given(world=worlds(), data=st.data())
def test_reasons_are_true(world: World, data: st.DataObject) -> None:
    """Both look-ups are judged rightly once all is told."""
    owner = data.draw(st.sampled_from(world.lives))
    at = data.draw(st.integers(owner.born, owner.ended - 1))
    read = at + data.draw(st.integers(0, 4_000))
    views = judged(world, owner, at, read)
    assert views is not None
    said, later = world.said(at), world.said(read)
    assert [each.uid if each else "" for each in (said, later)] == [
        each.uid if each else "none" for each in (views.ip, views.ip_read)
    ]
    assert not views.pending
    assert (world.verdict(owner, at, at), world.verdict(owner, read, at)) == views.judged[:2]


@hypothesis.settings(deadline=None)
@hypothesis.given(world=worlds(), data=st.data())
def test_a_reason_that_does_not_wait_does_not_change(world: World, data: st.DataObject) -> None:
    """Whatever is told later: neither whom the look-up named then, nor why it was wrong."""
    owner = data.draw(st.sampled_from(world.lives))
    at = data.draw(st.integers(owner.born, owner.ended - 1))
    then = judged(world, owner, at, at, until=at + data.draw(st.integers(0, 3_000)))
    views = judged(world, owner, at, at)
    assert then is not None
    assert views is not None
    assert then.ip == views.ip
    if then.judged.ip.reason not in {Mismatch.STALE_CACHE, Mismatch.UNKNOWN_CGROUP} and not then.pending:
        assert then.judged.ip.match is views.judged.ip.match
        assert then.judged.ip.reason is views.judged.ip.reason or views.judged.ip.reason is Mismatch.STALE_CACHE


@dataclasses.dataclass(frozen=True)
class Way:
    """How a flow gets from one pod to another, and what its other end sees."""

    host_network: bool
    meshed: bool
    opener: bool
    through: str
    """Whose address is seen: "own", "service", "node", "other node", "another pod"."""
    own_answers: bool
    """The caller's own proxy has taken the connection."""

    def expected(self) -> Verdict:
        """Say what a look-up of the address is worth: from the way alone."""
        if self.own_answers and not self.opener:
            same = self.through == "own" and not self.host_network
            return Verdict(Match.SAME) if same else Verdict(Match.DIFFERENT, Mismatch.SIDECAR)
        table = {
            "own": Mismatch.HOST_NETWORK if self.host_network else Mismatch.NONE,
            "node": Mismatch.HOST_NETWORK if self.host_network else Mismatch.SNAT if self.opener else Mismatch.NODE_IP,
            "other node": Mismatch.SNAT if self.opener else Mismatch.NODE_IP,
            "service": Mismatch.SNAT if self.opener else Mismatch.CLUSTERIP,
            "another pod": Mismatch.SNAT if self.opener else Mismatch.UNDETERMINED,
        }
        reason = table[self.through]
        return Verdict(Match.DIFFERENT, reason) if reason else Verdict(Match.SAME)


@st.composite
def ways(draw: st.DrawFn) -> Way:
    """Draw a way that exists: a hostNetwork pod has no sidecar, and its own address is its node's."""
    host_network = draw(st.booleans())
    meshed = not host_network and draw(st.booleans())
    opener = draw(st.booleans())
    through = draw(st.sampled_from(("own", "service", "node", "other node", "another pod")))
    return Way(host_network, meshed, opener, through, own_answers=meshed and draw(st.booleans()))


@hypothesis.settings(deadline=None)
@hypothesis.given(ways())
def test_the_way_explains_the_difference(way: Way) -> None:
    """The handshake tells who it is; the address tells who stands between."""
    owners = ownership.Ownership(history_s=600)
    lookup = iplookup.IpLookup(history_s=600)
    book = ledger.Ledger(owners, lookup)
    book.heard_from_ns = 0
    other = ipaddress.ip_address("10.7.1.4")
    life = Life(1, 0, 1, 1, completed=False, end_told=2, cleared=2)
    pod = dataclasses.replace(
        life.value(),
        host_network=way.host_network,
        ips=(NODE_A,) if way.host_network else (IP,),
        mesh=model.Mesh() if way.meshed else None,
    )
    stranger = dataclasses.replace(pod, uid=model.PodUid("stranger"), name="stranger", host_network=False, ips=(other,))
    for thing in (
        model.Node(uid="a", name="a", ips=(NODE_A,)),
        model.Node(uid="b", name="b", ips=(NODE_B,)),
        model.Service(uid="s", namespace="shop", name="web", ips=(SERVICE,)),
        pod,
        stranger,
    ):
        event = model.ObjectEvent(change=model.Change.SEEN, object=thing, boot_ns=T)
        owners.apply_object(event)
        lookup.apply(event)
    seen = {"own": pod.ips[0], "service": SERVICE, "node": NODE_A, "other node": NODE_B, "another pod": other}
    here = model.End(
        kind=model.Kind.POD,
        evidence=model.Evidence.KERNEL,
        pod_uid=pod.uid if way.own_answers else "caller",
        mesh=model.Mesh() if way.own_answers else None,
    )
    subject = ledger.Subject(seen[way.through], opener=way.opener, at_boot_ns=T + MS, read_boot_ns=T + MS, here=here)
    proven = model.Who(model.Kind.POD, pod.namespace, pod.name, pod.uid, service_account=pod.service_account)
    views = book.views(subject, ledger.Answers(handshake=proven))
    assert views is not None
    assert (way.expected(), way.expected(), False) == (*views.judged[:2], views.pending)
