"""agent/observe with columns, gather, client: the command as a person or a script meets it, against a real API.

Left out: filters one by one (test_selection.py), what is a row (test_graph.py), flags that are refused (test_cli.py).
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator

import pytest

from agent import apiaddress, client, errors, feed, model
from ipseity import cli
from tests.fakes import agent_api, flows

PATIENCE_S = 20
IPSEITY = [sys.executable, "-c", "from ipseity import cli; cli.main()"]


@pytest.fixture
def node_a(tmp_path: pathlib.Path) -> Iterator[agent_api.RunningAgent]:
    with agent_api.RunningAgent(tmp_path, "node-a") as running:
        yield running


@pytest.fixture
def node_b(tmp_path: pathlib.Path) -> Iterator[agent_api.RunningAgent]:
    with agent_api.RunningAgent(tmp_path, "node-b") as running:
        yield running


def observe(*agents: agent_api.RunningAgent, more: tuple[str, ...] = ()) -> int:
    servers = [word for each in agents for word in ("--server", str(each.address))]
    return cli.run(["observe", *servers, *more])


def test_the_table(
    node_a: agent_api.RunningAgent, node_b: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two nodes, one table: names, evidence of both ends, humanised numbers, nothing else in a pipe."""
    node_a.publish(flows.edge(), flows.connection())
    node_b.publish(flows.mirrored())
    assert observe(node_a, node_b) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "SOURCE       EVIDENCE  DESTINATION  EVIDENCE  PORT  CONNS    SENT  RECEIVED     RTT  FAILED",
        "shop/client  kernel    shop/web     kernel    8080     23  1.0 kB    2.0 kB  0.2 ms      15",
    ]
    assert err == ""


def test_one_node_tells_what_it_has_from_the_kernel(
    node_a: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other end rests on its address, and the table says so."""
    node_a.publish(flows.edge())
    observe(node_a)
    assert re.search(r"shop/client +kernel +shop/web +ip ", capsys.readouterr().out)


def test_an_end_without_a_name_says_why(node_a: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """Address instead of a name, and the reason beside it; UDP says so and has no connections."""
    nobody = model.End(
        kind=model.Kind.UNKNOWN, evidence=model.Evidence.NONE, address="10.7.0.77", reason=model.Reason.NO_OWNER
    )
    counters = model.Counters(sent_bytes=17, sent_segments=1)
    node_a.publish(flows.edge(remote=nobody, protocol=model.Protocol.UDP, port=53, counters=counters))
    observe(node_a)
    assert re.search(r"10\.7\.0\.77 +none: no owner +53/udp +- +17 B +0 B +-$", capsys.readouterr().out, re.MULTILINE)


def test_a_table_keeps_to_100_columns(node_a: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """However long the names; wide shows them whole."""
    long = dataclasses.replace(flows.CLIENT, workload="checkout-" * 7 + "v2")
    node_a.publish(flows.edge(local=long, remote=dataclasses.replace(flows.WEB, workload="payments-" * 7 + "v3")))
    observe(node_a)
    assert max(map(len, capsys.readouterr().out.splitlines())) == 100
    observe(node_a, more=("-o", "wide"))
    out = capsys.readouterr().out
    assert "checkout-" * 7 + "v2" in out


def test_wide_shows_accounts_causes_and_who_reported(
    node_a: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that a row has."""
    node_a.publish(flows.edge())
    observe(node_a, more=("-o", "wide"))
    header, row = capsys.readouterr().out.splitlines()
    for title in ("CONNECT", "RESENT", "OPEN", "SOURCE ACCOUNT", "DESTINATION ACCOUNT", "SEEN BY", "FAILED"):
        assert title in header
    assert row.endswith("source   7 refused, 3 reset, 5 timed out")


@pytest.mark.parametrize(("parts", "shown"), [((True,), "mtls"), ((False,), "none"), ((True, False), "some")])
def test_wide_says_what_the_mesh_secured(
    node_a: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str], parts: tuple[bool, ...], shown: str
) -> None:
    """All of it, nothing of it, or some."""
    mesh = model.Mesh(containers=(("c0ffee", "ipseity-proxy"),))
    local = dataclasses.replace(flows.CLIENT, mesh=mesh)
    for part in parts:
        node_a.publish(flows.edge(local=local, remote=dataclasses.replace(flows.WEB, mesh=mesh if part else None)))
    observe(node_a, more=("-o", "wide"))
    header, row = capsys.readouterr().out.splitlines()
    assert "TLS" in header
    assert shown in row.split()


def test_json_is_exact(node_a: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """The same rows, not one byte rounded."""
    node_a.publish(flows.edge())
    observe(node_a, more=("-o", "json"))
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["sent_bytes"], row["received_bytes"], row["source"]["name"]) == (1009, 2003, "client")


def test_jsonl_is_the_flow_log(node_a: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """Each record as the agent wrote it, connections included; rows if they are asked for."""
    node_a.publish(flows.edge(), flows.connection())
    observe(node_a, more=("-o", "jsonl"))
    assert [json.loads(line)["type"] for line in capsys.readouterr().out.splitlines()] == ["edge", "connection"]
    observe(node_a, more=("-o", "jsonl", "--aggregate-by", "namespace"))
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (row["source"]["namespace"], row["opened"]) == ("shop", 23)


def test_every_flow_for_itself(node_a: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """Records in the order of time, with pods instead of workloads; the last ones if asked."""
    node_a.publish(*(flows.edge(port=n, end_wall_ns=flows.T0 + n) for n in (3, 1, 2)))
    observe(node_a, more=("--aggregate-by", "none", "--last", "2"))
    out = capsys.readouterr().out
    assert re.findall(r"shop/web-5d44:(\d)/tcp", out) == ["2", "3"]
    assert "shop/client-7f9c " in out


def test_connections_on_request(node_a: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """How each ended, after how long, and from which port."""
    node_a.publish(flows.edge(), flows.connection(), flows.connection(end_reason="timed_out"))
    observe(node_a, more=("--aggregate-by", "none", "--type", "connection"))
    out = capsys.readouterr().out
    assert out.count("shop/client-7f9c:40123") == 2
    assert "closed after 1.5 ms" in out
    assert "timed out after 1.5 ms" in out


def test_filters_and_since_reach_the_flows(node_a: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """From flags to rows."""
    node_a.publish(flows.edge(port=1), flows.edge(port=2, end_wall_ns=flows.T0 + 60 * 10**9))
    observe(node_a, more=("--since", "2026-11-22T13:00:30Z", "--from-label", "app=client", "-o", "json"))
    assert [row["port"] for row in json.loads(capsys.readouterr().out)] == [2]


def test_nothing_matches(node_a: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty table, and beside it how many there would be without filters."""
    observe(node_a)
    assert "the agents keep no flows yet" in capsys.readouterr().err
    node_a.publish(flows.edge())
    assert observe(node_a, more=("--port", "1")) == 0
    assert "no flow matches, of 1 kept" in capsys.readouterr().err


def test_the_same_agent_twice_counts_once(node_a: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that is given twice is asked once."""
    node_a.publish(flows.edge())
    observe(node_a, node_a, more=("-o", "json"))
    assert json.loads(capsys.readouterr().out)[0]["opened"] == 23


def test_no_agent(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which agent, why, and what to do; exit code 2."""
    assert cli.run(["observe", "--server", f"unix://{tmp_path}/none.sock"]) == 2
    err = capsys.readouterr().err
    assert f"cannot ask the agent at unix://{tmp_path}/none.sock: no such file or directory" in err
    assert "hint: " in err


def serve_once(folder: pathlib.Path, answer: bytes) -> apiaddress.ApiAddress:
    """Answer one connection with these bytes: what is no agent, or a damaged one."""
    path = folder / "odd.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def answer_one() -> None:
        with listener, listener.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(answer)

    threading.Thread(target=answer_one).start()
    return apiaddress.ApiAddress(path=str(path))


def test_lines_that_are_no_flows_are_counted(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Damaged or of a newer agent: passed over, said once at the end; what was lost by the agent too."""
    body = b'{"time":7}\n\n{"lost_events":{"num_events_lost":23}}\n{"type":"x"}\n'
    address = serve_once(tmp_path, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
    assert cli.run(["observe", "--server", str(address)]) == 0
    err = capsys.readouterr().err
    assert "23 flows are missing" in err
    assert "3 lines were not understood" in err


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "without response"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "ssh-2.0"),
        (b'HTTP/1.1 503 No\r\nContent-Length: 28\r\n\r\n{"error":"full","hint":"go"} ', "refused /flows: full"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n[]", "refused /flows: Not Found"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "stopped answering"),
    ],
)
def test_what_is_no_agent(tmp_path: pathlib.Path, answer: bytes, reason: str) -> None:
    """Whatever answers there, the error says where and why."""
    with pytest.raises(errors.Unavailable) as caught:
        list(client.lines(serve_once(tmp_path, answer), "/flows", {}))
    assert reason in str(caught.value)
    assert "odd.sock" in str(caught.value)


@contextlib.contextmanager
def following(*words: str, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """Run ``ipseity observe -f`` and end it as a person does."""
    running = subprocess.Popen(
        [*IPSEITY, "observe", "-f", *words], stdout=stdout, stderr=subprocess.PIPE, text=True, env={"TERM": "xterm"}
    )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGINT)
        with running:
            assert running.wait(PATIENCE_S) == 0


def test_follow_in_a_pipe_writes_line_by_line(node_a: agent_api.RunningAgent) -> None:
    """Each flow at once, from now on, plain; and Ctrl-C is a good end."""
    node_a.publish(flows.edge(port=1))
    with following("--server", str(node_a.address)) as running:
        assert running.stdout
        assert running.stdout.readline().startswith("TIME ")
        node_a.wait_for_followers(1)
        for port in (2, 3):
            node_a.publish(flows.edge(port=port))
            line = running.stdout.readline()
            assert f"shop/web-5d44:{port}/tcp" in line
            assert "\x1b" not in line


def test_follow_goes_on_from_what_is_kept(node_a: agent_api.RunningAgent) -> None:
    """--last shows the past first; nothing twice, nothing missing."""
    node_a.publish(*(flows.edge(port=n, end_wall_ns=flows.T0 + n) for n in (1, 2, 3)))
    with following("--server", str(node_a.address), "--last", "2", "-o", "jsonl") as running:
        assert running.stdout
        node_a.wait_for_followers(1)
        node_a.publish(flows.edge(port=4, end_wall_ns=flows.T0 + 4))
        lines = [json.loads(running.stdout.readline()) for _ in range(3)]
    assert [line["l4"]["TCP"]["destination_port"] for line in lines] == [2, 3, 4]


def test_follow_survives_a_restart_of_the_agent(tmp_path: pathlib.Path) -> None:
    """The agent goes and comes back: said, and followed again."""
    with agent_api.RunningAgent(tmp_path) as first, following("--server", str(first.address)) as running:
        assert running.stdout
        assert running.stderr
        running.stdout.readline()
        first.wait_for_followers(1)
        first.stop()
        assert str(first.address) in running.stderr.readline()
        with agent_api.RunningAgent(tmp_path) as second:
            second.wait_for_followers(1)
            second.publish(flows.edge())
            assert "shop/web-5d44" in running.stdout.readline()


def test_follow_on_a_terminal_redraws_a_table(node_a: agent_api.RunningAgent) -> None:
    """One table that changes in place, in colour, and stays when it ends."""
    node_a.publish(flows.edge())
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    with following("--server", str(node_a.address), stdout=theirs):
        os.close(theirs)
        seen = read_until(ours, b"Ctrl-C ends")
        assert b"\x1b[?1049h" in seen
        assert b"\x1b[32mkernel\x1b[0m" in seen
        node_a.wait_for_followers(1)
        node_a.publish(flows.edge(end_wall_ns=flows.T0 + 2 * 10**9))
        read_until(ours, b" 46 ")
    assert b"\x1b[?1049l" in read_until(ours, b"")
    os.close(ours)


def read_until(fd: int, end: bytes) -> bytes:
    """Read a terminal until it shows something; with nothing to wait for, until it closes."""
    seen = b""
    while not end or end not in seen:
        try:
            more = os.read(fd, 65536)
        except OSError:  # EIO: the other side has closed
            return seen
        if not more:
            return seen
        seen += more
    return seen


def test_rows_cannot_be_followed_in_a_pipe(node_a: agent_api.RunningAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """A table that changes cannot be written line by line: refused with the ways out."""
    assert observe(node_a, more=("-f", "--aggregate-by", "pod")) == 2
    assert "leave out -f or --aggregate-by" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough(node_a: agent_api.RunningAgent) -> None:
    """``| head -1`` is no error."""
    node_a.publish(*(flows.edge(port=n) for n in range(1, 900)))
    words = [*IPSEITY, "observe", "--server", str(node_a.address), "-o", "jsonl"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout
        assert running.stderr
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait(PATIENCE_S) == 0


def test_a_command_that_is_too_slow_is_told(monkeypatch: pytest.MonkeyPatch, node_a: agent_api.RunningAgent) -> None:
    """The agent drops what a reader cannot take; the reader says how many at the end."""
    monkeypatch.setattr(feed, "_MAX_BEHIND", 5)
    with following("--server", str(node_a.address), "-o", "jsonl") as running:
        node_a.wait_for_followers(1)
        node_a.publish(*(flows.edge() for _ in range(23)))
        assert running.stdout
        for _ in range(5):
            running.stdout.readline()
        node_a.publish(flows.edge())
        running.stdout.readline()  # so that what stands before it in the stream has been read
        running.send_signal(signal.SIGINT)
        assert running.stderr
        assert "18 flows are missing" in running.stderr.read()
