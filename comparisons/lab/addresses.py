"""Which pod has which address of a node's ranges: always the lowest free one, so that addresses are reused at once.

Here because fast reuse is what tells identity from IP, and a lab must be able to force it. Both families move in
step: the n-th address of the IPv4 range goes with the n-th of the IPv6 range. Pure: leaves out links and routes
(``network``).
"""

import heapq
import ipaddress
from collections.abc import Sequence

from comparisons.lab import errors

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

GATEWAY = 1
"""Index of the node's own address in each range; 0 is the network's name."""
MAX_PREFIX = 29
"""Smallest IPv4 range of a node: a gateway and five pods."""


def gateway(network: IpNetwork) -> IpAddress:
    """Return the node's own address in a range."""
    return network[GATEWAY]


class Pool:
    """The addresses of one node. One owner (a pod UID) has one index, hence one address in each range."""

    def __init__(self, networks: Sequence[IpNetwork]) -> None:
        self._networks = tuple(networks)
        self._end = min(
            network.num_addresses - 1 if network.version == 4 else network.num_addresses for network in networks
        )
        self._next = GATEWAY + 1
        self._free: list[int] = []
        self._taken: dict[str, int] = {}

    def take(self, owner: str) -> tuple[IpAddress, ...]:
        """Give the owner its addresses, one per range; the same ones again if it asks twice."""
        index = self._taken.get(owner)
        if index is None:
            index = self._lowest()
            self._taken[owner] = index
        return tuple(network[index] for network in self._networks)

    def release(self, owner: str) -> None:
        """Give back what this owner has, if it has anything; it may be taken again at once."""
        index = self._taken.pop(owner, None)
        if index is not None:
            heapq.heappush(self._free, index)

    def _lowest(self) -> int:
        if self._free:
            return heapq.heappop(self._free)
        if self._next >= self._end:
            ranges = " and ".join(str(network) for network in self._networks)
            raise errors.Exhausted(f"no address is free in {ranges}: {len(self._taken)} pods have one")
        self._next += 1
        return self._next - 1
