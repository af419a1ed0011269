"""Addresses as the programs write them, from real connections: both families, mapped ones, and what is collapsed.

The outside addresses are documentation prefixes on the loopback of a namespace of our own. Left out: which prefix wins
(tests/unit/agent/test_edges.py holds ``Prefixes``, which mirrors the kernel, against these rules).
"""

import ipaddress

import pytest

from agent import edges, model
from tests.scene import counted

OUTSIDE = {
    "203.0.113.7": "203.0.113.0/24",
    "198.51.100.9": "198.51.100.8/29",
    "192.0.2.1": "0.0.0.0/0",
    "2001:db8:1::7": "2001:db8:1::/48",
    "2001:db8:2::7": "::/0",
}
COLLAPSED = ("203.0.113.0/24", "198.51.100.8/29", "2001:db8:1::/48")
LOOP = """
import socket, sys
listen, call, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in listen else socket.AF_INET
server = socket.create_server((listen, 0), family=family, dualstack_ipv6=listen == "::")
for _ in range(times):
    with socket.socket(socket.AF_INET6 if ":" in call else socket.AF_INET) as client:
        client.connect((call, server.getsockname()[1]))
        server.accept()[0].close()
        client.recv(1)
"""
OWN_NAMESPACE = """
import os, subprocess, sys
os.unshare(os.CLONE_NEWNET) if hasattr(os, "unshare") else __import__("ctypes").CDLL(None).unshare(0x40000000)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
for address in sys.argv[2].split(","):
    subprocess.run(["ip", "address", "add", address, "dev", "lo", *["nodad"] * (":" in address)], check=True)
"""


@pytest.mark.parametrize(
    ("listen", "call", "seen"),
    [
        pytest.param("127.0.0.1", "127.0.0.1", "127.0.0.1", id="IPv4"),
        pytest.param("::1", "::1", "::1", id="IPv6"),
        pytest.param("::", "127.0.0.1", "127.0.0.1", id="IPv4 to a dual-stack listener"),
        pytest.param("::", "::ffff:127.0.0.1", "127.0.0.1", id="IPv4-mapped socket"),
        pytest.param("127.0.0.1", "::ffff:127.0.0.1", "127.0.0.1", id="mapped to plain"),
    ],
)
def test_each_family_is_written_as_what_it_is(listen: str, call: str, seen: str) -> None:
    """IPv4 in an IPv6 socket is IPv4, on both ends: so that the two meet."""
    with counted.programs("families") as ours:
        ours.run(LOOP, listen, call, "3")
        found = [change.edge for change in ours.edges()]
        records = [each.edge for side in model.Direction for each in _ended(ours, side)]
    address = ipaddress.ip_address(seen)
    assert {(address, address, direction) for direction in model.Direction} == {
        (edge.local, edge.remote, edge.direction) for edge in found
    }
    assert {address} == {each for edge in records for each in (edge.local, edge.remote)}
    assert 1 == len({edge.port for edge in found})


def _ended(ours: counted.Counted, _: model.Direction) -> list[counted.records.Connection]:
    return ours.connections(model.Direction.EGRESS)


def test_outside_addresses_collapse_to_their_prefix() -> None:
    """The longest configured prefix; what is in none of them to everything of its family. As ``Prefixes`` says too."""
    with counted.programs("collapse", collapsed=COLLAPSED) as ours:
        for address in OUTSIDE:
            ours.run(OWN_NAMESPACE + LOOP.replace("sys.argv[1]", "sys.argv[2]"), address, address, "7")
        changes = ours.edges()
        exact = {str(each.edge.remote) for each in ours.connections(model.Direction.EGRESS)}
    mirror = edges.Prefixes(counted.PRIVATE, [ipaddress.ip_network(text) for text in COLLAPSED])
    egress = {str(change.edge.local): change for change in changes if change.edge.direction is model.Direction.EGRESS}
    assert {address: str(change.edge.remote) for address, change in egress.items()} == OUTSIDE
    assert {7} == {change.counters.opened for change in egress.values()}
    for address, prefix in OUTSIDE.items():
        network = ipaddress.ip_network(prefix)
        mapped = 96 if network.version == 4 else 0
        assert network.prefixlen + mapped == mirror.bits(ipaddress.ip_address(address))
    assert set(OUTSIDE) == exact, "connection records keep the address"


def test_many_outside_addresses_are_one_edge() -> None:
    """That is what collapsing is for: the table stays as small as the list of prefixes."""
    many = [f"203.0.113.{number}" for number in range(1, 24)]
    code = """
import socket, sys
server = socket.create_server(("0.0.0.0", 0))
for address in sys.argv[2].split(","):
    with socket.create_connection((address, server.getsockname()[1]), source_address=("127.0.0.1", 0)):
        server.accept()[0].close()
"""
    with counted.programs("many", collapsed=COLLAPSED) as ours:
        ours.run(OWN_NAMESPACE + code, "", ",".join(many))
        opened = [
            (str(change.edge.remote), change.counters.opened)
            for change in ours.edges()
            if change.edge.direction is model.Direction.EGRESS
        ]
    assert [("203.0.113.0/24", 23)] == opened
