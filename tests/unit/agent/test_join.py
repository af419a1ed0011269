"""Two edges of one connection on one node. Leaves out naming (``test_attribution``)."""

import ipaddress

import pytest

from agent import join, model

A, B = ipaddress.ip_address("10.7.0.1"), ipaddress.ip_address("10.7.0.2")
LOOPBACK = ipaddress.ip_address("127.0.0.1")
MS = 10**6


def end(name: str, container: str = "c1", evidence: model.Evidence = model.Evidence.KERNEL) -> model.End:
    kind = model.Kind.POD if evidence is model.Evidence.KERNEL else model.Kind.UNKNOWN
    uid = f"uid-{name}" if evidence is model.Evidence.KERNEL else ""
    return model.End(
        kind=kind, evidence=evidence, name=name, pod_uid=uid, container_id=container, cgroup=len(container)
    )


def egress(local: model.IpAddress = A, remote: model.IpAddress = B, netns: int = 1) -> join.Meeting:
    made = join.meeting(
        local=local,
        remote=remote,
        port=8080,
        protocol=model.Protocol.TCP,
        direction=model.Direction.EGRESS,
        netns=model.NetnsCookie(netns),
    )
    assert made is not None
    return made


def ingress(local: model.IpAddress = B, remote: model.IpAddress = A, netns: int = 2) -> join.Meeting:
    return egress(local, remote, netns)._replace(direction=model.Direction.INGRESS)


@pytest.fixture
def joined() -> join.Join:
    return join.Join(limit=4)


def test_each_end_finds_the_other(joined: join.Join) -> None:
    """The client's answer is the server's own end, and the other way round."""
    joined.put("c", egress(), end("client"), first_boot_ns=100, last_boot_ns=200)
    joined.put("s", ingress(), end("server"), first_boot_ns=101, last_boot_ns=150)
    assert end("server") == joined.find(egress(), start_boot_ns=100, end_boot_ns=200)
    assert end("client") == joined.find(ingress(), start_boot_ns=101, end_boot_ns=150)


def test_another_port_protocol_or_direction_is_another_connection(joined: join.Join) -> None:
    """And two ends that both opened do not meet."""
    joined.put("s", ingress(), end("server"), first_boot_ns=100, last_boot_ns=200)
    for other in (
        egress()._replace(port=81),
        egress()._replace(protocol=model.Protocol.UDP),
        ingress()._replace(local=A, remote=B),
    ):
        assert joined.find(other, start_boot_ns=100, end_boot_ns=200) is None


def test_an_earlier_bearer_of_the_address_is_not_the_answer(joined: join.Join) -> None:
    """Its edge was over before this one began, further apart than two clocks' reading may lie."""
    joined.put("s", ingress(), end("old"), first_boot_ns=0, last_boot_ns=100)
    assert end("old") == joined.find(egress(), start_boot_ns=100 * MS, end_boot_ns=200 * MS)
    assert joined.find(egress(), start_boot_ns=101 * MS, end_boot_ns=200 * MS) is None


def test_loopback_in_a_namespace_that_is_not_known_is_no_meeting() -> None:
    """UDP has no namespace: another pod's server on the same port of its own loopback is not whom this one called."""
    assert (
        join.meeting(
            local=LOOPBACK,
            remote=LOOPBACK,
            port=8125,
            protocol=model.Protocol.UDP,
            direction=model.Direction.EGRESS,
            netns=model.NetnsCookie(0),
        )
        is None
    )


def test_two_candidates_are_none(joined: join.Join) -> None:
    """The address changed hands within the interval: nothing is guessed."""
    joined.put("s1", ingress(), end("old"), first_boot_ns=0, last_boot_ns=100)
    joined.put("s2", ingress(netns=3), end("new"), first_boot_ns=150, last_boot_ns=300)
    assert joined.find(egress(), start_boot_ns=50, end_boot_ns=200) is None


def test_two_containers_of_one_pod_are_that_pod(joined: join.Join) -> None:
    """Which container is not said."""
    joined.put("s1", ingress(), end("server", "c1"), first_boot_ns=0, last_boot_ns=100)
    joined.put("s2", ingress(), end("server", "c22"), first_boot_ns=0, last_boot_ns=100)
    found = joined.find(egress(), start_boot_ns=50, end_boot_ns=60)
    assert found is not None
    assert ("server", "", 0) == (found.name, found.container_id, found.cgroup)


def test_an_end_without_kernel_evidence_is_no_answer(joined: join.Join) -> None:
    """An unknown socket joined to this one is still unknown."""
    joined.put("s", ingress(), end("", evidence=model.Evidence.NONE), first_boot_ns=0, last_boot_ns=100)
    assert joined.find(egress(), start_boot_ns=0, end_boot_ns=100) is None


def test_a_loopback_address_means_something_in_its_namespace_only(joined: join.Join) -> None:
    """Two pods, each talking to itself on 127.0.0.1:8080."""
    joined.put("s1", ingress(LOOPBACK, LOOPBACK, netns=1), end("one"), first_boot_ns=0, last_boot_ns=100)
    joined.put("s2", ingress(LOOPBACK, LOOPBACK, netns=2), end("two"), first_boot_ns=0, last_boot_ns=100)
    assert end("two") == joined.find(egress(LOOPBACK, LOOPBACK, netns=2), start_boot_ns=0, end_boot_ns=100)


def test_edges_are_updated_forgotten_and_bounded(joined: join.Join) -> None:
    """What does not fit is counted."""
    for number in range(5):
        joined.put(number, ingress(), end("server"), first_boot_ns=number, last_boot_ns=number)
    assert (4, 1) == (len(joined), joined.refused)
    joined.put(0, ingress(), end("server"), first_boot_ns=0, last_boot_ns=50)
    joined.expire(50)
    joined.remove(7)
    assert 1 == len(joined)
    joined.remove(0)
    assert (0, {}) == (len(joined), joined._sides)
