"""The sweep of open sockets on a real kernel: other namespaces, their listeners, whose they are, what they moved.

Left out: what is made of it (tests/unit/agent/test_live.py) and rights that are missing (test_bad_input).
"""

import ipaddress
import pathlib
import threading
from collections.abc import Iterator

import pytest

from agent import sockets, wire
from tests.scene import room

PORT = 8083
SENT, ANSWERED = 503, 1009
CONNECTIONS = 5
SERVE = f"""
import socket
with socket.create_server(("::", {PORT}), family=socket.AF_INET6, dualstack_ipv6=True) as server:
    print("listens", flush=True)
    held = []
    for _ in range({CONNECTIONS}):
        served = server.accept()[0]
        assert {SENT} == len(served.recv({SENT}, socket.MSG_WAITALL))
        served.sendall(bytes({ANSWERED}))
        held.append(served)
    print("answered", flush=True)
    server.accept()
"""
CALL = f"""
import socket, sys
held = [socket.create_connection((address, {PORT})) for address in sys.argv[1:]]
for one in held:
    one.sendall(bytes({SENT}))
    assert {ANSWERED} == len(one.recv({ANSWERED}, socket.MSG_WAITALL))
print("called", flush=True)
held[0].recv(1)
"""


@pytest.fixture(scope="module")
def rooms() -> Iterator[tuple[room.Room, room.Room]]:
    """Two namespaces; the callee has five connections, three of them IPv4."""
    with room.pair("sweep") as (caller, callee):
        addresses = [callee.address4, callee.address6, callee.address4, callee.address6, callee.address4]
        with room.talking(callee, SERVE), room.talking(caller, CALL, *addresses):
            yield caller, callee


def swept(rooms: tuple[room.Room, room.Room]) -> sockets.Sweep:
    return sockets.sweep(rooms[0].cgroup.parent)


def test_both_ends_are_seen_in_their_own_namespaces(rooms: tuple[room.Room, room.Room]) -> None:
    """Each end once, with its cgroup; the two ends in different namespaces, none of them ours."""
    found = swept(rooms)
    assert (2, 0) == (found.namespaces, found.refused)
    by_cgroup = {where.cgroup_id: [each for each in found.sockets if each.cgroup == where.cgroup_id] for where in rooms}
    assert [CONNECTIONS, CONNECTIONS] == [len(each) for each in by_cgroup.values()]
    assert 2 * CONNECTIONS == len(found.sockets)
    assert 2 == len({each.netns for each in found.sockets})
    assert 2 * CONNECTIONS == len({each.cookie for each in found.sockets})
    assert all(each.netns for each in found.sockets)


def test_addresses_are_as_the_programs_write_them(rooms: tuple[room.Room, room.Room]) -> None:
    """IPv4 in a dual-stack listener's sockets is IPv4 again; ports are in host order."""
    caller, callee = rooms
    served = [each for each in swept(rooms).sockets if each.cgroup == callee.cgroup_id]
    ends = sorted(str(wire.address(each.remote)) for each in served)
    assert sorted([caller.address4] * 3 + [caller.address6] * 2) == ends
    locals_ = {wire.address(each.local) for each in served}
    assert {ipaddress.ip_address(text) for text in (callee.address4, callee.address6)} == locals_
    assert {PORT} == {each.local_port for each in served}


def test_what_each_end_moved_is_what_was_said(rooms: tuple[room.Room, room.Room]) -> None:
    """Received is payload; sent is payload and, at the end that called, the SYN."""
    caller, callee = rooms
    found = swept(rooms).sockets
    moved = {where.cgroup_id: {each.moved[:2] for each in found if each.cgroup == where.cgroup_id} for where in rooms}
    assert {caller.cgroup_id: {(SENT + 1, ANSWERED)}, callee.cgroup_id: {(ANSWERED, SENT)}} == moved
    assert {sockets.ESTABLISHED} == {each.state for each in found}


def test_the_listener_is_found_with_its_cgroup(rooms: tuple[room.Room, room.Room]) -> None:
    """It is what tells a passive end of an older connection."""
    _, callee = rooms
    found = swept(rooms)
    [listener] = found.listeners
    assert (PORT, callee.cgroup_id) == (listener.port, listener.cgroup)
    assert {listener.netns} == {each.netns for each in found.sockets if each.cgroup == callee.cgroup_id}


def test_the_thread_comes_back(rooms: tuple[room.Room, room.Room]) -> None:
    """After the sweep the thread is in its own namespace again: the next sockets it makes are the agent's."""
    seen: list[int] = []

    def ask() -> None:
        for act in (lambda: None, lambda: swept(rooms)):
            act()
            seen.append(pathlib.Path("/proc/thread-self/ns/net").stat().st_ino)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert 2 == len(seen)
    assert 1 == len(set(seen))


def test_a_root_without_processes_has_no_namespace(tmp_path: pathlib.Path) -> None:
    """Nothing to ask is nothing found, and no error."""
    assert sockets.Sweep(sockets=[], listeners=[]) == sockets.sweep(tmp_path)
    assert sockets.Sweep(sockets=[], listeners=[]) == sockets.sweep(tmp_path / "gone")
