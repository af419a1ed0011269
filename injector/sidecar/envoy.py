"""Envoy as a process: where it is, how it is started, what it is given to live on.

Here because a flag that is missing is a difference in behaviour that no configuration shows.
"""

import contextlib
from typing import Final

from injector.sidecar import bootstrap, files, orders

_LOG_FORMAT: Final = '{"time":"%Y-%m-%dT%T.%e%z","level":"%l","event":"envoy","logger":"%n","message":"%j"}'
"""Envoy's lines look like the supervisor's, from the first one on; ``%j`` is the message, escaped for JSON."""
_IPV6: Final = "/proc/net/if_inet6"
_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_OTHERS_BYTES: Final = 96 << 20
"""Of the container's limit, for the supervisor, the process that gets a certificate, and the volume in memory."""
_UNLIMITED: Final = 1 << 50
"""cgroup v1 says "no limit" by a number near 2^63."""


def command(told: orders.Orders) -> list[str]:
    """Give program and arguments."""
    return [
        told.envoy,
        *("--config-path", files.bootstrap(told.workload_dir)),
        *("--concurrency", str(told.concurrency)),
        *("--log-level", told.log_level),
        *("--log-format", _LOG_FORMAT),
        # A warning for each pod address in a listener, at each change: Envoy calls its matcher of addresses unfinished.
        *("--component-log-level", "misc:error"),
        # A filter chain that is replaced or removed ends its connections at once: that is how a policy cuts.
        *("--drain-time-s", "0"),
        *("--drain-strategy", "immediate"),
        "--disable-hot-restart",
    ]


def facts() -> bootstrap.Facts:
    """Look at the pod that Envoy will run in."""
    return bootstrap.Facts(ipv6=bool(_text(_IPV6)), heap_bytes=heap_bytes([_text(path) for path in _LIMITS]))


def heap_bytes(limits: list[str]) -> int:
    """Say what Envoy may allocate under the first limit that is one; 0: there is none."""
    for text in limits:
        if text.strip().isdecimal() and (limit := int(text)) < _UNLIMITED:
            return max(limit - _OTHERS_BYTES, limit // 2)
    return 0


def listeners_table() -> str:
    """Read the pod's TCP sockets, IPv4 and IPv6, as the kernel lists them."""
    return "".join(_text(path) for path in ("/proc/net/tcp", "/proc/net/tcp6"))


def _text(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="ascii") as file:  # noqa: PTH123  # pathlib is megabytes
        return file.read()
    return ""
