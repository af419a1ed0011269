"""The ends of a connection as people write them: ``shop/web:8080``, ``10.7.0.9``, ``[fd00::9]:53/udp``, ``web:http``.

Here so that ``explain`` reads words and ``evaluate`` does not. Pure.
"""

import dataclasses
import ipaddress
import re

from comparisons.ip_policy import errors, evaluate, model

FORM = "NAMESPACE/POD or an address; the destination with :PORT, and /udp or /sctp after it"
_TARGET = re.compile(r"(?P<place>\[[^]]+\]|[^:]+):(?P<port>[^/:]+)(/(?P<protocol>\w+))?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One connection that was asked about: by one family of addresses."""

    connection: evaluate.Connection
    source: str
    destination: str


def asked(state: model.State, source: str, destination: str, namespace: str) -> list[Asked]:
    """Understand both ends; one answer for each family that both have. PolicyError: they cannot be understood."""
    found = _TARGET.fullmatch(destination)
    if found is None:
        raise errors.PolicyError(f"destination {destination!r}: no port", hint=FORM)
    protocol = _protocol(found["protocol"] or "tcp")
    here = _addresses(state, source, namespace)
    there = _addresses(state, found["place"].strip("[]"), namespace)
    pairs = [(a, b) for a in here for b in there if a.version == b.version]
    if not pairs:
        raise errors.PolicyError(f"{source} and {found['place']} have no addresses of one family")
    return [
        Asked(
            connection=evaluate.Connection(
                source=a, destination=b, protocol=protocol, port=_port(state, b, found["port"], protocol)
            ),
            source=_called(state, a),
            destination=_called(state, b),
        )
        for a, b in pairs
    ]


def _protocol(text: str) -> model.Protocol:
    try:
        return model.Protocol(text.upper())
    except ValueError as error:
        raise errors.PolicyError(f"protocol {text!r}: neither tcp, udp nor sctp") from error


def _addresses(state: model.State, text: str, namespace: str) -> tuple[model.Address, ...]:
    try:
        return (ipaddress.ip_address(text),)
    except ValueError:
        pass
    home, _, name = text.rpartition("/")
    pods = [each for each in state.pods.values() if (each.namespace, each.name) == (home or namespace, name)]
    if not pods or not pods[0].addresses:
        what = "has no address yet" if pods else "is not there"
        raise errors.PolicyError(f"pod {home or namespace}/{name} {what}", hint=FORM)
    return pods[0].addresses


def _port(state: model.State, address: model.Address, text: str, protocol: model.Protocol) -> int:
    if text.isdigit() and 0 < int(text) < 1 << 16:
        return int(text)
    numbers = evaluate.named(state.holders.get(address), model.Ports(protocol=protocol, name=text))
    if not numbers:
        raise errors.PolicyError(
            f"port {text!r}: neither from 1 to 65535 nor a {protocol.value} port that {address} names"
        )
    return min(numbers)


def _called(state: model.State, address: model.Address) -> str:
    pod, node = state.holders.get(address), state.node_addresses.get(address)
    return f"{pod} ({address})" if pod else f"node {node.name} ({address})" if node else str(address)
