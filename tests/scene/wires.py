"""Nodes and pods as namespaces and wires only: what the lab wires, without a container in it, and probes through it.

    with wires.up("p-oracle", {"node-a": 3, "node-b": 3}) as net:
        net.probe([...])

Made by the lab's own plans, so that packets go where a lab's packets go. Every probe is accounted for: it arrived, or a
rule's counter says that it was dropped. Leaves out Kubernetes.
"""

import contextlib
import dataclasses
import ipaddress
import pathlib
import select
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from comparisons.ip_policy import model
from comparisons.lab import addresses, layout, netlink, netns, network, plan

PATIENCE_S = 20.0
FABRIC = "outside"
"""The router between the nodes: for a pod, somebody outside of the cluster."""
COUNTED = ("denied", "gated", "spoofed")
"""What drops a probe. (``unrouted`` counts the noise of multicast between links, too.)"""
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Somewhere that packets come from and go to."""

    name: str
    namespace: pathlib.Path
    node: str
    """Empty outside of the cluster."""
    addresses: tuple[model.Address, ...]
    uid: str = ""
    """Of a pod."""

    def address(self, version: int) -> model.Address:
        """Return its address of one family."""
        return next(each for each in self.addresses if each.version == version)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One attempt."""

    source: str
    destination: str
    protocol: model.Protocol
    port: int
    version: int = 4


@dataclasses.dataclass(kw_only=True)
class Net:
    """What is up."""

    places: Mapping[str, Place]
    nodes: Mapping[str, Place]
    _serving: dict[tuple[str, model.Protocol], list[socket.socket]] = dataclasses.field(default_factory=dict)

    def serve(self, ports: Iterable[int]) -> None:
        """Listen at these ports everywhere, TCP and UDP, both families."""
        wanted = tuple(ports)
        for place in (*self.places.values(), *self.nodes.values()):
            made = netns.inside(place.namespace, lambda: [_listening(kind, port) for kind in _KINDS for port in wanted])
            for it in made:
                self._serving.setdefault((place.name, _KINDS[it.type]), []).append(it)

    def close(self) -> None:
        """Stop listening."""
        for sockets in self._serving.values():
            for each in sockets:
                each.close()

    def dropped(self) -> int:
        """Count what rules have dropped so far, on all nodes."""
        found = (counters(place.namespace) for place in self.nodes.values())
        return sum(each.get(name, 0) for each in found for name in COUNTED)

    def probe(self, probes: Sequence[Probe]) -> tuple[list[bool], list[model.Address]]:
        """Send one packet that opens a connection each; which arrived, and from which address each came."""
        before = self.dropped()
        sent = self._send(probes)
        try:
            return self._outcomes(sent, before), [_source(each) for each in sent]
        finally:
            for each in sent:
                each.close()

    def _send(self, probes: Sequence[Probe]) -> list[socket.socket]:
        by_place: dict[str, list[int]] = {}
        for index, probe in enumerate(probes):
            by_place.setdefault(probe.source, []).append(index)
        everywhere = {**self.places, **self.nodes}
        sent: dict[int, socket.socket] = {}
        for name, indexes in by_place.items():
            found = [(probes[index], index) for index in indexes]
            made = netns.inside(everywhere[name].namespace, lambda found=found: [_client(it) for it, _ in found])
            for (probe, index), client in zip(found, made, strict=True):
                where = (str(everywhere[probe.destination].address(probe.version)), probe.port)
                with contextlib.suppress(BlockingIOError):
                    client.connect(where)
                if probe.protocol is model.Protocol.UDP:
                    client.send(index.to_bytes(4, "big"))
                sent[index] = client
        return [sent[index] for index in range(len(probes))]

    def _outcomes(self, sent: Sequence[socket.socket], before: int) -> list[bool]:
        """Wait until each probe is accounted for."""
        arrived = [False] * len(sent)
        poll = select.epoll()
        owners = {each.fileno(): index for index, each in enumerate(sent) if each.type == socket.SOCK_STREAM}
        servers = {
            it.fileno(): it for (_, kind), found in self._serving.items() for it in found if kind is model.Protocol.UDP
        }
        for fileno in (*owners, *servers):
            poll.register(fileno, select.EPOLLOUT | select.EPOLLERR if fileno in owners else select.EPOLLIN)
        deadline_s = time.monotonic() + PATIENCE_S
        dropped = 0
        while sum(arrived) + dropped < len(sent):
            if time.monotonic() > deadline_s:
                raise AssertionError(f"{len(sent)} probes: {sum(arrived)} arrived, {dropped} dropped, others are lost")
            for fileno, _ in poll.poll(0.005):
                if fileno in servers:
                    _collect(servers[fileno], arrived)
                else:
                    poll.unregister(fileno)
                    index = owners[fileno]
                    error = sent[index].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    arrived[index] = error == 0
            dropped = self.dropped() - before
        poll.close()
        self._drain()
        if sum(arrived) + dropped != len(sent):
            raise AssertionError(f"{len(sent)} probes: {sum(arrived)} arrived and {dropped} were dropped")
        return arrived

    def _drain(self) -> None:
        """Accept what arrived, so that no listener's queue fills up."""
        for (_, kind), found in self._serving.items():
            if kind is model.Protocol.TCP:
                for each in found:
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            each.accept()[0].close()


_KINDS = {socket.SOCK_STREAM: model.Protocol.TCP, socket.SOCK_DGRAM: model.Protocol.UDP}


def _listening(kind: socket.SocketKind, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6, kind | socket.SOCK_NONBLOCK)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        made.listen(512)
    return made


def _client(probe: Probe) -> socket.socket:
    kind = socket.SOCK_STREAM if probe.protocol is model.Protocol.TCP else socket.SOCK_DGRAM
    made = socket.socket(socket.AF_INET6 if probe.version == 6 else socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    if kind == socket.SOCK_STREAM:  # the next probe must not find this one's connection in TIME-WAIT
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    return made


def _collect(server: socket.socket, arrived: list[bool]) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            arrived[int.from_bytes(server.recv(16), "big")] = True


def _source(it: socket.socket) -> model.Address:
    return ipaddress.ip_address(it.getsockname()[0])


def counters(namespace: pathlib.Path) -> dict[str, int]:
    """Read the contender's counters of dropped packets."""
    done = netns.inside(
        namespace,
        lambda: subprocess.run(["nft", "list", "counters"], check=True, capture_output=True, text=True).stdout,
    )
    found: dict[str, int] = {}
    name = ""
    for line in done.splitlines():
        words = line.split()
        if words[:1] == ["counter"]:
            name = words[1]
        elif words[:1] == ["packets"]:
            found[name] = found.get(name, 0) + int(words[1])
    return found


@contextlib.contextmanager
def up(name: str, pods: Mapping[str, int]) -> Iterator[Net]:
    """Wire nodes with so many pods each; afterwards nothing of it is left."""
    root = pathlib.Path(tempfile.mkdtemp(prefix=f"ipseity-{name}-", dir="/run"))
    lab = layout.Lab(name=name, root=root)
    made = plan.make(name, nodes=len(pods), pod_cidr="", kubeconfig="", others=())
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, root)
        stack.callback(netns.remove, lab.fabric)
        netns.create(lab.fabric, lambda: netlink.run(network.fabric(made)))
        routers = tuple(addresses.gateway(ipaddress.ip_network(cidr)) for cidr in made.fabric_cidrs)
        places = {FABRIC: Place(name=FABRIC, namespace=lab.fabric, node="", addresses=routers)}
        nodes = {}
        for node, count in zip(made.nodes, pods.values(), strict=True):
            nodes[node.name] = _node(lab, made, node, stack)
            places |= {each.name: each for each in _pods(lab, node, count, stack)}
        net = Net(places=places, nodes=nodes)
        stack.callback(net.close)
        yield net


def _node(lab: layout.Lab, made: plan.LabPlan, it: plan.NodePlan, stack: contextlib.ExitStack) -> Place:
    names = lab.node(it.name)
    stack.callback(netns.remove, names.netns)
    netns.create(names.netns, lambda: netlink.run(network.node(names, it, made.fabric_cidrs)))
    netlink.apply(lab.fabric, network.node_port(it))
    found = tuple(ipaddress.ip_address(each) for each in it.ips)
    return Place(name=it.name, namespace=names.netns, node=it.name, addresses=found)


def _pods(lab: layout.Lab, it: plan.NodePlan, count: int, stack: contextlib.ExitStack) -> Iterator[Place]:
    names = lab.node(it.name)
    pool = addresses.Pool([ipaddress.ip_network(cidr) for cidr in it.pod_cidrs])
    for number in range(count):
        uid = f"uid-{it.name}-{number}"
        ips, where = pool.take(uid), names.pod_netns(uid)
        stack.callback(netns.remove, where)
        netns.create(where, lambda uid=uid, ips=ips: netlink.run(network.pod_link(uid, ips, names)))
        netlink.apply(names.netns, network.pod_port(uid))
        netlink.apply(where, network.pod_addresses(ips, it.pod_cidrs, []))
        yield Place(name=f"pod-{it.name[-1]}{number}", namespace=where, node=it.name, addresses=tuple(ips), uid=uid)
