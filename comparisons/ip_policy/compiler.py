"""A cluster's policies as one node's nftables.

    compiler.compile_for("node-a", state, Options(strict=True, gate=True))

Here because this is the contender's whole data path, as a value: what the sets hold, and in which order packets are
asked about. The order is: replies and what belongs to a known connection; a pod's traffic with itself; the egress
policies of the pod that sends; the ingress policies of the pod that receives. A pod's address leads by a map to the
chain of its policies, so the cost of a packet does not grow with the number of pods or of other pods' policies.

Nodes filter what they route. What a node itself sends or receives is not routed: so it passes, as NetworkPolicy has
it. Pure: leaves out the kernel (``kernel``), and where a pod's own link is looked after (``ports``).
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping

from comparisons.ip_policy import matching, model, ports, ruleset

TABLE = ports.TABLE
Elements = Mapping[str, str]
DENY = "counter name denied drop"
DENIED, STRAY = "denied", "stray"
NAME_LENGTH = 80
"""Arbitrary: nftables takes 255 bytes, people fewer."""
NOT_A_SYN = "ct state new tcp flags & (fin | syn | rst | ack) != syn"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How strict a node is."""

    strict: bool = True
    """Whether connections that are no longer allowed end. Otherwise those that are established go on."""
    gate: bool = True
    """Whether a new pod's traffic waits for its rules. Otherwise it passes until they are there."""


def compile_for(name: str, state: model.State, options: Options) -> ruleset.Ruleset:
    """Return everything that a node needs."""
    local = [pod for pod in dict.fromkeys(state.holders.values()) if pod.node == name]
    return (
        _routed(local, state, options),
        ports.table(state.nodes.get(name), local, state, gate=options.gate),
    )


def _routed(local: list[model.Pod], state: model.State, options: Options) -> ruleset.Table:
    applied = _Applied(state, local)
    sets = {
        **_by_family("ingress", "{} : verdict", applied.dispatch(model.Direction.INGRESS)),
        **_by_family("egress", "{} : verdict", applied.dispatch(model.Direction.EGRESS)),
        **_by_family("isolated", "{}", dict.fromkeys(applied.isolated(), "")),
        **_by_family("itself", "{0} . {0}", {f"{a} . {a}": "" for a in _addresses(local, state)}),
        **applied.sets(),
    }
    chains = {
        "forward": ruleset.Chain(
            hook="type filter hook forward priority filter; policy accept;", rules=_route(options)
        ),
        "ingress": ruleset.Chain(rules=("ip daddr vmap @ingress4", "ip6 daddr vmap @ingress6", "accept")),
        **applied.chains(),
    }
    return ruleset.Table(family="inet", name=TABLE, counters=(DENIED, STRAY), sets=sets, chains=chains)


def _route(options: Options) -> tuple[str, ...]:
    """Write what every routed packet meets.

    A strict node has forgotten the connections that are not allowed any more. What still comes of them has no SYN and
    would, coming from the end that is not isolated, make a new connection in the other direction: it is dropped.
    """
    strays = (
        f"{NOT_A_SYN} {family} {end} @isolated{version} counter name {STRAY} drop"
        for version, family in matching.FAMILIES.items()
        for end in ("saddr", "daddr")
    )
    return (
        "ct state established,related accept",
        *(strays if options.strict else ()),
        "ip saddr . ip daddr @itself4 accept",
        "ip6 saddr . ip6 daddr @itself6 accept",
        "ip saddr vmap @egress4",
        "ip6 saddr vmap @egress6",
        "goto ingress",
    )


class _Applied:
    """The policies that are about a node's pods, and what they need."""

    def __init__(self, state: model.State, local: list[model.Pod]) -> None:
        self._state = state
        self._local = local

    @functools.cached_property
    def _isolating(self) -> Mapping[model.Direction, Mapping[model.Pod, tuple[model.Policy, ...]]]:
        by_namespace: dict[str, list[model.Policy]] = {}
        for policy in self._state.policies:
            by_namespace.setdefault(policy.namespace, []).append(policy)
        found: dict[model.Direction, dict[model.Pod, tuple[model.Policy, ...]]] = {each: {} for each in model.Direction}
        for pod in self._local:
            about = [each for each in by_namespace.get(pod.namespace, ()) if self._state.selects(each, pod)]
            for direction, isolated in found.items():
                policies = tuple(each for each in about if each.rules(direction) is not None)
                if policies:
                    isolated[pod] = policies
        return found

    @functools.cached_property
    def _about(self) -> Mapping[model.Direction, tuple[model.Policy, ...]]:
        return {
            direction: tuple(dict.fromkeys(policy for policies in isolated.values() for policy in policies))
            for direction, isolated in self._isolating.items()
        }

    @functools.cached_property
    def _alike(self) -> Mapping[tuple[str, model.Labels], list[tuple[model.Pod, model.Address]]]:
        """Pods of the cluster by what selectors see of them: most pods have many that are alike."""
        found: dict[tuple[str, model.Labels], list[tuple[model.Pod, model.Address]]] = {}
        for address, pod in self._state.holders.items():
            found.setdefault((pod.namespace, pod.labels), []).append((pod, address))
        return found

    def dispatch(self, direction: model.Direction) -> Elements:
        """Address -> the chain of the policies that isolate its pod."""
        return {
            str(address): f"goto {_group(policies, direction)}"
            for pod, policies in self._isolating[direction].items()
            for address in _addresses([pod], self._state)
        }

    def isolated(self) -> Iterator[str]:
        """Yield addresses of pods that are isolated in any direction."""
        for isolated in self._isolating.values():
            yield from map(str, _addresses(isolated, self._state))

    def chains(self) -> Mapping[str, ruleset.Chain]:
        """One per policy and direction, and one per combination of them that some pod has."""
        found: dict[str, ruleset.Chain] = {}
        for direction, policies in self._about.items():
            for policy in policies:
                found[_chain(policy, direction)] = ruleset.Chain(rules=tuple(_rules(policy, direction)))
        for direction, isolated in self._isolating.items():
            for policies in dict.fromkeys(isolated.values()):
                jumps = (f"jump {_chain(each, direction)}" for each in policies)
                found[_group(policies, direction)] = ruleset.Chain(rules=(*jumps, DENY))
        return found

    def sets(self) -> Mapping[str, ruleset.Set]:
        """Pods that peers mean, and named ports."""
        rules = [
            (rule, policy.namespace)
            for direction, policies in self._about.items()
            for policy in policies
            for rule in policy.rules(direction) or ()
        ]
        found: dict[str, ruleset.Set] = {}
        for pods in dict.fromkeys(each for rule, home in rules for each in matching.pod_sets(rule, home)):
            found |= _by_family(pods.name, "{}", dict.fromkeys(self._meant(pods), ""))
        for named in dict.fromkeys(each for rule, _ in rules for each in matching.port_sets(rule)):
            found |= _by_family(named.name, "{} . inet_service", dict.fromkeys(self._naming(named), ""))
        return found

    def _meant(self, pods: matching.PodSet) -> Iterator[str]:
        for alike in self._alike.values():
            if self._state.means(pods.peer, alike[0][0], pods.home):
                yield from (str(address) for _, address in alike)

    def _naming(self, named: matching.PortSet) -> Iterator[str]:
        for address, pod in self._state.holders.items():
            for port in pod.ports:
                if (port.name, port.protocol) == (named.ports.name, named.ports.protocol):
                    yield f"{address} . {port.number}"


def _addresses(pods: Iterable[model.Pod], state: model.State) -> Iterator[model.Address]:
    """Yield addresses that these pods really hold."""
    return (address for pod in pods for address in pod.addresses if state.holders[address] is pod)


def _rules(policy: model.Policy, direction: model.Direction) -> Iterator[str]:
    """Write a policy's rules. What egress admits is not accepted yet: ingress is asked next."""
    end = "accept" if direction is model.Direction.INGRESS else "goto ingress"
    for index, rule in enumerate(policy.rules(direction) or ()):
        for each in matching.matches(rule, direction, policy.namespace):
            yield f'{each} {end} comment "rule {index}"'.lstrip()


def _chain(policy: model.Policy, direction: model.Direction) -> str:
    readable = f"{direction.value}_{policy.namespace}_{policy.name}"[:NAME_LENGTH]
    return f"{readable}_{matching.digest(policy.namespace, policy.name)}"


def _group(policies: tuple[model.Policy, ...], direction: model.Direction) -> str:
    return f"isolated_{direction.value}_{matching.digest(*map(str, policies))}"


def _by_family(name: str, kind: str, elements: Elements) -> Mapping[str, ruleset.Set]:
    """Split elements by the family of their address, which is what they begin with."""
    six = {key: value for key, value in elements.items() if ":" in key}
    four = {key: value for key, value in elements.items() if key not in six}
    return {
        f"{name}4": ruleset.Set(type=kind.format("ipv4_addr"), elements=four),
        f"{name}6": ruleset.Set(type=kind.format("ipv6_addr"), elements=six),
    }
