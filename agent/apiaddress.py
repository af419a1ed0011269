"""Where an agent's API is: ``unix:///run/ipseity/agent.sock`` or ``http://127.0.0.1:9477``.

Here because the agent that serves and the command line that asks must read the same text the same way. Leaves out
sockets.
"""

import dataclasses
import ipaddress
import urllib.parse
from typing import Final

from agent import errors

_HINT: Final = "use unix:///run/ipseity/agent.sock or http://127.0.0.1:9477"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ApiAddress:
    """A Unix socket (``path``), or a host and port."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix://{self.path}" if self.path else f"http://{host}:{self.port}"

    def is_private(self) -> bool:
        """Tell whether only this machine can reach it."""
        if self.path or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse(text: str) -> ApiAddress:
    """Read an address; ``errors.Unavailable`` if it is none."""
    if text.startswith("/"):
        return ApiAddress(path=text)
    try:
        url = urllib.parse.urlsplit(text)
        port = url.port
    except ValueError as error:
        raise errors.Unavailable(f"{text!r} is not an address of the agent's API: {error}", hint=_HINT) from error
    if url.scheme == "unix" and url.path.startswith("/") and not url.netloc:
        return ApiAddress(path=url.path)
    if url.scheme == "http" and url.hostname and url.path in ("", "/"):
        return ApiAddress(host=url.hostname, port=80 if port is None else port)
    raise errors.Unavailable(f"{text!r} is not an address of the agent's API", hint=_HINT)
