"""An owner that fills the table of edges: what it reaches anew falls together, and the others keep their room.

Left out: who is crowded (tests/unit/agent/test_crowding.py).
"""

import json
import pathlib
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest

from agent import attach, kernel, wire
from tests.scene import agent, room

EDGES = 64
LATE_S = 10.0
REACH = """
import socket, sys
for address in sys.argv[1:]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(family, kind) as one:
            one.connect_ex((address, 9))
            if kind == socket.SOCK_DGRAM:
                one.send(b"x")
"""
OPEN = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
    with server.accept()[0] as served:
        print("open", flush=True)
        sys.stdin.readline()
        client.sendall(bytes(1009))
        served.recv(1009, socket.MSG_WAITALL)
"""
SCAN = "import socket\nfor port in range(1, 1010):\n socket.socket().connect_ex(('127.0.0.1', port))"


@pytest.fixture
def cgroup() -> Iterator[pathlib.Path]:
    """Give a cgroup of our own, with two inside: of one that crowds and of another."""
    path = room.cgroup_root() / "ipseity-crowding"
    for folder in (path, path / "one", path / "other"):
        folder.mkdir()
    yield path
    for folder in (path / "one", path / "other", path):
        folder.rmdir()


@pytest.fixture
def held(cgroup: pathlib.Path) -> Iterator[kernel.Kernel]:
    """Give the programs on it."""
    made = kernel.Kernel(attach.Options(cgroup_root=cgroup, instance="crowding", max_edges=EDGES))
    made.settle(records=False, private=True, kept=wire.EVERYTHING, collapsed=())
    yield made
    made.close()
    attach.cleanup(pathlib.Path("/sys/fs/bpf"), "crowding")


def started(cgroup: pathlib.Path, code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start Python in a cgroup."""
    words = ["bash", "-c", 'echo $$ > "$0/cgroup.procs" && exec python3 -c "$@"', str(cgroup), code, *arguments]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run(cgroup: pathlib.Path, code: str, *arguments: str) -> None:
    with started(cgroup, code, *arguments) as child:
        child.communicate()
    assert 0 == child.returncode


def remote(key: np.void) -> str:
    return str(wire.network(key["remote"].tobytes(), int(key["remote_prefix"])))


def reached(held: kernel.Kernel, cgroup: pathlib.Path, direction: int = 0) -> dict[tuple[str, int, int], wire.Array]:
    """Give the edges of a cgroup: remote, port and protocol."""
    keys, values = held.edges()
    return {
        (remote(key), int(key["port"]), int(key["protocol"])): value
        for key, value in zip(keys, values.copy(), strict=True)
        if key["cgroup"] == cgroup.stat().st_ino and key["direction"] == direction
    }


def test_what_a_crowded_owner_reaches_anew_falls_together(held: kernel.Kernel, cgroup: pathlib.Path) -> None:
    """By family and protocol; what it reached before keeps its edge, others have theirs, and so it has afterwards."""
    one, other = cgroup / "one", cgroup / "other"
    run(one, REACH, "127.0.0.2")
    held.crowd({one.stat().st_ino})
    run(one, REACH, "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "::1")
    run(other, REACH, "127.0.0.3")
    held.crowd(())
    run(one, REACH, "127.0.0.6")
    found = reached(held, one)
    exact = {(f"127.0.0.{last}", 9, protocol) for last in (2, 6) for protocol in (6, 17)}
    together = {(prefix, 0, protocol) for prefix in ("0.0.0.0/0", "::/0") for protocol in (6, 17)}
    assert exact | together == set(found)
    assert (2, 3, 1) == tuple(
        int(found[name]["failed"][0]) for name in (("127.0.0.2", 9, 6), ("0.0.0.0/0", 0, 6), ("::/0", 0, 6))
    )
    assert (2, 3) == tuple(int(found[name]["sent_segments"]) for name in (("127.0.0.2", 9, 17), ("0.0.0.0/0", 0, 17)))
    assert {("127.0.0.3", 9, 6), ("127.0.0.3", 9, 17)} == set(reached(held, other))


def test_a_connection_is_charged_to_the_edge_that_it_began_with(held: kernel.Kernel, cgroup: pathlib.Path) -> None:
    """Although the owner is not crowded any more when it ends; its slot says the same key all the time."""
    one = cgroup / "one"
    held.crowd({one.stat().st_ino})
    with started(one, OPEN) as child:
        assert child.stdout is not None
        assert "open\n" == child.stdout.readline()
        [slot] = [row for row in held.connections() if row["key"]["direction"] == 0]
        held.crowd(())
        child.communicate("\n")
    [(name, value)] = reached(held, one).items()
    assert (("0.0.0.0/0", 0, 6), 1, 1009) == (name, value["closed"], value["sent_bytes"])
    assert (96, 0) == (slot["key"]["remote_prefix"], slot["key"]["port"])


def test_a_scan_leaves_room_for_others(cgroup: pathlib.Path) -> None:
    """One cgroup reaches for more than there is room for; the agent says so, and another one is still told exactly."""
    flags = ("--cgroup-root", cgroup, "--max-edges", "64", "--max-interval-s", "1")
    with agent.running("crowding-agent", *flags) as watched:
        run(cgroup / "one", SCAN.replace("1010", "48"))
        agent.wait_until(lambda: b"ipseity_crowded_owners 1" in watched.get("/metrics")[1], LATE_S, "it is crowded")
        run(cgroup / "one", SCAN)
        run(cgroup / "other", REACH, "127.0.0.7")

        def told() -> set[str]:
            return {flow.ip.destination for flow in watched.flows() if flow.type == "edge" and flow.ip is not None}

        agent.wait_until(lambda: "127.0.0.7" in told(), LATE_S, "the other's edge")
        assert 0 == json.loads(watched.get("/debug")[1])["drops"]["edges_full"]
        assert "cgroups fill the table of edges" in watched.log.read_text()
