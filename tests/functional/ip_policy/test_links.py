"""Addresses are whose they are: forged ones, short cuts between links, and pods that nobody knows yet.

Leaves out policies: ``test_packets``.
"""

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterator

import pytest

from comparisons.ip_policy import compiler, model
from comparisons.lab import netns, network
from tests.functional.ip_policy import test_connections as cast
from tests.scene import policed, wires

ETH_P_IP, ETH_P_ARP = 0x0800, 0x0806
WAIT_S = 2.0


def counted(street: policed.Policed, node: str, name: str) -> int:
    return wires.counters(street.net.nodes[node].namespace).get(name, 0)


@contextlib.contextmanager
def listening(place: wires.Place) -> Iterator[socket.socket]:
    made = netns.inside(place.namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with made:
        made.bind(("", 7919))
        made.settimeout(WAIT_S)
        yield made


def datagram(source: model.Address, destination: model.Address) -> bytes:
    """Make an IPv4 packet with a UDP datagram in it."""
    inner = struct.pack("!HHHH", 7907, 7919, 12, 0) + b"hush"
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(inner), 1, 0, 64, socket.IPPROTO_UDP, 0)
    header += source.packed + destination.packed
    total = sum(struct.unpack("!10H", header))
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return header[:10] + struct.pack("!H", checksum) + header[12:] + inner


def send(place: wires.Place, packet: bytes, mac: str, kind: int = ETH_P_IP) -> None:
    """Send a frame out of a pod, as whoever has CAP_NET_RAW can."""

    def raw() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as sender:
            sender.sendto(packet, ("eth0", kind, 0, 1, bytes.fromhex(mac.replace(":", ""))))

    netns.inside(place.namespace, raw)


def bridge_mac(street: policed.Policed, node: str) -> str:
    lab = street.net.nodes[node].namespace.name.removeprefix("ips-").removesuffix(f"-{node}")
    return network.mac(f"{lab}/{node}/pods")


def test_a_forged_source_is_dropped(street: policed.Policed) -> None:
    """Where it leaves the pod; under its own address the same packet arrives."""
    street.enforce(cast.cluster(street), compiler.Options(), anew=True)
    one, other, there = (street.net.places[each] for each in ("pod-a0", "pod-a1", "pod-b0"))
    with listening(there) as server:
        before = counted(street, "node-a", "spoofed")
        send(one, datagram(other.address(4), there.address(4)), bridge_mac(street, "node-a"))
        send(one, datagram(one.address(4), there.address(4)), bridge_mac(street, "node-a"))
        assert (b"hush", (str(one.address(4)), 7907)) == server.recvfrom(64)
        assert 1 == counted(street, "node-a", "spoofed") - before


def test_forged_arp_is_dropped(street: policed.Policed) -> None:
    """A pod that says that another's address is here: the node's neighbour table does not believe it."""
    street.enforce(cast.cluster(street), compiler.Options(), anew=True)
    one, other = street.net.places["pod-a0"], street.net.places["pod-a1"]
    gateway = next(iter(ipaddress.ip_network(f"{one.address(4)}/24", strict=False).hosts()))
    mine = bytes.fromhex(network.mac(str(one.address(4))).replace(":", ""))
    before = counted(street, "node-a", "spoofed")
    for claimed in (other, one):
        said = (
            struct.pack("!HHBBH", 1, ETH_P_IP, 6, 4, 2) + mine + claimed.address(4).packed + bytes(6) + gateway.packed
        )
        send(one, said, bridge_mac(street, "node-a"), ETH_P_ARP)
    assert 1 == counted(street, "node-a", "spoofed") - before
    probe = wires.Probe(source="node-a", destination="pod-a1", protocol=model.Protocol.TCP, port=80)
    assert [True] == street.net.probe([probe])[0]


def test_no_short_cut_between_links(street: policed.Policed) -> None:
    """A frame to the other pod's own MAC address would pass by every rule of the routed path."""
    street.enforce(cast.cluster(street), compiler.Options(), anew=True)
    one, two = street.net.places["pod-a0"], street.net.places["pod-a1"]
    with listening(two) as server:
        before = counted(street, "node-a", "unrouted")
        send(one, datagram(one.address(4), two.address(4)), network.mac(str(two.address(4))))
        send(one, datagram(one.address(4), two.address(4)), bridge_mac(street, "node-a"))
        assert b"hush" == server.recv(64)
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.recv(64)
        assert counted(street, "node-a", "unrouted") > before


@pytest.mark.parametrize("gate", [True, False])
def test_the_gate(street: policed.Policed, gate: bool) -> None:  # noqa: FBT001  # a parameter
    """A pod that nobody knows talks with its own node only, behind the gate; without it, with everybody."""
    objects = [each for each in cast.cluster(street) if each["metadata"].get("name") != "pod-a0"]
    street.enforce(objects, compiler.Options(gate=gate), anew=True)
    questions = {
        ("pod-a0", "pod-b0"): not gate,
        ("pod-b0", "pod-a0"): not gate,
        ("pod-a0", "pod-a1"): not gate,
        ("pod-a0", "node-b"): not gate,
        ("pod-a0", "node-a"): True,
        ("node-a", "pod-a0"): True,
        ("pod-a1", "pod-b0"): True,
    }
    for version in (4, 6):
        probes = [
            wires.Probe(source=one, destination=two, protocol=protocol, port=80, version=version)
            for one, two in questions
            for protocol in (model.Protocol.TCP, model.Protocol.UDP)
        ]
        expected = [questions[each.source, each.destination] for each in probes]
        assert expected == street.net.probe(probes)[0]
