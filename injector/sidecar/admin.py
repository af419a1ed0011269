"""Two questions to Envoy's admin socket, in HTTP by hand. Never raises: an Envoy that does not answer is an answer.

Here because draining needs them, and an HTTP library would cost the supervisor a third of its memory. Everything is
bounded: time and bytes.
"""

import socket
from collections.abc import Mapping
from typing import Final

from injector.sidecar import drain

_TIMEOUT_S: Final = 2.0
_MAX_ANSWER_BYTES: Final = 1 << 20
_STATS: Final = f"/stats?format=text&filter={drain.STATISTICS}"


def fail_health_check(path: str) -> bool:
    """Make Envoy not ready, and ask its HTTP connections to end after what they are at. False if it cannot be told."""
    return _ask(path, "POST", "/healthcheck/fail") is not None


def connections(path: str) -> Mapping[str, int] | None:
    """Read the gauges that ``drain`` decides on, by name; None if Envoy does not answer."""
    body = _ask(path, "GET", _STATS)
    return None if body is None else parse(body)


def parse(body: bytes) -> Mapping[str, int]:
    """Read lines ``name: number``; others are left out."""
    found = {}
    for line in body.decode("ascii", "replace").splitlines():
        name, _, value = line.partition(": ")
        if value.isdecimal():
            found[name] = int(value)
    return found


def _ask(path: str, method: str, target: str) -> bytes | None:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(path)
            # 1.0: the answer is neither chunked nor followed by another
            connection.sendall(f"{method} {target} HTTP/1.0\r\nHost: admin\r\nContent-Length: 0\r\n\r\n".encode())
            return _answer(connection)
    except OSError:
        return None


def _answer(connection: socket.socket) -> bytes | None:
    data = b""
    while len(data) < _MAX_ANSWER_BYTES and (more := connection.recv(65_536)):
        data += more
    head, end, body = data.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    return body if end and len(words) > 1 and words[1] == b"200" else None
