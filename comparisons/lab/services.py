"""Services as the node carries them out: an nftables ruleset that sends a Service's address to one of its pods.

Here because most traffic of a cluster goes through such an address, and an observer must see through it. The ruleset
is computed whole and replaced in one transaction, so there is never a moment without one. Pure, but for ``apply``.

Leaves out node ports, load balancers, session affinity and topology: every new connection goes to a random ready pod.
"""

import dataclasses
import ipaddress
import itertools
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from comparisons.lab import processes

Json = dict[str, Any]
TABLE = "ipseity-lab"
HEADLESS = "service.kubernetes.io/headless"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Backend:
    """A pod's address and port."""

    ip: str
    port: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Frontend:
    """A Service's address and port, and who serves it now."""

    ip: str
    protocol: str
    port: int
    backends: tuple[Backend, ...]
    """Sorted; empty: connections are refused."""


def frontends(services: Iterable[Json], slices: Iterable[Json]) -> list[Frontend]:
    """Every address and port of every Service, with its ready pods of the same family."""
    by_service: dict[tuple[str, str], list[Json]] = {}
    for it in slices:
        name = (it["metadata"].get("labels") or {}).get("kubernetes.io/service-name", "")
        by_service.setdefault((it["metadata"]["namespace"], name), []).append(it)
    found: list[Frontend] = []
    for service in services:
        metadata = service["metadata"]
        found += _frontends(service["spec"], by_service.get((metadata["namespace"], metadata["name"]), []))
    return sorted(found)


def _frontends(spec: Json, slices: Sequence[Json]) -> Iterator[Frontend]:
    if spec.get("type") == "ExternalName":
        return
    ips = [ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP")] if ip not in (None, "", "None")]
    for ip, port in itertools.product(ips, spec.get("ports") or ()):
        family = "IPv6" if ":" in ip else "IPv4"
        same = [it for it in slices if it.get("addressType") == family]
        yield Frontend(
            ip=ip,
            protocol=(port.get("protocol") or "TCP").lower(),
            port=int(port["port"]),
            backends=tuple(sorted(set(_backends(same, port.get("name") or "")))),
        )


def _backends(slices: Iterable[Json], port_name: str) -> list[Backend]:
    """Ready ones; if there are none, those that still serve while they end, as kube-proxy does."""
    ready: list[Backend] = []
    ending: list[Backend] = []
    for it in slices:
        ports = [int(p["port"]) for p in it.get("ports") or () if (p.get("name") or "") == port_name and p.get("port")]
        for endpoint in it.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            chosen = ready if conditions.get("ready") is not False else ending if conditions.get("serving") else None
            if chosen is not None:
                chosen += [Backend(ip=ip, port=port) for ip in endpoint["addresses"] for port in ports]
    return ready or ending


def headless(endpoint_slice: Json) -> bool:
    """Whether a slice belongs to a Service without an address: then its name means its pods."""
    return HEADLESS in (endpoint_slice["metadata"].get("labels") or {})


def ruleset(fronts: Sequence[Frontend]) -> str:
    """Write a transaction for ``nft -f`` that makes the table be exactly this."""
    backends = {backend.ip for front in fronts for backend in front.backends}
    lines = [
        f"add table inet {TABLE}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        *_set("hairpin4", "ipv4_addr . ipv4_addr", (f"{ip} . {ip}" for ip in backends if ":" not in ip)),
        *_set("hairpin6", "ipv6_addr . ipv6_addr", (f"{ip} . {ip}" for ip in backends if ":" in ip)),
        *_set("addresses4", "ipv4_addr", (front.ip for front in fronts if ":" not in front.ip)),
        *_set("addresses6", "ipv6_addr", (front.ip for front in fronts if ":" in front.ip)),
        "  chain services {",
        *(f"    {_rule(front)}" for front in fronts if front.backends),
        "  }",
        # A packet still addressed to a Service after translation has nobody to go to: say so, as kube-proxy does.
        "  chain unserved {",
        "    ip daddr @addresses4 reject with icmpx port-unreachable",
        "    ip6 daddr @addresses6 reject with icmpx port-unreachable",
        "  }",
        "  chain prerouting { type nat hook prerouting priority dstnat; policy accept; jump services; }",
        "  chain output { type nat hook output priority -100; policy accept; jump services; }",
        # A pod that reaches itself through its Service must not see its own address as the peer: it would drop that.
        "  chain postrouting {",
        "    type nat hook postrouting priority srcnat; policy accept;",
        "    ip saddr . ip daddr @hairpin4 masquerade",
        "    ip6 saddr . ip6 daddr @hairpin6 masquerade",
        "  }",
        "  chain forwarded { type filter hook forward priority filter; policy accept; jump unserved; }",
        "  chain sent { type filter hook output priority filter; policy accept; jump unserved; }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _set(name: str, kind: str, elements: Iterable[str]) -> list[str]:
    known = ", ".join(sorted(set(elements)))
    return [f"  set {name} {{ type {kind}; {f'elements = {{ {known} }};' if known else ''} }}"]


def _rule(front: Frontend) -> str:
    family = "ip6" if ipaddress.ip_address(front.ip).version == 6 else "ip"
    choices = ", ".join(f"{number} : {it.ip} . {it.port}" for number, it in enumerate(front.backends))
    where = f"{family} daddr {front.ip} {front.protocol} dport {front.port}"
    return f"{where} dnat {family} to numgen random mod {len(front.backends)} map {{ {choices} }}"


async def apply(namespace: pathlib.Path, rules: str) -> None:
    """Make the rules hold in a node's namespace."""
    command = ["nsenter", f"--net={namespace}", "nft", "-f", "-"]
    await processes.check(command, doing=f"set the Service rules of {namespace.name}", stdin=rules.encode())


def merged(objects: Mapping[str, Json]) -> list[Json]:
    """Objects in a stable order, whatever the order in which they came."""
    return sorted(objects.values(), key=lambda it: (it["metadata"]["namespace"], it["metadata"]["name"]))
