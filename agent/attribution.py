"""Who is at the two ends of an edge, and what that rests on.

Here because this is the product: the local end by the socket's cgroup, the remote end by the other socket where it is
on this node too, else by what its handshake proves, else by who had the address at that time. The evidence is part of
every answer, and there is no silent way from one kind to the other. Leaves out how owners are known (``ownership``,
``tags``) and counting (``edges``).
"""

import ipaddress
from typing import assert_never

from agent import model, ownership, places, tags
from ipseity import identity


def local_end(
    owners: ownership.Ownership,
    *,
    cgroup: model.CgroupId,
    netns: model.NetnsCookie,
    address: model.IpAddress | None,
    at_boot_ns: int,
) -> model.End:
    """Name the end whose socket is on this node, from its cgroup, or its network namespace where it has no cgroup."""
    place = owners.local(cgroup, at_boot_ns, netns)
    text = str(address) if address is not None else ""
    match place:
        case places.InPod():
            pod = owners.pod(place.uid)
            if pod is None:
                return model.End(
                    kind=model.Kind.POD,
                    evidence=model.Evidence.KERNEL,
                    address=text,
                    pod_uid=place.uid,
                    container_id=place.container_id,
                    cgroup=cgroup,
                    reason=model.Reason.POD_NOT_IN_API,
                )
            return _pod_end(pod, model.Evidence.KERNEL, text, container_id=place.container_id, cgroup=cgroup)
        case places.OnHost():
            return model.End(
                kind=model.Kind.HOST, evidence=model.Evidence.KERNEL, address=text, name=place.unit, cgroup=cgroup
            )
        case reason:
            return model.End(
                kind=model.Kind.UNKNOWN, evidence=model.Evidence.NONE, address=text, cgroup=cgroup, reason=reason
            )


def remote_end(
    owners: ownership.Ownership,
    *,
    address: model.IpAddress | model.IpNetwork,
    start_boot_ns: int,
    end_boot_ns: int,
    views: model.Views | None = None,
) -> model.End:
    """Name the other end by its address, as it was from start to end. A network is what the kernel collapsed to."""
    if isinstance(address, ipaddress.IPv4Network | ipaddress.IPv6Network):
        prefix = str(address)
        return model.End(kind=model.Kind.EXTERNAL, evidence=model.Evidence.IP, address=prefix, name=prefix)
    owner = owners.at(address, start_boot_ns, end_boot_ns)
    text = str(address)
    match owner:
        case model.Pod():
            return _pod_end(owner, model.Evidence.IP, text, views=views)
        case model.Service():
            return model.End(
                kind=model.Kind.SERVICE,
                evidence=model.Evidence.IP,
                address=text,
                namespace=owner.namespace,
                name=owner.name,
                workload=owner.name,
                workload_kind="Service",
                views=views,
            )
        case model.Node():
            return model.End(
                kind=model.Kind.NODE,
                evidence=model.Evidence.IP,
                address=text,
                name=owner.name,
                reason=model.Reason.HOST_NETWORK,
                views=views,
            )
        case model.Reason.NO_OWNER | model.Reason.AMBIGUOUS:
            return model.End(
                kind=model.Kind.UNKNOWN, evidence=model.Evidence.NONE, address=text, reason=owner, views=views
            )
        case _:
            assert_never(owner)


def told_end(
    owners: ownership.Ownership, known: tags.Tags, *, tag: int, pod_tag: int, address: model.IpAddress | model.IpNetwork
) -> model.End:
    """Name the other end by what its handshake proves: the pod where we know of it, else its service account."""
    text = str(address)
    account = known.account(tag)
    if account is None:
        return model.End(
            kind=model.Kind.UNKNOWN,
            evidence=model.Evidence.HANDSHAKE,
            address=text,
            name=f"{tag:016x}",
            reason=model.Reason.UNKNOWN_TAG,
        )
    found = [pod for uid in known.pods(pod_tag) if (pod := owners.pod(uid)) is not None and _runs_as(pod, account)]
    if len(found) == 1:
        return _pod_end(found[0], model.Evidence.HANDSHAKE, text)
    return model.End(
        kind=model.Kind.POD,
        evidence=model.Evidence.HANDSHAKE,
        address=text,
        namespace=account.namespace,
        workload=account.name,
        workload_kind="ServiceAccount",
        service_account=account.name,
        reason=model.Reason.POD_NOT_IN_API if known.whole and not found else model.Reason.NAMED,
    )


def _runs_as(pod: model.Pod, account: identity.ServiceAccount) -> bool:
    return (pod.namespace, pod.service_account) == (account.namespace, account.name)


def _pod_end(  # noqa: PLR0913  # what an End has besides its pod
    pod: model.Pod,
    evidence: model.Evidence,
    address: str,
    *,
    container_id: str = "",
    cgroup: int = 0,
    views: model.Views | None = None,
) -> model.End:
    return model.End(
        kind=model.Kind.POD,
        evidence=evidence,
        address=address,
        namespace=pod.namespace,
        name=pod.name,
        pod_uid=pod.uid,
        workload=pod.workload or pod.name,
        workload_kind=pod.workload_kind,
        service_account=pod.service_account,
        labels=pod.labels,
        mesh=pod.mesh,
        container_id=container_id,
        cgroup=cgroup,
        views=views,
    )
