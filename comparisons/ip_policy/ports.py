"""What a node lets pass between itself and its pods' own links: the right address on the right link, and no other.

Here because rules by address are worth what addresses are worth. A pod that sends under another's address is dropped
where its link meets the node's bridge; so is what would pass from link to link without being routed; and behind the
gate, a link that no known pod has carries traffic with the node only, until the pod's rules are in.

The lab wires a pod by a veth pair into a bridge (``comparisons.lab.network``). Pure. Leaves out policies.
"""

from collections.abc import Iterable, Mapping

from comparisons.ip_policy import model, ruleset
from comparisons.lab import network

TABLE = "ipseity-policy"
SPOOFED, GATED, UNROUTED = "spoofed", "gated", "unrouted"
NEAR = "{ fe80::/10, ff02::/16 }"
"""Link-local addresses: neighbour discovery, which is not routed."""


def table(node: model.Node | None, local: Iterable[model.Pod], state: model.State, *, gate: bool) -> ruleset.Table:
    """Return the bridge's table of a node."""
    held = {
        f'"{network.port(pod.uid)}" . {address}': address.version
        for pod in local
        for address in pod.addresses
        if state.holders[address] is pod
    }
    own = {str(address): address.version for address in (() if node is None else node.own)}
    links = dict.fromkeys((text.partition(" . ")[0] for text in held), "")
    sets = {
        "links": ruleset.Set(type="ifname", elements=links),
        **{f"held{v}": ruleset.Set(type=f"ifname . ipv{v}_addr", elements=_of(held, v)) for v in (4, 6)},
        **{f"own{v}": ruleset.Set(type=f"ipv{v}_addr", elements=_of(own, v)) for v in (4, 6)},
    }
    chains = {
        "from_pod": _hooked("prerouting", "dstnat", _from_pod(gate=gate)),
        "between": _hooked("forward", "filter", (f"counter name {UNROUTED} drop",)),
        "to_pod": _hooked("postrouting", "srcnat", _to_pod(gate=gate)),
    }
    counters = (SPOOFED, GATED, UNROUTED)
    return ruleset.Table(family="bridge", name=TABLE, counters=counters, sets=sets, chains=chains)


def _of(elements: Mapping[str, int], version: int) -> dict[str, str]:
    return {text: "" for text, each in elements.items() if each == version}


def _hooked(hook: str, priority: str, rules: tuple[str, ...]) -> ruleset.Chain:
    return ruleset.Chain(hook=f"type filter hook {hook} priority {priority}; policy accept;", rules=rules)


def _from_pod(*, gate: bool) -> tuple[str, ...]:
    drop = f"counter name {SPOOFED} drop"
    gated = (
        "ip daddr @own4 accept",
        "ip6 daddr @own6 accept",
        f"ip6 daddr {NEAR} accept",  # to find its node's link: nothing of it is routed
        f"ether type {{ ip, ip6 }} counter name {GATED} drop",
    )
    return (
        "iifname . ip saddr @held4 accept",
        "iifname . ip6 saddr @held6 accept",
        f"iifname @links iifname . arp saddr ip != @held4 {drop}",
        "ether type arp accept",
        f"ip6 saddr fe80::/10 ip6 daddr {NEAR} accept",
        f"ip6 saddr :: ip6 daddr {NEAR} accept",
        f"iifname @links {drop}",
        *(gated if gate else ()),
    )


def _to_pod(*, gate: bool) -> tuple[str, ...]:
    gated = (
        "ip saddr @own4 accept",
        "ip6 saddr @own6 accept",
        f"ether type {{ ip, ip6 }} counter name {GATED} drop",
    )
    return (
        "oifname . ip daddr @held4 accept",
        "oifname . ip6 daddr @held6 accept",
        "ether type arp accept",
        f"ip6 daddr {NEAR} accept",
        f"oifname @links counter name {UNROUTED} drop",
        *(gated if gate else ()),
    )
