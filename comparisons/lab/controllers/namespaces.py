"""Empties a namespace that is being deleted, then lets go of it."""

import asyncio
from collections.abc import Sequence

from comparisons.lab.api import kinds
from comparisons.lab.controllers import cache, pods, writer

LOOK_AGAIN_S = 1.0
"""How often a namespace that will not become empty is swept; what changes in it makes it sooner."""
FINALIZER = "kubernetes"
NAMESPACED = tuple(kind for kind in kinds.ALL if kind.namespaced)
UNWATCHED = (kinds.EVENT, kinds.LEASE)


class Namespaces:
    """The namespace controller."""

    name = "namespace-controller"

    def __init__(self, known: cache.Cache, out: writer.Writer) -> None:
        self._known = known
        self._out = out

    def keys(self, kind: kinds.Kind, value: cache.Value, *, gone: bool) -> Sequence[cache.Key]:
        """Return a namespace on its way out, and that of an object that is gone."""
        if kind is kinds.NAMESPACE:
            return [cache.key_of(value)] if pods.deleting(value) and not gone else []
        if not gone or not kind.namespaced:
            return []
        namespace = self._known.get(kinds.NAMESPACE, ("", value["metadata"]["namespace"]))
        return [cache.key_of(namespace)] if namespace is not None and pods.deleting(namespace) else []

    async def reconcile(self, key: cache.Key) -> float | None:
        """Delete what is in it; finalizes it when nothing is."""
        namespace = self._known.get(kinds.NAMESPACE, key)
        if namespace is None or not pods.deleting(namespace):
            return None
        if FINALIZER not in (namespace["spec"].get("finalizers") or ()):
            return None
        left = [kind for kind in NAMESPACED if kind not in UNWATCHED and any(self._known.all(kind, key[1]))]
        fresh = [kind for kind in left if not all(pods.deleting(each) for each in self._known.all(kind, key[1]))]
        await asyncio.gather(*(self._out.delete_all(kind, key[1]) for kind in fresh))
        if left:
            return LOOK_AGAIN_S
        for kind in NAMESPACED:  # what is not watched, and what has come since
            await self._out.delete_all(kind, key[1])
        rest = [each for each in namespace["spec"].get("finalizers") or () if each != FINALIZER]
        await self._out.replace(
            kinds.NAMESPACE, {**namespace, "spec": {**namespace["spec"], "finalizers": rest}}, "finalize"
        )
        return LOOK_AGAIN_S
