"""/metrics, /healthz and /readyz of the agent for the cluster: from its Unix socket to a port of the pod.

Here because the agent has rights that nothing on a network should be near: it listens on a socket of its node alone,
and this process, which has none of those rights, listens for it. Of the API it passes on three paths and no others:
flows and owners stay on the node. /livez is its own. Standard library alone: 15 MB, and started without site-packages.

    python relay.py /run/ipseity/agent.sock 9478
"""

# ruff: noqa: INP001  # programs of an image, not a package

import contextlib
import http.client
import http.server
import signal
import socket
import socketserver
import sys
import threading
from typing import Any, Final

PASSED: Final = frozenset({"/metrics", "/healthz", "/readyz"})
_TIMEOUT_S: Final = 30.0
"""Of the agent: a scrape takes less than a second."""
_MOST: Final = 8
"""Requests at a time: Prometheus, a second one, and the kubelet's three probes."""
_CONNECTIONS: Final = 64
"""Open at a time: each is a thread. The chart's networkPolicy.metricsFrom says who may come at all."""
_ASKING_S: Final = 10.0
"""Until whoever connected has asked, or taken more of the answer."""
_PIECE_BYTES: Final = 65_536
_HEADERS: Final = ("Accept", "User-Agent")


class Agent(http.client.HTTPConnection):
    """HTTP over the agent's socket."""

    def __init__(self, path: str) -> None:
        """``path`` of the socket."""
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the path instead of to a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(self._path)


class Handler(http.server.BaseHTTPRequestHandler):
    """One request."""

    server: "Relay"
    timeout = _ASKING_S
    server_version = "ipseity"
    sys_version = ""

    def do_GET(self) -> None:
        """Pass it on, or say why not."""
        path = self.path.partition("?")[0]
        if path == "/livez":
            self._say(200, b"ok\n")
        elif path not in PASSED:
            self._say(404, b"only /metrics, /healthz, /readyz and /livez are here\n")
        elif not self.server.room.acquire(blocking=False):
            self._say(503, b"too many requests at a time\n")
        else:
            try:
                self._pass_on(path)
            finally:
                self.server.room.release()

    def _pass_on(self, path: str) -> None:
        agent = Agent(self.server.agent)
        with contextlib.closing(agent):
            try:
                agent.request("GET", path, headers={name: self.headers.get(name, "") for name in _HEADERS})
                answer = agent.getresponse()
            except (OSError, http.client.HTTPException) as error:
                self._say(503, f"the agent does not answer: {error}\n".encode())
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
            self.send_header("Connection", "close")
            self.end_headers()
            # An answer that breaks off leaves the reader with less than it was promised, which it notices.
            while piece := answer.read(_PIECE_BYTES):
                self.wfile.write(piece)

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        """Keep quiet: one line for every scrape is no news."""


class Relay(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Serves until it is told to end."""

    daemon_threads = True
    request_queue_size = _CONNECTIONS
    address_family = socket.AF_INET6

    def __init__(self, agent: str, port: int) -> None:
        """``agent``: path of its socket."""
        self.agent = agent
        self.room = threading.BoundedSemaphore(_MOST)
        self.seats = threading.BoundedSemaphore(_CONNECTIONS)
        if not socket.has_dualstack_ipv6():
            self.address_family = socket.AF_INET
        super().__init__(("", port), Handler)

    def server_bind(self) -> None:
        """Serve IPv4 on the same socket, where there is IPv6."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread, or hang up."""
        if self.seats.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.seats.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked went away, or took nothing for too long: nobody is left to be told."""


def main(path: str, port: str) -> int:
    """Serve until SIGTERM."""
    relay = Relay(path, int(port))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=relay.shutdown).start())
    with relay:
        relay.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
