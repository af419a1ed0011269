"""A Kubernetes API server that keeps objects of every kind, over real HTTP on a loopback port: no more than storage.

Versions, conflicts, merge patches, list and watch are as in the real one; nothing is validated, defaulted or allowed.
Leaves out everything else: the lab's API server is the one that behaves like the real thing.
"""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from kubernetes.aio import client

Json = dict[str, Any]


class KubeObjects:
    """Objects by path: ``/api/v1/namespaces/shop``."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.requests: list[tuple[str, str]] = []
        """Method and path of each, watches excepted."""
        self.refuse: dict[tuple[str, str], int] = {}
        """Status to answer a method and path with."""
        self._versions = itertools.count(1)
        self._watches: list[tuple[str, asyncio.Queue[Json]]] = []
        self._changed = asyncio.Condition()

    def put(self, path: str, value: Json) -> Json:
        """Store an object, and tell the watches."""
        kind = "MODIFIED" if path in self.objects else "ADDED"
        metadata = {"uid": path, "name": path.rpartition("/")[2], **value["metadata"]}
        self.objects[path] = {**value, "metadata": {**metadata, "resourceVersion": str(next(self._versions))}}
        self._tell(path, kind)
        return self.objects[path]

    def delete(self, path: str) -> None:
        """Remove an object, and tell the watches."""
        self._tell(path, "DELETED")
        del self.objects[path]

    async def until(self, condition: Any) -> None:
        """Wait until the condition holds; it is looked at after every request."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(condition), 10)

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[client.ApiClient]:
        """Serve, and give a client."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        settings = client.Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
        try:
            async with client.ApiClient(settings) as api:
                yield api
        finally:
            await runner.cleanup()

    def _tell(self, path: str, kind: str) -> None:
        for collection, queue in self._watches:
            if path.rpartition("/")[0] == collection:
                queue.put_nowait({"type": kind, "object": self.objects[path]})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await self._watch(request)
        self.requests.append((request.method, request.path))
        try:
            refused = self.refuse.get((request.method, request.path))
            return _status(refused) if refused else self._carry_out(request, await request.read())
        finally:
            async with self._changed:
                self._changed.notify_all()

    def _carry_out(self, request: web.Request, raw: bytes) -> web.Response:
        path, body = request.path, json.loads(raw or b"{}")
        found = self.objects.get(path)
        if request.method == "POST":
            made = f"{path}/{body['metadata']['name']}"
            return _status(409) if made in self.objects else web.json_response(self.put(made, body), status=201)
        if found is None:
            is_collection = request.method == "GET" and path.rpartition("/")[2].endswith("s")
            return self._list(path) if is_collection else _status(404)
        match request.method:
            case "GET":
                return web.json_response(found)
            case "DELETE":
                return self._delete(path, found, body.get("preconditions", {}).get("resourceVersion"))
            case "PATCH":
                return web.json_response(self.put(path, _merged(found, body)))
            case _:
                asked = body["metadata"].get("resourceVersion")
                stale = asked and asked != found["metadata"]["resourceVersion"]
                return _status(409) if stale else web.json_response(self.put(path, body))

    def _delete(self, path: str, found: Json, version: str | None) -> web.Response:
        if version and version != found["metadata"]["resourceVersion"]:
            return _status(409)
        self.delete(path)
        return web.json_response({"kind": "Status", "status": "Success"})

    def _list(self, path: str) -> web.Response:
        items = [value for key, value in self.objects.items() if key.rpartition("/")[0] == path]
        return web.json_response({"metadata": {"resourceVersion": str(next(self._versions))}, "items": items})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        queue: asyncio.Queue[Json] = asyncio.Queue()
        since = int(request.query["resourceVersion"])
        for path, value in self.objects.items():  # what happened between the list and this watch
            if path.rpartition("/")[0] == request.path and int(value["metadata"]["resourceVersion"]) > since:
                queue.put_nowait({"type": "MODIFIED", "object": value})
        watch = (request.path, queue)
        self._watches.append(watch)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        try:
            await response.prepare(request)
            while True:
                await response.write(json.dumps(await queue.get()).encode() + b"\n")
        finally:
            self._watches.remove(watch)


def _status(code: int) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": f"fake {code}"}, status=code)


def _merged(value: Any, change: Any) -> Any:
    """RFC 7386."""
    if not isinstance(change, dict):
        return change
    merged = dict(value) if isinstance(value, dict) else {}
    for key, item in change.items():
        if item is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), item)
    return merged
