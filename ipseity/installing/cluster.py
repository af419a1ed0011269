"""What is done to a cluster: apply, read, list, delete, change a little. Errors say which object and what to do.

Leaves out what is applied (``manifests``) and in which order (``commands``).
"""

import asyncio
import http
import itertools
import json
import types
import typing
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

import aiohttp

from ipseity import kube
from ipseity.installing import manifests

if typing.TYPE_CHECKING:
    from kubernetes.aio import client

Json = dict[str, Any]
Why = Callable[[], typing.Awaitable[list[str]]]
"""Looks for reasons, a line each."""

_TIMEOUT_S: Final = 30.0
_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"
_LATER: Final = frozenset(
    {
        http.HTTPStatus.TOO_MANY_REQUESTS,
        http.HTTPStatus.BAD_GATEWAY,
        http.HTTPStatus.SERVICE_UNAVAILABLE,
        http.HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_TRIES: Final = 5
_PATIENCE_S: Final = 10.0
"""Between two tries, whatever the server asks for. Arbitrary: a person waits."""
_T = typing.TypeVar("_T")
_LOOK_S: Final = 0.5
"""Between two looks at what has no event of its own here."""


class Cluster:
    """One cluster, for the time of one command."""

    def __init__(self, api: "client.ApiClient", *, dry_run: bool) -> None:
        """``dry_run``: everything is asked of the server, which judges it and changes nothing."""
        self._api = api
        self.dry_run = dry_run

    @classmethod
    async def connect(cls, kubeconfig: str | None, context: str | None, *, dry_run: bool) -> Self:
        """Connect. Raises KubernetesError."""
        return cls(await kube.connect(kubeconfig, context), dry_run=dry_run)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        await self._api.close()

    async def get(self, path: str) -> Json | None:
        """Read an object; None: there is none."""
        try:
            found: Json = json.loads(await _again(lambda: kube.get(self._api, path)))
        except kube.KubernetesError as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return None
            raise
        return found

    async def items(self, path: str, **query: str) -> list[Json]:
        """List a collection."""
        found = await _again(lambda: kube.get(self._api, path, query, timeout_s=_TIMEOUT_S))
        return list(json.loads(found)["items"])

    async def apply(self, each: Json, *, force: bool) -> str:
        """Apply, server-side; says what became of it."""
        before = await self.get(manifests.path(each))
        query = {"fieldManager": manifests.MANAGER, "force": "true" if force else "false"}
        try:
            after = await self._send("PATCH", manifests.path(each), each, _APPLY, query)
        except kube.KubernetesError as error:
            if self.dry_run and error.status == http.HTTPStatus.NOT_FOUND and "namespace" in each["metadata"]:
                return "would be created, in a namespace that is not there yet"
            if error.status == http.HTTPStatus.CONFLICT:
                raise kube.KubernetesError(
                    f"cannot apply {manifests.shown(each)}: {error}",
                    hint="somebody else has set these fields; look at them, or take them over with --force-conflicts",
                    status=error.status,
                ) from error
            raise
        if before is None:
            return self._said("created")
        return self._said("unchanged" if _meaning(before) == _meaning(after) else "changed")

    async def delete(self, path: str) -> str:
        """Delete, and what belongs to it in the background; says what became of it."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        try:
            await self._send("DELETE", path, options, "application/json", {})
        except kube.KubernetesError as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return "was not there"
            raise
        return self._said("removed")

    async def merge(self, path: str, change: Json) -> None:
        """Change a part of an object."""
        await self._send("PATCH", path, change, _MERGE, {"fieldManager": manifests.MANAGER})

    async def until(
        self, holds: Callable[[], typing.Awaitable[bool]], limit_s: float, what: str, hint: str, why: Why | None = None
    ) -> None:
        """Wait until something holds. Raises KubernetesError, with what ``why`` says of it then."""
        try:
            async with asyncio.timeout(limit_s):
                while not await holds():  # noqa: ASYNC110  # it is asked of a server
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError as error:
            said = await _told(why) if why is not None else []
            text = "".join(f"\n  {line}" for line in said)
            raise kube.KubernetesError(f"not within {limit_s:g} s: {what}{text}", hint=hint) from error

    def _said(self, what: str) -> str:
        return f"{what} (dry run)" if self.dry_run else what

    async def _send(self, method: str, path: str, body: Json, kind: str, query: Mapping[str, str]) -> Json:
        """Send what may be sent twice: an apply, a merge, a deletion."""
        return await _again(lambda: self._send_once(method, path, body, kind, query))

    async def _send_once(self, method: str, path: str, body: Json, kind: str, query: Mapping[str, str]) -> Json:
        asked = {**query, **({"dryRun": "All"} if self.dry_run else {})}
        headers = {**await kube.headers(self._api, path), "Content-Type": kind}
        limits = aiohttp.ClientTimeout(total=_TIMEOUT_S, sock_connect=kube.CONNECT_S)
        url = f"{self._api.configuration.host}{path}?{urllib.parse.urlencode(asked)}"
        try:
            reply = await self._api.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=limits
            )
            response = typing.cast("aiohttp.ClientResponse", reply.response)
            try:
                answer = await response.read()
            finally:
                response.close()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise kube.unreachable(self._api, error) from error
        if not response.ok:
            raise kube.refused(response.status, answer, response.headers)
        found: Json = json.loads(answer)
        return found


async def _again(ask: Callable[[], typing.Awaitable[_T]]) -> _T:
    """Ask once more while the server says that it is too busy (priority and fairness) or not quite there."""
    for tried in itertools.count(1):
        try:
            return await ask()
        except kube.KubernetesError as error:
            if error.status not in _LATER or tried == _TRIES:
                raise
            await asyncio.sleep(min(error.retry_after_s or _LOOK_S * 2**tried, _PATIENCE_S))
    raise AssertionError  # counting has no end


async def _told(why: Why) -> list[str]:
    """Give reasons, or why there are none: what failed before is what counts."""
    try:
        return await why()
    except kube.KubernetesError as error:
        return [f"(why cannot be told: {error})"]


def _meaning(each: Json) -> Json:
    """Give an object without what a write changes by itself."""
    metadata = {
        key: value
        for key, value in each.get("metadata", {}).items()
        if key not in {"managedFields", "resourceVersion", "generation"}
    }
    return {**{key: value for key, value in each.items() if key != "status"}, "metadata": metadata}


def ready(found: Json | None) -> bool:
    """Tell whether a Deployment or DaemonSet is rolled out as it is written now."""
    if found is None:
        return False
    status, wanted = found.get("status", {}), found.get("spec", {}).get("replicas")
    if status.get("observedGeneration", 0) < found["metadata"].get("generation", 0):
        return False
    if found["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        return bool(wanted == status.get("numberReady", 0) == status.get("updatedNumberScheduled", 0))
    return bool(
        wanted == status.get("readyReplicas", 0) == status.get("updatedReplicas", 0) == status.get("replicas", 0)
    )
