"""The log of what was enforced, and how long after it was heard: one JSON object a line.

Here so that the contender's windows are measured where they arise and read by whoever compares. Leaves out everything
before an agent hears of a change: that is the API server's and the network's part, which a comparison adds.
"""

import json
import sys
from collections.abc import Iterable
from typing import Any, TextIO

import structlog

from comparisons.ip_policy import heard

log = structlog.get_logger("ip-policy")
NS_PER_MS = 1e6


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
    """Where lines go. A line that cannot be written is counted, and said once; enforcement goes on."""

    def __init__(self, path: str) -> None:
        """Open a file, to whose end lines are added; ``-`` is standard output. OSError: it cannot be."""
        self._file: TextIO = sys.stdout if path == "-" else open(path, "a", encoding="utf-8")  # noqa: PTH123, SIM115  # open for the process's life
        self.lost = 0

    def write(self, lines: Iterable[dict[str, Any]]) -> None:
        """Add lines, all of them at once."""
        text = "".join(json.dumps(line) + "\n" for line in lines)
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            self.lost += 1
            if self.lost == 1:
                log.warning("delays cannot be written", error=str(error), hint="is the disk full?")
