"""The agent's API over HTTP on this machine: /metrics /healthz /readyz /flows /owners /mismatches /debug.

Here because Prometheus, the kubelet and ``ipseity observe`` ask from outside the process. Everything is read-only.
It decides nothing: ``Answers`` has the answers, ``feed`` the flows. A reader that stops reading is cut off and counted;
one that is merely slow loses lines, which ``feed`` counts. Leaves out access from other machines: that needs a proxy
that asks for credentials.
"""

import asyncio
import contextlib
import dataclasses
import ipaddress
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Final, Protocol

import msgspec
from aiohttp import hdrs, web

from agent import apiaddress, exposition, feed, flowjson, listener, mismatchjson, model, walltime

_STALL_S: Final = 30.0
"""How long a reader may take nothing at all before it is cut off: longer than any scrape or pause of a terminal."""
_MAX_FOLLOWERS: Final = 32
"""Each may hold some 3 MB of lines."""
_PIECE_LINES: Final = 200
_MAX_DIGITS: Final = 18
_SHUTDOWN_S: Final = 0.1
"""Readers that follow never finish by themselves, so there is nothing to wait for."""
_NDJSON: Final = "application/x-ndjson"
_INDEX: Final = """/metrics   for Prometheus
/healthz   is the agent alive
/readyz    does it know what it needs to name flows
/flows     JSON lines; ?last=N &since=TIME &follow=true
/owners    who owned an address; ?ip=ADDRESS &at=TIME
/mismatches  how often an address was wrong, and about whom
/debug     the agent's own state
"""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An answer to a probe."""

    ok: bool
    detail: Mapping[str, object]


class Answers(Protocol):
    """What the API asks the agent."""

    def metrics(self, *, openmetrics: bool) -> Iterable[bytes]:
        """Give the scrape, in pieces."""

    def health(self) -> Report:
        """Tell whether the agent works at all; if not, it should be restarted."""

    def readiness(self) -> Report:
        """Tell whether the agent knows what it needs to name flows."""

    def owners(self, address: model.IpAddress, at_wall_ns: int | None) -> flowjson.Owners:
        """Tell who owned an address, and when; ``at_wall_ns`` None is now."""

    def mismatches(self) -> mismatchjson.Mismatches:
        """Tell who was misnamed by an address, and how much was checked."""

    def debug(self) -> Mapping[str, object]:
        """Give whatever helps to understand the agent."""


class Server:
    """Serves until ``close``."""

    def __init__(self, address: apiaddress.ApiAddress, answers: Answers, flows: feed.Feed) -> None:
        self.stalled = 0
        """Readers that were cut off because they took nothing for a long time."""
        self._address = address
        self._inode = 0
        self._answers = answers
        self._feed = flows
        application = web.Application(middlewares=[_explain])
        application.add_routes([web.get(path, handler) for path, handler in self._routes().items()])
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S
        )

    def _routes(self) -> dict[str, Handler]:
        return {
            "/": self._index,
            "/metrics": self._metrics,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/flows": self._flows,
            "/owners": self._owners,
            "/mismatches": self._mismatches,
            "/debug": self._debug,
        }

    async def start(self) -> None:
        """Listen. Raises errors.Unavailable if the address cannot be had."""
        opened = listener.listen(self._address)
        self._inode = listener.inode_of(self._address)
        await self._runner.setup()
        await web.SockSite(self._runner, opened).start()

    async def close(self) -> None:
        """Cut off every reader and stop listening."""
        await self._runner.cleanup()
        listener.release(self._address, self._inode)

    async def _index(self, request: web.Request) -> web.StreamResponse:
        del request
        return web.Response(text=_INDEX)

    async def _healthz(self, request: web.Request) -> web.StreamResponse:
        del request
        return _answer(self._answers.health())

    async def _readyz(self, request: web.Request) -> web.StreamResponse:
        del request
        return _answer(self._answers.readiness())

    async def _debug(self, request: web.Request) -> web.StreamResponse:
        del request
        return _json(self._answers.debug())

    async def _owners(self, request: web.Request) -> web.StreamResponse:
        try:
            address = ipaddress.ip_address(request.query.get("ip", ""))
        except ValueError as error:
            raise _wrong("ip", request, "write ?ip=10.7.0.9") from error
        found = self._answers.owners(address, _time(request, "at"))
        return web.Response(body=flowjson.encode(found), content_type="application/json")

    async def _mismatches(self, request: web.Request) -> web.StreamResponse:
        del request
        return web.Response(body=mismatchjson.encode(self._answers.mismatches()), content_type="application/json")

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        openmetrics = exposition.wants_openmetrics(request.headers.get(hdrs.ACCEPT, ""))
        content_type = exposition.OPENMETRICS if openmetrics else exposition.TEXT
        response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: content_type})
        await self._stream(request, response, self._answers.metrics(openmetrics=openmetrics))
        return response

    async def _flows(self, request: web.Request) -> web.StreamResponse:
        since_wall_ns, last = _time(request, "since") or 0, _count(request, "last")
        follows = _flag(request, "follow")
        if follows and self._feed.followers >= _MAX_FOLLOWERS:
            raise web.HTTPServiceUnavailable(reason=f"{_MAX_FOLLOWERS} readers follow already")
        response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: _NDJSON})
        follower = self._feed.follow() if follows else None
        try:
            kept = self._feed.lines(since_wall_ns=since_wall_ns, last=last)
            await self._stream(request, response, _pieces(kept), follower)
        finally:
            if follower:
                self._feed.leave(follower)
        return response

    async def _stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        pieces: Iterable[bytes],
        follower: feed.Follower | None = None,
    ) -> None:
        """Write pieces, then what the follower gets; give up on a reader that takes nothing or is gone."""
        try:
            await response.prepare(request)
            for piece in pieces:
                async with asyncio.timeout(_STALL_S):
                    await response.write(piece)
                await asyncio.sleep(0)  # the next drain may be due
            while follower:
                lines = await follower.take()
                async with asyncio.timeout(_STALL_S):
                    await response.write(lines)
        except TimeoutError:
            self.stalled += 1
            _abort(request)
        except ConnectionError:
            _abort(request)


@web.middleware
async def _explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn a refusal into words."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        return _json({"error": refusal.reason, "hint": refusal.text or ""}, status=refusal.status)


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _pieces(lines: Iterator[bytes]) -> Iterator[bytes]:
    while piece := b"".join(itertools.islice(lines, _PIECE_LINES)):
        yield piece


def _answer(report: Report) -> web.StreamResponse:
    return _json({"ok": report.ok, **report.detail}, status=200 if report.ok else 503)


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value, enc_hook=str) + b"\n", content_type="application/json", status=status
    )


def _time(request: web.Request, name: str) -> int | None:
    written = request.query.get(name)
    if not written:
        return None
    with contextlib.suppress(ValueError):
        return walltime.parse(written)
    raise _wrong(name, request, f"write ?{name}=2026-11-22T12:03:07Z")


def _count(request: web.Request, name: str) -> int | None:
    written = request.query.get(name)
    if not written:
        return None
    if not written.isdecimal() or len(written) > _MAX_DIGITS:
        raise _wrong(name, request, f"write ?{name}=20")
    return int(written)


def _flag(request: web.Request, name: str) -> bool:
    written = request.query.get(name, "false")
    if written not in ("true", "false"):
        raise _wrong(name, request, f"write ?{name}=true")
    return written == "true"


def _wrong(name: str, request: web.Request, remedy: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(reason=f"{name}: {request.query.get(name, '')!r} cannot be used", text=remedy)
