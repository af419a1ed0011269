"""Tell the API how a pod is: the newest state, never an older one after it, and no state twice.

Here because states change faster than an API answers; what is overtaken while it waits is never sent.
"""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import structlog

from comparisons.lab import clock, cluster, status
from ipseity import kube

Json = dict[str, Any]
RETRY_S = 1.0
log = structlog.get_logger("lab.node")


class Publisher:
    """Writes one pod's status. ``changed`` may be called from anywhere in the loop; one task reads ``run``."""

    def __init__(self, api: cluster.Cluster, facts: Callable[[], status.Facts], *, settled: bool) -> None:
        self._api = api
        self._facts = facts
        self._settled = settled
        self._sent: Json = {}
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def changed(self) -> None:
        """There may be something to tell. A pod that was over when this node first saw it stays as it is."""
        if not self._settled:
            self._idle.clear()
            self._changed.set()

    async def flush(self) -> None:
        """Return once everything has been told."""
        await self._idle.wait()

    async def run(self) -> None:
        """Tell until cancelled."""
        silent = False
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._send()
            except kube.KubernetesError as error:
                if not silent:  # said once per outage
                    log.warning("pod status not written", error=str(error), hint=error.hint)
                silent = True
                self._changed.set()
                await asyncio.sleep(RETRY_S)
            else:
                silent = False
            if not self._changed.is_set():
                self._idle.set()

    async def _send(self) -> None:
        facts = dataclasses.replace(self._facts(), sent=tuple(self._sent.get("conditions") or ()))
        wanted = status.status(facts, clock.wall_ns())
        if wanted != self._sent:
            await self._api.patch_status(facts.pod, wanted)
            self._sent = wanted
