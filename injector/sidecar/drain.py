"""When a proxy that was told to end may end. Pure: what Envoy and the kernel say is an argument.

A native sidecar is told when the application's containers are gone: what is left then are bytes on their way, and idle
HTTP connections of callers, which nobody needs. An ordinary container is told at the same time as the application,
which may still answer, call its database and take a few seconds; so the proxy stays while anything in the pod still
listens.

    busy = TCP connections through the proxy + HTTP requests in flight

Here because both are one rule, and because a proxy that ends too early is a failed request, and one that ends too late
a pod that hangs. Leaves out asking (``admin``) and acting (``run``).
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

STATISTICS: Final = r"^(listener\..*\.downstream_cx_active|http\..*\.downstream_(cx|rq)_active)$"
"""Envoy's gauges, as a regular expression. HTTP connections are also counted by their listener."""
_OWN: Final = ("listener.admin.", "listener.status.", "http.admin.", "http.status.")
_LISTEN: Final = "0A"
"""/proc/net/tcp, column ``st``: TCP_LISTEN."""


class Seen(NamedTuple):
    """What is going on in the pod."""

    busy: int
    listeners: int
    """Sockets that somebody else than the proxy listens on."""


def busy(gauges: Mapping[str, int]) -> int:
    """Count what would be cut if the proxy ended now."""
    total = 0
    for name, value in gauges.items():
        if name.startswith(_OWN):
            continue
        is_http_connection = name.startswith("http.") and name.endswith(".downstream_cx_active")
        total += -value if is_http_connection else value
    return max(0, total)


def listeners(table: str, proxy_uid: int) -> int:
    """Count who listens in a text of /proc/net/tcp or tcp6, besides the proxy's user."""
    rows = [line.split() for line in table.splitlines()[1:]]
    return sum(len(row) > 7 and row[3] == _LISTEN and row[7] != str(proxy_uid) for row in rows)


def may_end(seen: Seen, *, waited_s: float, grace_s: float) -> bool:
    """Tell whether to end now."""
    return waited_s >= grace_s or (seen.busy == 0 and seen.listeners == 0)
