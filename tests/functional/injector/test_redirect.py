"""The redirect in a real network namespace: what goes through the proxy, what does not, and what is refused.

The proxy is a program that listens on its ports and tells each caller where the call arrived, and where the kernel says
that it was going. Leaves out Envoy, and how the redirect is installed (``test_redirect_check``).
"""

from collections.abc import Iterator

import pytest

from injector.sidecar import ports, redirect
from tests.scene import room

LISTENS = """
import ipaddress, selectors, socket, struct, sys
found = selectors.DefaultSelector()
for port in (15001, 15006, 15020, 8080, 2525, 3306):
    for family, any_ in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        server = socket.socket(family)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind((any_, port))
        server.listen()
        found.register(server, selectors.EVENT_READ)
print("listening", flush=True)
def going(call):
    try:
        if call.family == socket.AF_INET:
            return struct.unpack_from("!2xH4s", call.getsockopt(socket.SOL_IP, 80, 16))
        return struct.unpack_from("!2xH4x16s", call.getsockopt(socket.IPPROTO_IPV6, 80, 28))
    except OSError:
        return call.getsockname()[1], ipaddress.ip_address(call.getsockname()[0]).packed
while True:
    for key, _ in found.select():
        call, _ = key.fileobj.accept()
        port, address = going(call)
        call.sendall(f"{call.getsockname()[1]} {ipaddress.ip_address(address)} {port}".encode())
        call.close()
"""
LATE = """
import signal, socket
server = socket.create_server(("::", 7001), family=socket.AF_INET6, dualstack_ipv6=True)
print("listening", flush=True)
signal.pause()
"""
DIALS = """
import os, socket, sys
address, port, uid, priority = sys.argv[1], *map(int, sys.argv[2:])
os.setuid(uid)
call = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
call.settimeout(5)
if priority:
    call.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, priority)
try:
    call.connect((address, port))
    print(call.recv(200).decode())
except OSError as error:
    print(type(error).__name__)
"""
APPLICATION = 1000
NOWHERE = ("192.0.2.7", "2001:db8::7")
"""Beyond the default route."""
PLAN = redirect.Redirect(
    skip_inbound=ports.parse(["2525"]), skip_outbound=ports.parse(["3306"]), probed=ports.parse(["8080", "7001-7002"])
)


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[room.Room, room.Room]]:
    """Make a pod with a redirect, and a peer; the same ports listen in both."""
    with room.pair("redirect") as (pod, peer), room.talking(pod, LISTENS), room.talking(peer, LISTENS):
        load(pod, redirect.ruleset(PLAN))
        yield pod, peer


def load(where: room.Room, ruleset: str) -> None:
    where.run("bash", "-c", 'nft --file - <<< "$0"', ruleset)


def dial(where: room.Room, address: str, port: int, *, uid: int = APPLICATION, priority: int = 0) -> str:
    return where.run("python3", "-c", DIALS, address, str(port), str(uid), str(priority)).strip()


@pytest.mark.parametrize("target", NOWHERE)
def test_what_the_application_calls_goes_to_the_proxy(pair: tuple[room.Room, room.Room], target: str) -> None:
    """Any address, any port, IPv4 and IPv6, and the kernel remembers where it was going."""
    assert f"15001 {target} 443" == dial(pair[0], target, 443)


def test_root_is_an_application_like_others(pair: tuple[room.Room, room.Room]) -> None:
    """Only the proxy's user is exempt."""
    assert "15001 192.0.2.7 80" == dial(pair[0], "192.0.2.7", 80, uid=0)


def test_the_proxy_itself_goes_straight(pair: tuple[room.Room, room.Room]) -> None:
    """Else its own connections would come back to it."""
    pod, peer = pair
    assert f"8080 {peer.address4} 8080" == dial(pod, peer.address4, 8080, uid=2102)
    assert f"8080 {peer.address6} 8080" == dial(pod, peer.address6, 8080, uid=2102)


def test_a_skipped_port_goes_straight(pair: tuple[room.Room, room.Room]) -> None:
    """In both directions, each its own list."""
    pod, peer = pair
    assert f"3306 {peer.address4} 3306" == dial(pod, peer.address4, 3306)
    assert f"3306 {peer.address6} 3306" == dial(pod, peer.address6, 3306)
    assert f"2525 {pod.address4} 2525" == dial(peer, pod.address4, 2525)
    assert f"15001 {peer.address4} 2525" == dial(pod, peer.address4, 2525)


def test_what_comes_in_goes_to_the_proxy(pair: tuple[room.Room, room.Room]) -> None:
    """Also ports that nothing listens on: who is refused is the proxy's to say."""
    pod, peer = pair
    assert f"15006 {pod.address4} 8080" == dial(peer, pod.address4, 8080)
    assert f"15006 {pod.address6} 8080" == dial(peer, pod.address6, 8080)
    assert f"15006 {pod.address4} 9" == dial(peer, pod.address4, 9)
    assert f"15006 {pod.address4} 3306" == dial(peer, pod.address4, 3306)


def test_probes_and_metrics_are_reached_directly(pair: tuple[room.Room, room.Room]) -> None:
    """Readiness must not depend on what the proxy was told to do."""
    pod, peer = pair
    assert f"15020 {pod.address4} 15020" == dial(peer, pod.address4, 15020)
    assert f"15020 {pod.address6} 15020" == dial(peer, pod.address6, 15020)
    # Redirected, it would end at the pod's own status port: Envoy has a listener for that number.
    assert f"15020 {peer.address4} 15020" == dial(pod, peer.address4, 15020)


def test_a_port_that_is_probed_by_tcp_is_open_while_the_application_listens(pair: tuple[room.Room, room.Room]) -> None:
    """And through the proxy then, whoever asks; refused before and after."""
    pod, peer = pair
    for address in (pod.address4, pod.address6):
        assert f"15006 {address} 8080" == dial(peer, address, 8080)
        assert "ConnectionRefusedError" == dial(peer, address, 7001)
    with room.talking(pod, LATE):
        assert [f"15006 {address} 7001" for address in (pod.address4, pod.address6)] == [
            dial(peer, address, 7001) for address in (pod.address4, pod.address6)
        ]
        assert "ConnectionRefusedError" == dial(peer, pod.address4, 7002)
    assert "ConnectionRefusedError" == dial(peer, pod.address4, 7001)


def test_what_a_pod_forwards_is_not_its_own_port(pair: tuple[room.Room, room.Room]) -> None:
    """A gateway's probed port number may be somebody else's open port; all that it forwards goes through the proxy."""
    pod, peer = pair
    pod.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    peer.run("ip", "route", "add", "198.51.100.7", "via", pod.address4)
    try:
        assert "15006 198.51.100.7 7001" == dial(peer, "198.51.100.7", 7001)
    finally:
        peer.run("ip", "route", "delete", "198.51.100.7")
        pod.run("sysctl", "-qw", "net.ipv4.ip_forward=0")


def test_loopback_is_left_alone(pair: tuple[room.Room, room.Room]) -> None:
    """Containers of a pod talk to each other as before, by localhost or the pod's own address."""
    pod, _ = pair
    for address in ("127.0.0.1", "::1", pod.address4, pod.address6):
        assert f"8080 {address} 8080" == dial(pod, address, 8080)


def test_a_pod_that_calls_its_own_service_is_served_by_its_own_proxy(pair: tuple[room.Room, room.Room]) -> None:
    """The proxy's outbound side marks its socket and reaches the inbound side; the inbound side reaches the app."""
    pod, _ = pair
    mark = redirect.HAIRPIN_PRIORITY
    for address in (pod.address4, pod.address6):
        assert f"15006 {address} 8080" == dial(pod, address, 8080, uid=2102, priority=mark)
        assert f"8080 {address} 8080" == dial(pod, address, 8080, uid=2102)
        assert f"8080 {address} 8080" == dial(pod, address, 8080, priority=mark)
    for address in ("127.0.0.1", "::1"):
        assert f"8080 {address} 8080" == dial(pod, address, 8080, uid=2102, priority=mark)


@pytest.mark.parametrize("port", redirect.OURS)
def test_the_proxys_own_ports_are_refused(pair: tuple[room.Room, room.Room], port: int) -> None:
    """Whoever calls them directly would make the proxy call itself."""
    pod, peer = pair
    for address in (pod.address4, pod.address6):
        assert "ConnectionRefusedError" == dial(peer, address, port)
        assert "ConnectionRefusedError" == dial(pod, address, port)
        assert "ConnectionRefusedError" == dial(pod, address, port, uid=2102)
    assert "ConnectionRefusedError" == dial(pod, "127.0.0.1", port)
    assert f"15001 {peer.address4} {port}" == dial(pod, peer.address4, port)  # somebody else's are a port like others


def test_udp_passes_by(pair: tuple[room.Room, room.Room]) -> None:
    """Documented: only TCP is meshed."""
    pod, peer = pair
    answers = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 5353))
print("ready", flush=True)
data, caller = s.recvfrom(100)
s.sendto(data, caller)
"""
    asks = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.sendto(b"hello", (sys.argv[1], 5353))
print(s.recvfrom(100))
"""
    with room.talking(peer, answers):
        assert f"(b'hello', ('{peer.address4}', 5353))" == pod.run("python3", "-c", asks, peer.address4).strip()


def test_a_peer_may_call_from_the_number_of_a_proxys_port(pair: tuple[room.Room, room.Room]) -> None:
    """The guard looks at where a connection goes, not at where its answers go."""
    pod, peer = pair
    dials = DIALS.replace("os.setuid(uid)", "").replace(
        "call.settimeout(5)", "call.settimeout(5); call.bind(('', 15002))"
    )
    load(pod, redirect.ruleset(redirect.Redirect()).replace("15001, 15006", "15001, 15002, 15006"))
    try:
        told = peer.run("python3", "-c", dials, pod.address4, "8080", "0", "0").strip()
    finally:
        load(
            pod,
            redirect.ruleset(PLAN),
        )
    assert f"15006 {pod.address4} 8080" == told


def test_loading_it_again_replaces_it(pair: tuple[room.Room, room.Room]) -> None:
    """An init container that runs twice leaves one table; what is removed is gone, and may be removed again."""
    pod, peer = pair
    listed = pod.run("nft", "list", "tables")
    load(pod, redirect.ruleset(redirect.Redirect()))
    assert listed == pod.run("nft", "list", "tables")
    assert f"15001 {peer.address4} 3306" == dial(pod, peer.address4, 3306)
    load(pod, redirect.remove())
    load(pod, redirect.remove())
    assert "" == pod.run("nft", "list", "tables")
    assert f"3306 {peer.address4} 3306" == dial(pod, peer.address4, 3306)
