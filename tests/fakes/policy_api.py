"""A Kubernetes API server that lists what it is given and takes status patches, over real HTTP on a loopback port.

Leaves out storage: what was patched is kept as it came. The lab's API server is the one that behaves like the real
thing.
"""

import asyncio
import contextlib
import pathlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import yaml
from aiohttp import web
from kubernetes.aio import client

Json = dict[str, Any]


class PolicyApi:
    """Collections by path; pages of ``page`` objects."""

    def __init__(self, collections: dict[str, list[Json]] | None = None, *, page: int = 2) -> None:
        self.collections = collections or {}
        self.page = page
        self.patched: list[tuple[str, str, Any]] = []
        """Path, content type and body of each PATCH that was taken."""
        self.answer = 200
        """Status of the next patches."""
        self.url = ""

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[client.ApiClient]:
        """Serve, and give a client."""
        application = web.Application()
        application.router.add_get("/{path:.*}", self._list)
        application.router.add_patch("/{path:.*}", self._patch)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with client.ApiClient(client.Configuration(host=self.url)) as api:
                yield api
        finally:
            await runner.cleanup()

    async def _list(self, request: web.Request) -> web.Response:
        found = self.collections.get(request.path)
        if found is None:
            return web.json_response({"kind": "Status", "code": 404, "message": "no such kind"}, status=404)
        start = int(request.query.get("continue", "0"))
        stop = start + self.page
        metadata = {"resourceVersion": "7", **({"continue": str(stop)} if stop < len(found) else {})}
        return web.json_response({"metadata": metadata, "items": found[start:stop]})

    async def _patch(self, request: web.Request) -> web.Response:
        if self.answer != 200:
            return web.json_response({"kind": "Status", "code": self.answer, "message": "no"}, status=self.answer)
        self.patched.append((request.path, request.content_type, await request.json()))
        return web.json_response({"kind": "AuthorizationPolicy"})


@contextlib.contextmanager
def in_thread(serve: Callable[[], contextlib.AbstractAsyncContextManager[Any]]) -> Iterator[None]:
    """Serve from a thread with a loop of its own: a command under test runs its own."""
    up, done, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()

    async def hold() -> None:
        async with serve():
            up.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(hold()))
    thread.start()
    assert up.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


@contextlib.contextmanager
def kubeconfig(directory: pathlib.Path, collections: dict[str, list[Json]]) -> Iterator[str]:
    """Serve collections to a command; gives the path of a kubeconfig."""
    kube = PolicyApi(collections)
    with in_thread(kube.serve):
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": kube.url}}],
            "users": [{"name": "u", "user": {}}],
        }
        path = directory / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        yield str(path)
