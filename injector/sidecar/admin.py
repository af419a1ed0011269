"""Three questions to Envoy's admin socket, in HTTP by hand. Never raises: an Envoy that does not answer is an answer.

Here because draining and tapping need them, and an HTTP library would cost the supervisor a third of its memory.
Everything is bounded: time and bytes.
"""

import socket
from collections.abc import Mapping
from typing import Final

from injector.sidecar import drain

_TIMEOUT_S: Final = 2.0
_MAX_ANSWER_BYTES: Final = 1 << 20
_STATS: Final = f"/stats?format=text&filter={drain.STATISTICS.replace('^', '%5E').replace('|', '%7C')}"


def fail_health_check(path: str) -> bool:
    """Make Envoy not ready, and ask its HTTP connections to end after what they are at. False if it cannot be told."""
    return _ask(path, "POST", "/healthcheck/fail") is not None


def connections(path: str) -> Mapping[str, int] | None:
    """Read the gauges that ``drain`` decides on, by name; None if Envoy does not answer."""
    text = _ask(path, "GET", _STATS)
    return None if text is None else parse(text)


def set_runtime(path: str, key: str, value: str) -> bool:
    """Set a value of Envoy's runtime; empty: take it back. False if it cannot be told."""
    return _ask(path, "POST", f"/runtime_modify?{key}={value}") is not None


def parse(text: bytes) -> Mapping[str, int]:
    """Read lines ``name: number``; others are left out."""
    found = {}
    for line in text.decode("ascii", "replace").splitlines():
        name, _, value = line.partition(": ")
        if value.isdecimal():
            found[name] = int(value)
    return found


def _ask(path: str, method: str, target: str) -> bytes | None:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(path)
            head = f"{method} {target} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            connection.sendall(head.encode())
            return body(_received(connection))
    except (OSError, ValueError):
        return None


def _received(connection: socket.socket) -> bytes:
    data = b""
    while len(data) < _MAX_ANSWER_BYTES and (more := connection.recv(65_536)):
        data += more
    return data


def body(answer: bytes) -> bytes | None:
    """Take the body out of an HTTP/1.1 answer, chunked or not; None unless its code is 200. Raises ValueError."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 2 or words[1] != b"200":
        return None
    return _joined(rest) if b"transfer-encoding: chunked" in head.lower() else rest


def _joined(rest: bytes) -> bytes:
    """RFC 9112 7.1: each chunk is its length in hexadecimal, a line end, that many bytes, a line end."""
    joined = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        if not length:
            break
        joined += rest[:length]
        rest = rest[length + 2 :]
    return joined
