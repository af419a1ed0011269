"""Answers on 8080 (HTTP: who answers, and whom the proxy says it has heard) and 7000 (bytes: lines come back).

SIGTERM: serves on for a moment, as an application should, while its callers learn that it ends.
"""

import contextlib
import http.server
import json
import os
import signal
import socketserver
import threading
import time

LINGER_S = 4.0


class Page(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        told = {"pod": os.environ["POD"], "caller": self.headers.get("x-forwarded-client-cert", "")}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as the parent has it
        """Say nothing."""


class Lines(socketserver.StreamRequestHandler):
    """One connection of bytes."""

    def handle(self) -> None:
        """Send lines back."""
        with contextlib.suppress(ConnectionError):
            for line in self.rfile:
                self.wfile.write(line)


class Bytes(socketserver.ThreadingTCPServer):
    """The port of bytes."""

    allow_reuse_address = True
    daemon_threads = True


def main() -> None:
    """Serve until SIGTERM."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    for server in (http.server.ThreadingHTTPServer(("", 8080), Page), Bytes(("", 7000), Lines)):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("serving", flush=True)
    while not ended.wait(3600):
        pass
    time.sleep(LINGER_S)  # noqa: TID251  # nobody tells when the last caller has learnt it


main()
