"""A server that speaks what a mesh has to carry, and says whom it thinks it talks to.

    8080  HTTP/1.1, and WebSocket at /ws; HTTP/2 is 9090's
    9090  gRPC (HTTP/2 with prior knowledge): unary /probe.Echo/Say, streaming /probe.Echo/Chat
    7000  bytes, client first: echoes what comes, a line at a time
    3306  bytes, server first: a greeting, then as 7000

Usage: ``python -m tests.traffic.polyglot [--name NAME] [--fail-every N] [--seconds S]``. Says ``ready`` when all of
them listen. Every answer of an HTTP port is JSON with the caller as the proxy told it (``x-forwarded-client-cert``).
SIGTERM: answers what is under way, then ends. ``/slow?seconds=N`` takes its time; ``/fail?status=N`` answers so, with
``&times=M`` only the first M times that this very path and query are asked for, with ``&of=NAME`` only the server of
that name; ``?told`` has the request's headers in the answer, as has the gRPC question ``told``. A version that is bad
or slow: with ``--fail-every N`` every Nth page is a 500, with ``--seconds S`` each takes its time; ``/healthy`` is
always well.
"""

import argparse
import asyncio
import collections
import json
import signal
from collections.abc import AsyncIterator

import aiohttp
import grpc
from aiohttp import web

GREETING = b"polyglot 5.7 at your service\n"
CALLER = "x-forwarded-client-cert"
GRACE_S = 5.0


class Polyglot:
    """All ports of one server."""

    def __init__(self, name: str, fail_every: int = 0, seconds: float = 0.0) -> None:
        self.name = name
        self.fail_every = fail_every
        self.seconds = seconds
        self.pages = 0
        self.seen: collections.Counter[str] = collections.Counter()
        self.asked: collections.Counter[str] = collections.Counter()
        """By path and query."""

    def about(self, protocol: str, caller: str) -> dict[str, object]:
        """Say who answered whom."""
        self.seen[protocol] += 1
        return {"name": self.name, "protocol": protocol, "caller": caller, "seen": self.seen[protocol]}

    async def page(self, request: web.Request) -> web.Response:
        """Answer any request."""
        body = await request.read()
        await asyncio.sleep(float(request.query.get("seconds", "0")))
        self.asked[request.path_qs] += 1
        if request.path != "/healthy":
            self.pages += 1
            number = self.pages
            await asyncio.sleep(self.seconds)
            if self.fail_every and number % self.fail_every == 0:
                return web.json_response(self.about("bad", ""), status=500)
        failing = self.asked[request.path_qs] <= int(request.query.get("times", "1000000"))
        failing = failing and request.query.get("of", self.name) == self.name
        status = int(request.query.get("status", "200")) if failing else 200
        version = f"HTTP/{request.version.major}.{request.version.minor}"
        told = {**self.about(version, request.headers.get(CALLER, "")), "path": request.path, "bytes": len(body)}
        if "told" in request.query:
            told["headers"] = {key.lower(): value for key, value in request.headers.items()}
        return web.json_response({**told, "asked": self.asked[request.path_qs]}, status=status)

    async def websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Say who calls, then echo."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json(self.about("websocket", request.headers.get(CALLER, "")))
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                await socket.send_str(message.data)
        return socket

    async def say(self, question: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """Unary: answer with what was asked and by whom."""
        told = {**self.about("grpc", _told(context)), "question": question.decode()}
        if question == b"told":
            told["headers"] = {key: str(value) for key, value in context.invocation_metadata() or ()}
        return json.dumps(told).encode()

    async def chat(self, questions: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        """Both ways, as long as the client likes."""
        async for question in questions:
            yield json.dumps({**self.about("grpc", _told(context)), "question": question.decode()}).encode()

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, greeting: bytes = b"") -> None:
        """Bytes: whatever comes goes back."""
        self.seen["tcp"] += 1
        try:
            writer.write(greeting)
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak first."""
        await self.echo(reader, writer, GREETING)


def _told(context: grpc.aio.ServicerContext) -> str:
    return next((str(value) for key, value in context.invocation_metadata() or () if key == CALLER), "")


async def serve(ours: Polyglot) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    application = web.Application()
    application.router.add_get("/ws", ours.websocket)
    application.router.add_route("*", "/{rest:.*}", ours.page)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=GRACE_S)
    await runner.setup()
    await web.TCPSite(runner, None, 8080).start()
    calls = grpc.aio.server()
    methods = {
        "Say": grpc.unary_unary_rpc_method_handler(ours.say),
        "Chat": grpc.stream_stream_rpc_method_handler(ours.chat),
    }
    calls.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("probe.Echo", methods),))
    calls.add_insecure_port("[::]:9090")
    await calls.start()
    for port, answer in ((7000, ours.echo), (3306, ours.greet)):
        await asyncio.start_server(answer, None, port)
    print("ready", flush=True)
    await stop.wait()
    await calls.stop(GRACE_S)
    await runner.cleanup()


def main() -> None:
    """Run as a program."""
    words = argparse.ArgumentParser()
    words.add_argument("--name", default="")
    words.add_argument("--fail-every", type=int, default=0)
    words.add_argument("--seconds", type=float, default=0.0)
    given = words.parse_args()
    asyncio.run(serve(Polyglot(given.name, given.fail_every, given.seconds)))


if __name__ == "__main__":
    main()
