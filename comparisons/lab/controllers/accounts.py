"""Gives every namespace its ServiceAccount ``default``, which pods run as that name none."""

from collections.abc import Sequence

from comparisons.lab.api import kinds
from comparisons.lab.controllers import cache, writer
from ipseity import kube

DEFAULT = "default"


class Accounts:
    """The service account controller."""

    name = "serviceaccount-controller"

    def __init__(self, known: cache.Cache, out: writer.Writer) -> None:
        self._known = known
        self._out = out

    def keys(self, kind: kinds.Kind, value: cache.Value, *, gone: bool) -> Sequence[cache.Key]:
        """Return a new namespace, and a namespace that lost its account."""
        _ = gone
        if kind is kinds.NAMESPACE:
            return [cache.key_of(value)]
        if kind is kinds.SERVICE_ACCOUNT and value["metadata"]["name"] == DEFAULT:
            return [("", value["metadata"]["namespace"])]
        return []

    async def reconcile(self, key: cache.Key) -> None:
        """Create the account of a live namespace if it is missing."""
        namespace = self._known.get(kinds.NAMESPACE, key)
        if namespace is None or namespace["metadata"].get("deletionTimestamp"):
            return
        if self._known.get(kinds.SERVICE_ACCOUNT, (key[1], DEFAULT)) is not None:
            return
        try:
            await self._out.create(kinds.SERVICE_ACCOUNT, {"metadata": {"namespace": key[1], "name": DEFAULT}})
        except kube.KubernetesError as error:
            if error.status != writer.CONFLICT:  # somebody else made it
                raise
