"""A collector: takes OTLP over HTTP with the real messages, and misbehaves as it is told.

A fake because a real one never answers garbage when asked to. What it takes it reads with OpenTelemetry's own types, so
what it has is what any collector would have. Leaves out every encoding but protobuf.
"""

import asyncio
import contextlib
import dataclasses
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from aiohttp import web
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2

Result = TypeVar("Result")
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
PROTOBUF = "application/x-protobuf"


@dataclasses.dataclass(slots=True, kw_only=True)
class Collector:
    """What it has, and how it answers."""

    url: str = ""
    logs: list[logs_service_pb2.ExportLogsServiceRequest] = dataclasses.field(default_factory=list)
    metrics: list[metrics_service_pb2.ExportMetricsServiceRequest] = dataclasses.field(default_factory=list)
    headers: list[dict[str, str]] = dataclasses.field(default_factory=list)
    at_s: list[float] = dataclasses.field(default_factory=list)
    """When each request came, also those that were not taken."""
    answers: list[Answer | None] = dataclasses.field(default_factory=list)
    """How the next requests are answered, instead of being taken; None: taken."""
    always: Answer | None = None
    """How all after them are."""

    def records(self) -> list[logs_pb2.LogRecord]:
        """Give the log records that were taken."""
        resources = [each for request in self.logs for each in request.resource_logs]
        return [record for each in resources for scope in each.scope_logs for record in scope.log_records]

    def families(self) -> list[metrics_pb2.Metric]:
        """Give the metrics that were taken."""
        resources = [each for request in self.metrics for each in request.resource_metrics]
        return [metric for each in resources for scope in each.scope_metrics for metric in scope.metrics]

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.at_s.append(asyncio.get_running_loop().time())
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        body = await request.read()  # aiohttp undoes the compression
        answer = self.answers.pop(0) if self.answers else self.always
        if answer is not None:
            return await answer(request)
        if request.path == "/v1/logs":
            self.logs.append(logs_service_pb2.ExportLogsServiceRequest.FromString(body))
        else:
            self.metrics.append(metrics_service_pb2.ExportMetricsServiceRequest.FromString(body))
        return web.Response(body=b"", content_type=PROTOBUF)


def status(number: int, body: bytes = b"", **headers: str) -> Answer:
    """Answer with a status; ``Retry_After="1"`` is a header."""

    async def answer(request: web.Request) -> web.StreamResponse:
        del request
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=number, body=body, headers=named)

    return answer


def partial(rejected: int, said: str = "") -> Answer:
    """Reject some log records of a request."""
    made = logs_service_pb2.ExportLogsServiceResponse()
    made.partial_success.rejected_log_records = rejected
    made.partial_success.error_message = said
    return status(200, made.SerializeToString(), Content_Type=PROTOBUF)


def kept(until: asyncio.Event) -> Answer:
    """Say nothing until then, and then that it could not be taken."""

    async def answer(request: web.Request) -> web.StreamResponse:
        del request
        await until.wait()
        return web.Response(status=503)

    return answer


async def cut(request: web.Request) -> web.StreamResponse:
    """Hang up in the middle of an answer."""
    assert request.transport is not None
    request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n\x0a")
    request.transport.close()
    return web.Response()


async def stuck(request: web.Request) -> web.StreamResponse:
    """Take it, and say nothing for a long time."""
    del request
    await asyncio.sleep(30)
    return web.Response()


@contextlib.asynccontextmanager
async def running(tls: ssl.SSLContext | None = None) -> AsyncIterator[Collector]:
    """Listen on a port of its own."""
    collector = Collector()
    application = web.Application(client_max_size=16 * 1024 * 1024)
    application.add_routes([web.post("/v1/{signal:logs|metrics}", collector.take)])
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        collector.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
        yield collector
    finally:
        await runner.cleanup()


def values(attributes: Iterable[common_pb2.KeyValue]) -> dict[str, object]:
    """Read attributes as a mapping."""
    return {each.key: _value(each.value) for each in attributes}


def _value(held: common_pb2.AnyValue) -> object:
    return getattr(held, str(held.WhichOneof("value")))


async def until(holds: Callable[[], object], limit_s: float = 20.0) -> None:
    """Let another thread come to it, while the collector goes on."""
    async with asyncio.timeout(limit_s):
        while not holds():  # noqa: ASYNC110  # another thread's state has no event here
            await asyncio.sleep(0.005)


async def aside(call: Callable[..., Result], *words: object) -> Result:
    """Call what waits, while the collector goes on."""
    return await asyncio.to_thread(call, *words)


@contextlib.contextmanager
def apart(answers: list[Answer | None]) -> Iterator[Collector]:
    """Run one in a thread of its own, for who has no event loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="collector")
    thread.start()
    held = running()
    try:
        gathered = asyncio.run_coroutine_threadsafe(held.__aenter__(), loop).result()
        gathered.answers = answers
        yield gathered
        asyncio.run_coroutine_threadsafe(held.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
