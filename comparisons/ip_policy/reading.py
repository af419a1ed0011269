"""Kubernetes objects as the words of ``model``.

Here so that one file knows Kubernetes' spelling. Raises ValueError, KeyError or TypeError for what cannot be read: the
informer counts such objects and goes on. Defaults are applied here too: a file that never saw an API server has none.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from comparisons.ip_policy import model

Json = Mapping[str, Any]
OVER = frozenset({"Succeeded", "Failed"})


def policy(it: Json) -> model.Policy:
    """Read a NetworkPolicy."""
    metadata, spec = it["metadata"], it.get("spec") or {}
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    unknown = set(types) - {"Ingress", "Egress"}
    if unknown:
        raise ValueError(f"policyTypes: {sorted(unknown)}: neither Ingress nor Egress")
    return model.Policy(
        namespace=metadata.get("namespace") or "default",
        name=metadata["name"],
        pods=selector(spec.get("podSelector") or {}),
        ingress=_rules(spec.get("ingress"), "from") if "Ingress" in types else None,
        egress=_rules(spec.get("egress"), "to") if "Egress" in types else None,
        version=metadata.get("resourceVersion") or "",
    )


def selector(it: Json) -> model.Selector:
    """Read a LabelSelector."""
    requirements = tuple(
        model.Requirement(
            key=each["key"],
            operator=model.Operator(each["operator"]),
            values=frozenset(each.get("values") or ()),
        )
        for each in it.get("matchExpressions") or ()
    )
    return model.Selector(labels=model.labels(it.get("matchLabels")), requirements=requirements)


def _rules(found: Iterable[Json] | None, side: str) -> tuple[model.Rule, ...]:
    return tuple(
        model.Rule(
            peers=tuple(_peer(each) for each in rule.get(side) or ()),
            ports=tuple(_ports(each) for each in rule.get("ports") or ()),
        )
        for rule in found or ()
    )


def _peer(it: Json) -> model.PodPeer | model.Block:
    """Read a peer. One that says nothing is refused by the API server: here too, lest it be read as everybody."""
    if it.get("ipBlock") is not None:
        block = it["ipBlock"]
        return model.Block(cidr=network(block["cidr"]), but=tuple(network(each) for each in block.get("except") or ()))
    namespaces, pods = it.get("namespaceSelector"), it.get("podSelector")
    if namespaces is None and pods is None:
        raise ValueError("a peer without podSelector, namespaceSelector and ipBlock")
    return model.PodPeer(
        namespaces=None if namespaces is None else selector(namespaces),
        pods=model.EVERYTHING if pods is None else selector(pods),
    )


def network(text: str) -> model.Network:
    """Read a CIDR. Host bits may be set, as the API server admits them."""
    return ipaddress.ip_network(text, strict=False)


def _ports(it: Json) -> model.Ports:
    protocol = model.Protocol(it.get("protocol") or "TCP")
    port = it.get("port")
    if port is None:
        return model.Ports(protocol=protocol)
    if isinstance(port, str):
        return model.Ports(protocol=protocol, name=port)
    return model.Ports(protocol=protocol, first=int(port), last=int(it.get("endPort") or port))


def pod(it: Json) -> model.Pod:
    """Read a Pod."""
    metadata, spec, status = it["metadata"], it.get("spec") or {}, it.get("status") or {}
    leaving = bool(metadata.get("deletionTimestamp"))
    found = [each["ip"] for each in status.get("podIPs") or () if each.get("ip")]
    if not found and status.get("podIP"):
        found = [status["podIP"]]
    return model.Pod(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        labels=model.labels(metadata.get("labels")),
        node=spec.get("nodeName") or "",
        addresses=tuple(ipaddress.ip_address(each) for each in found),
        ports=tuple(_container_ports(spec)),
        host_network=bool(spec.get("hostNetwork")),
        over=status.get("phase") in OVER or (leaving and _all_ended(status)),
        leaving=leaving,
        created=metadata.get("creationTimestamp") or "",
        version=metadata.get("resourceVersion") or "",
    )


def _all_ended(status: Json) -> bool:
    """Whether every container has ended: of a pod that is being deleted, nothing will run again."""
    known = status.get("containerStatuses") or ()
    return bool(known) and all("terminated" in (each.get("state") or {}) for each in known)


def _container_ports(spec: Json) -> Iterable[model.ContainerPort]:
    """Named ports of containers, and of init containers that run beside them (``restartPolicy: Always``)."""
    beside = [each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"]
    for container in [*(spec.get("containers") or ()), *beside]:
        for port in container.get("ports") or ():
            if port.get("name"):
                protocol = model.Protocol(port.get("protocol") or "TCP")
                yield model.ContainerPort(name=port["name"], protocol=protocol, number=int(port["containerPort"]))


def namespace(it: Json) -> model.Namespace:
    """Read a Namespace. Its name is a label, too, which the API server adds."""
    metadata = it["metadata"]
    said = {"kubernetes.io/metadata.name": metadata["name"], **(metadata.get("labels") or {})}
    return model.Namespace(
        name=metadata["name"], labels=model.labels(said), version=metadata.get("resourceVersion") or ""
    )


def node(it: Json) -> model.Node:
    """Read a Node: its addresses, and the range of its pods."""
    metadata, spec, status = it["metadata"], it.get("spec") or {}, it.get("status") or {}
    ranges = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    addresses = (
        each["address"] for each in status.get("addresses") or () if each["type"] in {"InternalIP", "ExternalIP"}
    )
    return model.Node(
        name=metadata["name"],
        addresses=tuple(ipaddress.ip_address(each) for each in addresses),
        pod_ranges=tuple(network(each) for each in ranges),
        version=metadata.get("resourceVersion") or "",
    )
