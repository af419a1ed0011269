"""What an edge's ends are called, and on what evidence.

Leaves out how owners are known (``test_ownership``) and the meeting of two edges (``test_join``).
"""

import ipaddress

import pytest

from agent import attribution, model, ownership

X = ipaddress.ip_address("10.7.0.9")
POD = model.Pod(
    uid=model.PodUid("464ba0a2-d99d-45d2-8304-a594e6982906"),
    namespace="shop",
    name="web-b975d49dd-hl2rf",
    node="node-a",
    workload_kind="Deployment",
    workload="web",
    service_account="web",
    ips=(X,),
    labels=(("app", "web"),),
)
SERVICE = model.Service(uid="s1", namespace="shop", name="db", ips=(ipaddress.ip_address("10.96.0.7"),))
NODE = model.Node(uid="n1", name="node-a", ips=(ipaddress.ip_address("192.168.1.5"),))
CGROUP, HOST = model.CgroupId(4528), model.CgroupId(77)


@pytest.fixture
def owners() -> ownership.Ownership:
    made = ownership.Ownership(history_s=60)
    for thing in (POD, SERVICE, NODE):
        made.apply_object(model.ObjectEvent(change=model.Change.SEEN, object=thing, boot_ns=10, since_boot_ns=0))
    made.apply_cgroup(model.CgroupEvent(cgroup=CGROUP, path=f"/kubepods/pod{POD.uid}/c1", boot_ns=5))
    made.apply_cgroup(model.CgroupEvent(cgroup=HOST, path="/system.slice/sshd.service", boot_ns=5))
    return made


def local(owners: ownership.Ownership, cgroup: int) -> model.End:
    return attribution.local_end(
        owners, cgroup=model.CgroupId(cgroup), netns=model.NetnsCookie(0), address=X, at_boot_ns=20
    )


def remote(owners: ownership.Ownership, text: str) -> model.End:
    address = ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text)
    return attribution.remote_end(owners, address=address, start_boot_ns=15, end_boot_ns=20)


def test_a_local_end_is_the_pod_of_its_cgroup(owners: ownership.Ownership) -> None:
    """Everything that a person calls it by, and the container."""
    assert model.End(
        kind=model.Kind.POD,
        evidence=model.Evidence.KERNEL,
        address="10.7.0.9",
        namespace="shop",
        name="web-b975d49dd-hl2rf",
        pod_uid=POD.uid,
        workload="web",
        workload_kind="Deployment",
        service_account="web",
        labels=(("app", "web"),),
        container_id="c1",
        cgroup=CGROUP,
    ) == local(owners, CGROUP)


def test_a_host_process_is_named_by_its_unit(owners: ownership.Ownership) -> None:
    """Kernel evidence too, and no workload is made up."""
    end = local(owners, HOST)
    assert (model.Kind.HOST, "sshd.service", model.Evidence.KERNEL) == (end.kind, end.name, end.evidence)


@pytest.mark.parametrize(("cgroup", "reason"), [(0, model.Reason.NO_TAG), (99, model.Reason.UNKNOWN_CGROUP)])
def test_an_unknown_local_end_is_not_named_by_its_address(
    owners: ownership.Ownership, cgroup: int, reason: model.Reason
) -> None:
    """There is no silent fall-back from kernel evidence to IP evidence."""
    end = local(owners, cgroup)
    assert (model.Kind.UNKNOWN, model.Evidence.NONE, "", reason) == (end.kind, end.evidence, end.name, end.reason)


def test_a_pod_that_the_api_has_not_told_of_keeps_its_uid() -> None:
    """The kernel knows whose it is; the name may come later."""
    owners = ownership.Ownership(history_s=60)
    owners.apply_cgroup(model.CgroupEvent(cgroup=CGROUP, path=f"/kubepods/pod{POD.uid}/c1", boot_ns=5))
    end = local(owners, CGROUP)
    assert (model.Kind.POD, POD.uid, model.Reason.POD_NOT_IN_API) == (end.kind, end.pod_uid, end.reason)
    assert model.Evidence.KERNEL == end.evidence


@pytest.mark.parametrize(
    ("address", "kind", "name", "evidence", "reason"),
    [
        ("10.7.0.9", "pod", "web-b975d49dd-hl2rf", "ip", ""),
        ("10.96.0.7", "service", "db", "ip", ""),
        ("192.168.1.5", "node", "node-a", "ip", "host_network"),
        ("10.7.0.200", "unknown", "", "none", "no_owner"),
        ("0.0.0.0/0", "external", "0.0.0.0/0", "ip", ""),
        ("2001:db8::/32", "external", "2001:db8::/32", "ip", ""),
    ],
)
def test_a_remote_end_is_who_had_the_address(  # noqa: PLR0917  # the columns of the table above
    owners: ownership.Ownership, address: str, kind: str, name: str, evidence: str, reason: str
) -> None:
    """A node's address never names a pod; what the kernel collapsed is its prefix."""
    end = remote(owners, address)
    assert (kind, name, evidence, reason, address) == (end.kind, end.name, end.evidence, end.reason, end.address)


def test_several_possible_owners_are_none(owners: ownership.Ownership) -> None:
    """The reason says so."""
    twin = model.Pod(uid=model.PodUid("u2"), namespace="shop", name="twin", ips=(X,))
    owners.apply_object(model.ObjectEvent(change=model.Change.SEEN, object=twin, boot_ns=10, since_boot_ns=0))
    assert model.Reason.AMBIGUOUS == remote(owners, "10.7.0.9").reason
