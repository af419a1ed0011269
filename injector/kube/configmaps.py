"""ConfigMaps of ours: write the data they must have, read what they have.

Here because the trust bundle and the identity status are such. Server-side apply is not used: a merge patch of our own
keys, made only where the content differs, needs no field manager and works with every API server.
"""

import http
import typing
from collections.abc import Mapping
from typing import Any, Final

from injector.kube import rest
from ipseity import kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

LABELS: Final = {"app.kubernetes.io/managed-by": "ipseity"}


async def read(api: "client.ApiClient", namespace: str, name: str) -> Mapping[str, str] | None:
    """Read the data of one; None if there is none. Raises KubernetesError."""
    found = await rest.get(api, _path(namespace, name))
    return None if found is None else data_of(found)


async def ensure(api: "client.ApiClient", namespace: str, name: str, data: Mapping[str, str | None]) -> None:
    """Make one have these keys (None: not have it), whether it exists or not; other keys are left alone.

    Raises KubernetesError.

    Status 404 or 403 right after a namespace was deleted mean that there is nowhere to write to.
    """
    labels = dict(LABELS)
    try:
        await rest.patch(api, _path(namespace, name), {"metadata": {"labels": labels}, "data": dict(data)})
    except kube.KubernetesError as error:
        if error.status != http.HTTPStatus.NOT_FOUND:
            raise
        there = {key: value for key, value in data.items() if value is not None}
        metadata = {"name": name, "labels": labels}
        await _create(api, namespace, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": there})


async def _create(api: "client.ApiClient", namespace: str, whole: Mapping[str, Any]) -> None:
    try:
        await rest.create(api, f"/api/v1/namespaces/{namespace}/configmaps", whole)
    except kube.KubernetesError as error:
        if error.status != http.HTTPStatus.CONFLICT:
            raise
        await rest.patch(api, _path(namespace, whole["metadata"]["name"]), {"data": whole["data"]})


def data_of(found: Mapping[str, Any]) -> Mapping[str, str]:
    """Give the data of a ConfigMap object."""
    return {str(key): str(value) for key, value in (found.get("data") or {}).items()}


def _path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps/{name}"
