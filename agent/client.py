"""Asking an agent's API from the command line.

Here because ``observe``, ``who-owned`` and ``check`` ask the same servers and should fail in the same words. Plain
``http.client``: a command must start at once, and asks little. Leaves out what is asked and what the answer means.
"""

import contextlib
import http.client
import json
import socket
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Final

from agent import apiaddress, errors

_CONNECT_S: Final = 5.0
"""An agent on this machine answers at once or not at all."""
_HINT_START: Final = "is an agent running there? see ipseity check; another place is given with --server"


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("agent", timeout=_CONNECT_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the path in place of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def get(address: apiaddress.ApiAddress, path: str, query: Mapping[str, str] | None = None) -> bytes:
    """Fetch a whole answer. Raises errors.Unavailable."""
    with contextlib.closing(_connect(address)) as connection:
        return _read(address, _ask(address, connection, path, query))


def lines(address: apiaddress.ApiAddress, path: str, query: Mapping[str, str]) -> Iterator[bytes]:
    """Fetch line by line, for as long as the server has more. Raises errors.Unavailable."""
    with contextlib.closing(_connect(address)) as connection:
        response = _ask(address, connection, path, query)
        if connection.sock is not None:
            connection.sock.settimeout(None)  # a stream may be silent for long
        try:
            while line := response.readline():
                yield line
        except (OSError, http.client.HTTPException) as error:
            raise errors.Unavailable(f"the agent at {address} stopped answering: {error}", hint=_HINT_START) from error


def probe(address: apiaddress.ApiAddress, path: str) -> tuple[int, dict[str, object]]:
    """Ask for a probe's status and detail; a refusal is an answer too. Raises errors.Unavailable."""
    with contextlib.closing(_connect(address)) as connection:
        response = _request(address, connection, path)
        detail = json.loads(_read(address, response) or b"{}")
        return response.status, detail if isinstance(detail, dict) else {}


def _connect(address: apiaddress.ApiAddress) -> http.client.HTTPConnection:
    if address.path:
        return _UnixConnection(address.path)
    return http.client.HTTPConnection(address.host, address.port, timeout=_CONNECT_S)


def _request(
    address: apiaddress.ApiAddress, connection: http.client.HTTPConnection, target: str
) -> http.client.HTTPResponse:
    try:
        connection.request("GET", target)
        return connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise errors.Unavailable(f"cannot ask the agent at {address}: {reason.lower()}", hint=_HINT_START) from error


def _ask(
    address: apiaddress.ApiAddress,
    connection: http.client.HTTPConnection,
    path: str,
    query: Mapping[str, str] | None,
) -> http.client.HTTPResponse:
    response = _request(address, connection, f"{path}?{urllib.parse.urlencode(query)}" if query else path)
    if response.status == http.HTTPStatus.OK:
        return response
    told = _told(_read(address, response))
    raise errors.Unavailable(f"the agent at {address} refused {path}: {told[0] or response.reason}", hint=told[1])


def _read(address: apiaddress.ApiAddress, response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read()
    except (OSError, http.client.HTTPException) as error:
        raise errors.Unavailable(f"the agent at {address} stopped answering: {error}", hint=_HINT_START) from error


def _told(body: bytes) -> tuple[str, str]:
    """Read a refusal's reason and hint; empty if somebody else answered."""
    try:
        told = json.loads(body)
    except ValueError:
        return "", ""
    return (str(told.get("error", "")), str(told.get("hint", ""))) if isinstance(told, dict) else ("", "")
