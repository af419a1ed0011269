"""Wires with policies on them: packets, the evaluator and a naive reading of the specification, compared.

Here so that the proof and the tests ask in one way. Leaves out the API server and the agent: rules come from a value.
"""

import contextlib
import dataclasses
import ipaddress
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from comparisons.ip_policy import compiler, evaluate, gathering, kernel, model
from tests.fakes import made_up_policies, naive_policy
from tests.scene import wires

Json = dict[str, Any]
PORTS = (*made_up_policies.PORTS, 9999)
"""The last one is named by no policy; ranges may hold it not either."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one case."""

    asked: int
    allowed: int
    wrong: tuple[str, ...]
    """Every probe on which the three do not agree."""


class Policed:
    """Nodes that enforce what they are given."""

    def __init__(self, net: wires.Net) -> None:
        self.net = net
        self._kernels = {name: kernel.Kernel(place.namespace) for name, place in net.nodes.items()}

    def ground(self) -> made_up_policies.Ground:
        """Tell a generator what there is."""
        nodes = [self._node(place) for place in self.net.nodes.values()]
        seats = [
            made_up_policies.Seat(uid=each.uid, node=each.node, addresses=tuple(map(str, each.addresses)))
            for each in self.net.places.values()
            if each.uid
        ]
        one = seats[0].addresses
        ranges = [cidr for node in nodes for cidr in node["spec"]["podCIDRs"]]
        hosts = [each["address"] for each in nodes[0]["status"]["addresses"]]
        single = [str(ipaddress.ip_network(each)) for each in (*one, *hosts)]
        halves = [str(next(ipaddress.ip_network(each).subnets(new_prefix=29))) for each in ranges if "." in each]
        wide = ["0.0.0.0/0", "::/0", "10.0.0.0/8", "172.30.0.0/16", "fd69::/16"]
        return made_up_policies.Ground(nodes=nodes, seats=seats, blocks=(*wide, *ranges, *halves, *single))

    def _node(self, place: wires.Place) -> Json:
        mine = next(each for each in self.net.places.values() if each.node == place.name)
        lengths = {4: 24, 6: 64}
        ranges = [ipaddress.ip_network(f"{each}/{lengths[each.version]}", strict=False) for each in mine.addresses]
        return {
            "kind": "Node",
            "metadata": {"name": place.name},
            "spec": {"podCIDRs": list(map(str, ranges))},
            "status": {"addresses": [{"type": "InternalIP", "address": str(each)} for each in place.addresses]},
        }

    def enforce(self, objects: Sequence[Json], options: compiler.Options, *, anew: bool) -> model.State:
        """Put a cluster's rules in force; ``anew``: whole, and otherwise by what differs from those before."""
        state = gathering.state(objects)
        for name, rules in self._kernels.items():
            if anew:
                rules.doubt()
            rules.bring(compiler.compile_for(name, state, options))
            assert rules.failures == 0
        return state

    def questions(self, protocols: Sequence[model.Protocol], version: int) -> list[wires.Probe]:
        """Ask everybody about everybody, at every port."""
        return [
            wires.Probe(source=one, destination=two, protocol=protocol, port=port, version=version)
            for one, two in itertools.permutations(self.net.everywhere, 2)
            for protocol in protocols
            for port in PORTS
        ]

    def compare(
        self, objects: list[Json], state: model.State, options: compiler.Options, probes: Sequence[wires.Probe]
    ) -> Outcome:
        """Send probes, and ask both readings about each."""
        arrived, sources = self.net.probe(probes)
        wrong = []
        for probe, packet, source in zip(probes, arrived, sources, strict=True):
            destination = self.net.everywhere[probe.destination].address(probe.version)
            asked = evaluate.Connection(
                source=source, destination=destination, protocol=probe.protocol, port=probe.port
            )
            decided = evaluate.verdict(state, asked)
            word = "ICMP" if probe.protocol is None else probe.protocol.value
            naive = naive_policy.allowed(objects, str(source), str(destination), word, probe.port)
            open_ = self._open(state, options, probe, asked)
            if not (packet is (decided.allowed and open_) and naive is decided.allowed):
                wrong.append(f"{probe}: packet {packet}, naive {naive}, gate {open_}, evaluator {decided}")
        return Outcome(asked=len(probes), allowed=sum(arrived), wrong=tuple(wrong))

    def _open(
        self, state: model.State, options: compiler.Options, probe: wires.Probe, asked: evaluate.Connection
    ) -> bool:
        """Whether the gate lets it pass: a pod that nobody knows talks with its own node only."""
        here, there = self.net.everywhere[probe.source], self.net.everywhere[probe.destination]
        for place, address, other in ((here, asked.source, there), (there, asked.destination, here)):
            known = not place.uid or state.holders.get(address) is not None
            if options.gate and not known and not (other.node == place.node and not other.uid):
                return False
        return True


@contextlib.contextmanager
def up(name: str, pods: Mapping[str, int]) -> Iterator[Policed]:
    """Wire it, and listen everywhere."""
    with wires.up(name, pods) as net:
        net.serve(PORTS)
        yield Policed(net)
