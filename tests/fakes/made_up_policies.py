"""Clusters made up from a seed: namespaces, pods with named ports, and NetworkPolicies of every form.

The words are few, so that selectors often match, and few policies are plain. Leaves out what no API server would take.
"""

import dataclasses
import ipaddress
import random
from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]
NAMESPACES = ("x", "y", "z")
KEYS = {"app": ("a", "b", "c"), "tier": ("front", "back"), "odd": ("1",)}
TEAMS = {"team": ("red", "blue"), "odd": ("1",)}
PORTS = (80, 81, 8080, 8081)
PORT_NAMES = ("web", "alt", "nobody")
PROTOCOLS = ("TCP", "UDP", "SCTP")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Where a pod is: its node and addresses, which a generator may not choose."""

    uid: str
    node: str
    addresses: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What is given: nodes and seats."""

    nodes: Sequence[Json]
    seats: Sequence[Seat]
    blocks: Sequence[str]
    """CIDRs that have something in them."""


def cluster(ground: Ground, dice: random.Random, *, ended: float = 0.05) -> list[Json]:
    """Make up everything but the nodes. ``ended``: how likely a pod is over, its address nobody's."""
    found: list[Json] = [*ground.nodes]
    found += [{"kind": "Namespace", "metadata": {"name": name, "labels": labels(dice, TEAMS)}} for name in NAMESPACES]
    found += [pod(seat, dice, ended) for seat in ground.seats]
    found += [host_pod(node, dice) for node in ground.nodes]
    found += [policy(f"p{number}", ground, dice) for number in range(dice.randint(1, 8))]
    dice.shuffle(found)
    return found


def labels(dice: random.Random, keys: dict[str, tuple[str, ...]]) -> Json:
    return {key: dice.choice(values) for key, values in keys.items() if dice.random() < 0.7}


def pod(seat: Seat, dice: random.Random, ended: float) -> Json:
    spec: Json = {"nodeName": seat.node, "containers": [{"name": "a", "ports": container_ports(dice)}]}
    if dice.random() < 0.2:
        beside = dice.choice(({"restartPolicy": "Always"}, {}))
        spec["initContainers"] = [{"name": "b", "ports": container_ports(dice), **beside}]
    return {
        "kind": "Pod",
        "metadata": {
            "uid": seat.uid,
            "name": seat.uid,
            "namespace": dice.choice(NAMESPACES),
            "labels": labels(dice, KEYS),
        },
        "spec": spec,
        "status": {
            "phase": dice.choice(("Succeeded", "Failed")) if dice.random() < ended else "Running",
            "podIPs": [{"ip": each} for each in seat.addresses],
        },
    }


def container_ports(dice: random.Random) -> list[Json]:
    return [
        {"name": name, "containerPort": dice.choice(PORTS), **protocol(dice)}
        for name in PORT_NAMES[:2]
        if dice.random() < 0.6
    ]


def protocol(dice: random.Random) -> Json:
    said = dice.choice((None, "TCP", "UDP", "UDP", "SCTP"))
    return {} if said is None else {"protocol": said}


def host_pod(node: Json, dice: random.Random) -> Json:
    addresses = [each["address"] for each in node["status"]["addresses"]]
    return {
        "kind": "Pod",
        "metadata": {
            "uid": f"host-{node['metadata']['name']}",
            "name": "host",
            "namespace": dice.choice(NAMESPACES),
            "labels": labels(dice, KEYS),
        },
        "spec": {"nodeName": node["metadata"]["name"], "hostNetwork": True, "containers": []},
        "status": {"phase": "Running", "podIPs": [{"ip": each} for each in addresses]},
    }


def policy(name: str, ground: Ground, dice: random.Random) -> Json:
    spec: Json = {"podSelector": selector(dice, KEYS)}
    for direction, side in (("ingress", "from"), ("egress", "to")):
        if dice.random() < 0.6:
            spec[direction] = [rule(side, ground, dice) for _ in range(dice.randint(0, 3))]
    said = dice.choice((None, None, ["Ingress"], ["Egress"], ["Ingress", "Egress"]))
    if said:
        spec["policyTypes"] = said
    return {"kind": "NetworkPolicy", "metadata": {"name": name, "namespace": dice.choice(NAMESPACES)}, "spec": spec}


def selector(dice: random.Random, keys: dict[str, tuple[str, ...]]) -> Json:
    if dice.random() < 0.25:
        return {}
    found: Json = {}
    if dice.random() < 0.6:
        key = dice.choice(list(keys))
        found["matchLabels"] = {key: dice.choice(keys[key])}
    if dice.random() < 0.5:
        found["matchExpressions"] = [expression(dice, keys) for _ in range(dice.randint(1, 2))]
    return found


def expression(dice: random.Random, keys: dict[str, tuple[str, ...]]) -> Json:
    key = dice.choice(list(keys))
    operator = dice.choice(("In", "NotIn", "Exists", "DoesNotExist"))
    values = {"values": dice.sample(keys[key], dice.randint(1, len(keys[key])))} if "In" in operator else {}
    return {"key": key, "operator": operator, **values}


def rule(side: str, ground: Ground, dice: random.Random) -> Json:
    found: Json = {}
    if dice.random() < 0.8:
        found[side] = [peer(ground, dice) for _ in range(dice.randint(0, 3))]
    if dice.random() < 0.7:
        found["ports"] = [port(dice) for _ in range(dice.randint(0, 3))]
    return found


def peer(ground: Ground, dice: random.Random) -> Json:
    match dice.randint(0, 3):
        case 0:
            return {"ipBlock": block(ground, dice)}
        case 1:
            return {"podSelector": selector(dice, KEYS)}
        case 2:
            return {"namespaceSelector": selector(dice, TEAMS)}
        case _:
            return {"podSelector": selector(dice, KEYS), "namespaceSelector": selector(dice, TEAMS)}


def block(ground: Ground, dice: random.Random) -> Json:
    network = ipaddress.ip_network(dice.choice(ground.blocks))
    found: Json = {"cidr": str(network)}
    inside = [each for each in (ipaddress.ip_network(text) for text in ground.blocks) if within(each, network)]
    if inside and dice.random() < 0.5:
        found["except"] = [str(each) for each in dice.sample(inside, dice.randint(1, min(2, len(inside))))]
    return found


def within(one: Any, other: Any) -> bool:
    return bool(one.version == other.version and one != other and one.subnet_of(other))


def port(dice: random.Random) -> Json:
    found = protocol(dice)
    match dice.randint(0, 4):
        case 0:
            pass
        case 1:
            found["port"] = dice.choice(PORT_NAMES)
        case 2:
            first = dice.choice(PORTS) + dice.choice((-1, 0, 1))
            ends = [each + by for each in PORTS for by in (-1, 0, 1) if each + by >= first]
            found |= {"port": first, "endPort": dice.choice(ends)}
        case _:
            found["port"] = dice.choice(PORTS)
    return found
