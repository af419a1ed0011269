"""NetworkPolicy read from the specification's sentences, one by one: slow, simple, and sharing no code with ours.

    naive_policy.allowed(objects, source, destination, "TCP", 80)

``objects`` are Kubernetes objects as the API server has them. Every function says whose sentence it is: [doc] is
kubernetes.io/docs/concepts/services-networking/network-policies, [api] the reference of networking.k8s.io/v1. Here so
that two readings of the same words must agree. Leaves out existing connections.
"""

import ipaddress
from typing import Any

Json = dict[str, Any]


def allowed(objects: list[Json], source: str, destination: str, protocol: str, port: int) -> bool:
    """Ask both: the egress policy on the source pod and the ingress policy on the destination pod. [doc]."""
    sender, receiver = pod_at(objects, source), pod_at(objects, destination)
    if sender is not None and sender is receiver:
        return True  # a pod cannot block access to itself [doc]
    return egress_allows(objects, sender, receiver, destination, protocol, port) and ingress_allows(
        objects, receiver, sender, source, protocol, port
    )


def pod_at(objects: list[Json], address: str) -> Json | None:
    """Give the pod that has an address.

    hostNetwork pods are not meant: "Traffic to/from hostNetwork pods is treated the same as all other traffic to/from
    the node IP." [doc] A pod that has ended has no address any more.
    """
    for each in objects:
        if each["kind"] != "Pod" or each["spec"].get("hostNetwork"):
            continue
        if each["status"]["phase"] in ("Succeeded", "Failed"):
            continue
        if any(
            ipaddress.ip_address(one["ip"]) == ipaddress.ip_address(address)
            for one in each["status"].get("podIPs") or []
        ):
            return each
    return None


def egress_allows(  # noqa: PLR0917  # one connection, in words
    objects: list[Json], pod: Json | None, other: Json | None, address: str, protocol: str, port: int
) -> bool:
    """Whether the sending pod's policies allow it."""
    if pod is None or on_own_node(objects, pod, address):
        return True
    policies = [each for each in policies_for(objects, pod) if "Egress" in types(each)]
    if not policies:
        return True  # by default, a pod is non-isolated for egress [doc]
    # The allowed connections are the union of what the policies allow. [doc]
    for policy in policies:
        for rule in policy["spec"].get("egress") or []:
            if peers_match(objects, policy, rule.get("to"), other, address) and ports_match(
                rule.get("ports"), other, protocol, port
            ):
                return True
    return False


def ingress_allows(  # noqa: PLR0917  # see above
    objects: list[Json], pod: Json | None, other: Json | None, address: str, protocol: str, port: int
) -> bool:
    """Whether the receiving pod's policies allow it."""
    if pod is None or on_own_node(objects, pod, address):
        return True
    policies = [each for each in policies_for(objects, pod) if "Ingress" in types(each)]
    if not policies:
        return True  # by default, a pod is non-isolated for ingress [doc]
    for policy in policies:
        for rule in policy["spec"].get("ingress") or []:
            if peers_match(objects, policy, rule.get("from"), other, address) and ports_match(
                rule.get("ports"), pod, protocol, port
            ):
                return True
    return False


def on_own_node(objects: list[Json], pod: Json, address: str) -> bool:
    """Traffic to and from the node where a Pod is running is always allowed. [doc]."""
    for each in objects:
        if each["kind"] == "Node" and each["metadata"]["name"] == pod["spec"]["nodeName"]:
            mine = [one["address"] for one in each["status"]["addresses"] if one["type"] == "InternalIP"]
            bridges = [str(ipaddress.ip_network(cidr)[1]) for cidr in each["spec"]["podCIDRs"]]
            return any(ipaddress.ip_address(one) == ipaddress.ip_address(address) for one in mine + bridges)
    return False


def policies_for(objects: list[Json], pod: Json) -> list[Json]:
    """Return the policies of the pod's namespace whose podSelector selects it. [api]."""
    return [
        each
        for each in objects
        if each["kind"] == "NetworkPolicy"
        and each["metadata"]["namespace"] == pod["metadata"]["namespace"]
        and selected(each["spec"].get("podSelector") or {}, pod["metadata"].get("labels") or {})
    ]


def types(policy: Json) -> list[str]:
    """By default Ingress will always be set and Egress will be set if the NetworkPolicy has any egress rules. [doc]."""
    said = policy["spec"].get("policyTypes")
    if said:
        return list(said)
    return ["Ingress", "Egress"] if policy["spec"].get("egress") else ["Ingress"]


def peers_match(objects: list[Json], policy: Json, peers: list[Json] | None, other: Json | None, address: str) -> bool:
    """If this field is empty or missing, this rule matches all sources. [api]."""
    if not peers:
        return True
    return any(peer_matches(objects, policy, peer, other, address) for peer in peers)


def peer_matches(objects: list[Json], policy: Json, peer: Json, other: Json | None, address: str) -> bool:
    """Match one item of ``from`` or ``to``."""
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        if not within(address, block["cidr"]):
            return False
        return not any(within(address, each) for each in block.get("except") or [])
    if other is None:
        return False
    labels = other["metadata"].get("labels") or {}
    if "namespaceSelector" in peer and "podSelector" in peer:
        # ... selects particular Pods within particular namespaces [doc]
        return selected(peer["namespaceSelector"], namespace_labels(objects, other)) and selected(
            peer["podSelector"], labels
        )
    if "namespaceSelector" in peer:
        # ... selects particular namespaces for which all Pods should be allowed [doc]
        return selected(peer["namespaceSelector"], namespace_labels(objects, other))
    # ... selects particular Pods in the same namespace as the NetworkPolicy [doc]
    return other["metadata"]["namespace"] == policy["metadata"]["namespace"] and selected(peer["podSelector"], labels)


def within(address: str, cidr: str) -> bool:
    """Compare as numbers, bit by bit."""
    network, _, length = cidr.partition("/")
    one, two = ipaddress.ip_address(address), ipaddress.ip_address(network)
    if one.version != two.version:
        return False
    rest = (32 if one.version == 4 else 128) - int(length)
    return int(one) >> rest == int(two) >> rest


def namespace_labels(objects: list[Json], pod: Json) -> Json:
    """Give the labels of a pod's namespace; its name is one of them, set by the control plane. [doc]."""
    name = pod["metadata"]["namespace"]
    for each in objects:
        if each["kind"] == "Namespace" and each["metadata"]["name"] == name:
            return {**(each["metadata"].get("labels") or {}), "kubernetes.io/metadata.name": name}
    raise AssertionError(f"a pod of a namespace that is not there: {name}")


def selected(selector: Json, labels: Json) -> bool:
    """Match all requirements: they are ANDed. An empty label selector matches all objects. [api]."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for each in selector.get("matchExpressions") or []:
        key, operator, values = each["key"], each["operator"], each.get("values") or []
        if operator == "In" and labels.get(key) not in values:
            return False
        if operator == "NotIn" and key in labels and labels[key] in values:
            return False
        if operator == "Exists" and key not in labels:
            return False
        if operator == "DoesNotExist" and key in labels:
            return False
    return True


def ports_match(ports: list[Json] | None, receiver: Json | None, protocol: str, port: int) -> bool:
    """If this field is empty or missing, this rule matches all ports. [api]."""
    if not ports:
        return True
    return any(port_matches(each, receiver, protocol, port) for each in ports)


def port_matches(it: Json, receiver: Json | None, protocol: str, port: int) -> bool:
    """Match one item of ``ports``: only traffic on the specified protocol AND port. [api]."""
    if it.get("protocol", "TCP") != protocol:
        return False
    wanted = it.get("port")
    if wanted is None:
        return True  # this matches all port names and numbers [api]
    if isinstance(wanted, str):
        return receiver is not None and port in named(receiver, wanted, protocol)
    return wanted <= port <= it.get("endPort", wanted)


def named(pod: Json, name: str, protocol: str) -> list[int]:
    """Resolve a named port on a pod [api]; init containers that keep running (sidecars) have ports, too."""
    containers = list(pod["spec"]["containers"])
    containers += [each for each in pod["spec"].get("initContainers") or [] if each.get("restartPolicy") == "Always"]
    return [
        each["containerPort"]
        for container in containers
        for each in container.get("ports") or []
        if each.get("name") == name and each.get("protocol", "TCP") == protocol
    ]
