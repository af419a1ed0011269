"""Empties a namespace that is being deleted, then lets go of it."""

import asyncio
from collections.abc import Sequence

from comparisons.lab.api import kinds
from comparisons.lab.controllers import cache, pods, writer

LOOK_AGAIN_S = 1.0
"""How often a namespace that will not become empty is swept; what changes in it makes it sooner."""
FINALIZER = "kubernetes"
UNWATCHED = (kinds.EVENT, kinds.EVENT_VIEW, kinds.LEASE)
"""Kinds that change often and matter to no controller."""
SWEPT = (kinds.EVENT, kinds.LEASE)
"""Those of them whose objects go with their namespace; a view has none of its own."""


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
        watched = [kind for kind in self._known.watched() if kind.namespaced]
        left = [kind for kind in watched if any(self._known.all(kind, key[1])) or not self._known.synced(kind)]
        fresh = [kind for kind in left if not all(pods.deleting(each) for each in self._known.all(kind, key[1]))]
        await asyncio.gather(*(self._out.delete_all(kind, key[1]) for kind in fresh))
        if left:
            return LOOK_AGAIN_S
        for kind in (*watched, *SWEPT):  # what is not watched, and what has come since
            await self._out.delete_all(kind, key[1])
        rest = [each for each in namespace["spec"].get("finalizers") or () if each != FINALIZER]
        await self._out.replace(
            kinds.NAMESPACE, {**namespace, "spec": {**namespace["spec"], "finalizers": rest}}, "finalize"
        )
        return LOOK_AGAIN_S
