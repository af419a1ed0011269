"""What a lab is made of: nodes, their addresses and ranges, chosen so that two labs never share one.

Here so that ``lab up`` decides first and builds afterwards, and so that whoever comes later (a node that restarts,
``lab status``) reads the same decision. Pure: leaves out the file it is kept in and everything it describes.
"""

import dataclasses
import ipaddress
import string
from collections.abc import Iterable
from typing import Any

from comparisons.lab import addresses, errors, layout

MAX_LABS = 64
MAX_NODES = len(string.ascii_lowercase)
NODE_PREFIX = 24
"""A node's range unless the cluster's is too small for it: kube-controller-manager's ``--node-cidr-mask-size``."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """One node. Addresses are in the fabric's ranges; IPv4 first."""

    name: str
    ips: tuple[str, ...]
    pod_cidrs: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LabPlan:
    """One lab. ``index`` is what tells its addresses from another lab's."""

    name: str
    index: int
    pod_cidr: str
    """IPv4 range of all pods, split evenly between the nodes."""
    fabric_cidrs: tuple[str, ...]
    """What the nodes' own addresses are from; the first address is the router's."""
    nodes: tuple[NodePlan, ...]
    kubeconfig: str = ""
    """Of a real API server; empty where the lab serves its own."""
    rbac: bool = False
    """Whether roles bind at its own API server."""


def to_json(plan: LabPlan) -> dict[str, Any]:
    """Plain values for ``plan.json``."""
    return dataclasses.asdict(plan)


def from_json(value: dict[str, Any]) -> LabPlan:
    """Return the inverse of ``to_json``."""
    nodes = tuple(
        NodePlan(name=node["name"], ips=tuple(node["ips"]), pod_cidrs=tuple(node["pod_cidrs"]))
        for node in value["nodes"]
    )
    return LabPlan(**{**value, "nodes": nodes, "fabric_cidrs": tuple(value["fabric_cidrs"])})


def check_name(name: str) -> None:
    """Refuse a name that the names made of it could not hold."""
    if layout.NAME.fullmatch(name) is None:
        raise errors.LabError(
            f"not a name for a lab: {name!r}", hint="lower-case letters, digits and dashes, at most 20, a letter first"
        )


def make(  # noqa: PLR0913  # what a lab is asked for
    name: str, *, nodes: int, pod_cidr: str, kubeconfig: str, others: Iterable[LabPlan], rbac: bool = False
) -> LabPlan:
    """Decide a new lab, given those that exist. An empty ``pod_cidr``: choose one that no other lab has."""
    check_name(name)
    if not 1 <= nodes <= MAX_NODES:
        raise errors.LabError(f"a lab has 1 to {MAX_NODES} nodes, not {nodes}")
    others = tuple(others)
    index = _free_index(others)
    cluster = _cluster_range(pod_cidr, index, others)
    ranges = _split(cluster, nodes)
    fabric = (f"172.30.{index}.0/24", f"fd69:7073:{index:x}:ffff::/64")
    return LabPlan(
        name=name,
        index=index,
        pod_cidr=str(cluster),
        fabric_cidrs=fabric,
        nodes=tuple(_node(index, number, network, fabric) for number, network in enumerate(ranges)),
        kubeconfig=kubeconfig,
        rbac=rbac,
    )


def _node(index: int, number: int, network: ipaddress.IPv4Network, fabric: tuple[str, ...]) -> NodePlan:
    ips = tuple(str(ipaddress.ip_network(cidr)[number + 2]) for cidr in fabric)
    pods = (str(network), f"fd69:7073:{index:x}:{number + 1:x}::/64")
    return NodePlan(name=f"node-{string.ascii_lowercase[number]}", ips=ips, pod_cidrs=pods)


def _free_index(others: tuple[LabPlan, ...]) -> int:
    taken = {other.index for other in others}
    free = next((index for index in range(MAX_LABS) if index not in taken), None)
    if free is None:
        raise errors.LabError(f"{MAX_LABS} labs are there already", hint="ipseity lab down --name NAME")
    return free


def _cluster_range(pod_cidr: str, index: int, others: tuple[LabPlan, ...]) -> ipaddress.IPv4Network:
    taken = [ipaddress.IPv4Network(other.pod_cidr) for other in others]
    if not pod_cidr:
        candidates = (ipaddress.IPv4Network(f"10.{64 + (index + step) % 128}.0.0/16") for step in range(128))
        return next(network for network in candidates if not any(network.overlaps(other) for other in taken))
    try:
        network = ipaddress.IPv4Network(pod_cidr)
    except ValueError as error:
        raise errors.LabError(f"pod range {pod_cidr!r}: {error}", hint="an IPv4 range such as 10.7.0.0/24") from error
    for other in others:
        if network.overlaps(ipaddress.IPv4Network(other.pod_cidr)):
            raise errors.LabError(
                f"pod range {network} overlaps {other.pod_cidr} of lab {other.name!r}", hint="take another range"
            )
    return network


def _split(cluster: ipaddress.IPv4Network, nodes: int) -> list[ipaddress.IPv4Network]:
    prefix = max(cluster.prefixlen + (nodes - 1).bit_length(), min(NODE_PREFIX, addresses.MAX_PREFIX))
    if prefix > addresses.MAX_PREFIX:
        raise errors.LabError(
            f"pod range {cluster} is too small for {nodes} nodes",
            hint=f"a node needs a /{addresses.MAX_PREFIX} at least: a gateway and five pods",
        )
    subnets = cluster.subnets(new_prefix=prefix)
    return [next(subnets) for _ in range(nodes)]
