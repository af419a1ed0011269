"""Deletes pods that are bound to a node which is no more: nobody else will ever report their end.

As kube-controller-manager's pod garbage collector, without its quota of ended pods.
"""

import time
from collections.abc import Sequence

from comparisons.lab.api import kinds
from comparisons.lab.controllers import cache, writer

QUARANTINE_S = 40.0
"""How long a node may be missing: k8s.io/kubernetes/pkg/controller/podgc: quarantineTime."""


class Strays:
    """The pod garbage collector. Its keys are nodes."""

    name = "pod-garbage-collector"

    def __init__(self, known: cache.Cache, out: writer.Writer) -> None:
        self._known = known
        self._out = out
        self._missing: dict[str, float] = {}
        """Nodes that are not there: name -> the end of their quarantine (monotonic seconds)."""

    def keys(self, kind: kinds.Kind, value: cache.Value, *, gone: bool) -> Sequence[cache.Key]:
        """Return a node that is gone, and one that a pod names although it is not there."""
        if kind is kinds.NODE:
            return [cache.key_of(value)] if gone else []
        node = value["spec"].get("nodeName", "") if kind is kinds.POD and not gone else ""
        return [("", node)] if node and self._known.get(kinds.NODE, ("", node)) is None else []

    async def reconcile(self, key: cache.Key) -> float | None:
        """Wait the quarantine out, then deletes the node's pods."""
        if self._known.get(kinds.NODE, key) is not None:
            self._missing.pop(key[1], None)
            return None
        now = time.monotonic()
        left_s = self._missing.setdefault(key[1], now + QUARANTINE_S) - now
        if left_s > 0:
            return left_s
        if await self._out.read(kinds.NODE, "", key[1]) is None:
            for pod in self._known.all(kinds.POD):
                if pod["spec"].get("nodeName") == key[1]:
                    await self._out.delete(kinds.POD, pod, grace_s=0)
        self._missing.pop(key[1], None)
        return None
