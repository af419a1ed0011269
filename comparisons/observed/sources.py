"""Where an observation's lines and objects come from: files, agents' APIs, the API server. Only read.

An agent's API is a Unix socket or a port of this machine (``docs/api.md``), asked as ``ipseity observe`` does. In a
cluster it listens on no network; there its flow log, or what ``observe`` prints in its container, is a file. Leaves out
what lines mean (``flows``).
"""

import contextlib
import http.client
import pathlib
import socket
import sys
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Final

from comparisons.ip_policy import errors

HINT: Final = (
    "in a cluster: for p in $(kubectl -n ipseity-system get pods -l app=ipseity-agent -o name); do "
    "kubectl -n ipseity-system exec $p -c agent -- ipseity observe -o jsonl; done > flows.jsonl; "
    "then --flows flows.jsonl"
)
_ANSWER_S: Final = 30.0


class _Unix(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("agent", timeout=_ANSWER_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the path in place of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def lines(files: Sequence[str], servers: Sequence[str]) -> Iterator[bytes]:
    """Give every line of all. PolicyError names what cannot be read."""
    for name in files:
        yield from _file(name)
    for server in servers:
        yield from _asked(server)


def _file(name: str) -> Iterator[bytes]:
    try:
        if name == "-":
            yield from sys.stdin.buffer
        else:
            with pathlib.Path(name).open("rb") as file:
                yield from file
    except OSError as error:
        raise errors.PolicyError(f"cannot read flows from {name}: {error.strerror}", hint=HINT) from error


def _asked(server: str) -> Iterator[bytes]:
    try:
        with contextlib.closing(_connection(server)) as connection:
            connection.request("GET", "/flows")
            answer = connection.getresponse()
            if answer.status != http.HTTPStatus.OK:
                raise errors.PolicyError(
                    f"the agent at {server} answered {answer.status}", hint="is it an agent's API?"
                )
            yield from answer
    except (OSError, http.client.HTTPException) as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise errors.PolicyError(f"cannot ask the agent at {server}: {said}", hint=HINT) from error


def _connection(server: str) -> http.client.HTTPConnection:
    url = urllib.parse.urlsplit(server)
    try:
        if url.scheme == "unix" and url.path:
            return _Unix(url.path)
        if url.scheme == "http" and url.hostname and url.port:
            return http.client.HTTPConnection(url.hostname, url.port, timeout=_ANSWER_S)
    except ValueError:  # a port that is none
        pass
    raise errors.PolicyError(f"server {server!r}: no address of an agent", hint="unix://PATH or http://127.0.0.1:PORT")
