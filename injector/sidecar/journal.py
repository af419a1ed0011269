"""The sidecar's log: one JSON object a line, on standard error, in the form that Envoy's lines have too.

Here because the long-lived process cannot afford the logging libraries. Never given a token or a key.
"""

import json
import os
import time
from typing import Final

_STDERR: Final = 2
_MAX_TEXT: Final = 500


def shortened(text: str) -> str:
    """Shorten what somebody else wrote, and take line ends and control characters out of it."""
    clean = "".join(char if char.isprintable() else " " for char in text[:_MAX_TEXT])
    return clean + "..." if len(text) > _MAX_TEXT else clean


def say(level: str, event: str, **fields: object) -> None:
    """Write one line. A closed or full standard error loses it; nothing else happens."""
    seconds, milliseconds = divmod(time.clock_gettime_ns(time.CLOCK_REALTIME) // 1_000_000, 1000)
    moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03d}Z"
    line = json.dumps({"time": moment, "level": level, "event": event, **fields}, default=str)
    try:
        os.write(_STDERR, line.encode() + b"\n")
    except OSError:
        return
