"""One real Envoy as both proxies between a client and applications: the HTTP of ``injector.discovery``, without TLS.

    client -- 'client' listener -- cluster 'service' --+-- 'server-0' listener -- application 0
                                                       +-- 'server-1' listener -- application 1

Leaves out listeners' filters, identities, policies and discovery.
"""

import asyncio
import contextlib
import dataclasses
import json
import pathlib
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import aiohttp
from envoy.config.listener.v3 import listener_components_pb2
from google.protobuf import json_format

from injector.discovery import http, naming
from tests.scene import guard

SERVICE: Final = "service"
_PATIENCE_S: Final = 20
Json = dict[str, Any]


@dataclasses.dataclass(slots=True)
class Application:
    """Answers every request alike, or hangs up; keeps what reached it."""

    answer: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    """Empty: it hangs up."""
    heard: list[bytes] = dataclasses.field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.heard.append(await reader.readuntil(b"\r\n\r\n"))
                if not self.answer:
                    return
                writer.write(self.answer)
                await writer.drain()


@contextlib.asynccontextmanager
async def relay(applications: Sequence[Application | None], directory: pathlib.Path) -> AsyncIterator[str]:
    """Run Envoy and the applications; None: nobody listens on that port. Gives the URL of the client's side."""
    async with contextlib.AsyncExitStack() as stack:
        behind = [await _listening(stack, each) for each in applications]
        sides, url = [_free_port() for _ in behind], f"http://127.0.0.1:{(front := _free_port())}"
        servers = [f"server-{number}" for number in range(len(behind))]
        listeners = [_listener("client", front, http.routes(SERVICE, SERVICE))]
        listeners += [_listener(name, side, _to_application(name)) for name, side in zip(servers, sides, strict=True)]
        clusters = [_cluster(SERVICE, sides)]
        clusters += [_cluster(name, [port]) for name, port in zip(servers, behind, strict=True)]
        file = directory / "bootstrap.json"
        file.write_text(json.dumps({"static_resources": {"listeners": listeners, "clusters": clusters}}))
        command = (str(guard.ENVOY), "-c", str(file), "--disable-hot-restart", "--concurrency", "1", "-l", "error")
        process = await asyncio.create_subprocess_exec(*command)
        try:
            await _until_open(front)
            yield url
        finally:
            process.terminate()
            await process.wait()


async def ask(url: str, method: str, times: int) -> list[tuple[int, bool]]:
    """Make requests one after the other; gives of each its status, and whether our header was in the answer."""
    found = []
    async with aiohttp.ClientSession() as session:
        for _ in range(times):
            async with session.request(method, url) as response:
                found.append((response.status, http.UNDELIVERED in response.headers))
    return found


async def _listening(stack: contextlib.AsyncExitStack, application: Application | None) -> int:
    if application is None:
        return _free_port()
    server = await asyncio.start_server(application.serve, "127.0.0.1")
    stack.callback(server.close)
    port: int = server.sockets[0].getsockname()[1]
    return port


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


async def _until_open(port: int) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            with contextlib.suppress(ConnectionError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)


def _to_application(cluster: str) -> Any:
    return http.routes(cluster, cluster, application=True)


def _listener(name: str, port: int, route: Any) -> Json:
    extras = http.Extras(local_reply=http.undelivered()) if name != "client" else None
    manager = http.manager(naming.OUTBOUND_STATS, route, http.ClientCert.DROPPED, extras)
    chain = listener_components_pb2.FilterChain(filters=[manager])
    return {"name": name, "address": _address(port), "filter_chains": [_json(chain)]}


def _cluster(name: str, ports: Sequence[int]) -> Json:
    endpoints = [{"endpoint": {"address": _address(port)}} for port in ports]
    return {
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "typed_extension_protocol_options": {http.PROTOCOL_OPTIONS: _json(http.upstream(4))},
    }


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _json(message: Any) -> Json:
    found: Json = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return found
