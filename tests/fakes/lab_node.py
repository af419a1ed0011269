"""A node without containers.

It registers, says that its pods run (or have ended), serves their logs, and lets go of deleted ones. Stands in for
kubelet where only the API is under test. Leaves out everything that a pod does.
"""

import asyncio
import contextlib
import ipaddress
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from tests.contract.kubernetes_api import cluster

Value = dict[str, Any]

NOW = "2026-01-02T03:04:05Z"


class FakeNode:
    """One node, over one connection."""

    def __init__(self, api: cluster.Cluster, name: str, first_ip: str) -> None:
        self.api = api
        self.name = name
        self.hostname = {"kubernetes.io/hostname": name}
        self.outcomes: dict[str, int] = {}
        """Exit codes of pods that end at once, by the value of their label ``outcome``."""
        self._next = ipaddress.ip_address(first_ip)
        self._started: set[str] = set()

    async def register(self, log_url: str) -> None:
        """Create the Node."""
        status = {"conditions": [{"type": "Ready", "status": "True"}], "addresses": []}
        annotations = {"ipseity.io/lab-kubelet": log_url}
        metadata = {"name": self.name, "labels": self.hostname, "annotations": annotations}
        await self.api.create("/api/v1/nodes", {"metadata": metadata, "status": status})

    async def run(self) -> None:
        """Serve pods for ever."""
        events = self.api.events("/api/v1/pods", seconds=600, fieldSelector=f"spec.nodeName={self.name}")
        async with contextlib.aclosing(events):
            async for event in events:
                if event["type"] in {"ADDED", "MODIFIED"}:
                    await self._look_at(event["object"])

    async def _look_at(self, pod: Value) -> None:
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        if "deletionTimestamp" in meta:
            await self.api.delete(path, {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}})
        elif meta["uid"] not in self._started:
            self._started.add(meta["uid"])
            await self.api.patch(f"{path}/status", {"metadata": {"uid": meta["uid"]}, "status": self._status(pod)})

    def _status(self, pod: Value) -> Value:
        self._next += 1
        ip = str(self._next)
        exit_code = self.outcomes.get(pod["metadata"].get("labels", {}).get("outcome", ""))
        phase = "Running" if exit_code is None else "Succeeded" if exit_code == 0 else "Failed"
        ready = "True" if exit_code is None else "False"
        conditions = [
            {"type": kind, "status": ready, "lastTransitionTime": NOW} for kind in ("Ready", "ContainersReady")
        ]
        containers = [_container(each, exit_code) for each in pod["spec"]["containers"]]
        return {
            "phase": phase,
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "hostIP": "10.99.0.1",
            "startTime": NOW,
            "conditions": conditions,
            "containerStatuses": containers,
        }


def _container(container: Value, exit_code: int | None) -> Value:
    if exit_code is None:
        state: Value = {"running": {"startedAt": NOW}}
    else:
        state = {
            "terminated": {"exitCode": exit_code, "reason": "Error" if exit_code else "Completed", "finishedAt": NOW}
        }
    head = {"name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0}
    return {**head, "ready": exit_code is None, "state": state}


@contextlib.asynccontextmanager
async def running(api: cluster.Cluster, name: str, first_ip: str = "10.99.0.10") -> AsyncIterator[FakeNode]:
    """Run a node meanwhile."""
    node = FakeNode(api, name, first_ip)
    runner = web.AppRunner(_log_server(), handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await node.register("http://{}:{}".format(*runner.addresses[0]))
    task = asyncio.ensure_future(node.run())
    try:
        yield node
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await api.delete(f"/api/v1/nodes/{name}")
        await runner.cleanup()


def _log_server() -> web.Application:
    async def handle(request: web.Request) -> web.Response:
        said = {
            "pod": request.match_info["pod"],
            "container": request.match_info["container"],
            "query": dict(request.query),
        }
        return web.Response(text=json.dumps(said) + "\n")

    application = web.Application()
    application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", handle)
    return application
