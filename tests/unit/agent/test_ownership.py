"""The memory of identities, one promise per test. Random histories are in ``tests/sim/test_ownership``.

Leaves out the weighing of tenures (``test_tenure``), lives of cgroup ids (``test_lives``) and paths (``test_places``).
"""

import ipaddress
import zlib
from typing import Any

import msgspec
import pytest

from agent import model, ownership, remembered

SECOND = 10**9
T0 = 1_000 * SECOND
X = ipaddress.ip_address("10.7.0.9")
Y = ipaddress.ip_address("10.7.0.10")
NODE_IP = ipaddress.ip_address("192.168.1.5")
CGROUP_A, CGROUP_B = model.CgroupId(4528), model.CgroupId(4566)
NETNS_A, NETNS_B = model.NetnsCookie(11), model.NetnsCookie(12)


def uid(name: str) -> model.PodUid:
    return model.PodUid(f"{zlib.crc32(name.encode()):08x}-0000-4000-8000-000000000000")


def pod(name: str, *ips: model.IpAddress, **more: Any) -> model.Pod:
    return model.Pod(**{"uid": uid(name), "namespace": "shop", "name": name, "node": "node-a", "ips": ips, **more})


NODE = model.Node(uid="node-uid", name="node-a", ips=(NODE_IP,), pod_cidrs=(ipaddress.ip_network("10.7.0.0/28"),))


class Story:
    """An Ownership, and short words for what happens to it."""

    def __init__(self, **options: Any) -> None:
        self.owners = ownership.Ownership(**{"history_s": 600, **options})

    def seen(self, thing: ownership.Object, at: float, since: float | None = None) -> None:
        self._event(model.Change.SEEN, thing, at, since)

    def gone(self, thing: ownership.Object, at: float) -> None:
        self._event(model.Change.GONE, thing, at, None)

    def _event(self, change: model.Change, thing: ownership.Object, at: float, since: float | None) -> None:
        since_ns = None if since is None else ns(since)
        self.owners.apply_object(model.ObjectEvent(change=change, object=thing, boot_ns=ns(at), since_boot_ns=since_ns))

    def runs(self, name: str, cgroup: model.CgroupId, at: float, container: str = "c1") -> None:
        path = f"/kubepods/burstable/pod{uid(name)}/{container}"
        self.owners.apply_cgroup(model.CgroupEvent(cgroup=cgroup, path=path, boot_ns=ns(at)))

    def sighted(self, ip: model.IpAddress, cgroup: model.CgroupId, netns: model.NetnsCookie, at: float) -> None:
        self.owners.observe_kernel(ip, cgroup, netns, ns(at))

    def who(self, ip: model.IpAddress, at: float) -> str:
        answer = self.owners.at(ip, ns(at), ns(at))
        return answer.value if isinstance(answer, model.Reason) else answer.name


def ns(seconds: float) -> int:
    return T0 + round(seconds * SECOND) if seconds >= 0 else 0


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_flow_is_named_by_who_had_the_address_then(story: Story) -> None:
    """The old owner keeps its flows when the address is somebody else's."""
    story.seen(pod("report", X), 0)
    story.gone(pod("report", X), 10)
    story.seen(pod("cron"), 12)
    story.seen(pod("cron", X), 13)
    assert ["report", "no_owner", "cron", "cron"] == [story.who(X, at) for at in (9, 11, 12.5, 20)]


@pytest.mark.parametrize("end", ["terminal", "gone", "another address"])
def test_an_address_is_let_go_when_the_pod_no_longer_has_it(story: Story, end: str) -> None:
    """Succeeded and Failed pods stay in the API, with their address, for as long as they like."""
    story.seen(pod("job", X), 0)
    if end == "terminal":
        story.seen(pod("job", X, terminal=True), 10)
    elif end == "gone":
        story.gone(pod("job", X), 10)
    else:
        story.seen(pod("job", Y), 10)
    assert ["job", "no_owner"] == [story.who(X, at) for at in (9, 10)]


def test_a_late_deletion_leaves_the_new_owner_alone(story: Story) -> None:
    """Deletions act on a uid, not on an address."""
    story.seen(pod("old", X), 0)
    story.seen(pod("new"), 9)
    story.seen(pod("new", X), 10)
    story.gone(pod("old", X), 20)
    assert ["old", "new", "new"] == [story.who(X, at) for at in (8, 15, 25)]


def test_an_old_status_sent_again_is_no_claim(story: Story) -> None:
    """A label changes on a pod whose address has long been another's: nothing moves."""
    story.seen(pod("old", X), 0)
    story.seen(pod("new"), 9)
    story.seen(pod("new", X), 10)
    story.seen(pod("old", X, labels=(("patched", "yes"),)), 20)
    assert ["new", "new"] == [story.who(X, at) for at in (15, 25)]


def test_two_pods_of_one_list_with_one_address_are_ambiguous_until_a_socket_shows(story: Story) -> None:
    """No order is made up from a list's order; the kernel's instant decides."""
    story.seen(pod("a", X), 0, since=-1)
    story.seen(pod("b", X), 0, since=-1)
    story.runs("b", CGROUP_B, 0)
    assert "ambiguous" == story.who(X, 5)
    story.sighted(X, CGROUP_B, NETNS_B, 4)
    story.sighted(X, CGROUP_B, NETNS_B, 6)
    assert "b" == story.who(X, 5)


def test_a_pod_that_ended_before_its_address_was_told_still_had_it(story: Story) -> None:
    """It lived under a second: bound, and then Succeeded, with the address in its last status."""
    story.seen(pod("quick"), 5)
    story.seen(pod("quick", X, terminal=True), 6)
    assert ["no_owner", "quick", "no_owner"] == [story.who(X, at) for at in (4.9, 5.5, 6)]


def test_a_pod_that_was_over_before_the_agent_came_owns_nothing(story: Story) -> None:
    """A completed Job in the first list must not contest its address with the living."""
    story.seen(pod("ancient", X, terminal=True), 0, since=-1)
    story.seen(pod("web", X), 0, since=-1)
    assert ["web", "web"] == [story.who(X, at) for at in (-1, 5)]


def test_a_first_list_speaks_for_the_time_before_it(story: Story) -> None:
    """Flows from before the agent's first word with the API are named by what it then told."""
    story.seen(pod("web", X), 0, since=-1)
    assert "web" == story.who(X, -1)


def test_after_an_outage_the_hand_over_may_have_been_at_any_moment_of_it(story: Story) -> None:
    """A list knows that it changed hands, not when; what lies outside is certain."""
    story.seen(pod("before", X), 0)
    story.seen(pod("after", X), 100, since=40)
    story.gone(pod("before", X), 100)
    assert ["before", "ambiguous", "after"] == [story.who(X, at) for at in (30, 70, 101)]


def test_a_host_network_pod_never_owns_an_address(story: Story) -> None:
    """The node does, and any of its pods and processes may be behind it."""
    story.seen(NODE, 0)
    story.seen(pod("agent", NODE_IP, host_network=True), 1)
    story.runs("agent", CGROUP_A, 1)
    story.sighted(NODE_IP, CGROUP_A, NETNS_A, 2)
    assert "node-a" == story.who(NODE_IP, 3)
    assert {} == story.owners.namespaces


def test_a_service_owns_its_address_and_a_node_s_stays_the_node_s(story: Story) -> None:
    """A load balancer on a node's address (k3s) does not make it the service's."""
    story.seen(model.Service(uid="s1", namespace="shop", name="db", ips=(Y, NODE_IP)), 0)
    story.seen(NODE, 0)
    assert ["db", "node-a"] == [story.who(ip, 1) for ip in (Y, NODE_IP)]
    story.gone(model.Service(uid="s1", namespace="shop", name="db", ips=(Y, NODE_IP)), 5)
    assert "no_owner" == story.who(Y, 6)


def test_a_socket_names_the_owner_before_the_api_does(story: Story) -> None:
    """Its address is in its node's range, so the kernel's word is enough; the old owner is out at that instant."""
    story.seen(NODE, 0)
    story.seen(pod("old", X), 0)
    story.seen(pod("new"), 50)
    story.runs("new", CGROUP_B, 50)
    story.sighted(X, CGROUP_B, NETNS_B, 51)
    assert ["old", "new"] == [story.who(X, at) for at in (49, 52)]


def test_a_socket_seen_before_its_pod_is_known_is_remembered(story: Story) -> None:
    """Kernel facts may come seconds before the API's."""
    story.runs("new", CGROUP_B, 50)
    story.sighted(X, CGROUP_B, NETNS_B, 51)
    assert "no_owner" == story.who(X, 51)
    story.seen(pod("new"), 52)
    story.seen(pod("new", X), 53)
    assert ["new", "new"] == [story.who(X, at) for at in (51, 60)]
    assert {NETNS_B: uid("new")} == story.owners.namespaces


def test_an_ended_pod_s_orphaned_sockets_do_not_contest_its_address(story: Story) -> None:
    """They go on retransmitting for a minute; what was before the end counts, however late it is told."""
    story.seen(pod("old", X), 0)
    story.runs("old", CGROUP_A, 0)
    story.seen(pod("old", X, terminal=True), 10)
    story.seen(pod("new"), 11)
    story.seen(pod("new", X), 12)
    story.sighted(X, CGROUP_A, NETNS_A, 40)
    assert "new" == story.who(X, 30)
    story.sighted(X, CGROUP_A, NETNS_A, 5)
    assert ns(5) == story.owners.history(X)[0].proven_until_ns


def test_addresses_inside_a_pod_are_its_private_matter(story: Story) -> None:
    """Docker in two pods uses the same addresses, and everybody has a loopback."""
    story.seen(NODE, 0)
    inner = ipaddress.ip_address("172.17.0.2")
    for name, cgroup, netns in (("a", CGROUP_A, NETNS_A), ("b", CGROUP_B, NETNS_B)):
        story.seen(pod(name), 0)
        story.runs(name, cgroup, 0)
        for ip in (inner, ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("fe80::1")):
            story.sighted(ip, cgroup, netns, 1)
            assert "no_owner" == story.who(ip, 1)


def test_a_network_namespace_names_the_pod_of_sockets_without_a_cgroup(story: Story) -> None:
    """Listeners that are older than the agent have no tag, but their namespace has been seen with tagged ones."""
    story.seen(pod("web", X), 0)
    story.runs("web", CGROUP_A, 0)
    assert model.Reason.NO_TAG == story.owners.local(model.CgroupId(0), ns(1), NETNS_A)
    story.sighted(X, CGROUP_A, NETNS_A, 1)
    assert uid("web") == getattr(story.owners.local(model.CgroupId(0), ns(1), NETNS_A), "uid", "")
    assert model.Reason.UNKNOWN_CGROUP == story.owners.local(model.CgroupId(99), ns(1), NETNS_B)


def test_a_namespace_with_sockets_of_two_pods_names_nobody(story: Story) -> None:
    """It is not guessed which."""
    for name, cgroup in (("a", CGROUP_A), ("b", CGROUP_B), ("a", CGROUP_A)):
        story.seen(pod(name), 0)
        story.runs(name, cgroup, 0)
        story.sighted(X, cgroup, NETNS_A, 1)
    assert model.Reason.NO_TAG == story.owners.local(model.CgroupId(0), ns(2), NETNS_A)


def test_a_static_pod_is_found_by_the_hash_in_its_cgroup(story: Story) -> None:
    """The API's uid of a mirror pod is another one than the kubelet's."""
    static_hash = "6ed75d5fd2dd9fd6a9b6b2a4ca1e0e3f"
    story.seen(pod("etcd", NODE_IP, host_network=True, static_hash=static_hash), 0)
    found = story.owners.pod(static_hash)
    assert found is not None
    assert "etcd" == found.name


def test_a_gone_pod_is_named_until_the_history_is_over(story: Story) -> None:
    """Edges are drained after their pods are gone."""
    story.seen(pod("quick", X), 0)
    story.gone(pod("quick", X), 1)
    story.owners.expire(ns(601))
    assert story.owners.pod(uid("quick")) is not None
    assert "quick" == story.who(X, 0.5)
    story.owners.expire(ns(601.001))
    assert story.owners.pod(uid("quick")) is None
    assert "no_owner" == story.who(X, 0.5)
    assert {} == story.owners.addresses.by_address == story.owners.objects


def test_a_terminal_pod_that_stays_in_the_api_loses_its_address_from_memory_only(story: Story) -> None:
    """The pod is still known; its tenure ends with the history."""
    story.seen(pod("job", X), 0)
    story.seen(pod("job", X, terminal=True), 1)
    story.owners.expire(ns(700))
    assert story.owners.pod(uid("job")) is not None
    assert [] == story.owners.history(X)


def test_the_history_of_an_address_reads_as_a_story(story: Story) -> None:
    """Who, from when to when, and what for proof."""
    story.seen(pod("report"), 0)
    story.seen(pod("report", X), 1)
    story.runs("report", CGROUP_A, 0)
    story.sighted(X, CGROUP_A, NETNS_A, 0.5)
    story.sighted(X, CGROUP_A, NETNS_A, 3)
    story.gone(pod("report", X), 4)
    story.seen(pod("cron"), 6)
    story.seen(pod("cron", X), 7)
    lines = [(held.owner.name, held.from_ns, held.until_ns, held.proven_from_ns) for held in story.owners.history(X)]
    assert [("report", ns(0), ns(4), ns(0.5)), ("cron", ns(6), None, None)] == lines


def test_the_version_grows_when_an_answer_may_have_changed(story: Story) -> None:
    """And stays when a sighting only confirms what is known."""
    story.seen(pod("web", X), 0)
    story.runs("web", CGROUP_A, 0)
    story.sighted(X, CGROUP_A, NETNS_A, 1)
    before = story.owners.version
    story.sighted(X, CGROUP_A, NETNS_A, 2)
    story.runs("web", CGROUP_A, 2)
    assert before == story.owners.version
    story.gone(pod("web", X), 3)
    assert before < story.owners.version


def test_the_memory_is_bounded_and_counts_what_it_could_not_keep() -> None:
    """Gone objects make room for new ones; the living are never dropped."""
    story = Story(limits=ownership.Limits(objects=2, cgroups=2, tenures=3, sightings=2))
    story.seen(pod("a", X), 0)
    story.seen(pod("b"), 0)
    story.seen(pod("c"), 1)
    assert (None, 1) == (story.owners.pod(uid("c")), story.owners.evicted["objects"])
    story.gone(pod("a", X), 2)
    story.seen(pod("d"), 3)
    assert story.owners.pod(uid("d")) is not None
    for number in range(5):
        story.seen(pod("d", X), 10 + 2 * number)
        story.seen(pod("d"), 11 + 2 * number)
        story.runs(f"z{number}", model.CgroupId(100 + number), 5)
        story.sighted(X, model.CgroupId(100 + number), NETNS_A, 6)
    assert {"objects": 2, "cgroups": 3, "tenures": 2, "sightings": 0} == story.owners.evicted


def test_what_is_alive_is_what_a_restarted_informer_starts_from(story: Story) -> None:
    """By kind; the gone are not in it."""
    story.seen(NODE, 0)
    story.seen(pod("web", X), 0)
    story.seen(pod("old", Y), 0)
    story.gone(pod("old", Y), 1)
    assert {uid("web"): pod("web", X)} == story.owners.alive(model.Pod)
    assert [NODE] == list(story.owners.alive(model.Node).values())


def test_a_restarted_agent_gives_the_same_answers(story: Story) -> None:
    """The history of addresses, cgroups and namespaces included."""
    story.seen(NODE, 0)
    story.seen(model.Service(uid="s1", namespace="shop", name="db", ips=(Y,)), 0)
    part = model.Mesh(containers=(("beef", "ipseity-proxy"),), skip_inbound="25")
    old = pod("old", X, labels=(("app", "old"),), static_hash="ab" * 16, mesh=part)
    story.seen(old, 0)
    story.runs("old", CGROUP_A, 0)
    story.sighted(X, CGROUP_A, NETNS_A, 1)
    story.gone(old, 2)
    story.seen(pod("new", X), 10)
    story.owners.apply_cgroup(model.CgroupEvent(cgroup=CGROUP_B, path="/system.slice/sshd.service", boot_ns=ns(0)))
    again = Story()
    remembered.load(remembered.dump(story.owners), again.owners)
    assert remembered.dump(story.owners) == remembered.dump(again.owners)
    assert story.owners.history(X) == again.owners.history(X)
    assert story.owners.local(CGROUP_B, ns(1)) == again.owners.local(CGROUP_B, ns(1))
    assert story.owners.pod("ab" * 16) == again.owners.pod("ab" * 16)
    again.owners.expire(ns(1000))
    assert again.owners.pod(uid("old")) is None


@pytest.mark.parametrize("damage", [{}, {"objects": []}, {"objects": {"Pod": [{}], "Service": [], "Node": []}}, "text"])
def test_a_damaged_checkpoint_is_an_error_with_a_name(damage: Any) -> None:
    """The agent then starts without it."""
    with pytest.raises(remembered.Unreadable, match="cannot be read back"):
        remembered.load(msgspec.Raw(msgspec.msgpack.encode(damage)), ownership.Ownership(history_s=1))
