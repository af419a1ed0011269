"""What the node says to the Kubernetes API, beside watching it: reads and writes of single objects, and Events.

Here so that one file knows paths and patch types. Works on raw JSON. Leaves out when to say it.
"""

import asyncio
import contextlib
import json
import urllib.parse
from typing import TYPE_CHECKING, Any

import aiohttp
import structlog

from comparisons.lab import clock
from ipseity import kube

if TYPE_CHECKING:
    from kubernetes.aio import client

Json = dict[str, Any]
TIMEOUT = aiohttp.ClientTimeout(total=15, sock_connect=kube.CONNECT_S)
MERGE = "application/merge-patch+json"
NOT_FOUND = 404
CONFLICT = 409
MAX_EVENTS = 256
"""Events that wait to be sent; what comes on top is dropped and counted. Arbitrary: a minute of a busy node."""
log = structlog.get_logger("lab.node")


class Cluster:
    """One API server, as one node speaks to it."""

    def __init__(self, api: "client.ApiClient", node_name: str) -> None:
        self.api = api
        self._node_name = node_name
        self._events: asyncio.Queue[Json] = asyncio.Queue(MAX_EVENTS)
        self.dropped_events = 0

    async def read(self, path: str) -> Json | None:
        """Return an object; None if there is none."""
        try:
            return dict(json.loads(await kube.get(self.api, path)))
        except kube.KubernetesError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def send(self, method: str, path: str, body: Json, *, content_type: str = "application/json") -> Json:
        """POST, PUT, PATCH or DELETE. Raises kube.KubernetesError for every answer that is an error."""
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "ipseity-lab"}
        await self.api.update_params_for_auth(headers, [], ["BearerToken"], path, method, None)
        url = f"{self.api.configuration.host}{path}"
        try:
            reply = await self.api.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=TIMEOUT
            )
            response: aiohttp.ClientResponse = reply.response
            answer = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise kube.unreachable(self.api, error) from error
        if response.status >= 300:
            raise kube.refused(response.status, answer, response.headers)
        return dict(json.loads(answer))

    async def patch_status(self, pod: Json, status: Json) -> Json | None:
        """Write a pod's status; None if this very pod (by UID) is no more."""
        body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        try:
            return await self.send("PATCH", f"{pod_path(pod)}/status", body, content_type=MERGE)
        except kube.KubernetesError as error:
            if error.status in (NOT_FOUND, CONFLICT):
                return None
            raise

    async def remove(self, pod: Json) -> None:
        """Tell the API that nothing of this pod is left: it may forget it."""
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
        try:
            await self.send("DELETE", pod_path(pod), body)
        except kube.KubernetesError as error:
            if error.status not in (NOT_FOUND, CONFLICT):
                raise

    async def token(self, pod: Json, audience: str, ttl_s: int) -> Json:
        """Ask for a ServiceAccount token that is bound to this pod; the answer's ``status``."""
        metadata = pod["metadata"]
        account = pod["spec"].get("serviceAccountName") or "default"
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        spec = {"audiences": [audience] if audience else [], "expirationSeconds": ttl_s, "boundObjectRef": bound}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{urllib.parse.quote(account)}/token"
        return dict((await self.send("POST", path, body))["status"])

    def event(self, pod: Json, reason: str, message: str, *, warning: bool = False) -> None:
        """Leave an Event about a pod. Never waits: what does not fit is counted."""
        now = clock.rfc3339(clock.wall_ns())
        metadata = pod["metadata"]
        body: Json = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{metadata['name'][:200]}.", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                **{key: metadata[key] for key in ("namespace", "name", "uid")},
            },
            "reason": reason,
            "message": message[:1024],
            "type": "Warning" if warning else "Normal",
            "source": {"component": "kubelet", "host": self._node_name},
            "reportingComponent": "kubelet",
            "reportingInstance": self._node_name,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            self._events.put_nowait(body)
        except asyncio.QueueFull:
            self.dropped_events += 1

    async def send_events(self) -> None:
        """Send what ``event`` leaves, for ever. An Event that the API refuses is dropped and counted."""
        while True:
            body = await self._events.get()
            try:
                await self.send("POST", f"/api/v1/namespaces/{body['metadata']['namespace']}/events", body)
            except kube.KubernetesError as error:
                self.dropped_events += 1
                if self.dropped_events == 1:  # said once: whoever refuses one refuses many
                    log.warning("event refused", reason=body["reason"], error=str(error))

    async def close(self) -> None:
        """Let go of the connections."""
        with contextlib.suppress(Exception):
            await self.api.close()


def pod_path(pod: Json) -> str:
    """Return a pod's path in the API."""
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
