"""Each reason why an address lies, from its evidence. Left out: random lives of addresses (tests/sim)."""

import ipaddress
from typing import Any

import pytest

from agent import iplookup, ledger, mesh, model, ownership, verdicts
from agent.verdicts import Match, Mismatch

T = 10**12
SECOND = 10**9
HERE, NODE, SERVICE, FREE = (ipaddress.ip_address(text) for text in ("10.7.0.9", "192.0.2.4", "10.96.0.1", "10.7.0.77"))
OTHER = ipaddress.ip_address("10.7.1.5")
CIDR = ipaddress.ip_network("10.7.0.0/24")


def pod(number: int, *ips: model.IpAddress, **more: Any) -> model.Pod:
    return model.Pod(
        uid=model.PodUid(f"{number:08x}-0000-4000-8000-000000000000"),
        namespace="shop",
        name=f"pod-{number}",
        node="node-a",
        ips=ips,
        service_account=f"account-{number}",
        **more,
    )


def who(of: model.Pod, **more: Any) -> model.Who:
    return model.Who(model.Kind.POD, of.namespace, of.name, of.uid, of.name, "Pod", of.service_account, **more)


class Scene:
    """What is known of a cluster with a node, a Service and some pods."""

    def __init__(self, *, whole: bool = True) -> None:
        self.owners = ownership.Ownership(history_s=600)
        self.lookup = iplookup.IpLookup(history_s=600, whole=whole)
        self.ledger = ledger.Ledger(self.owners, self.lookup)
        self.ledger.heard_from_ns = 0
        self.tell(model.Node(uid="n", name="node-a", ips=(NODE,), pod_cidrs=(CIDR,)), T)
        self.tell(model.Service(uid="s", namespace="shop", name="web", ips=(SERVICE,)), T)

    def tell(self, thing: ownership.Object, at_ns: int, *, gone: bool = False, since_ns: int | None = None) -> None:
        event = model.ObjectEvent(
            change=model.Change.GONE if gone else model.Change.SEEN,
            object=thing,
            boot_ns=at_ns,
            since_boot_ns=since_ns,
        )
        self.owners.apply_object(event)
        self.lookup.apply(event)

    def views(self, address: model.IpAddress, answers: ledger.Answers, **more: Any) -> model.Views:
        subject = {"opener": True, "at_boot_ns": T + 10 * SECOND, "read_boot_ns": T + 10 * SECOND} | more
        found = self.ledger.views(ledger.Subject(address=address, **subject), answers)
        assert found is not None
        return found

    def why(self, address: model.IpAddress, answers: ledger.Answers, **more: Any) -> verdicts.Verdict:
        return self.views(address, answers, **more).judged.ip


@pytest.fixture
def scene() -> Scene:
    return Scene()


def kernel(of: model.Pod) -> ledger.Answers:
    return ledger.Answers(kernel=who(of))


def handshake(of: model.Pod) -> ledger.Answers:
    return ledger.Answers(handshake=who(of))


def differs(reason: Mismatch) -> verdicts.Verdict:
    return verdicts.Verdict(Match.DIFFERENT, reason)


def test_who_is_found_agrees(scene: Scene) -> None:
    """All answers are there, and all the same."""
    scene.tell(pod(1, HERE), T)
    views = scene.views(HERE, kernel(pod(1)))
    same = verdicts.Verdict(Match.SAME)
    assert (same, same, verdicts.Verdict()) == views.judged
    assert [views.kernel.uid] * 2 == [views.ip.uid, views.ip_read.uid]


def test_a_deleted_pods_address_is_reused(scene: Scene) -> None:
    """Both had it; the look-up was made before the news of either's change."""
    scene.tell(pod(1, HERE), T)
    scene.tell(pod(1, HERE), T + 11 * SECOND, gone=True)
    scene.tell(pod(2, HERE), T + 12 * SECOND)
    assert differs(Mismatch.IP_REUSED) == scene.why(HERE, kernel(pod(2)))


def test_a_pod_that_was_done_kept_its_address(scene: Scene) -> None:
    """It was told to have ended only after the look-up."""
    scene.tell(pod(1, HERE), T)
    scene.tell(pod(2), T + 1)
    scene.tell(pod(1, HERE, terminal=True), T + 11 * SECOND)
    assert differs(Mismatch.TERMINAL_POD_KEPT_IP) == scene.why(HERE, kernel(pod(2)))


@pytest.mark.parametrize("late", ["the end of the former", "the address of the next"])
def test_an_outage_made_the_cache_stale(scene: Scene, late: str) -> None:
    """What would have put it right may have been true at the time, and could not be heard."""
    since_ns = T + 5 * SECOND
    scene.tell(pod(1, HERE), T)
    if late == "the end of the former":
        scene.tell(pod(2), T + 1)
        scene.tell(pod(1, HERE), T + 12 * SECOND, gone=True, since_ns=since_ns)
    else:
        scene.tell(pod(2, HERE), T + 12 * SECOND, since_ns=since_ns)
        scene.tell(pod(1, HERE), T + 13 * SECOND, gone=True)
    assert differs(Mismatch.STALE_CACHE) == scene.why(HERE, kernel(pod(2)))


def test_how_the_former_owner_ended_is_waited_for(scene: Scene) -> None:
    """As long as it is not told, the reason may still change."""
    scene.tell(pod(1, HERE), T)
    scene.tell(pod(2), T + 1)
    views = scene.views(HERE, kernel(pod(2)))
    assert (differs(Mismatch.IP_REUSED), True) == (views.judged.ip, views.pending)
    scene.tell(pod(1, HERE), T + 11 * SECOND, gone=True)
    assert not scene.views(HERE, kernel(pod(2))).pending


def test_nothing_can_be_heard(scene: Scene) -> None:
    """While the API is out of reach, what would put the look-up right is not told: the cache is stale."""
    scene.ledger.listen(T + 9 * SECOND, T + 10 * SECOND)
    scene.tell(pod(1, HERE), T)
    scene.tell(pod(2), T + 1)
    assert differs(Mismatch.STALE_CACHE) == scene.why(HERE, kernel(pod(2)))
    assert differs(Mismatch.STALE_CACHE) == scene.why(HERE, handshake(pod(2)))
    assert differs(Mismatch.STALE_CACHE) == scene.why(HERE, kernel(pod(9))), "a pod that came meanwhile"
    assert differs(Mismatch.LATE_EVENT) == scene.why(FREE, kernel(pod(9)))
    scene.ledger.listen(None, T + 11 * SECOND)
    assert differs(Mismatch.STALE_CACHE) == scene.why(HERE, kernel(pod(2))), "the news are still on their way"
    assert differs(Mismatch.IP_REUSED) == scene.why(HERE, kernel(pod(2)), at_boot_ns=T + 12 * SECOND)
    before = scene.why(HERE, kernel(pod(2)), at_boot_ns=T + 8 * SECOND)
    assert differs(Mismatch.IP_REUSED) == before


def test_nobody_before_the_news_and_after_the_end(scene: Scene) -> None:
    """The pod had the address at both times."""
    scene.tell(pod(1), T)
    assert differs(Mismatch.LATE_EVENT) == scene.why(HERE, kernel(pod(1)))
    scene.tell(pod(1, HERE), T + 2 * SECOND)
    scene.tell(pod(1, HERE), T + 3 * SECOND, gone=True)
    assert differs(Mismatch.LATE_EVENT) == scene.why(HERE, kernel(pod(1)))


def test_read_later_is_another_look_up(scene: Scene) -> None:
    """Right when it happened, and wrong by the time it was read."""
    scene.tell(pod(1, HERE), T)
    scene.tell(pod(1, HERE), T + 11 * SECOND, gone=True)
    scene.tell(pod(2, HERE), T + 12 * SECOND)
    views = scene.views(HERE, kernel(pod(1)), read_boot_ns=T + 13 * SECOND)
    assert (verdicts.Verdict(Match.SAME), differs(Mismatch.IP_REUSED)) == views.judged[:2]
    assert ("pod-1", "pod-2") == (views.ip.name, views.ip_read.name)
    late = scene.views(HERE, kernel(pod(1)), read_boot_ns=T + 11 * SECOND)
    assert differs(Mismatch.LATE_EVENT) == late.judged.ip_read


@pytest.mark.parametrize("address", [NODE, FREE])
def test_a_host_network_pod_is_no_address(scene: Scene, address: model.IpAddress) -> None:
    """By the node's own address, and by one of the node's that the API does not list."""
    scene.tell(pod(1, NODE, host_network=True), T)
    assert differs(Mismatch.HOST_NETWORK) == scene.why(address, kernel(pod(1)))


def test_a_process_of_the_node_is_well_named_by_it(scene: Scene) -> None:
    """A unit has no other name in the API."""
    unit = model.Who(model.Kind.HOST, "", "kubelet.service")
    assert verdicts.Verdict(Match.SAME) == scene.why(NODE, ledger.Answers(kernel=unit))
    assert verdicts.Verdict() == scene.why(FREE, ledger.Answers(kernel=unit))


def test_a_pod_that_the_api_never_told_of(scene: Scene) -> None:
    """No look-up could have named it."""
    scene.tell(pod(1, HERE), T)
    for address in (HERE, FREE):
        assert differs(Mismatch.UNKNOWN_CGROUP) == scene.why(address, kernel(pod(9)))


def test_translated_sources(scene: Scene) -> None:
    """The pod that opened is known by another address: behind the node's, a gateway's, or nobody's."""
    scene.tell(pod(1, OTHER), T)
    scene.tell(pod(2, HERE), T)
    for address in (NODE, HERE, FREE):
        assert differs(Mismatch.SNAT) == scene.why(address, handshake(pod(1)))


def test_translated_destinations(scene: Scene) -> None:
    """A pod answers behind a Service's address, and behind a port of a node."""
    scene.tell(pod(1, OTHER), T)
    found = [scene.why(address, handshake(pod(1)), opener=False) for address in (SERVICE, NODE, FREE)]
    assert [*map(differs, (Mismatch.CLUSTERIP, Mismatch.NODE_IP, Mismatch.UNDETERMINED))] == found


@pytest.mark.parametrize("address", [OTHER, SERVICE, NODE, FREE])
def test_the_callers_own_sidecar_answers(scene: Scene, address: model.IpAddress) -> None:
    """Whoever was called: the handshake is with the proxy in the same pod."""
    scene.tell(pod(1, HERE, mesh=model.Mesh()), T)
    scene.tell(pod(2, OTHER), T)
    here = model.End(
        kind=model.Kind.POD, evidence=model.Evidence.KERNEL, pod_uid=pod(1).uid, mesh=model.Mesh(), name=mesh.PROXY
    )
    assert differs(Mismatch.SIDECAR) == scene.why(address, handshake(pod(1)), opener=False, here=here)


def test_a_host_network_pod_by_handshake(scene: Scene) -> None:
    """Behind its own node's address it is one; behind another node's it was translated."""
    scene.tell(pod(1, NODE, host_network=True), T)
    assert differs(Mismatch.HOST_NETWORK) == scene.why(NODE, handshake(pod(1)))
    scene.tell(model.Node(uid="m", name="node-b", ips=(OTHER,)), T)
    assert differs(Mismatch.SNAT) == scene.why(OTHER, handshake(pod(1)))
    assert differs(Mismatch.NODE_IP) == scene.why(OTHER, handshake(pod(1)), opener=False)


def test_an_address_that_changed_hands_by_handshake(scene: Scene) -> None:
    """The history has both owners, so nothing stands between."""
    scene.tell(pod(1, HERE), T)
    scene.tell(pod(1, HERE), T + 11 * SECOND, gone=True)
    scene.tell(pod(2, HERE), T + 12 * SECOND)
    assert differs(Mismatch.IP_REUSED) == scene.why(HERE, handshake(pod(2)))


def test_a_pod_that_has_not_told_its_address_is_waited_for(scene: Scene) -> None:
    """It may have this one, or be behind it."""
    scene.tell(pod(1, HERE), T)
    scene.tell(pod(2), T)
    views = scene.views(HERE, handshake(pod(2)), opener=False)
    assert (differs(Mismatch.UNDETERMINED), True) == (views.judged.ip, views.pending)


def test_a_service_account_alone_agrees_or_differs(scene: Scene) -> None:
    """Where pods are not watched the handshake names an account, and no pod."""
    scene.tell(pod(1, HERE), T)
    account = who(pod(1))._replace(uid="", name="")
    assert verdicts.Verdict(Match.SAME) == scene.why(HERE, ledger.Answers(handshake=account))
    another = account._replace(service_account="another")
    assert differs(Mismatch.UNDETERMINED) == scene.why(HERE, ledger.Answers(handshake=another))


def test_nobody_is_no_fault_of_who_was_not_told() -> None:
    """An agent that watches its own node's pods cannot know the others' addresses."""
    scene = Scene(whole=False)
    scene.tell(pod(1), T)
    assert verdicts.Verdict() == scene.why(HERE, handshake(pod(1)))
    assert differs(Mismatch.LATE_EVENT) == scene.why(HERE, kernel(pod(1)))


@pytest.mark.parametrize("text", ["127.0.0.1", "::1", "169.254.1.1", "fe80::1", "0.0.0.0", "8.8.8.8"])
def test_of_some_addresses_nobody_tells(scene: Scene, text: str) -> None:
    """There is no second answer, unless the handshake has one."""
    subject = ledger.Subject(ipaddress.ip_address(text), opener=True, at_boot_ns=T, read_boot_ns=T)
    assert scene.ledger.views(subject, kernel(pod(1))) is None
    views = scene.ledger.views(subject, handshake(pod(1)))
    assert views is not None
    assert (None, None, verdicts.UNCHECKED) == (views.ip, views.ip_read, views.judged)


def test_nothing_is_blamed_before_the_lists_are_read(scene: Scene) -> None:
    """The answers are there, and no verdict."""
    scene.ledger.heard_from_ns = None
    scene.tell(pod(1, HERE), T)
    views = scene.views(HERE, kernel(pod(2)))
    assert ("pod-1", verdicts.UNCHECKED) == (views.ip.name, views.judged)


@pytest.mark.parametrize(
    ("began_s", "read_s", "ip", "ip_read"),
    [
        (8, 9, verdicts.Verdict(), verdicts.Verdict()),
        (8, 10, verdicts.Verdict(), differs(Mismatch.IP_REUSED)),
        (10, 11, differs(Mismatch.IP_REUSED), differs(Mismatch.IP_REUSED)),
    ],
)
def test_a_look_up_is_blamed_from_the_moment_of_the_lists_on(
    scene: Scene, began_s: int, read_s: int, ip: verdicts.Verdict, ip_read: verdicts.Verdict
) -> None:
    """Each of the two by its own moment: the one before nobody listened, whoever the lists name by now."""
    scene.ledger.heard_from_ns = T + 10 * SECOND
    scene.tell(pod(1, HERE), T)
    scene.tell(pod(2), T + 1)
    views = scene.views(HERE, kernel(pod(2)), at_boot_ns=T + began_s * SECOND, read_boot_ns=T + read_s * SECOND)
    assert (ip, ip_read) == (views.judged.ip, views.judged.ip_read)


def test_what_is_right_by_now_does_not_vouch_for_before_the_lists(scene: Scene) -> None:
    """Nor is it left unchecked because the flow began before."""
    scene.ledger.heard_from_ns = T + 10 * SECOND
    scene.tell(pod(1, HERE), T)
    views = scene.views(HERE, kernel(pod(1)), at_boot_ns=T + 8 * SECOND)
    assert (verdicts.Verdict(), verdicts.Verdict(Match.SAME)) == (views.judged.ip, views.judged.ip_read)


def test_the_handshake_is_held_against_the_kernel(scene: Scene) -> None:
    """Where both know an end."""
    scene.tell(pod(1, HERE), T)
    right = scene.views(HERE, ledger.Answers(who(pod(1)), who(pod(1))))
    wrong = scene.views(HERE, ledger.Answers(who(pod(1)), who(pod(2))))
    assert (Match.SAME, Match.DIFFERENT) == (right.judged.handshake.match, wrong.judged.handshake.match)
    assert (False, True) == (right.differs, wrong.differs)
