"""Who is gone, in order of time after a restart. Left out: that all comes back (``test_ownership``)."""

import ipaddress

import pytest

from agent import iplookup, model, ownership, remembered, tags
from ipseity import identity
from tests.unit.agent import test_ownership
from tests.unit.agent.test_ownership import CGROUP_A, CGROUP_B, X, Y, ns, pod, uid

X6 = ipaddress.ip_address("fd00::9")


@pytest.fixture
def resumed() -> ownership.Ownership:
    """Who came first has gone last: what a former agent wrote, in the order in which they came, is no order of time."""
    story = test_ownership.Story()
    story.seen(pod("late", X), 0)
    story.seen(pod("early", Y, X6), 1)
    story.runs("late", CGROUP_A, 0)
    story.runs("early", CGROUP_B, 0)
    for name, ips, cgroup, at in (("early", (Y, X6), CGROUP_B, 100), ("late", (X,), CGROUP_A, 500)):
        story.gone(pod(name, *ips), at)
        story.owners.apply_cgroup(model.CgroupEvent(cgroup=cgroup, path="", boot_ns=ns(at), gone=True))
    again = ownership.Ownership(history_s=600, limits=ownership.Limits(objects=2, cgroups=2))
    remembered.load(remembered.dump(story.owners), again)
    return again


def test_who_is_gone_for_the_history_is_forgotten_though_others_were_read_before(
    resumed: ownership.Ownership,
) -> None:
    """Pods, their addresses and their cgroups; the others stay. Addresses of two families may end at once."""
    resumed.expire(ns(800))
    assert (None, uid("late")) == (resumed.pod(uid("early")), resumed.objects[uid("late")].object.uid)
    assert [CGROUP_A] == list(resumed.lives.by_id)
    assert [X] == list(resumed.addresses.by_address)


def test_an_address_whose_owner_is_there_is_let_go_in_time(resumed: ownership.Ownership) -> None:
    """Of the tenures alone."""
    resumed.addresses.expire(ns(800))
    assert [X] == list(resumed.addresses.by_address)


def test_the_longest_gone_makes_room(resumed: ownership.Ownership) -> None:
    """Whoever was read first."""
    event = model.ObjectEvent(change=model.Change.SEEN, object=pod("new"), boot_ns=ns(600))
    resumed.apply_object(event)
    assert {uid("late"), uid("new")} == set(resumed.objects)
    resumed.apply_cgroup(
        model.CgroupEvent(cgroup=model.CgroupId(7), path=f"/kubepods/pod{uid('new')}/c1", boot_ns=ns(600))
    )
    assert {CGROUP_A, 7} == set(resumed.lives.by_id)


def test_tags_and_the_look_up_forget_in_time_too(resumed: ownership.Ownership) -> None:
    """They begin with the same objects."""
    known = tags.Tags(identity.TrustDomain("cluster.local"))
    known.load(resumed.objects.values())
    known.expire(ns(200))
    assert ((), (uid("late"),)) == tuple(known.pods(identity.pod_tag(uid(name))) for name in ("early", "late"))
    lookup = iplookup.IpLookup(history_s=600)
    lookup.load(resumed.objects.values())
    lookup.expire(ns(800))
    assert ([], 1) == (list(lookup.history(Y)), len(lookup.history(X)))
