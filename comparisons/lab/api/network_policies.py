"""NetworkPolicies: their defaults, and what makes one impossible.

Rules and words: pkg/apis/networking in k8s.io/kubernetes, ``v1/defaults.go`` and ``validation``. Apart from
``validation`` since every other kind is checked on its own there. Leaves out what a policy means: this server stores
it, and whoever enforces policies reads it (``comparisons.ip_policy``).
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from comparisons.lab.api import names, status

Value = dict[str, Any]
Causes = Iterator[status.Cause]

PROTOCOLS = ("TCP", "UDP", "SCTP")
TYPES = ("Egress", "Ingress")
SELECTING = ("In", "NotIn", "Exists", "DoesNotExist")
DIRECTIONS = (("ingress", "from"), ("egress", "to"))
MAX_PORT = 65535
PORT_NAME_LENGTH = 15
"""RFC 6335, as validation.IsValidPortName has it."""


def fill(value: Value) -> None:
    """Set the defaults in place."""
    spec = value.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    for direction, _ in DIRECTIONS:
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                port.setdefault("protocol", "TCP")


def check(value: Value) -> Causes:
    """Yield what is impossible."""
    spec = value["spec"]
    yield from _selector(spec["podSelector"], "spec.podSelector")
    for direction, peers in DIRECTIONS:
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{index}]"
            for number, port in enumerate(rule.get("ports") or ()):
                yield from _port(port, f"{path}.ports[{number}]")
            for number, peer in enumerate(rule.get(peers) or ()):
                yield from _peer(peer, f"{path}.{peers}[{number}]")
    yield from _types(spec["policyTypes"])


def _types(found: list[str]) -> Causes:
    if len(found) > len(TYPES):
        yield status.bad("spec.policyTypes", found, "may not specify more than two policyTypes")
        return
    for index, each in enumerate(found):
        if each not in TYPES:
            yield status.unsupported(f"spec.policyTypes[{index}]", each, TYPES)


def _port(port: Value, path: str) -> Causes:
    if port["protocol"] not in PROTOCOLS:
        yield status.unsupported(f"{path}.protocol", port["protocol"], PROTOCOLS)
    number, last = port.get("port"), port.get("endPort")
    if isinstance(number, int):
        yield from _number(number, f"{path}.port")
        if last is not None and last < number:
            yield status.bad(f"{path}.endPort", last, "must be greater than or equal to `port`")
        if last is not None:
            yield from _number(last, f"{path}.endPort")
        return
    if last is not None:
        why = "is non-numeric" if number is not None else "is not specified"
        yield status.bad(f"{path}.endPort", last, f"may not be specified when `port` {why}")
    if number is not None:
        for why in _port_name(number):
            yield status.bad(f"{path}.port", number, why)


def _number(number: int, path: str) -> Causes:
    if not 1 <= number <= MAX_PORT:
        yield status.bad(path, number, f"must be between 1 and {MAX_PORT}, inclusive")


def _port_name(name: str) -> Iterator[str]:
    if len(name) > PORT_NAME_LENGTH:
        yield f"must be no more than {PORT_NAME_LENGTH} characters"
    if not re.fullmatch(r"[-a-z0-9]+", name):
        yield "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not re.search(r"[a-z]", name):
        yield "must contain at least one letter (a-z)"
    if "--" in name:
        yield "must not contain consecutive hyphens"
    if name.startswith("-") or name.endswith("-"):
        yield "must not begin or end with a hyphen"


def _peer(peer: Value, path: str) -> Causes:
    said = [name for name in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(name) is not None]
    for name in said:
        yield from (_block if name == "ipBlock" else _selector)(peer[name], f"{path}.{name}")
    if not said:
        yield status.required(path, "must specify a peer")
    elif "ipBlock" in said and len(said) > 1:
        yield status.forbidden_field(path, "may not specify both ipBlock and another peer")


def _block(block: Value, path: str) -> Causes:
    if not block.get("cidr"):
        yield status.required(f"{path}.cidr")
        return
    outer = _network(block["cidr"])
    if isinstance(outer, str):
        yield status.bad(f"{path}.cidr", block["cidr"], outer)
        return
    for index, text in enumerate(block.get("except") or ()):
        where, inner = f"{path}.except[{index}]", _network(text)
        if isinstance(inner, str):
            yield status.bad(where, text, inner)
        elif not _strictly_within(inner, outer):
            yield status.bad(where, text, "must be a strict subset of `cidr`")


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> Network | str:
    """Read a CIDR; what is returned instead is what is wrong with it. Host bits may be set, as on the real server."""
    try:
        if "/" in text:
            return ipaddress.ip_network(text, strict=False)
    except ValueError:
        pass
    return "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def _strictly_within(inner: Network, outer: Network) -> bool:
    same = inner.version == outer.version and inner.network_address in outer
    return same and inner.prefixlen > outer.prefixlen


def _selector(found: Mapping[str, Any], path: str) -> Causes:
    for key, text in (found.get("matchLabels") or {}).items():
        if why := names.qualified(key):
            yield status.bad(f"{path}.matchLabels", key, why)
        if why := names.label_value(text):
            yield status.bad(f"{path}.matchLabels", text, why)
    for index, each in enumerate(found.get("matchExpressions") or ()):
        yield from _expression(each, f"{path}.matchExpressions[{index}]")


def _expression(each: Mapping[str, Any], path: str) -> Causes:
    values, listed = each.get("values") or [], each["operator"] in {"In", "NotIn"}
    if each["operator"] not in SELECTING:
        yield status.bad(f"{path}.operator", each["operator"], "not a valid selector operator")
    elif listed and not values:
        yield status.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif values and not listed:
        why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        yield status.forbidden_field(f"{path}.values", why)
    if why := names.qualified(each["key"]):
        yield status.bad(f"{path}.key", each["key"], why)
    for index, text in enumerate(values):
        if why := names.label_value(text):
            yield status.bad(f"{path}.values[{index}]", text, why)
