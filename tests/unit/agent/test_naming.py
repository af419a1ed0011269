"""When a name is worked out anew, and how two ends on one node find each other. Left out: who owns what."""

import ipaddress

import pytest

from agent import edges, iplookup, join, model, naming, ownership, pipeline, tags
from ipseity import identity

T = 10**12
CALLER, CALLEE = "10.7.0.2", "10.7.0.3"
NOW = naming.Moments(T, T, T)
HERE = model.End(kind=model.Kind.POD, evidence=model.Evidence.KERNEL)


def pod(number: int, address: str) -> model.Pod:
    return model.Pod(
        uid=model.PodUid(f"{number:08x}-0000-4000-8000-000000000000"),
        namespace="shop",
        name=f"pod-{number}",
        node="node-a",
        ips=(ipaddress.ip_address(address),),
    )


def edge(number: int, *, local: str, remote: str, direction: int = 0, netns: int = 5) -> edges.Edge:
    return edges.Edge(
        id=T << 8 | number,
        cgroup=model.CgroupId(number),
        netns=model.NetnsCookie(netns),
        local=ipaddress.ip_address(local),
        remote=ipaddress.ip_address(remote) if "/" not in remote else ipaddress.ip_network(remote),
        port=8080,
        direction=model.Direction(direction),
        protocol=model.Protocol.TCP,
    )


def cgroup(owners: ownership.Ownership, of: model.Pod, number: int) -> None:
    path = f"/kubepods/burstable/pod{of.uid}/c{number}"
    owners.apply_cgroup(model.CgroupEvent(cgroup=model.CgroupId(number), path=path, boot_ns=T))


def seen(owners: ownership.Ownership, of: model.Pod, at: int = T) -> None:
    owners.apply_object(model.ObjectEvent(change=model.Change.SEEN, object=of, boot_ns=at))


def made() -> tuple[ownership.Ownership, naming.Names]:
    owners = ownership.Ownership(history_s=600)
    return owners, naming.Names(
        owners, join.Join(limit=100), iplookup.IpLookup(history_s=600), tags.Tags(pipeline.TRUST_DOMAIN)
    )


def named(local: model.Reason, remote: model.Reason, address: str = CALLEE) -> naming.Named:
    def end(reason: model.Reason, text: str) -> model.End:
        return model.End(kind=model.Kind.UNKNOWN, evidence=model.Evidence.NONE, address=text, reason=reason)

    return naming.Named(end(local, CALLER), end(remote, address))


@pytest.mark.parametrize(
    ("local", "remote", "address", "settled"),
    [
        (model.Reason.NAMED, model.Reason.NAMED, CALLEE, True),
        (model.Reason.NAMED, model.Reason.HOST_NETWORK, CALLEE, True),
        (model.Reason.NAMED, model.Reason.NO_OWNER, CALLEE, False),
        (model.Reason.NAMED, model.Reason.AMBIGUOUS, CALLEE, False),
        (model.Reason.NAMED, model.Reason.POD_NOT_IN_API, CALLEE, False),
        (model.Reason.NAMED, model.Reason.NO_OWNER, "127.0.0.1", True),
        (model.Reason.NAMED, model.Reason.NO_OWNER, "::1", True),
        (model.Reason.UNKNOWN_CGROUP, model.Reason.NAMED, CALLEE, False),
        (model.Reason.NO_TAG, model.Reason.NO_OWNER, "127.0.0.1", False),
        (model.Reason.POD_NOT_IN_API, model.Reason.NAMED, CALLEE, False),
    ],
)
def test_what_can_still_improve_is_not_settled(
    local: model.Reason,
    remote: model.Reason,
    address: str,
    *,
    settled: bool,
) -> None:
    """Both ends count; a loopback address has no owner to wait for."""
    assert settled is named(local, remote, address).settled


def test_the_other_end_on_this_node_is_a_fact() -> None:
    """Once both local ends are known, each is the other's remote end, with the kernel's evidence."""
    owners, names = made()
    for number, address in ((1, CALLER), (2, CALLEE)):
        seen(owners, pod(number, address))
        cgroup(owners, pod(number, address), number)
    call = edge(1, local=CALLER, remote=CALLEE)
    served = edge(2, local=CALLEE, remote=CALLER, direction=1, netns=6)
    assert model.Evidence.IP is names.remote(call, NOW, here=HERE).evidence
    names.local(call, NOW)
    names.local(served, NOW)
    assert [("pod-2", model.Evidence.KERNEL), ("pod-1", model.Evidence.KERNEL)] == [
        (end.name, end.evidence) for end in (names.remote(call, NOW, here=HERE), names.remote(served, NOW, here=HERE))
    ]


def test_a_forgotten_edge_is_nobody_s_other_end() -> None:
    """The address may have another socket behind it by then."""
    owners, names = made()
    seen(owners, pod(2, CALLEE))
    cgroup(owners, pod(2, CALLEE), 2)
    served = edge(2, local=CALLEE, remote=CALLER, direction=1)
    names.local(served, NOW)
    call = edge(1, local=CALLER, remote=CALLEE)
    assert model.Evidence.KERNEL is names.remote(call, NOW, here=HERE).evidence
    names.forget([served.id])
    assert model.Evidence.IP is names.remote(call, NOW, here=HERE).evidence


def test_ended_connections_do_not_join() -> None:
    """They have no edge of their own to be found by (id 0): one would stand for all."""
    owners, names = made()
    cgroup(owners, pod(2, CALLEE), 2)
    names.local(edge(2, local=CALLEE, remote=CALLER, direction=1)._replace(id=0), NOW)
    assert model.Reason.NO_OWNER is names.remote(edge(1, local=CALLER, remote=CALLEE), NOW, here=HERE).reason


def test_a_prefix_is_named_as_it_is() -> None:
    """What was collapsed meets nobody."""
    _, names = made()
    end = names.remote(edge(1, local=CALLER, remote="203.0.113.0/24"), NOW, here=HERE)
    assert (model.Kind.EXTERNAL, "203.0.113.0/24") == (end.kind, end.name)


def test_a_settled_name_is_kept_until_something_happens() -> None:
    """An event from outside makes every answer worth asking again, also one that began before the event."""
    owners, names = made()
    call = edge(1, local=CALLER, remote=CALLEE)
    names.begin(T, heard=True)
    settled = named(model.Reason.NAMED, model.Reason.NAMED)
    names.keep(call, settled, T)
    names.begin(T + 1, heard=True)
    assert settled == names.known(call)
    seen(owners, pod(2, CALLEE))
    names.begin(T + 2, heard=True)
    assert names.known(call) is None
    assert settled == names.last(call)
    names.keep(call, settled, T + 1)
    assert names.known(call) is None, "its interval began before the event"
    names.keep(call, settled, T + 2)
    assert settled == names.known(call)


def test_an_unsettled_name_is_worked_out_each_time() -> None:
    """It may have become better without an event: by the other end's edge."""
    _, names = made()
    call = edge(1, local=CALLER, remote=CALLEE)
    names.begin(T, heard=True)
    names.keep(call, named(model.Reason.NAMED, model.Reason.NO_OWNER), T)
    assert names.known(call) is None


def test_forgetting_leaves_nothing() -> None:
    """Names and meetings go; what was never known may be forgotten too."""
    _, names = made()
    call = edge(1, local=CALLER, remote=CALLEE)
    names.local(call, NOW)
    names.keep(call, named(model.Reason.NAMED, model.Reason.NAMED), T)
    names.forget([call.id, 12345])
    assert names.last(call) is None
    assert 0 == len(names._join)


def test_the_handshake_outweighs_the_address_and_the_other_socket_the_handshake() -> None:
    """Kernel, handshake, ip: the best evidence names the end, and all answers stand beside it."""
    owners, names = made()
    web, db = pod(1, CALLEE), pod(2, "10.7.0.9")
    for of in (web, db):
        seen(owners, of)
        event = model.ObjectEvent(change=model.Change.SEEN, object=of, boot_ns=T)
        names._tags.apply(event)
        names.ledger._lookup.apply(event)
    tag = names._tags.tag(identity.ServiceAccount(db.namespace, db.service_account))
    by_address = edge(11, local=CALLER, remote=CALLEE)
    proven = by_address._replace(peer_tag=tag, peer_pod=identity.pod_tag(db.uid))
    end = names.remote(proven, NOW, HERE)
    assert (db.name, model.Evidence.HANDSHAKE) == (end.name, end.evidence)
    assert end.views is not None
    assert end.views.handshake is not None
    assert end.views.ip is not None
    assert (db.name, web.name) == (end.views.handshake.name, end.views.ip.name)
    unproven = names.remote(by_address, NOW, HERE)
    assert (web.name, model.Evidence.IP) == (unproven.name, unproven.evidence)
    cgroup(owners, web, 12)
    names.local(edge(12, local=CALLEE, remote=CALLER, direction=1), NOW)
    joined = names.remote(proven, NOW, HERE)
    assert (web.name, model.Evidence.KERNEL) == (joined.name, joined.evidence)


def test_a_new_service_account_is_news() -> None:
    """A tag that nobody had is looked up again once somebody has it."""
    _, names = made()
    account = identity.ServiceAccount("shop", "late")
    unknown = edge(11, local=CALLER, remote=CALLEE)._replace(peer_tag=names._tags.tag(account))
    names.begin(T, heard=True)
    before = naming.Named(HERE, names.remote(unknown, NOW, HERE))
    names.keep(unknown, before, T)
    assert (False, None) == (before.settled, names.known(unknown))
    names._tags.learn(account)
    names.begin(T + 1, heard=True)
    assert (model.Reason.UNKNOWN_TAG, "late") == (
        before.remote.reason, names.remote(unknown, NOW, HERE).service_account
    )  # fmt: skip
