"""The whole control plane in a process of its own, as it is deployed, over an API server that is a fake in ours.

The cluster of ``mesh_cluster`` is in the fake, which believes the tokens; everything else is as in a real one: the
process follows what there is, makes its own certificates, writes its issuance log to the disk.
"""

import asyncio
import contextlib
import dataclasses
import http
import json
import os
import pathlib
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from injector import names
from tests.bench import mesh_cluster
from tests.fakes import mesh_api

Json = dict[str, Any]
_COLLECTIONS = {"pods", "services", "endpointslices", "authorizationpolicies", mesh_cluster.ROUTES}
_STATUS = "/status"
_PATIENCE_S = 60.0


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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the control plane listens."""

    webhook: int
    identity: int
    discovery: int
    health: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """A control plane that is ready."""

    api: Api
    process: asyncio.subprocess.Process
    ports: Ports
    folder: pathlib.Path
    began_s: float
    """When it was started, on the monotonic clock."""

    @property
    def pid(self) -> int:
        """Of its one process."""
        return self.process.pid

    @property
    def bundle(self) -> str:
        """The trust anchors, as pods get them."""
        found = self.api.objects[f"/api/v1/namespaces/{mesh_cluster.NAMESPACE}/configmaps/{names.TRUST_BUNDLE}"]
        return str(found["data"][names.TRUST_KEY])

    async def scale(self, *, up: bool, unready: frozenset[int] = frozenset()) -> None:
        """Let a pod come and be one more endpoint of the first Service, or go."""
        cluster = self.api.cluster
        path, pod = cluster.pod(cluster.pods)
        if up:
            await self.api.put(path, pod)
            await self.api.put(*cluster.endpoints(0, cluster.pods, unready=unready))
        else:
            await self.api.put(*cluster.endpoints(0, unready=unready))
            await self.api.drop(path)


@contextlib.asynccontextmanager
async def running(cluster: mesh_cluster.Cluster = mesh_cluster.USUAL) -> AsyncIterator[Plane]:
    """Fill the fake, start the process, wait until it is ready; afterwards nothing is left."""
    api = Api(cluster)
    with tempfile.TemporaryDirectory(prefix="ipseity-bench-", dir="/var/tmp") as place:
        async with api.running():
            await _fill(api)
            plane = await _start(api, pathlib.Path(place))
            try:
                await _ready(plane)
                yield plane
            finally:
                with contextlib.suppress(ProcessLookupError):
                    plane.process.send_signal(signal.SIGKILL)
                await plane.process.wait()


async def _fill(api: Api) -> None:
    for name in (mesh_cluster.NAMESPACE, names.SYSTEM_NAMESPACE):
        await api.add_namespace(name)
    for number in range(api.cluster.pods):
        await api.put(*api.cluster.pod(number))
    for number in range(api.cluster.services):
        await api.put(*api.cluster.service(number))
        await api.put(*api.cluster.endpoints(number))


async def _start(api: Api, folder: pathlib.Path) -> Plane:
    cluster = {"name": "bench", "cluster": {"server": f"http://127.0.0.1:{api.port}"}}
    context = {"name": "bench", "context": {"cluster": "bench", "user": "bench"}}
    users = [{"name": "bench", "user": {}}]
    config = {"clusters": [cluster], "contexts": [context], "users": users, "current-context": "bench"}
    (folder / "kubeconfig").write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **config}))
    ports = Ports(webhook=_free(), identity=_free(), discovery=_free(), health=_free())
    settings = {
        "IPSEITY_POD_NAME": "ipseity-control-0",
        "IPSEITY_LISTEN": "127.0.0.1",
        "IPSEITY_KUBECONFIG": str(folder / "kubeconfig"),
        "IPSEITY_ISSUANCE_LOG": str(folder / "issued.jsonl"),
        **{f"IPSEITY_{name.upper()}_PORT": str(port) for name, port in dataclasses.asdict(ports).items()},
    }
    command = pathlib.Path(sys.executable).with_name("ipseity")
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(command), "control-plane", "run", stderr=log, env={"PATH": os.environ["PATH"], **settings}
        )
    return Plane(api=api, process=process, ports=ports, folder=folder, began_s=time.monotonic())


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
    return port


async def _ready(plane: Plane) -> None:
    address = f"http://127.0.0.1:{plane.ports.health}/readyz"
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while not await asyncio.to_thread(_answers, address):  # noqa: ASYNC110  # another process: no event of ours
                await asyncio.sleep(0.1)
    except TimeoutError as error:
        said = (plane.folder / "log").read_text()[-2000:]
        raise RuntimeError(f"the control plane is not ready after {_PATIENCE_S:.0f} s:\n{said}") from error


def _answers(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as said:
        return bool(said.status == http.HTTPStatus.OK)
    return False
