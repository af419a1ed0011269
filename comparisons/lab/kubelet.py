"""The node's own HTTP server: container logs, as the API server (or anybody on this host) asks a kubelet for them.

Here because ``kubectl logs`` must work. Listens on 127.0.0.1 of the host; the Node object says where. Leaves out
exec, attach and port-forward over HTTP: ``ipseity lab exec`` does the first through the runtime.
"""

import collections
import contextlib
import datetime as dt
import pathlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from aiohttp import web

from comparisons.lab import clock, launch, lifecycle, logs, pod, sandbox

ANNOTATION = "ipseity.io/lab-kubelet"
"""Of the Node object: this server's URL."""


class Kubelet:
    """Serves one node's logs. ``workers`` is the node's table of pods by UID."""

    def __init__(self, host: sandbox.Host, workers: Mapping[str, pod.Worker]) -> None:
        self._host = host
        self._workers = workers

    def application(self) -> web.Application:
        """Return the routes."""
        app = web.Application()
        app.router.add_get("/healthz", _healthz)
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        return app

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        worker = self._find(request.match_info["namespace"], request.match_info["pod"])
        record = worker.record(request.match_info["container"]) if worker else None
        if worker is None or record is None:
            return web.Response(status=404, text=f"no container {request.match_info['container']!r} in this pod here\n")
        restarts = record.restarts - (1 if _flag(request, "previous") else 0)
        log = launch.log_path(self._host, worker.pod, record.name, restarts)
        if restarts < 0 or not log.exists():
            which = "previous run of " if _flag(request, "previous") else ""
            return web.Response(status=400, text=f"{which}container {record.name!r} has no log yet\n")
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionResetError):
            async for line in _chosen(request, log, lambda: _over(worker, record.name, restarts)):
                await response.write(logs.plain(line, timestamps=_flag(request, "timestamps")))
            await response.write_eof()
        return response

    def _find(self, namespace: str, name: str) -> pod.Worker | None:
        """Return the newest pod of that name: an older one may still be on its way out."""
        found = [it for it in self._workers.values() if _named(it) == (namespace, name)]
        return found[-1] if found else None


def _named(worker: pod.Worker) -> tuple[str, str]:
    return worker.pod["metadata"]["namespace"], worker.pod["metadata"]["name"]


def _over(worker: pod.Worker, name: str, restarts: int) -> bool:
    record = worker.record(name)
    return record is None or record.restarts != restarts or not isinstance(record.state, lifecycle.Running)


async def _chosen(request: web.Request, log: pathlib.Path, over: Callable[[], bool]) -> AsyncIterator[bytes]:
    following = logs.follow(log, over) if _flag(request, "follow") else None
    for line in _kept(request, log):
        yield line
    if following is not None:
        async for line in following:
            yield line


def _kept(request: web.Request, log: pathlib.Path) -> Iterator[bytes]:
    since = _since(request)
    found = (line for line in logs.lines(log) if line[: len(since)] >= since)
    tail = request.query.get("tailLines")
    if tail is None:
        return found
    return iter(collections.deque(found, maxlen=int(tail))) if int(tail) > 0 else iter(())


def _since(request: web.Request) -> bytes:
    """From when on, to the second, as the log writes it: such stamps sort as text."""
    seconds, stamp = request.query.get("sinceSeconds"), request.query.get("sinceTime")
    if seconds is None and stamp is None:
        return b""
    at_ns = clock.parse(stamp) if stamp else clock.wall_ns() - int(seconds or 0) * 10**9
    return dt.datetime.fromtimestamp(at_ns // 10**9, tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


def _flag(request: web.Request, name: str) -> bool:
    return request.query.get(name, "").lower() in ("true", "1")


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")
