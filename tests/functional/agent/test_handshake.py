"""Who somebody is, told in the TCP handshake: each way of establishing a connection, and each way in which it cannot.

Both ends are on this machine, and both know the other by the handshake alone. Left out: forgeries
(tests/prove/forgery.py), peers and paths that do not want the option (tests/prove/handshake_compat.py), names.
"""

import contextlib
import ipaddress
import subprocess
from collections.abc import Iterator

import pytest

from agent import attach, kernel, wire
from tests.scene import handshake, onlooker, room

PORT, OLD_PORT, MANY = 7001, 7002, range(7100, 7123)
CALLS = 23
NAT = """
table inet nat {
 chain output { type nat hook output priority -100;
  ip daddr 10.96.0.1 tcp dport 80 dnat ip to 10.203.0.2:7001;
  ip6 daddr fd00:96::1 tcp dport 80 dnat ip6 to [fd00:203::2]:7001;
 }
 chain postrouting { type nat hook postrouting priority 100;
  ip daddr 10.203.0.2 tcp dport 7001 snat ip to 10.203.0.9;
  ip6 daddr fd00:203::2 tcp dport 7001 snat ip6 to fd00:203::9;
 }
}
"""
AT_ONCE = """
import socket, sys, time
mine, other = sys.argv[1:3]
with socket.socket() as both:
    both.bind((mine, 7300))
    both.setblocking(False)
    both.connect_ex((other, 7300))
    print("called", flush=True)
    sys.stdin.readline()
    both.settimeout(10)
    while True:
        try:
            both.send(b"hello")
            break
        except (BlockingIOError, OSError):
            time.sleep(0.05)
    assert both.recv(5, socket.MSG_WAITALL) == b"hello"
"""
CALLS_ITSELF = """
import socket
with socket.socket() as both:
    both.bind(("127.0.0.1", 0))
    both.connect(both.getsockname())
    both.sendall(b"hello")
    assert b"hello" == both.recv(5, socket.MSG_WAITALL)
"""
FAST_OPEN = """
import socket, sys
TCP_FASTOPEN = 23
if sys.argv[1] == "serve":
    listener = socket.create_server(("", 7400))
    listener.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 16)
    print("ready", flush=True)
    while True:
        with listener.accept()[0] as served:
            served.sendall(served.recv(5, socket.MSG_WAITALL))
            served.recv(1)
for _ in range(3):
    with socket.socket() as client:
        client.sendto(b"hello", socket.MSG_FASTOPEN, (sys.argv[1], 7400))
        assert b"hello" == client.recv(5, socket.MSG_WAITALL)
"""
LONG = """
import errno, socket, sys
address, *refused, port = sys.argv[1:]
with socket.socket() as connection:
    for each in refused:
        assert connection.connect_ex((address, int(each))) == errno.ECONNREFUSED
    connection.connect((address, int(port)))
    def exchange(times):
        for _ in range(times):
            connection.sendall(b"hello")
            connection.recv(5, socket.MSG_WAITALL)
    exchange(2)
    print("established", flush=True)
    sys.stdin.readline()
    exchange(1009)
    print("done", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def street() -> Iterator[handshake.Street]:
    """Make two rooms; a server that is older than the programs, and one that is not."""
    with (
        room.pair("khs") as (caller, callee),
        room.talking(callee, handshake.SERVE, str(OLD_PORT)),
        handshake.watching("khs", caller, callee) as made,
        room.talking(callee, handshake.SERVE, ",".join(map(str, [PORT, *MANY, 7200, 7200, 7200]))),
    ):
        for where, address in ((caller, "10.203.0.9/24"), (caller, "fd00:203::9/64")):
            nodad = ["nodad"] if ":" in address else []
            room.ip("-n", where.name, "address", "add", address, "dev", "eth0", *nodad)
        yield made


@pytest.fixture(autouse=True)
def nothing_forged(street: handshake.Street) -> Iterator[None]:
    """None of this is a forgery, and no connection is left."""
    before = street.handshake_losses()
    yield
    assert before == street.handshake_losses()
    assert 0 == len(street.kernel.connections())


def call(street: handshake.Street, address: str, port: int, count: int = CALLS) -> dict[str, int]:
    street.caller.run("python3", "-c", handshake.CALL, address, str(port), str(count))
    return dict(street.believed(2 * count))


BOTH = {"caller": CALLS, "callee": CALLS}


@pytest.mark.parametrize("address", ["10.203.0.2", "fd00:203::2", "::ffff:10.203.0.2"])
def test_both_ends_know_each_other(street: handshake.Street, address: str) -> None:
    """Over IPv4, IPv6, and IPv4 on an IPv6 socket."""
    assert BOTH == call(street, address, PORT)


@pytest.mark.parametrize("address", ["10.203.0.2", "fd00:203::2"])
def test_a_listener_that_is_older_than_the_programs(street: handshake.Street, address: str) -> None:
    """It cannot write into its SYN-ACK; what it accepts tells who it is in its first segments."""
    assert BOTH == call(street, address, OLD_PORT)


@pytest.mark.parametrize("address", ["10.203.0.2", "fd00:203::2"])
@pytest.mark.parametrize("port", [PORT, OLD_PORT])
def test_syn_cookies(street: handshake.Street, address: str, port: int) -> None:
    """Nothing is kept of the SYN; the segment that establishes tells all."""
    street.callee.run("sh", "-c", "echo 2 > /proc/sys/net/ipv4/tcp_syncookies")
    try:
        assert BOTH == call(street, address, port)
    finally:
        street.callee.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_syncookies")


@pytest.mark.parametrize("address", ["10.96.0.1", "fd00:96::1"])
def test_addresses_that_are_translated(street: handshake.Street, address: str) -> None:
    """A service address on the way there, another source on arrival: no address is right, and both ends know."""
    with nft(street.caller, NAT, "inet nat"):
        street.caller.run("python3", "-c", handshake.CALL, address, "80", str(CALLS))
        ends = street.ends(2 * CALLS)
    remotes = {str(each.remote) for each in ends}
    assert {address, "10.203.0.9" if "." in address else "fd00:203::9"} == remotes
    known = [(handshake.CALLEE, wire.TOLD_PROVEN), (handshake.CALLER, wire.TOLD_PROVEN)] * CALLS
    assert sorted(known) == sorted((each.peer, each.told) for each in ends)


def test_many_listeners_and_a_port_that_is_shared(street: handshake.Street) -> None:
    """Whoever has the port answers."""
    kinds = [call(street, "10.203.0.2", port, 3) for port in (*MANY, 7200, 7200, 7200, 7200)]
    assert [{"caller": 3, "callee": 3}] * len(kinds) == kinds


def test_both_call_at_once(street: handshake.Street) -> None:
    """Neither is answered by a listener: both SYNs wait for the other's link address, and cross on the wire."""
    names = (street.caller.name, street.callee.name)
    deaf = "table arp deaf {\n chain input { type filter hook input priority 0;\n drop;\n }\n}\n"
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(nft_in(name, deaf, "arp deaf"))
            room.ip("-n", name, "neighbor", "flush", "all")
        sides = [
            stack.enter_context(speaking(where, AT_ONCE, where.address4, other.address4))
            for where, other in ((street.caller, street.callee), (street.callee, street.caller))
        ]
        for name in names:
            subprocess.run(["ip", "netns", "exec", name, "nft", "flush", "table", "arp", "deaf"], check=True)
        for side in sides:
            assert side.stdin is not None
            side.stdin.write("\n")
            side.stdin.flush()
        assert [0, 0] == [side.wait(20) for side in sides]
    ends = street.ends(2)
    assert {(street.caller.cgroup_id, handshake.CALLEE, 1), (street.callee.cgroup_id, handshake.CALLER, 1)} == {
        (each.cgroup, each.peer, each.told) for each in ends
    }
    assert [0, 0] == [each.direction for each in ends]


def test_a_socket_that_calls_itself_knows_itself(street: handshake.Street) -> None:
    """One connection with one end."""
    street.caller.run("python3", "-c", CALLS_ITSELF)
    assert [(handshake.CALLER, 1)] == [(each.peer, each.told) for each in street.ends(1)]


def test_a_fast_open_is_left_alone(street: handshake.Street) -> None:
    """The first asks for a cookie, the others send data in their SYN: all are served, and nothing false is believed."""
    for where in (street.caller, street.callee):
        where.run("sh", "-c", "echo 3 > /proc/sys/net/ipv4/tcp_fastopen")
    with room.talking(street.callee, FAST_OPEN, "serve"):
        street.caller.run("python3", "-c", FAST_OPEN, street.callee.address4)
        ends = street.ends(6)
    assert 6 == len(ends)
    assert all(each.established and each.told != wire.TOLD_FORGED for each in ends)


def test_nothing_is_called_once_the_handshake_is_over(street: handshake.Street) -> None:
    """A thousand exchanges on one connection bring no callback, at either end, with a listener of either kind."""
    with onlooker.looking(street.caller.cgroup.parent) as seen:
        for port in (PORT, OLD_PORT):
            before = seen.counts()
            with speaking(street.caller, LONG, "10.203.0.2", str(port)) as client:
                established = seen.counts()
                assert established["write option"] > before.get("write option", 0)
                go_on(client)
                assert established == seen.counts()
                go_on(client, answers=False)
        street.ends(4)


def test_a_socket_that_was_refused_calls_again(street: handshake.Street) -> None:
    """What its first attempt wanted to be called for ends with it: the second is as any."""
    with onlooker.looking(street.caller.cgroup.parent) as seen:
        with speaking(street.caller, LONG, "10.203.0.2", "7999", str(PORT)) as client:
            established = seen.counts()
            go_on(client)
            assert established == seen.counts()
            go_on(client, answers=False)
        street.ends(3)


@pytest.mark.parametrize(
    "theirs", [onlooker.RTT | onlooker.RETRANS, onlooker.RTT | onlooker.WRITE | onlooker.PARSE_UNKNOWN]
)
@pytest.mark.parametrize("first", [True, False])
def test_another_program_keeps_its_flags(street: handshake.Street, theirs: int, *, first: bool) -> None:
    """Whichever of the two is called first: it is called on for what it wants, and we are told as without it."""
    cgroup = street.caller.cgroup
    wanted = [name for flag, name in ((onlooker.RTT, "rtt"), (onlooker.WRITE, "option length")) if theirs & flag]
    with onlooker.looking(cgroup if first else cgroup.parent, theirs) as seen:
        with speaking(street.caller, LONG, "10.203.0.2", str(PORT)) as client:
            before = seen.counts()
            go_on(client)
            after = seen.counts()
            go_on(client, answers=False)
        assert {"caller": 1, "callee": 1} == dict(street.believed(2))
    assert all(after[name] - before.get(name, 0) >= 1009 for name in wanted)


def test_whoever_has_no_identity_says_nothing_and_still_hears(street: handshake.Street) -> None:
    """Each end in turn; then both."""
    caller, callee = street.caller.cgroup_id, street.callee.cgroup_id
    everybody = {caller: handshake.CALLER, callee: handshake.CALLEE}
    silent = {"caller does not know": CALLS, "callee does not know": CALLS}
    try:
        street.kernel.identify({callee: None})
        assert {"caller does not know": CALLS, "callee": CALLS} == call(street, "10.203.0.2", PORT)
        street.kernel.identify({**everybody, caller: None})
        assert silent == call(street, "10.203.0.2", PORT)
        street.kernel.identify({callee: None})
        assert silent == call(street, "10.203.0.2", PORT)
        assert set() == street.kernel.identified()
    finally:
        street.kernel.identify(everybody)


def test_who_is_outside_the_cluster_is_told_nothing(street: handshake.Street) -> None:
    """An address that is not kept exact is not of the cluster: no SYN and no SYN-ACK to it tells anything."""
    try:
        street.kernel.settle(records=True, private=False, kept=[], collapsed=[])
        with onlooker.looking(street.caller.cgroup.parent) as seen:
            assert {"caller does not know": CALLS, "callee does not know": CALLS} == call(street, "10.203.0.2", PORT)
            assert 0 == seen.counts().get("write option", 0)
        # The caller's address is outside, the callee's is not: a SYN tells, and is not answered in kind.
        street.kernel.settle(records=True, private=False, kept=[ipaddress.ip_network("10.203.0.2")], collapsed=[])
        assert {"caller does not know": CALLS, "callee": CALLS} == call(street, "10.203.0.2", PORT)
    finally:
        street.kernel.settle(records=True, private=True, kept=[], collapsed=[])


def test_without_a_key_nothing_is_told_and_nothing_costs(street: handshake.Street) -> None:
    """Nor where it is off: no header callback at all."""
    try:
        for keys, on in (([], True), ([handshake.KEY], False)):
            street.kernel.handshake(keys, on=on)
            with (
                room.talking(street.callee, handshake.SERVE, "7500"),
                onlooker.looking(street.caller.cgroup.parent) as seen,
            ):
                kinds = call(street, "10.203.0.2", 7500)
                assert {"connect", "active established", "passive established", "state"} == seen.counts().keys()
            assert {"caller does not know": CALLS, "callee does not know": CALLS} == kinds
    finally:
        street.kernel.handshake([handshake.KEY], on=True)


def test_a_key_that_was_announced_takes_over(street: handshake.Street) -> None:
    """Verified before it signs, and the old one for as long as it is there. Two nodes: handshake-rotation."""
    new = bytes(range(100, 116))
    steps = ([handshake.KEY, new], [new, handshake.KEY], [new])
    try:
        for keys in steps:
            street.kernel.handshake(keys, on=True)
            assert BOTH == call(street, "10.203.0.2", PORT)
    finally:
        street.kernel.handshake([handshake.KEY], on=True)


def test_a_restarted_agent_finds_it_on(street: handshake.Street) -> None:
    """Identities, keys and the switch outlive the agent, and its first settings do not turn it off."""
    options = attach.Options(cgroup_root=street.caller.cgroup.parent, instance="khs-again")
    try:
        first = kernel.Kernel(options)
        first.identify({1: (2, 3)})
        first.handshake([handshake.KEY], on=True)
        first.close()
        second = kernel.Kernel(options)
        second.settle(records=False, private=True, kept=[], collapsed=[])
        assert (True, {1}, 1) == (second.adopted, second.identified(), int(second._settled()["handshake"][0]))
        second.close()
    finally:
        attach.cleanup(options.bpffs, options.instance)


@contextlib.contextmanager
def speaking(where: room.Room, code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run Python in a room until it says its first line; it goes on when it is told to."""
    command = where.command("python3", "-c", code, *arguments)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip()
            yield process
        finally:
            process.kill()


def go_on(process: subprocess.Popen[str], *, answers: bool = True) -> None:
    """Let it go on, to its next word or to its end."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline().strip() if answers else process.wait(20) == 0


@contextlib.contextmanager
def nft(where: room.Room, rules: str, table: str) -> Iterator[None]:
    """Have rules in a room."""
    with nft_in(where.name, rules, table):
        yield


@contextlib.contextmanager
def nft_in(namespace: str, rules: str, table: str) -> Iterator[None]:
    """Have rules in a network namespace; the table goes afterwards."""
    enter = ["ip", "netns", "exec", namespace, "nft"]
    subprocess.run([*enter, "-f", "-"], input=rules, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run([*enter, "delete", "table", *table.split()], check=True)
