"""One rule of a policy as nftables matches: who, and at which ports.

Here because this is where the meaning of a rule becomes the kernel's: what ``evaluate`` decides for one connection is
written here for all of them. Pure. Leaves out which pods a set holds (``compiler``).
"""

import dataclasses
import hashlib
import ipaddress
import itertools
from collections.abc import Iterable, Iterator, Mapping

from comparisons.ip_policy import model

FAMILIES: Mapping[int, str] = {4: "ip", 6: "ip6"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PodSet:
    """The addresses of the pods that a peer means."""

    peer: model.PodPeer
    home: str
    """The policy's namespace; the same peer means the same pods from everywhere if it names namespaces."""

    @property
    def name(self) -> str:
        """The name that equal peers share, without the digit of the family."""
        where = self.home if self.peer.namespaces is None else f"[{self.peer.namespaces}]"
        return f"pods_{digest(where, str(self.peer.pods))}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PortSet:
    """Addresses and numbers of the pods that name a port so."""

    ports: model.Ports

    @property
    def name(self) -> str:
        """The port's own name is in it; the same name is another set for another protocol."""
        return f"port_{self.ports.name}_{self.ports.protocol.value.lower()}_"


def digest(*words: str) -> str:
    """Return a short name for something long."""
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]


def pod_sets(rule: model.Rule, home: str) -> Iterator[PodSet]:
    """Return the sets of pods that a rule refers to."""
    for peer in rule.peers:
        if isinstance(peer, model.PodPeer):
            yield PodSet(peer=peer, home=_home(peer, home))


def port_sets(rule: model.Rule) -> Iterator[PortSet]:
    """Return the sets of named ports that a rule refers to."""
    return (PortSet(ports=each) for each in rule.ports if each.name)


def _home(peer: model.PodPeer, home: str) -> str:
    return home if peer.namespaces is None else ""


def matches(rule: model.Rule, direction: model.Direction, home: str) -> list[str]:
    """Write the alternatives: a packet that matches any of them is admitted. Empty text matches everything."""
    found = [
        " ".join(filter(None, pair))
        for family in FAMILIES
        for pair in itertools.product(_who(rule, direction, home, family), _where(rule, family))
    ]
    return list(dict.fromkeys(found))


def _who(rule: model.Rule, direction: model.Direction, home: str, version: int) -> list[str]:
    if not rule.peers:
        return [""]
    end = f"{FAMILIES[version]} {'saddr' if direction is model.Direction.INGRESS else 'daddr'}"
    found: list[str] = []
    for peer in rule.peers:
        if isinstance(peer, model.PodPeer):
            found.append(f"{end} @{PodSet(peer=peer, home=_home(peer, home)).name}{version}")
        elif peer.cidr.version == version:
            found.append(_block(end, peer))
    return found


def _block(end: str, block: model.Block) -> str:
    but = ", ".join(map(str, ipaddress.collapse_addresses(_same(block.but, block.cidr.version))))
    return f"{end} {block.cidr}" + (f" {end} != {{ {but} }}" if but else "")


def _same(networks: Iterable[model.Network], version: int) -> list[ipaddress.IPv4Network]:
    """Return those of one family, typed as one: ``collapse_addresses`` takes no mixture."""
    return [each for each in networks if each.version == version]  # type: ignore[misc]  # see above


def _where(rule: model.Rule, version: int) -> list[str]:
    if not rule.ports:
        return [""]
    found = [f"{FAMILIES[version]} daddr . {_dport(each.ports)} @{each.name}{version}" for each in port_sets(rule)]
    for protocol in model.Protocol:
        numbers = [each for each in rule.ports if each.protocol is protocol and not each.name]
        if any(not each.first for each in numbers):
            found.append(f"meta l4proto {protocol.value.lower()}")
        elif numbers:
            ranges = ", ".join(_merged((each.first, each.last) for each in numbers))
            found.append(f"{protocol.value.lower()} dport {{ {ranges} }}")
    return found


def _dport(ports: model.Ports) -> str:
    return f"{ports.protocol.value.lower()} dport"


def _merged(ranges: Iterable[tuple[int, int]]) -> list[str]:
    """Write ranges that do not overlap: nftables refuses a set whose intervals do."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return [str(first) if first == last else f"{first}-{last}" for first, last in merged]
