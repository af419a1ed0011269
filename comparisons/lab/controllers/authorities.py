"""Puts into every namespace the certificates by which its pods know the API server: ConfigMap ``kube-root-ca.crt``.

As kube-controller-manager's root-ca-certificate-publisher: made where it is missing, put right where it was changed.
"""

from collections.abc import Sequence

from comparisons.lab.api import kinds
from comparisons.lab.controllers import cache, pods, writer
from ipseity import kube

NAME, FILE = "kube-root-ca.crt", "ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class Authorities:
    """The root certificate publisher."""

    name = "root-ca-certificate-publisher-controller"

    def __init__(self, known: cache.Cache, out: writer.Writer, authority: str) -> None:
        self._known = known
        self._out = out
        self._data = {FILE: authority}

    def keys(self, kind: kinds.Kind, value: cache.Value, *, gone: bool) -> Sequence[cache.Key]:
        """Return a new namespace, and a namespace whose ConfigMap changed or went."""
        _ = gone
        if kind is kinds.NAMESPACE:
            return [cache.key_of(value)]
        if kind is kinds.CONFIG_MAP and value["metadata"]["name"] == NAME:
            return [("", value["metadata"]["namespace"])]
        return []

    async def reconcile(self, key: cache.Key) -> None:
        """Make the ConfigMap of a live namespace what it should be."""
        namespace = self._known.get(kinds.NAMESPACE, key)
        if namespace is None or pods.deleting(namespace):
            return
        found = self._known.get(kinds.CONFIG_MAP, (key[1], NAME))
        if found is None:
            await self._create(key[1])
        elif found.get("data") != self._data:
            await self._out.replace(kinds.CONFIG_MAP, {**found, "data": self._data})

    async def _create(self, namespace: str) -> None:
        annotations = {"kubernetes.io/description": DESCRIPTION}
        metadata = {"namespace": namespace, "name": NAME, "annotations": annotations}
        try:
            await self._out.create(kinds.CONFIG_MAP, {"metadata": metadata, "data": self._data})
        except kube.KubernetesError as error:
            if error.status != writer.CONFLICT:  # somebody else made it
                raise
