"""A Kubernetes API that keeps Secrets, ConfigMaps and namespaces, and reviews tokens: real HTTP on a loopback port.

Objects behave as in a real one as far as the control plane sees: versions, conflicts, merge patches, watches. A
TokenReview is answered as a recording says. Leaves out admission, schemas, paging and everything of pods: the lab's API
server is the one that behaves like the real thing.
"""

import asyncio
import contextlib
import copy
import http
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from kubernetes.aio import client

from tests.fakes import recordings

Json = dict[str, Any]
AUDIENCE = "my-agent"
"""What the recordings were made with."""


class FakeMeshApi:
    """The store. Use ``running``."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        """By path."""
        self.reviews: list[Json] = []
        """Every TokenReview that was asked for."""
        self.answer: Json = recordings.load("tokenreview-bound-custom-audience")["response"]
        """What a TokenReview gets."""
        self.failing: int = 0
        """A status that every request is answered with; 0: none."""
        self.forbidden: set[tuple[str, str]] = set()
        """Method and beginning of a path that are answered with 403."""
        self.changed = asyncio.Condition()
        self.version = 100
        self.port = 0
        self._watches: dict[asyncio.Queue[bytes], web.Request] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[client.ApiClient]:
        """Serve, and give a client."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        settings = client.Configuration()
        settings.host = f"http://127.0.0.1:{self.port}"
        try:
            async with client.ApiClient(settings) as api:
                yield api
        finally:
            await runner.cleanup()

    async def until(self, condition: Any) -> None:
        """Wait until the condition holds; it is looked at after every change."""
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(condition), 20)

    async def add_namespace(self, name: str) -> None:
        """Make a namespace."""
        await self._store(f"/api/v1/namespaces/{name}", {"metadata": {"name": name, "uid": f"ns-{name}"}}, "ADDED")

    async def drop(self, path: str) -> None:
        """Remove an object as somebody else would."""
        await self._tell("DELETED", path, self.objects.pop(path))

    async def put(self, path: str, body: Json) -> None:
        """Change an object as somebody else would."""
        await self._store(path, body, "MODIFIED" if path in self.objects else "ADDED")

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if self.failing:
            return self._status(self.failing, "the fake was told to")
        if any(request.method == method and request.path.startswith(start) for method, start in self.forbidden):
            return self._status(403, "forbidden")
        body = json.loads(await request.read() or b"null")
        if request.path.endswith("/tokenreviews"):
            self.reviews.append(body)
            return web.json_response(self.answer, status=201)
        return await self._answer(request, request.path, body)

    async def _answer(self, request: web.Request, path: str, body: Any) -> web.StreamResponse:
        match request.method:
            case "GET" if path in self.objects:
                return web.json_response(self.objects[path])
            case "GET" if path.rpartition("/")[2] in ("secrets", "configmaps", "namespaces"):
                return await self._watch(request) if "watch" in request.query else self._list(request)
            case "POST":
                return await self._create(f"{path}/{body['metadata']['name']}", body)
            case "PUT" | "PATCH" | "DELETE" if path in self.objects:
                return await self._change(request.method, path, body)
        return self._status(404, f"{path} not found")

    async def _create(self, path: str, body: Json) -> web.Response:
        if path in self.objects:
            return self._status(409, "already exists")
        return web.json_response(await self._store(path, body, "ADDED"), status=201)

    async def _change(self, method: str, path: str, body: Any) -> web.Response:
        current = self.objects[path]
        metadata = (body or {}).get("metadata") or (body or {}).get("preconditions") or {}
        version = metadata.get("resourceVersion")
        if version and version != current["metadata"]["resourceVersion"]:
            return self._status(409, "the object has been modified")
        if method == "DELETE":
            await self.drop(path)
            return web.json_response({"kind": "Status", "status": "Success"})
        wanted = body if method == "PUT" else merged(current, body)
        return web.json_response(await self._store(path, wanted, "MODIFIED"))

    async def _store(self, path: str, body: Json, kind: str) -> Json:
        self.version += 1
        obj = copy.deepcopy(body)
        obj["metadata"]["resourceVersion"] = str(self.version)
        obj["metadata"].setdefault("uid", f"uid-{path}")
        parts = path.split("/")
        if len(parts) > 5:
            obj["metadata"]["namespace"] = parts[-3]
        self.objects[path] = obj
        await self._tell(kind, path, obj)
        return obj

    async def _tell(self, kind: str, path: str, obj: Json) -> None:
        self.version += 1
        line = json.dumps({"type": kind, "object": obj}).encode() + b"\n"
        for queue, request in self._watches.items():
            if self._selected(request, path, obj):
                queue.put_nowait(line)
        async with self.changed:
            self.changed.notify_all()

    def _selected(self, request: web.Request, path: str, obj: Json) -> bool:
        """Tell whether an object is in a collection: of one namespace, of all, and by name."""
        collection = path.rpartition("/")[0]
        everywhere = collection.rpartition("/")[2] == request.path.rpartition("/")[2] and request.path.count("/") == 3
        selector = request.query.get("fieldSelector", "")
        named = selector.removeprefix("metadata.name=") if selector.startswith("metadata.name=") else ""
        return (collection == request.path or everywhere) and named in ("", obj["metadata"]["name"])

    def _list(self, request: web.Request) -> web.Response:
        items = [obj for path, obj in self.objects.items() if self._selected(request, path, obj)]
        return web.json_response({"kind": "List", "metadata": {"resourceVersion": str(self.version)}, "items": items})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        since = int(request.query["resourceVersion"])
        for path, obj in self.objects.items():
            if self._selected(request, path, obj) and int(obj["metadata"]["resourceVersion"]) > since:
                queue.put_nowait(json.dumps({"type": "MODIFIED", "object": obj}).encode() + b"\n")
        self._watches[queue] = request
        await response.prepare(request)
        async with self.changed:
            self.changed.notify_all()
        try:
            while True:
                await response.write(await queue.get())
        finally:
            del self._watches[queue]

    @staticmethod
    def _status(code: int, message: str) -> web.Response:
        reason = http.HTTPStatus(code).phrase
        return web.json_response({"kind": "Status", "code": code, "message": message, "reason": reason}, status=code)


def merged(current: Any, patch: Any) -> Any:
    """Apply a merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
