"""Leaves Events about what the controllers did, for ``kubectl describe``.

Never waits: what does not fit is dropped and counted.
"""

import asyncio
from typing import Any

from comparisons.lab import clock
from comparisons.lab.api import kinds
from comparisons.lab.controllers import cache, writer
from ipseity import kube

WAITING = 1024
"""Events that wait to be sent. Arbitrary: a few seconds of a busy lab."""


class Reporter:
    """A bounded queue of Events and the task that sends them."""

    def __init__(self, out: writer.Writer) -> None:
        self._out = out
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(WAITING)
        self.dropped = 0

    def say(self, about: cache.Value, reason: str, message: str, *, by: str, warning: bool = False) -> None:
        """Leaves one Event."""
        try:
            self._waiting.put_nowait(_event(about, reason, message, by=by, warning=warning))
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Send Events for ever. One that the API refuses is dropped and counted."""
        while True:
            event = await self._waiting.get()
            try:
                await self._out.create(kinds.EVENT, event)
            except kube.KubernetesError:
                self.dropped += 1


def _event(about: cache.Value, reason: str, message: str, *, by: str, warning: bool) -> dict[str, Any]:
    now, meta = clock.rfc3339(clock.wall_ns()), about["metadata"]
    named = {key: meta[key] for key in ("namespace", "name", "uid", "resourceVersion") if key in meta}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{meta['name'][:200]}.", "namespace": meta.get("namespace", "default")},
        "involvedObject": {"apiVersion": about["apiVersion"], "kind": about["kind"], **named},
        "reason": reason,
        "message": message[:1024],
        "type": "Warning" if warning else "Normal",
        "source": {"component": by},
        "reportingComponent": by,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
