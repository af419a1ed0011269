"""The log of what was enforced, and how long after it was heard: one JSON object a line.

Here so that the contender's windows are measured where they arise and read by whoever compares. Leaves out everything
before an agent hears of a change: that is the API server's and the network's part, which a comparison adds.
"""

import json
import os
from collections.abc import Iterable
from typing import Any

import structlog

from comparisons.ip_policy import heard

log = structlog.get_logger("ip-policy")
NS_PER_MS = 1e6
STDOUT = 1


def enforcing(node: str, *, strict: bool, gate: bool, now_mono_ns: int) -> dict[str, Any]:
    """Say that from now on, and not before, the node enforces what it was told."""
    return {"event": "enforcing", "node": node, "strict": strict, "gate": gate, "enforced_mono_ns": now_mono_ns}


def change(news: heard.News, *, how: str, ended: int, now_mono_ns: int) -> dict[str, Any]:
    """Say that a change is enforced.

    ``how``: ``nothing`` (no rule of this node has to do with it), ``difference`` or ``whole``. ``ended``: connections
    that the node forgot, since they are not allowed any more, together with the other changes of the same moment.
    """
    return {
        "event": "change",
        "kind": news.kind,
        "namespace": news.namespace,
        "name": news.name,
        "uid": news.uid,
        "version": news.version,
        "gone": news.gone,
        "addresses": list(news.addresses),
        "heard_mono_ns": news.heard_mono_ns,
        "enforced_mono_ns": now_mono_ns,
        "delay_ms": round((now_mono_ns - news.heard_mono_ns) / NS_PER_MS, 3),
        "how": how,
        "ended": ended,
    }


class Log:
    """Where lines go. What cannot be written is counted, and said once; enforcement goes on."""

    def __init__(self, path: str) -> None:
        """Open a file, to whose end lines are added; ``-`` is standard output. OSError: it cannot be."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = STDOUT if path == "-" else os.open(path, flags, 0o644)
        self._torn = b""
        self.lost = 0

    def write(self, lines: Iterable[dict[str, Any]]) -> None:
        """Add lines, all of them at once."""
        text = self._torn + b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        try:
            done = os.write(self._descriptor, text)
        except OSError as error:
            self._lose(str(error))
        else:
            self._torn = b"\n" if done < len(text) else b""  # so that half a line spoils no other
            if self._torn:
                self._lose(f"only {done} of {len(text)} bytes")

    def close(self) -> None:
        """Close the file."""
        if self._descriptor != STDOUT:
            os.close(self._descriptor)

    def _lose(self, why: str) -> None:
        self.lost += 1
        if self.lost == 1:
            log.warning("delays cannot be written", error=why, hint="is the disk full?")
