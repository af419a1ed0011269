"""What becomes of connections that a change refuses: strict nodes end them, others let them go on.

Both ends' packets are tried, since what a server sends must not open the way back. Leaves out the agent that hears of
a change: ``test_agent``.
"""

import contextlib
import select
import socket
import types
from collections.abc import Iterator
from typing import Any, cast

import pytest

from comparisons import stage
from comparisons.ip_policy import compiler, connections, model, tracking
from comparisons.lab import layout, netns
from comparisons.scenarios import snat
from tests.scene import policed, wires

PATIENCE_S = 5.0
SHORT_S = 0.4
"""Long enough for a packet, and for two retransmissions of one (200 ms, 400 ms)."""
POD = {"metadata": {"namespace": "x"}}
DENY = {
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny", "namespace": "x"},
    "spec": {"podSelector": {"matchLabels": {"at": "pod-b0"}}},
}


def cluster(street: policed.Policed, *policies: dict[str, Any]) -> list[dict[str, Any]]:
    found = [*street.ground().nodes, {"kind": "Namespace", "metadata": {"name": "x"}}, *policies]
    for place in street.net.places.values():
        if place.uid:
            addresses = [{"ip": str(each)} for each in place.addresses]
            metadata = {"uid": place.uid, "name": place.name, "namespace": "x", "labels": {"at": place.name}}
            spec = {"nodeName": place.node, "containers": []}
            found.append(
                {"kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Running", "podIPs": addresses}}
            )
    return found


@contextlib.contextmanager
def connected(street: policed.Policed, version: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Open a connection from pod-a0 to pod-b0."""
    one, two = street.net.places["pod-a0"], street.net.places["pod-b0"]
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    with (
        netns.inside(two.namespace, lambda: socket.create_server(("", 7919), family=family)) as listening,
        netns.inside(one.namespace, lambda: socket.socket(family)) as client,
    ):
        listening.settimeout(PATIENCE_S)
        client.settimeout(PATIENCE_S)
        client.connect((str(two.address(version)), 7919))
        server, _ = listening.accept()
        with server:
            yield client, server


def passes(sender: socket.socket, receiver: socket.socket) -> bool:
    """Send a byte; whether it arrives soon."""
    with contextlib.suppress(OSError):
        sender.send(b"x")
    ready, _, _ = select.select([receiver], [], [], SHORT_S)
    return bool(ready) and receiver.recv(1) == b"x"


def end_refused(street: policed.Policed, state: model.State) -> int:
    """Do on both nodes what a strict agent does after a change."""
    ended = 0
    for name, place in street.net.nodes.items():
        ended += netns.inside(
            place.namespace, lambda name=name: tracking.forget(connections.refused(state, name, tracking.read()))
        )
    return ended


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("first", ["client", "server"])
def test_strict(street: policed.Policed, version: int, first: str) -> None:
    """Nothing passes any more, whoever sends first; the server, whose egress nobody restricts, does not reopen it."""
    options = compiler.Options()
    street.enforce(cluster(street), options, anew=True)
    with connected(street, version) as (client, server):
        assert passes(client, server)
        assert passes(server, client)
        state = street.enforce(cluster(street, DENY), options, anew=False)
        assert end_refused(street, state) >= 1
        pairs = [(client, server), (server, client)]
        for sender, receiver in pairs if first == "client" else reversed(pairs):
            assert not passes(sender, receiver)


def test_not_strict(street: policed.Policed) -> None:
    """What is established goes on, as the documentation permits; what is new is refused."""
    options = compiler.Options(strict=False)
    street.enforce(cluster(street), options, anew=True)
    with connected(street, 4) as (client, server):
        street.enforce(cluster(street, DENY), options, anew=False)
        assert passes(client, server)
        assert passes(server, client)
        probe = wires.Probe(source="pod-a0", destination="pod-b0", protocol=model.Protocol.TCP, port=80)
        assert street.net.probe([probe])[0] == [False]


def test_what_stays_allowed_is_not_touched(street: policed.Policed) -> None:
    """A strict node ends no other connection."""
    options = compiler.Options()
    street.enforce(cluster(street), options, anew=True)
    other = {**DENY, "spec": {"podSelector": {"matchLabels": {"at": "pod-b1"}}}}
    with connected(street, 4) as (client, server):
        state = street.enforce(cluster(street, other), options, anew=False)
        assert 0 == end_refused(street, state)
        assert passes(client, server)
        assert passes(server, client)


def test_every_field_is_read(street: policed.Policed) -> None:
    """Connection tracking says who opened it, and who answers at which port."""
    street.net.forget()
    street.enforce(cluster(street), compiler.Options(), anew=True)
    one, two = street.net.places["pod-a0"], street.net.places["pod-b0"]
    with connected(street, 6):
        found = netns.inside(street.net.nodes["node-b"].namespace, tracking.read)
    assert (socket.IPPROTO_TCP, one.address(6), two.address(6), 7919) in [
        (each.protocol, each.source, each.answering, each.answering_port) for each in found
    ]


def test_udp_that_is_refused_may_come_back_as_a_reply(street: policed.Policed) -> None:
    """What the server sends by itself is a flow of its own, which nobody refuses; the client replies to it."""
    options = compiler.Options()
    street.enforce(cluster(street), options, anew=True)
    one, two = street.net.places["pod-a0"], street.net.places["pod-b0"]
    with (
        netns.inside(two.namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server,
        netns.inside(one.namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client,
    ):
        server.bind(("", 7919))
        client.connect((str(two.address(4)), 7919))
        assert passes(client, server)
        server.connect(client.getsockname())
        assert passes(server, client)
        state = street.enforce(cluster(street, DENY), options, anew=False)
        assert end_refused(street, state) >= 1
        assert not passes(client, server)
        assert passes(server, client)
        assert passes(client, server)


@pytest.mark.parametrize("ends", [False, True], ids=["begins", "ends"])
async def test_a_lost_syn_decides_nothing_once_translation_begins_or_ends(
    street: policed.Policed, *, ends: bool
) -> None:
    """It leaves an entry, and whoever had its address and port next was translated as it had been, or had not."""
    options = compiler.Options()
    street.net.forget()
    one, two = street.net.places["pod-a0"], street.net.places["pod-b0"]
    here = street.net.nodes["node-a"]
    node, server_ip = cast("layout.Node", types.SimpleNamespace(netns=here.namespace)), str(two.address(4))

    def lose() -> None:
        street.enforce(cluster(street, DENY), options, anew=False)
        with called(one, SHORT_S) as lost, pytest.raises(TimeoutError):
            lost.connect((server_ip, 7919))
        street.enforce(cluster(street), options, anew=False)

    def peer() -> str:
        with netns.inside(two.namespace, lambda: socket.create_server(("", 7919))) as listening:
            listening.settimeout(PATIENCE_S)
            with called(one, PATIENCE_S) as client:
                client.connect((server_ip, 7919))
                answered, (found, _) = listening.accept()
                answered.close()
                return str(found)

    street.enforce(cluster(street), options, anew=True)
    # As a node of the lab has it for Services: without any, the kernel stops translating what it remembers, too.
    nat = "table ip services { chain out { type nat hook postrouting priority srcnat; }; }"
    await stage.inside(node, "nft", "-f", "-", given=nat)
    if ends:
        async with snat.translated(node, server_ip):
            lose()
        assert str(one.address(4)) == peer()
    else:
        lose()
        async with snat.translated(node, server_ip):
            assert str(here.address(4)) == peer()
    await stage.inside(node, "nft", "delete", "table", "ip", "services")


def called(place: wires.Place, patience_s: float) -> socket.socket:
    """Make a caller whose port is always the same, as that of an address's next owner may be."""
    caller = netns.inside(place.namespace, lambda: socket.socket(socket.AF_INET))
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    caller.settimeout(patience_s)
    caller.bind((str(place.address(4)), 31000))
    return caller
