"""An agent as a process: what it finds when it comes, what it shows while a connection is open, and how it goes.

Left out: names from an API server (the lab's tests), restarts (tests/prove/restart.py), exactness at the end
(tests/prove/exact_counts.py).
"""

import socket
import time
from collections.abc import Iterator

import pytest

from agent import flowjson
from tests.scene import agent, room

PORT = 8087
OLDER_LIMIT_S = 15.0
"""What the limitations page promises for a connection that is older than the agent."""
OPEN_LIMIT_S = 15.0
"""The longest time between two sweeps and the patience for a name, with room for a busy machine."""
STEADY = f"""
import select, socket
with socket.create_server(("", {PORT})) as server:
    print("listens", flush=True)
    with server.accept()[0] as served:
        while not select.select([served], [], [], 0.1)[0]:
            served.sendall(bytes(101))
"""
LISTEN = f"""
import socket, sys
with socket.create_server(("", {PORT})) as server:
    print("listens", flush=True)
    with server.accept()[0] as served:
        served.sendall(bytes(int(sys.argv[1])))
        served.recv(1)
"""
TAKE = f"""
import socket, sys
with socket.create_connection((sys.argv[1], {PORT})) as client:
    print("connected", flush=True)
    while client.recv(65536):
        pass
"""
DOWNLOADED = 7_000_003


@pytest.fixture
def rooms() -> Iterator[tuple[room.Room, room.Room]]:
    """Two namespaces on one wire."""
    with room.pair("life") as pair:
        yield pair


def edges(watched: agent.Agent, direction: str) -> list[flowjson.Flow]:
    """Give what is told of our port, seen from one end."""
    return [
        flow
        for flow in watched.flows()
        if flow.type == "edge"
        and flow.traffic_direction == direction
        and flow.l4.tcp is not None
        and flow.l4.tcp.destination_port == PORT
    ]


def test_a_connection_older_than_the_agent_is_told_as_partial(rooms: tuple[room.Room, room.Room]) -> None:
    """Within 15 s, from both ends, as the side that each is; nobody claims to have seen it open."""
    caller, callee = rooms
    with (
        room.talking(callee, STEADY),
        room.talking(caller, TAKE, callee.address4),
        agent.running("life-older", "--cgroup-root", caller.cgroup.parent) as watched,
    ):
        for direction in ("EGRESS", "INGRESS"):
            agent.wait_until(lambda side=direction: edges(watched, side), OLDER_LIMIT_S, f"the {direction} end")
        found = {direction: edges(watched, direction) for direction in ("EGRESS", "INGRESS")}
    both = [flow for flows in found.values() for flow in flows]
    assert all(flow.partial for flow in both)
    assert {(0, 0)} == {(flow.counters.opened, flow.counters.closed) for flow in both}
    assert {caller.cgroup_id} == {flow.source.cgroup_id for flow in found["EGRESS"]}
    assert {callee.cgroup_id} == {flow.destination.cgroup_id for flow in found["INGRESS"]}
    assert all(flow.counters.received_bytes % 101 == 0 < flow.counters.received_bytes for flow in found["EGRESS"])


def test_a_download_shows_before_it_ends(rooms: tuple[room.Room, room.Room]) -> None:
    """All its bytes, from both ends, while the connection is still open; and never more than there were."""
    caller, callee = rooms
    with (
        agent.running("life-open", "--cgroup-root", caller.cgroup.parent, "--max-interval-s", "1") as watched,
        room.talking(callee, LISTEN, str(DOWNLOADED)),
        room.talking(caller, TAKE, callee.address4),
    ):

        def told() -> tuple[int, int]:
            received = sum(flow.counters.received_bytes for flow in edges(watched, "EGRESS"))
            return received, sum(flow.counters.received_bytes for flow in edges(watched, "INGRESS"))

        agent.wait_until(lambda: min(told()) >= DOWNLOADED, OPEN_LIMIT_S, "all bytes")
        found = edges(watched, "EGRESS") + edges(watched, "INGRESS")
        assert (DOWNLOADED, DOWNLOADED) == told()
    assert 2 == sum(flow.counters.opened for flow in found)
    assert 0 == sum(flow.counters.closed for flow in found)
    assert not any(flow.partial for flow in found)


def test_sigterm_ends_it_in_time_with_a_reader_at_the_api(rooms: tuple[room.Room, room.Room]) -> None:
    """Within 5 s, with status 0, although somebody follows and a connection is open; the checkpoint is written."""
    caller, callee = rooms
    with (
        room.talking(callee, STEADY),
        room.talking(caller, TAKE, callee.address4),
        agent.running("life-term", "--cgroup-root", caller.cgroup.parent) as watched,
        socket.socket(socket.AF_UNIX) as reader,
    ):
        reader.connect(str(watched.socket))
        reader.sendall(b"GET /flows?follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
        assert reader.recv(15).startswith(b"HTTP/1.1 200")
        checkpoint = watched.socket.with_name("state")
        before_ns = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        began_s = time.monotonic()
        agent.stop(watched.process)
        assert time.monotonic() - began_s < agent.STOP_LIMIT_S
        assert 0 == watched.process.returncode
        assert before_ns < checkpoint.stat().st_mtime_ns
        assert "Traceback" not in watched.log.read_text()


def test_two_agents_of_two_instances_count_the_same(rooms: tuple[room.Room, room.Room]) -> None:
    """Side by side on one cgroup: neither takes the other's programs, connections or records."""
    caller, callee = rooms
    call = (
        "import socket, sys\nfor _ in range(7):\n"
        f" with socket.create_connection((sys.argv[1], {PORT})) as client: client.sendall(bytes(101)); client.recv(1)"
    )
    serve = (
        f"import socket\nwith socket.create_server(('', {PORT})) as server:\n"
        " print('listens', flush=True)\n"
        " while True:\n  with server.accept()[0] as served: served.recv(101, socket.MSG_WAITALL)"
    )
    flags = ("--cgroup-root", caller.cgroup.parent, "--max-interval-s", "1")
    with agent.running("life-one", *flags) as one, agent.running("life-two", *flags) as two:
        with room.talking(callee, serve):
            caller.run("python3", "-c", call, callee.address4)
        for watched in (one, two):
            agent.wait_until(
                lambda told=watched: sum(flow.counters.closed for flow in edges(told, "INGRESS")) >= 7,
                OPEN_LIMIT_S,
                "seven connections",
            )
            for direction in ("EGRESS", "INGRESS"):
                told = edges(watched, direction)
                assert (7, 7) == (sum(flow.counters.opened for flow in told), sum(f.counters.closed for f in told))
                assert 7 * 101 == sum(flow.counters.sent_bytes for flow in told)
