"""The API server of a control plane that is measured: a fake, in a process of its own, so that it answers in time.

    async with mesh_server.running(cluster) as api:
        await api.put(path, value)

Here because the fake, a crowd of proxies and whoever measures keep one another waiting in one process: a Lease that is
answered late is a control plane that does not lead. As a program it has the cluster that its only argument tells
(JSON), prints its port and a line for each line that it is told (``{"put": path, "value": {}}``, ``{"drop": path}``,
``{"get": path}``). Leaves out what is in the cluster (``mesh_cluster``).
"""

import asyncio
import contextlib
import dataclasses
import http
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from injector import names
from tests.bench import mesh_cluster
from tests.fakes import mesh_api

Json = dict[str, Any]
_COLLECTIONS = {"pods", "services", "endpointslices", "authorizationpolicies", mesh_cluster.ROUTES}
_STATUS = "/status"
_LINE = 1 << 24


class Api(mesh_api.FakeMeshApi):
    """The fake, with what discovery follows, and a word on every token."""

    def __init__(self, cluster: mesh_cluster.Cluster) -> None:
        super().__init__()
        self.cluster = cluster

    async def _answer(self, request: web.Request, path: str, body: Any) -> web.StreamResponse:
        kind = path.rpartition("/")[2]
        if request.method == "GET" and kind in _COLLECTIONS:
            return await self._watch(request) if "watch" in request.query else self._list(request)
        if request.method == "POST" and kind == "events":
            return web.json_response(body, status=http.HTTPStatus.CREATED)
        if request.method == "PATCH" and path.endswith(_STATUS) and path.removesuffix(_STATUS) in self.objects:
            return await self._patch_status(path.removesuffix(_STATUS), body)
        return await super()._answer(request, path, body)

    async def _patch_status(self, path: str, body: list[Json]) -> web.Response:
        """Apply the one JSON patch that there is: two tests, and the status whole."""
        *tests, added = body
        current = self.objects[path]
        if any(current["metadata"][each["path"].rpartition("/")[2]] != each["value"] for each in tests):
            return self._status(http.HTTPStatus.UNPROCESSABLE_ENTITY, "a test does not hold")
        return web.json_response(await self._store(path, {**current, "status": added["value"]}, "MODIFIED"))

    def _selected(self, request: web.Request, path: str, obj: Json) -> bool:
        if request.path.rpartition("/")[2] in _COLLECTIONS:
            return path.rpartition("/")[0].endswith(f"/{request.path.rpartition('/')[2]}")
        return super()._selected(request, path, obj)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/tokenreviews"):
            return web.json_response(self.cluster.reviewed(await request.json()), status=http.HTTPStatus.CREATED)
        return await super()._handle(request)


class Remote:
    """The fake, from another process. Use ``running``."""

    def __init__(self, cluster: mesh_cluster.Cluster, process: asyncio.subprocess.Process, port: int) -> None:
        self.cluster = cluster
        self.port = port
        self._process = process
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    async def put(self, path: str, value: Json) -> None:
        """Change an object as somebody else would."""
        await self._say({"put": path, "value": value})

    async def drop(self, path: str) -> None:
        """Remove an object as somebody else would."""
        await self._say({"drop": path})

    async def get(self, path: str) -> Json:
        """Read an object."""
        found: Json = await self._say({"get": path})
        return found

    async def _say(self, line: Json) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn:
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
            if not (answer := await self._process.stdout.readline()):
                raise RuntimeError("the fake API server has ended")
            return json.loads(answer)


@contextlib.asynccontextmanager
async def running(cluster: mesh_cluster.Cluster) -> AsyncIterator[Remote]:
    """Start the process and have it filled; afterwards it is gone."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.mesh_server", json.dumps(dataclasses.asdict(cluster))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE,
    )
    assert process.stdout is not None
    try:
        yield Remote(cluster, process, int(await process.stdout.readline()))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _serve(cluster: mesh_cluster.Cluster) -> None:
    api = Api(cluster)
    async with api.running():
        await _fill(api)
        print(api.port, flush=True)
        reader = asyncio.StreamReader(limit=_LINE)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            print(json.dumps(await _told(api, json.loads(line))), flush=True)


async def _told(api: Api, said: Json) -> Json | None:
    if "get" in said:
        return api.objects.get(said["get"])
    if "drop" in said:
        await api.drop(said["drop"])
    else:
        await api.put(said["put"], said["value"])
    return None


async def _fill(api: Api) -> None:
    for name in (mesh_cluster.NAMESPACE, names.SYSTEM_NAMESPACE):
        await api.add_namespace(name)
    for number in range(api.cluster.pods):
        await api.put(*api.cluster.pod(number))
    for number in range(api.cluster.services):
        await api.put(*api.cluster.service(number))
        await api.put(*api.cluster.endpoints(number))


if __name__ == "__main__":
    asyncio.run(_serve(mesh_cluster.Cluster(**json.loads(sys.argv[1]))))
