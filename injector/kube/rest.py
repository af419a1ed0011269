"""Requests that change something in Kubernetes: one JSON body out, one JSON object back.

Here because ``ipseity.kube`` only reads. Leaves out watching (``ipseity.informer``) and what is written: see the
modules beside this one. Every request has a time limit; nothing is tried again here, since only the caller knows
whether doing it twice is harmless.
"""

import enum
import http
import json
import typing
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from ipseity import kube

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

Json = Mapping[str, Any]

TIMEOUT_S: Final = 10.0
_MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
"""etcd's largest object is 1.5 MiB; whoever sends more is no API server."""


class Patch(enum.StrEnum):
    """How a PATCH body is meant."""

    MERGE = "application/merge-patch+json"
    """RFC 7386: null removes, a list is replaced whole."""
    JSON = "application/json-patch+json"
    """RFC 6902: a list of operations."""


async def get(api: "client.ApiClient", path: str) -> Json | None:
    """Read one object; None if there is none. Raises KubernetesError."""
    try:
        return _object(await kube.get(api, path))
    except kube.KubernetesError as error:
        if error.status == http.HTTPStatus.NOT_FOUND:
            return None
        raise


async def create(
    api: "client.ApiClient", path: str, body: Json, *, dry_run: bool = False, timeout_s: float = TIMEOUT_S
) -> Json:
    """POST to a collection. Raises KubernetesError; status 409: it exists already."""
    return await _send(api, "POST", path, body, {"dryRun": "All"} if dry_run else {}, timeout_s=timeout_s)


async def replace(api: "client.ApiClient", path: str, body: Json) -> Json:
    """PUT an object. With ``metadata.resourceVersion`` in it, status 409 means: somebody was faster; read it again."""
    return await _send(api, "PUT", path, body, {})


async def patch(api: "client.ApiClient", path: str, body: Json | list[Json], kind: Patch = Patch.MERGE) -> Json:
    """PATCH an object. Raises KubernetesError."""
    return await _send(api, "PATCH", path, body, {}, content_type=kind.value)


async def delete(api: "client.ApiClient", path: str, *, resource_version: str = "") -> bool:
    """DELETE an object; False if there was none. Raises KubernetesError; status 409: it is not that version."""
    conditions = {"preconditions": {"resourceVersion": resource_version}} if resource_version else {}
    try:
        await _send(api, "DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", **conditions}, {})
    except kube.KubernetesError as error:
        if error.status == http.HTTPStatus.NOT_FOUND:
            return False
        raise
    return True


async def _send(  # noqa: PLR0913  # a request has these parts
    api: "client.ApiClient",
    method: str,
    path: str,
    body: Json | list[Json],
    query: Mapping[str, str],
    *,
    timeout_s: float = TIMEOUT_S,
    content_type: str = "application/json",
) -> Json:
    headers = {**await kube.headers(api, path), "Content-Type": content_type}
    limits = aiohttp.ClientTimeout(total=timeout_s, sock_connect=kube.CONNECT_S)
    url = f"{api.configuration.host}{path}?{urllib.parse.urlencode(query)}"
    try:
        reply = await api.rest_client.request(method, url, headers=headers, body=body, _request_timeout=limits)
        response = typing.cast("aiohttp.ClientResponse", reply.response)
        try:
            answer = await _bounded(response)
        finally:
            response.close()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise kube.unreachable(api, error) from error
    if not response.ok:
        raise _refused(method, path, response, answer)
    return _object(answer)


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    answer = bytearray()
    async for chunk in response.content.iter_any():
        answer += chunk
        if len(answer) > _MAX_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError(f"an answer of more than {_MAX_ANSWER_BYTES} bytes")
    return bytes(answer)


def _refused(method: str, path: str, response: aiohttp.ClientResponse, answer: bytes) -> kube.KubernetesError:
    error = kube.refused(response.status, answer, response.headers)
    if error.status == http.HTTPStatus.FORBIDDEN:
        error.hint = f"the account needs the right to {method} {path}"
    return error


def _object(answer: bytes) -> Json:
    try:
        found = json.loads(answer)
    except ValueError as error:
        raise kube.KubernetesError(f"the API server's answer is not JSON: {answer[:80]!r}") from error
    if not isinstance(found, dict):
        raise kube.KubernetesError(f"the API server's answer is no object: {answer[:80]!r}")
    return found
