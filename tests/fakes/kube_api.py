"""A Kubernetes API server that says what a test tells it to: one collection, real HTTP on a loopback port.

Leaves out everything but list (paged) and watch: the lab's API server is the one that behaves like the real thing.
"""

import asyncio
import json
from typing import Any

from aiohttp import web

from tests.fakes import recordings

Json = dict[str, Any]


class FakeKube:
    """Serves ``/api/v1/pods``. Stops and comes back on the same port."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.version = 100
        self.oldest = 0
        """Watches from before this version get the ERROR event with code 410."""
        self.log: list[tuple[int, bytes]] = []
        self.lists: list[dict[str, str]] = []
        self.watches: list[dict[str, str]] = []
        self.answers: list[tuple[int, Json]] = []
        """Errors to answer the next requests with, one each."""
        self.changed = asyncio.Condition()
        self.port = 0
        self._open: list[asyncio.Queue[bytes | None]] = []
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; the first time on a free port, later on the same one."""
        app = web.Application()
        app.router.add_get("/api/v1/pods", self._get)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """End every watch and refuse connections."""
        self.end_watches()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def put(self, obj: Json) -> None:
        """Add or change an object, and tell the watches."""
        uid = obj["metadata"]["uid"]
        kind = "MODIFIED" if uid in self.objects else "ADDED"
        self.objects[uid] = self._event(kind, obj)

    def delete(self, uid: str) -> None:
        """Remove an object, and tell the watches."""
        self._event("DELETED", self.objects.pop(uid))

    def bookmark(self) -> None:
        """Tell the watches how far they are."""
        metadata = {"resourceVersion": str(self.version)}
        self.say(json.dumps({"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": metadata}}).encode())

    def say(self, line: bytes) -> None:
        """Send a raw line to every open watch."""
        for queue in self._open:
            queue.put_nowait(line + b"\n")

    def end_watches(self) -> None:
        """End the open watches, as a server does when timeoutSeconds are over."""
        for queue in self._open:
            queue.put_nowait(None)

    async def until(self, condition: Any) -> None:
        """Wait until the condition holds; it is looked at after every request that arrives."""
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(condition), 10)

    def _event(self, kind: str, obj: Json) -> Json:
        self.version += 1
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        line = json.dumps({"type": kind, "object": obj}).encode()
        self.log.append((self.version, line))
        self.say(line)
        return obj

    async def _get(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        if "watch" in query:
            self.watches.append(query)
        else:
            self.lists.append(query)
        async with self.changed:
            self.changed.notify_all()
        if self.answers:
            status, body = self.answers.pop(0)
            return web.json_response(body, status=status)
        return await self._watch(request, query) if "watch" in query else self._list(query)

    def _list(self, query: dict[str, str]) -> web.Response:
        objects = list(self.objects.values())
        start, limit = int(query.get("continue", 0)), int(query.get("limit", 0)) or len(objects)
        more = str(start + limit) if start + limit < len(objects) else ""
        metadata = {"resourceVersion": str(self.version), "continue": more}
        return web.json_response({"kind": "PodList", "metadata": metadata, "items": objects[start : start + limit]})

    async def _watch(self, request: web.Request, query: dict[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        since = int(query["resourceVersion"])
        if since < self.oldest:
            [line] = recordings.lines("watch-pod-410-rv1")
            await response.write(line + b"\n")
            return response
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        for version, line in self.log:
            if version > since:
                queue.put_nowait(line + b"\n")
        self._open.append(queue)
        try:
            while (data := await queue.get()) is not None:
                await response.write(data)
        finally:
            self._open.remove(queue)
        return response
