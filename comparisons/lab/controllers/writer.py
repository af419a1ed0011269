"""Writes to the API: create, patch, delete; an answer that the object moved on or is gone is a value, not an accident.

Leaves out reading: ``cache``.
"""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import aiohttp

from comparisons.lab.api import kinds
from comparisons.lab.controllers import cache
from ipseity import kube

if TYPE_CHECKING:
    from kubernetes.aio import client

Value = dict[str, Any]

MERGE = "application/merge-patch+json"
NOT_FOUND, CONFLICT = 404, 409
_LIMITS = aiohttp.ClientTimeout(total=15, sock_connect=kube.CONNECT_S)


def path(kind: kinds.Kind, namespace: str, name: str = "", subresource: str = "") -> str:
    """Return the URL's path of an object or a collection."""
    parts = [kind.root, *(("namespaces", namespace) if kind.namespaced else ()), kind.plural, name, subresource]
    return "/".join(part for part in parts if part)


@dataclasses.dataclass(frozen=True, slots=True)
class Writer:
    """One API server, as a controller writes to it."""

    api: "client.ApiClient"
    known: cache.Cache
    name: str
    """What ``managedFields`` and Events call the writer."""

    async def create(self, kind: kinds.Kind, value: Value, subresource: str = "") -> Value:
        """POST; raises KubernetesError."""
        meta = value["metadata"]
        name = meta.get("name", "") if subresource else ""
        return await self._send(kind, "POST", path(kind, meta.get("namespace", ""), name, subresource), value)

    async def patch(self, kind: kinds.Kind, value: Value, change: Value, subresource: str = "") -> Value | None:
        """Merge a change into this very object (by UID); None if it is gone. Raises KubernetesError."""
        meta = value["metadata"]
        own = {"uid": meta["uid"], **change.get("metadata", {})}
        where = path(kind, meta.get("namespace", ""), meta["name"], subresource)
        return await self._unless_gone(kind, "PATCH", where, {**change, "metadata": own}, MERGE)

    async def replace(self, kind: kinds.Kind, value: Value, subresource: str = "") -> Value | None:
        """PUT a state with its resourceVersion; None if the object is gone or has moved on. Raises KubernetesError."""
        meta = value["metadata"]
        where = path(kind, meta.get("namespace", ""), meta["name"], subresource)
        return await self._unless_gone(kind, "PUT", where, value)

    async def delete(
        self, kind: kinds.Kind, value: Value, propagation: str = "Background", grace_s: int | None = None
    ) -> None:
        """Delete this very object (by UID), if it is there. Raises KubernetesError."""
        meta = value["metadata"]
        options: Value = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": meta["uid"]}}
        options |= {"propagationPolicy": propagation} | ({} if grace_s is None else {"gracePeriodSeconds": grace_s})
        answer = await self._unless_gone(kind, "DELETE", path(kind, meta.get("namespace", ""), meta["name"]), options)
        if answer is not None and answer.get("kind") == "Status":
            self.known.unlearn(kind, value)

    async def delete_all(self, kind: kinds.Kind, namespace: str) -> None:
        """Delete everything of a kind in a namespace. Raises KubernetesError."""
        await self._send(kind, "DELETE", path(kind, namespace), {"kind": "DeleteOptions", "apiVersion": "v1"})

    async def read(self, kind: kinds.Kind, namespace: str, name: str) -> Value | None:
        """Return an object as the API has it now; None if there is none. Raises KubernetesError."""
        try:
            answer: Value = json.loads(await kube.get(self.api, path(kind, namespace, name)))
        except kube.KubernetesError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return answer

    async def _unless_gone(
        self, kind: kinds.Kind, method: str, where: str, body: Value, media_type: str = "application/json"
    ) -> Value | None:
        try:
            return await self._send(kind, method, where, body, media_type)
        except kube.KubernetesError as error:
            if error.status in {NOT_FOUND, CONFLICT}:
                return None
            raise

    async def _send(
        self, kind: kinds.Kind, method: str, where: str, body: Value, media_type: str = "application/json"
    ) -> Value:
        headers = {"Accept": "application/json", "Content-Type": media_type, "User-Agent": self.name}
        await self.api.update_params_for_auth(headers, [], ["BearerToken"], where, method, None)
        url = f"{self.api.configuration.host}{where}"
        try:
            reply = await self.api.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=_LIMITS
            )
            response: aiohttp.ClientResponse = reply.response
            answer = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise kube.unreachable(self.api, error) from error
        if not response.ok:
            raise kube.refused(response.status, answer, response.headers)
        found: Value = json.loads(answer)
        if found.get("kind") == kind.kind:
            self.known.learn(kind, found)
        return found
