"""What the cluster is told of the agent, and what it is not: the relay before a socket that answers like the agent's.

Leaves out its rights: ``test_parts``, and ``tests/prove/image_check.py``, which runs it with them.
"""

import contextlib
import http.client
import http.server
import pathlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.deploy import test_image

BODY = b"ipseity_edges 23\n" * 10_007
"""More than one piece."""


class Answering(http.server.BaseHTTPRequestHandler):
    """The agent's API, as far as it is asked here."""

    server: "Agent"

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers["Accept"]))
        status = 503 if self.path == "/readyz" else 200
        self.send_response(status)
        self.send_header("Content-Type", "application/openmetrics-text")
        self.end_headers()
        self.wfile.write(BODY)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *words: Any) -> None:
        pass


class Agent(socketserver.ThreadingUnixStreamServer):
    """Listens where the agent does."""

    def __init__(self, path: str) -> None:
        self.seen: list[tuple[str, str]] = []
        super().__init__(path, Answering)


@contextlib.contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def relay(tmp_path: pathlib.Path) -> Iterator[Any]:
    made = test_image.loaded("relay").Relay(str(tmp_path / "agent.sock"), 0)
    with serving(made):
        yield made


@pytest.fixture
def agent(tmp_path: pathlib.Path) -> Iterator[Agent]:
    made = Agent(str(tmp_path / "agent.sock"))
    with serving(made):
        yield made


def ask(relay: Any, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", relay.server_address[1], timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path, headers={"Accept": "application/openmetrics-text"})
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Content-Type", ""), answer.read()


@pytest.mark.parametrize(("path", "status"), [("/metrics", 200), ("/healthz", 200), ("/readyz", 503)])
def test_three_paths_are_passed_on_whole(relay: Any, agent: Agent, path: str, status: int) -> None:
    """With their status, type and body; what was asked for as a query is not the agent's business."""
    assert (status, "application/openmetrics-text", BODY) == ask(relay, f"{path}?last=1")
    assert [(path, "application/openmetrics-text")] == agent.seen


@pytest.mark.parametrize(
    "path",
    [
        "/flows",
        "/flows?follow=true",
        "/owners?ip=10.7.0.9",
        "/debug",
        "/",
        "/metrics/../flows",
        "/metrics%2f",
    ],
)
def test_nothing_else_is(relay: Any, agent: Agent, path: str) -> None:
    """Who talks to whom stays on the node, however it is spelt."""
    assert 404 == ask(relay, path)[0]
    assert [] == agent.seen


def test_only_questions_are_answered(relay: Any, agent: Agent) -> None:
    """No other method is known."""
    assert {501} == {ask(relay, "/metrics", method)[0] for method in ("POST", "PUT", "DELETE", "CONNECT")}
    assert [] == agent.seen


def test_an_agent_that_is_away_is_not_ready_and_the_relay_lives(relay: Any) -> None:
    """The kubelet restarts the one, not the other."""
    assert (503, 200) == (ask(relay, "/healthz")[0], ask(relay, "/livez")[0])


def test_it_is_bounded(relay: Any, agent: Agent) -> None:
    """Whoever asks too often at a time is told so, and the next is served."""
    held = [relay.room.acquire(blocking=False) for _ in range(9)]
    assert [True] * 8 + [False] == held
    assert (503, 200) == (ask(relay, "/metrics")[0], ask(relay, "/livez")[0])
    for _ in range(8):
        relay.room.release()
    assert 200 == ask(relay, "/metrics")[0]


def test_whoever_goes_away_is_no_trouble(relay: Any, agent: Agent) -> None:
    """Half a question, then nothing: the next one is answered."""
    with socket.create_connection(("127.0.0.1", relay.server_address[1])) as half:
        half.sendall(b"GET /metr")
    assert 200 == ask(relay, "/metrics")[0]


def test_connections_are_bounded(relay: Any, agent: Agent) -> None:
    """Who holds many and asks nothing is hung up on from the sixty-fifth; when they go, the next is served."""
    with contextlib.ExitStack() as stack:
        where = ("127.0.0.1", relay.server_address[1])
        held = [stack.enter_context(socket.create_connection(where)) for _ in range(65)]
        held[-1].settimeout(10)
        assert b"" == held[-1].recv(1)
    for _ in range(64):
        relay.seats.acquire(timeout=10)
    for _ in range(64):
        relay.seats.release()
    assert 200 == ask(relay, "/metrics")[0]
