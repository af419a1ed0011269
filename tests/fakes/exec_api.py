"""A Kubernetes API server that lists pods and runs commands in them: ``pods/exec`` by WebSocket, as kubelets answer it.

What a command writes is given by the test; what was asked is kept. Leaves out processes, and SPDY.
"""

import asyncio
import contextlib
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import yaml
from aiohttp import WSMsgType, web

Json = dict[str, Any]
DISCOVERY: dict[str, Json] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [{"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get"]}],
    },
}
"""What kubectl asks before anything else."""
SUCCESS: Json = {"kind": "Status", "status": "Success"}


class ExecApi:
    """Use ``serve`` in a thread (``policy_api.in_thread``), then ``kubeconfig``."""

    def __init__(self, pods: list[Json], pieces: list[tuple[int, bytes]], *, allowed: bool = True) -> None:
        self.pods = pods
        self.pieces = pieces
        """Channel and bytes, in their order; the test says the last one too (channel 3)."""
        self.allowed = allowed
        self.asked: list[tuple[str, str, list[str]]] = []
        """Pod, container and command."""
        self.went_away = 0
        """Callers that closed before the end."""
        self.url = ""

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        application = web.Application()
        application.router.add_get("/api/v1/namespaces/{namespace}/pods", self._list)
        application.router.add_get("/api/v1/namespaces/{namespace}/pods/{pod}", self._get)
        application.router.add_get("/api/v1/namespaces/{namespace}/pods/{pod}/exec", self._exec)
        for path, answer in DISCOVERY.items():
            application.router.add_get(path, _answering(answer))
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()

    def kubeconfig(self, directory: pathlib.Path) -> str:
        """Write how it is reached."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "users": [{"name": "u", "user": {}}],
        }
        path = directory / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return str(path)

    async def _list(self, request: web.Request) -> web.Response:
        mine = [each for each in self.pods if each["metadata"]["namespace"] == request.match_info["namespace"]]
        return web.json_response({"metadata": {"resourceVersion": "7"}, "items": mine})

    async def _get(self, request: web.Request) -> web.Response:
        named = request.match_info["namespace"], request.match_info["pod"]
        found = [each for each in self.pods if (each["metadata"]["namespace"], each["metadata"]["name"]) == named]
        return web.json_response({"apiVersion": "v1", "kind": "Pod", **found[0]}, status=200 if found else 404)

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        if not self.allowed:
            return web.json_response({"kind": "Status", "code": 403, "message": "may not"}, status=403)
        query = request.query
        self.asked.append((request.match_info["pod"], query["container"], query.getall("command")))
        socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
        await socket.prepare(request)
        for channel, piece in [(1, b""), (2, b""), *self.pieces]:
            await socket.send_bytes(bytes([channel]) + piece)
        if self.pieces and self.pieces[-1][0] == 3:
            await socket.close()
            return socket
        async with asyncio.timeout(20):
            async for message in socket:
                assert message.type is not WSMsgType.TEXT
        self.went_away += 1
        return socket


def ended(status: Json = SUCCESS) -> tuple[int, bytes]:
    """Say how a command ended."""
    return 3, json.dumps(status).encode()


def _answering(answer: Json) -> Any:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response(answer)

    return handle
