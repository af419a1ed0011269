"""A full table, a ring that overflows, missing rights, a kernel that refuses: counted or said, and the agent lives.

Left out: a full disk (test_full_disk), malformed watch events and unreadable cgroups (tests/unit), which need no root.
"""

import json
import pathlib
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from agent import attach, kernel, wire
from tests.scene import agent, clone, room

EDGES = 64
MORE_THAN_FIT = 101


@pytest.fixture
def cgroup() -> Iterator[pathlib.Path]:
    """Give a cgroup of our own."""
    path = room.cgroup_root() / "ipseity-bad-input"
    path.mkdir()
    yield path
    path.rmdir()


def connect_from(cgroup: pathlib.Path, code: str) -> None:
    """Run Python in the cgroup, on loopback."""
    enter = 'echo $$ > "$0/cgroup.procs" && exec python3 -c "$1"'
    subprocess.run(["sh", "-c", enter, cgroup, code], check=True)


def drops(watched: agent.Agent) -> dict[str, int]:
    """Read what was dropped, by stage."""
    found: dict[str, int] = json.loads(watched.get("/debug")[1])["drops"]
    return found


def test_a_full_table_is_counted_and_the_agent_lives(cgroup: pathlib.Path) -> None:
    """More edges than fit: each attempt is counted, or a drop with a name."""
    refused = (
        f"import socket\nfor port in range(1, {MORE_THAN_FIT + 1}):\n socket.socket().connect_ex(('127.0.0.1', port))"
    )
    flags = ("--cgroup-root", cgroup, "--max-edges", str(EDGES), "--max-interval-s", "1")
    with agent.running("bad-table", *flags) as watched:
        connect_from(cgroup, refused)
        agent.wait_until(lambda: drops(watched).get("edges_full", 0) > 0, 5, "the drop is counted")
        agent.wait_until(lambda: attempts(watched) >= EDGES, 10, "the rest")
        assert MORE_THAN_FIT == attempts(watched) + drops(watched)["edges_full"]
        assert watched.alive()


def attempts(watched: agent.Agent) -> int:
    """Add up the attempts that were counted."""
    return sum(sum(flow.counters.failed.values()) for flow in edges(watched))


def edges(watched: agent.Agent) -> list[object]:
    """Give the edge records of the flow log."""
    return [flow for flow in watched.flows() if flow.type == "edge"]


def test_a_full_ring_is_counted_and_counters_do_not_need_it(cgroup: pathlib.Path) -> None:
    """Nobody reads the ring: records are lost and counted, the edge has every connection."""
    code = (
        "import socket\nserver = socket.create_server(('127.0.0.1', 0))\n"
        f"for _ in range({MORE_THAN_FIT}):\n"
        " with socket.create_connection(server.getsockname()), server.accept()[0]: pass"
    )
    options = attach.Options(cgroup_root=cgroup, instance="bad-ring", record_ring_bytes=4096)
    held = kernel.Kernel(options)
    try:
        held.settle(records=True, private=True, kept=(), collapsed=())
        connect_from(cgroup, code)
        keys, values = held.edges()
        lost, kept = held.losses()["record_ring_full"], len(held.records())
        assert [MORE_THAN_FIT, MORE_THAN_FIT] == values["closed"].tolist()
        assert 2 * MORE_THAN_FIT == lost + kept
        assert lost > 0
        assert len(keys) == 2
    finally:
        held.close()
        attach.cleanup(options.bpffs, options.instance)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("-bpf,-perfmon,-net_admin,-sys_admin", "no cap_bpf, cap_perfmon, cap_net_admin"),
        ("-perfmon,-sys_admin", "no cap_perfmon"),
        ("-net_admin", "no cap_net_admin"),
    ],
)
def test_missing_rights_end_the_start_with_a_hint(
    cgroup: pathlib.Path, tmp_path: pathlib.Path, missing: str, said: str
) -> None:
    """Exit status 2, one line that says what was refused, one that says what to do; nothing stays attached."""
    words = [*agent.command(), "run", "--instance", "bad-rights", "--cgroup-root", cgroup]
    words += ["--api", f"unix://{tmp_path}/agent.sock", "--state", tmp_path / "state"]
    dropped = ["setpriv", "--inh-caps", missing, "--bounding-set", missing, "--", *words]
    done = subprocess.run(dropped, cwd=clone.ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert "ipseity: error: " in done.stderr
    assert said in done.stderr.lower()
    assert "CAP_BPF" in done.stderr
    assert "Traceback" not in done.stderr
    assert attach.cleanup(pathlib.Path("/sys/fs/bpf"), "bad-rights") == []


def test_a_kernel_that_refuses_a_program_is_said(
    cgroup: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that the verifier will not have: the error names bpf/*.c and has a hint, and no pin is left."""
    broken = tmp_path / "bpf"
    subprocess.run(["cp", "-r", clone.ROOT / "bpf", broken], check=True)
    source = broken / "tcp.c"
    source.write_text(source.read_text().replace("u32 op = ctx->op;", "u32 op = *(u32 *)(ctx->op + 8ULL);"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    options = attach.Options(cgroup_root=cgroup, instance="bad-program")
    with pytest.raises(attach.errors.KernelRefused) as refusal:
        kernel.Kernel(options)
    assert "bpf/*.c" in str(refusal.value)
    assert refusal.value.hint
    assert attach.cleanup(options.bpffs, options.instance) == []


def test_a_reader_of_the_api_that_stops_reading_costs_nothing(cgroup: pathlib.Path) -> None:
    """A follower that never reads: the agent goes on draining."""
    with agent.running("bad-reader", "--cgroup-root", cgroup, "--max-interval-s", "1") as watched:
        with socket.socket(socket.AF_UNIX) as sleepy:
            sleepy.connect(str(watched.socket))
            sleepy.sendall(b"GET /flows?follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
            threading.Event().wait(1.5)
            assert watched.alive()
        ready = json.loads(watched.get("/healthz")[1])
        assert ready["last_drain_seconds_ago"] < 5


def test_records_of_another_length_are_counted() -> None:
    """What the kernel's rings hold is read by its length first."""
    assert isinstance(wire.cgroup_event(b"short"), wire.Malformed)
    array, malformed = wire.connection_records([b"short", bytes(wire.CONNECTION_RECORD.itemsize)])
    assert (1, 1) == (len(array), malformed)
