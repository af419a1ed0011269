"""Gives Services their virtual addresses and node ports, from ranges that no pod or node uses.

What is in use is read from the stored Services, so there is nothing to leak or to repair.
Leaves out ServiceCIDR and IPAddress objects: the ranges are fixed.
"""

import dataclasses
import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

from comparisons.lab.api import status

Value = dict[str, Any]

IPV4, IPV6 = "IPv4", "IPv6"
NODE_PORTS = range(30000, 32768)
_IPV4_RANGE = ipaddress.IPv4Network("10.96.0.0/16")
_IPV6_RANGE = ipaddress.IPv6Network("fd00:10:96::/112")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """Where ClusterIPs come from: kubeadm's IPv4 default, and a unique local IPv6 range like it."""

    ipv4: ipaddress.IPv4Network = _IPV4_RANGE
    ipv6: ipaddress.IPv6Network = _IPV6_RANGE

    def of(self, family: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        """Return the range of ``IPv4`` or ``IPv6``."""
        return self.ipv4 if family == IPV4 else self.ipv6


def assign(ranges: Ranges, service: Value, others: Iterable[Value]) -> list[status.Cause]:
    """Completes a Service's spec in place; the causes say which of its wishes cannot be had."""
    spec = service["spec"]
    if spec["type"] == "ExternalName":
        return []
    specs = [other["spec"] for other in others]
    _families(spec)
    causes = list(_cluster_ips(ranges, spec, {ip for each in specs for ip in each.get("clusterIPs") or ()}))
    _node_ports(spec, {port["nodePort"] for each in specs for port in each.get("ports") or () if "nodePort" in port})
    return causes


def _families(spec: Value) -> None:
    asked = [ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP", "")] if ip not in ("", "None")]
    said = spec.get("ipFamilies") or [IPV6 if ":" in ip else IPV4 for ip in asked] or [IPV4]
    dual = spec.setdefault("ipFamilyPolicy", "SingleStack") != "SingleStack"
    spec["ipFamilies"] = [*said, IPV6 if said[0] == IPV4 else IPV4][:2] if dual and len(said) == 1 else said


def _cluster_ips(ranges: Ranges, spec: Value, used: set[str]) -> Iterator[status.Cause]:
    wishes = list(spec.get("clusterIPs") or filter(None, [spec.get("clusterIP")]))
    if wishes[:1] == ["None"]:
        spec["clusterIP"], spec["clusterIPs"] = "None", ["None"]
        return
    for index, wish in enumerate(wishes):
        yield from _refusal(ranges, wish, index, used)
    wishes += [_free(ranges, family, used) for family in spec["ipFamilies"][len(wishes) :]]
    spec["clusterIP"], spec["clusterIPs"] = wishes[0], wishes


def _refusal(ranges: Ranges, wish: str, index: int, used: set[str]) -> Iterator[status.Cause]:
    field = f"spec.clusterIPs[{index}]"
    try:
        address = ipaddress.ip_address(wish)
    except ValueError:
        yield status.bad(field, wish, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
        return
    pool = ranges.of(IPV4 if address.version == 4 else IPV6)
    if address not in pool:
        yield status.bad(field, wish, f"failed to allocate IP {wish}: the provided IP is not in the valid range {pool}")
    elif wish in used:
        yield status.bad(field, wish, f"failed to allocate IP {wish}: provided IP is already allocated")


def _free(ranges: Ranges, family: str, used: set[str]) -> str:
    pool = ranges.of(family)
    for offset in range(10, pool.num_addresses - 1):  # the first ones are left to those who ask for them
        if (address := str(pool[offset])) not in used:
            return address
    raise status.Refused(500, "InternalError", f"failed to allocate a serviceIP: range {pool} is full")


def _node_ports(spec: Value, used: set[int]) -> None:
    if spec["type"] not in {"NodePort", "LoadBalancer"}:
        return
    for port in spec.get("ports") or ():
        if not port.get("nodePort"):
            port["nodePort"] = next(number for number in NODE_PORTS if number not in used)
        used.add(port["nodePort"])
