"""The whole control plane in a process of its own, as it is deployed, over an API server that is a fake in another.

The cluster of ``mesh_cluster`` is in the fake (``mesh_server``), which believes the tokens; everything else is as in a
real one: the process follows what there is, makes its own certificates, writes its issuance log to the disk.
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

from injector import names
from tests.bench import mesh_cluster, mesh_server

_PATIENCE_S = 60.0


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

    api: mesh_server.Remote
    process: asyncio.subprocess.Process
    ports: Ports
    folder: pathlib.Path
    began_s: float
    """When it was started, on the monotonic clock."""
    bundle: str = ""
    """The trust anchors, as pods get them."""

    @property
    def pid(self) -> int:
        """Of its one process."""
        return self.process.pid

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
    with tempfile.TemporaryDirectory(prefix="ipseity-bench-", dir="/var/tmp") as place:
        async with mesh_server.running(cluster) as api:
            plane = await _start(api, pathlib.Path(place))
            try:
                await _ready(plane)
                yield dataclasses.replace(plane, bundle=await _bundle(api))
            finally:
                with contextlib.suppress(ProcessLookupError):
                    plane.process.send_signal(signal.SIGKILL)
                await plane.process.wait()


async def _bundle(api: mesh_server.Remote) -> str:
    found = await api.get(f"/api/v1/namespaces/{mesh_cluster.NAMESPACE}/configmaps/{names.TRUST_BUNDLE}")
    return str(found["data"][names.TRUST_KEY])


async def _start(api: mesh_server.Remote, folder: pathlib.Path) -> Plane:
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
