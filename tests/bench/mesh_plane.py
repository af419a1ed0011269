"""The whole control plane in a process of its own, as it is deployed, over an API server that is a fake in ours.

A cluster of 500 meshed pods behind 50 Services is in the fake. Tokens say of which pod they are, and the fake believes
them; everything else is as in a cluster: the process follows what there is, makes its own certificates, writes its
issuance log to the disk.
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
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from injector import names
from tests.fakes import mesh_api

Json = dict[str, Any]
NAMESPACE = "shop"
PODS, SERVICES = 500, 50
_COLLECTIONS = {"pods", "services", "endpointslices", "authorizationpolicies"}
_PATIENCE_S = 60.0
_USER = "system:serviceaccount"
_BOUND = "authentication.kubernetes.io"


class Api(mesh_api.FakeMeshApi):
    """The fake, with what discovery follows, and a word on every token."""

    async def _answer(self, request: web.Request, path: str, body: Any) -> web.StreamResponse:
        kind = path.rpartition("/")[2]
        if request.method == "GET" and kind in _COLLECTIONS:
            return await self._watch(request) if "watch" in request.query else self._list(request)
        if request.method == "POST" and kind == "events":
            return web.json_response(body, status=http.HTTPStatus.CREATED)
        return await super()._answer(request, path, body)

    def _selected(self, request: web.Request, path: str, obj: Json) -> bool:
        if request.path.rpartition("/")[2] in _COLLECTIONS:
            return path.rpartition("/")[0].endswith(f"/{request.path.rpartition('/')[2]}")
        return super()._selected(request, path, obj)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/tokenreviews"):
            return web.json_response(reviewed(await request.json()), status=http.HTTPStatus.CREATED)
        return await super()._handle(request)


def token(number: int) -> str:
    """Give the token of a pod."""
    return f"bench.{number}.bench"


def account(number: int) -> str:
    """Name the service account of a pod, which is also its Service's name."""
    return f"app{number % SERVICES}"


def reviewed(asked: Json) -> Json:
    """Answer a TokenReview."""
    number = int(asked["spec"]["token"].split(".")[1])
    extra = {f"{_BOUND}/pod-name": [_name(number)], f"{_BOUND}/pod-uid": [_uid(number)]}
    user = {"username": f"{_USER}:{NAMESPACE}:{account(number)}", "extra": extra}
    return {**asked, "status": {"authenticated": True, "user": user, "audiences": [names.AUDIENCE]}}


def _name(number: int) -> str:
    return f"{account(number)}-{number}"


def _uid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


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

    @property
    def pid(self) -> int:
        """Of its one process."""
        return self.process.pid

    @property
    def bundle(self) -> str:
        """The trust anchors, as pods get them."""
        found = self.api.objects[f"/api/v1/namespaces/{NAMESPACE}/configmaps/{names.TRUST_BUNDLE}"]
        return str(found["data"][names.TRUST_KEY])

    async def scale(self, number: int, *, up: bool) -> None:
        """Let a pod come and be one more endpoint of the first Service, or go."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{_name(number)}"
        members = range(0, PODS, SERVICES)
        if up:
            await self.api.put(path, pod(number))
            await self.api.put(*endpoints(0, (*members, number)))
        else:
            await self.api.put(*endpoints(0, tuple(members)))
            await self.api.drop(path)


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Plane]:
    """Fill the fake, start the process, wait until it is ready; afterwards nothing is left."""
    api = Api()
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
    for name in (NAMESPACE, names.SYSTEM_NAMESPACE):
        await api.add_namespace(name)
    for number in range(PODS):
        await api.put(f"/api/v1/namespaces/{NAMESPACE}/pods/{_name(number)}", pod(number))
    for number in range(SERVICES):
        await api.put(*service(number))
        await api.put(*endpoints(number, tuple(range(number, PODS, SERVICES))))


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
    return Plane(api=api, process=process, ports=ports, folder=folder)


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


def pod(number: int) -> Json:
    """Give a meshed pod that is ready."""
    address = f"10.244.{number // 250}.{number % 250 + 1}"
    ports = [{"name": "http", "containerPort": 8080}, {"name": "bytes", "containerPort": 7000}]
    labels = {"app": account(number), names.MESHED: "true"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": _name(number), "namespace": NAMESPACE, "uid": _uid(number), "labels": labels},
        "spec": {
            "serviceAccountName": account(number),
            "nodeName": f"node{number % 20}",
            "containers": [{"name": "app", "image": "app", "ports": ports}],
        },
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def service(number: int) -> tuple[str, Json]:
    """Give path and object of a Service."""
    name, address = account(number), f"10.96.0.{number + 10}"
    ports = [
        {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"},
        {"name": "tcp-bytes", "port": 7000, "targetPort": 7000, "protocol": "TCP"},
    ]
    spec = {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "selector": {"app": name}}
    return f"/api/v1/namespaces/{NAMESPACE}/services/{name}", {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {**spec, "ports": ports},
    }


def endpoints(number: int, members: tuple[int, ...]) -> tuple[str, Json]:
    """Give path and object of a Service's EndpointSlice."""
    name = account(number)
    there = [
        {
            "addresses": [pod(each)["status"]["podIP"]],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "namespace": NAMESPACE, "name": _name(each), "uid": _uid(each)},
        }
        for each in members
    ]
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}, {"name": "tcp-bytes", "port": 7000, "protocol": "TCP"}]
    return f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices/{name}", {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": there,
        "ports": ports,
    }
