"""Nodes and pods as namespaces and wires only: what the lab wires, without a container in it, and probes through it.

    with wires.up("p-oracle", {"node-a": 3, "node-b": 3}) as net:
        net.probe([...])

Made by the lab's own plans, so that packets go where a lab's packets go. Every probe is accounted for: it arrived, or a
rule's counter says that it was dropped. Leaves out Kubernetes.
"""

import contextlib
import dataclasses
import functools
import ipaddress
import pathlib
import select
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import pyroute2

from comparisons.ip_policy import model
from comparisons.lab import addresses, layout, netlink, netns, network, plan
from tests.scene import sctp

AT_ONCE, TRIES = 300, 20
"""Probes that are under way together, and how often they are sent where the machine is busy. Arbitrary."""
AGAIN_S = 0.9
"""A second after a SYN, another one is sent."""
FABRIC = "outside"
"""The router between the nodes: for a pod, somebody outside of the cluster."""
COUNTED = ("denied", "gated", "spoofed")
"""What drops a probe. (``unrouted`` counts the noise of multicast between links, too.)"""
SO_RCVBUFFORCE = 33
"""include/uapi/asm-generic/socket.h"""
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
    protocol: model.Protocol | None
    """None: ICMP, by IPv4 only."""
    port: int
    version: int = 4


@dataclasses.dataclass(kw_only=True)
class Net:
    """What is up."""

    places: dict[str, Place]
    nodes: Mapping[str, Place]
    ports: tuple[int, ...] = ()
    again: int = 0
    """Probes that had to be sent again."""
    _serving: dict[str, list[tuple[model.Protocol | None, socket.socket]]] = dataclasses.field(default_factory=dict)

    @property
    def everywhere(self) -> Mapping[str, Place]:
        """Give all that can be asked from or to."""
        return {**self.places, **self.nodes}

    def serve(self, ports: Iterable[int]) -> None:
        """Listen at these ports everywhere: TCP and UDP; and to whatever comes by SCTP and ICMP."""
        self.ports = tuple(ports)
        for place in self.everywhere.values():
            self._serve(place)

    def enter(self, place: Place) -> None:
        """Have a new place, which listens as all do."""
        self.places[place.name] = place
        self._serve(place)

    def leave(self, name: str) -> None:
        """Forget a place."""
        del self.places[name]
        for _, each in self._serving.pop(name):
            each.close()

    def _serve(self, place: Place) -> None:
        self._serving[place.name] = netns.inside(place.namespace, lambda: list(_servers(self.ports)))

    def _servers(
        self, kinds: Collection[model.Protocol | None]
    ) -> Iterator[tuple[model.Protocol | None, socket.socket]]:
        return (each for found in self._serving.values() for each in found if each[0] in kinds)

    def close(self) -> None:
        """Stop listening."""
        for _, each in self._servers((*model.Protocol, None)):
            each.close()

    def dropped(self) -> int:
        """Count what rules have dropped so far, on all nodes."""
        found = (counters(place.namespace) for place in self.nodes.values())
        return sum(each.get(name, 0) for each in found for name in COUNTED)

    def forget(self) -> None:
        """Have the nodes forget every connection: the next probe may have a port that an earlier one had."""
        for place in self.nodes.values():
            netns.inside(place.namespace, _flush)

    def probe(self, probes: Sequence[Probe]) -> tuple[list[bool], list[model.Address]]:
        """Send one packet that opens a connection each; which arrived, and from which address each came.

        Slow: the machine is so busy that what was dropped could not be counted, however often it was tried.
        """
        arrived: list[bool] = []
        sources: list[model.Address] = []
        for start in range(0, len(probes), AT_ONCE):
            found, came_from = self._patiently(probes[start : start + AT_ONCE])
            arrived += found
            sources += came_from
        return arrived, sources

    def _patiently(self, probes: Sequence[Probe]) -> tuple[list[bool], list[model.Address]]:
        for _ in range(TRIES):
            try:
                return self._probe(probes)
            except Slow:
                self.again += len(probes)
            finally:
                self.forget()
        return self._probe(probes)

    def _probe(self, probes: Sequence[Probe]) -> tuple[list[bool], list[model.Address]]:
        before, began_s = self.dropped(), time.monotonic()
        sent = self._send(probes)
        try:
            return self._outcomes(sent, before, began_s), [_source(each) for each in sent]
        finally:
            for each in sent:
                each.close()
            self._drain()

    def _send(self, probes: Sequence[Probe]) -> list[socket.socket]:
        by_place: dict[str, list[int]] = {}
        for index, probe in enumerate(probes):
            by_place.setdefault(probe.source, []).append(index)
        everywhere = self.everywhere
        sent: dict[int, socket.socket] = {}
        for name, indexes in by_place.items():
            mine = [probes[index] for index in indexes]
            made = netns.inside(everywhere[name].namespace, functools.partial(_clients, mine))
            for index, client in zip(indexes, made, strict=True):
                probe = probes[index]
                where = str(everywhere[probe.destination].address(probe.version))
                _dispatch(client, probe, where, index)
                sent[index] = client
        return [sent[index] for index in range(len(probes))]

    def _outcomes(self, sent: Sequence[socket.socket], before: int, began_s: float) -> list[bool]:
        """Wait until each probe is accounted for."""
        arrived = [False] * len(sent)
        owners = {each.fileno(): index for index, each in enumerate(sent) if each.type == socket.SOCK_STREAM}
        servers = {each.fileno(): (kind, each) for kind, each in self._servers(_COLLECTING)}
        dropped = 0
        with select.epoll() as poll:
            for fileno in (*owners, *servers):
                poll.register(fileno, select.EPOLLOUT | select.EPOLLERR if fileno in owners else select.EPOLLIN)
            while sum(arrived) + dropped < len(sent):
                for fileno, _ in poll.poll(0.005, 4096):
                    if fileno in servers:
                        kind, server = servers[fileno]
                        _collect(server, kind, arrived)
                    else:
                        poll.unregister(fileno)
                        index = owners[fileno]
                        arrived[index] = sent[index].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
                dropped = self.dropped() - before
                if time.monotonic() - began_s > AGAIN_S and sum(arrived) + dropped != len(sent):
                    raise Slow(f"{len(sent)} probes: {sum(arrived)} arrived and {dropped} were dropped")
        if sum(arrived) + dropped != len(sent):  # a packet of before, or one that was sent again
            raise Slow(f"{len(sent)} probes: {sum(arrived)} arrived and {dropped} were dropped")
        return arrived

    def _drain(self) -> None:
        """Accept what arrived, so that no listener's queue fills up."""
        for _, each in self._servers((model.Protocol.TCP,)):
            with contextlib.suppress(BlockingIOError):
                while True:
                    each.accept()[0].close()
        for _, each in self._servers(_COLLECTING):
            with contextlib.suppress(BlockingIOError):
                while True:
                    each.recv(256)


class Slow(Exception):  # noqa: N818  # it reads as what happened
    """The machine was busy: probes are to be sent again."""


_COLLECTING = (model.Protocol.UDP, model.Protocol.SCTP, None)


def _servers(ports: Sequence[int]) -> Iterator[tuple[model.Protocol | None, socket.socket]]:
    for port in ports:
        yield model.Protocol.TCP, _listening(socket.SOCK_STREAM, port)
        yield model.Protocol.UDP, _listening(socket.SOCK_DGRAM, port)
    for family in (socket.AF_INET, socket.AF_INET6):
        yield model.Protocol.SCTP, socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_SCTP)
    yield None, socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)


def _listening(kind: socket.SocketKind, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6, kind | socket.SOCK_NONBLOCK)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 22)
    made.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        made.listen(4096)
    return made


def _clients(probes: Sequence[Probe]) -> list[socket.socket]:
    return [_client(each) for each in probes]


def _client(probe: Probe) -> socket.socket:
    family = socket.AF_INET6 if probe.version == 6 else socket.AF_INET
    if probe.protocol in {model.Protocol.SCTP, None}:
        number = socket.IPPROTO_ICMP if probe.protocol is None else socket.IPPROTO_SCTP
        return socket.socket(family, socket.SOCK_RAW, number)
    kind = socket.SOCK_STREAM if probe.protocol is model.Protocol.TCP else socket.SOCK_DGRAM
    made = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    if kind == socket.SOCK_STREAM:  # the next probe must not find this one's connection in TIME-WAIT
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    return made


def _dispatch(client: socket.socket, probe: Probe, where: str, index: int) -> None:
    if probe.protocol is model.Protocol.SCTP:
        client.connect((where, 0))
        client.send(sctp.init(source=20_000 + index, destination=probe.port, tag=index + 1))
        return
    if probe.protocol is None:
        client.connect((where, 0))
        client.send(_echo(index))
        return
    with contextlib.suppress(BlockingIOError):
        client.connect((where, probe.port))
    if probe.protocol is model.Protocol.UDP:
        client.send(index.to_bytes(4, "big"))


def _collect(server: socket.socket, kind: model.Protocol | None, arrived: list[bool]) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            data = server.recv(256)
            index = _index(kind, data, server.family)
            if 0 <= index < len(arrived):
                arrived[index] = True


def _index(kind: model.Protocol | None, data: bytes, family: int) -> int:
    if kind is model.Protocol.UDP:
        return int.from_bytes(data, "big")
    if kind is model.Protocol.SCTP:
        return sctp.tag(data, family) - 1
    message = data[(data[0] & 15) * 4 :]
    return int.from_bytes(message[4:8], "big") if message[:1] == bytes([_ECHO]) else -1


_ECHO = 8


def _echo(index: int) -> bytes:
    """Make an ICMP echo request whose identifier and sequence number are the probe's."""
    words = (_ECHO << 8, index >> 16, index & 0xFFFF)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!HHHH", words[0], ~total & 0xFFFF, *words[1:])


def _source(it: socket.socket) -> model.Address:
    return ipaddress.ip_address(it.getsockname()[0])


def _flush() -> None:
    with pyroute2.NFCTSocket(nfgen_family=socket.AF_UNSPEC) as tracking:
        tracking.flush()


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
        netlink.apply(names.netns, network.pod_port(uid, ips))
        netlink.apply(where, network.pod_addresses(ips, it.pod_cidrs, []))
        yield Place(name=f"pod-{it.name[-1]}{number}", namespace=where, node=it.name, addresses=tuple(ips), uid=uid)
