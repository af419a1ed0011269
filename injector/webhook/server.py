"""The webhook over HTTPS: /inject /namespace for the API server, /livez /readyz for the kubelet.

Here because kube-apiserver asks by HTTP. It decides nothing: ``injection`` does. Whatever is sent gets an answer or a
4xx; an error of our own is a 500 without its traceback, which goes to the log. Leaves out who may ask: whoever reaches
the port may, and learns only what they could have written into their own pod. Leaves out serving metrics.
"""

import asyncio
import http
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
import structlog
from aiohttp import web

from injector import door, errors
from injector.sidecar import spec
from injector.webhook import configuration, decide, injection, metrics, namespaces, review, tls
from ipseity import kube

log = structlog.get_logger("webhook")

MAX_BODY_BYTES: Final = 3 * 1024 * 1024
"""etcd takes objects of 1.5 MiB; an update has two."""
_READ_S: Final = 5.0
"""For the whole body; the API server gives up after as long."""
_MAX_AT_ONCE: Final = 96
"""Requests in work: beyond it the API server is told to come again, instead of everybody waiting."""
_KEEP_ALIVE_S: Final = 120.0
"""Longer than kube-apiserver's 90 s, so that it is the one that closes: a request never meets a closed connection."""
_SHUTDOWN_S: Final = 10.0
_BACKLOG: Final = 512
_CONNECTIONS: Final = 64
"""Those that may stay: an API server has one for each review that it asks at a time, and keeps a few."""
_DOUBTFUL: Final = {decide.Reason.ENABLE_ABSENT, decide.Reason.INVALID_AT_NAMESPACE}
"""The API server sends only pods that opted in: if ours says otherwise, what we know of the namespace is too old."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Said(Protocol):
    """Tells what a namespace says."""

    async def annotations(self, name: str, *, fresh: bool = False) -> Mapping[str, str]:
        """Give its annotations. Raises KubernetesError."""


class Listener(Protocol):
    """Hears of every outcome; must not wait."""

    def announce(self, request: review.Review, outcome: injection.Outcome) -> None:
        """Take one."""


class Server:
    """Serves until ``close``."""

    def __init__(  # noqa: PLR0913  # what it answers with, and to whom it tells
        self,
        credentials: tls.Credentials,
        installation: spec.Installation,
        said: Said,
        listener: Listener,
        counted: metrics.Metrics,
        *,
        is_ready: Callable[[], bool],
    ) -> None:
        """``is_ready`` tells whether namespaces are known; a certificate is asked for here."""
        self._credentials = credentials
        self._installation = installation
        self._said = said
        self._listener = listener
        self._counted = counted
        self._is_ready = is_ready
        self._closing = False
        self._at_once = 0
        self._door = door.Door(_CONNECTIONS, context=credentials.context)
        application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._door.attend, self._guard])
        application.add_routes(
            [
                web.post(configuration.PODS_PATH, self._inject),
                web.post(configuration.NAMESPACES_PATH, self._namespace),
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
            ]
        )
        self._runner = web.AppRunner(
            application,
            access_log=None,
            keepalive_timeout=_KEEP_ALIVE_S,
            shutdown_timeout=_SHUTDOWN_S,
            logger=_Nonsense(counted),
            auto_decompress=False,  # API servers do not compress; what claims to be is refused as it stands
        )
        self.port = 0
        """Where it listens, once it does."""

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 is any. Raises CannotRun."""
        await self._runner.setup()
        try:
            self.port = self._door.open(self._runner, host, port, backlog=_BACKLOG)
        except OSError as error:
            raise errors.CannotRun(
                f"cannot serve the webhook on {host}:{port}: {error.strerror or error}", hint="who else has the port?"
            ) from error

    async def close(self, *, linger_s: float = 0.0) -> None:
        """Say that we are not ready, serve on for ``linger_s`` while that spreads, end what is in work, stop."""
        self._closing = True
        await asyncio.sleep(linger_s)
        await self._door.close()
        await self._runner.cleanup()

    async def _inject(self, request: web.Request) -> web.StreamResponse:
        asked = await self._read(request)
        started = time.perf_counter()
        try:
            outcome = await self._outcome(asked)
        except kube.KubernetesError as error:
            self._counted.unknown_namespaces.inc()
            message = f"ipseity: what namespace {asked.namespace[:63]!r} says cannot be learned: {error}; try again"
            return _json(review.refuse(asked.uid, message, http.HTTPStatus.SERVICE_UNAVAILABLE))
        self._counted.count(outcome)
        self._listener.announce(asked, outcome)
        self._counted.duration.observe(time.perf_counter() - started)
        return _json(outcome.answer)

    async def _outcome(self, asked: review.Review) -> injection.Outcome:
        if not injection.is_pod(asked):
            return injection.answer(asked, {}, self._installation)
        outcome = injection.answer(asked, await self._said.annotations(asked.namespace), self._installation)
        if outcome.reason in _DOUBTFUL:
            said = await self._said.annotations(asked.namespace, fresh=True)
            return injection.answer(asked, said, self._installation)
        return outcome

    async def _namespace(self, request: web.Request) -> web.StreamResponse:
        asked = await self._read(request)
        self._counted.namespaces.inc()
        return _json(namespaces.admit(asked))

    async def _read(self, request: web.Request) -> review.Review:
        """Read a review, or end the request with what there is to say about it."""
        try:
            async with asyncio.timeout(_READ_S):
                body = await request.read()
        except TimeoutError as error:
            raise web.HTTPRequestTimeout(text="the body did not come in time") from error
        except web.RequestPayloadError as error:
            raise web.HTTPBadRequest(text="the body is not as its headers say") from error
        try:
            return review.read(body)
        except review.Malformed as error:
            raise _Unreadable(error) from error

    async def _livez(self, request: web.Request) -> web.StreamResponse:
        del request
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.StreamResponse:
        del request
        for ready, lack in (
            (not self._closing, "shutting down"),
            (self._credentials.pair is not None, "no certificate yet"),
            (self._is_ready(), "namespaces are not known yet"),
        ):
            if not ready:
                return web.Response(status=http.HTTPStatus.SERVICE_UNAVAILABLE, text=f"{lack}\n")
        return web.Response(text="ok\n")

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Bound the work, and turn every way to fail into an answer."""
        if self._at_once >= _MAX_AT_ONCE:
            return self._failed(http.HTTPStatus.TOO_MANY_REQUESTS, "too many requests at once", {"Retry-After": "1"})
        self._at_once += 1
        try:
            return self._parting(await handler(request))
        except _Unreadable as unreadable:
            return self._unreadable(unreadable.malformed)
        except web.HTTPException as refusal:
            return self._failed(http.HTTPStatus(refusal.status), refusal.text or refusal.reason)
        except ConnectionError:
            raise  # whoever asked is gone
        except Exception:
            self._counted.defects.inc()
            log.exception("admission review failed", path=request.path)
            return web.Response(status=http.HTTPStatus.INTERNAL_SERVER_ERROR, text="an error of ipseity's own\n")
        finally:
            self._at_once -= 1

    def _parting(self, answer: web.StreamResponse) -> web.StreamResponse:
        """While we end, have the next request come by another connection, which leads to another replica."""
        if self._closing:
            answer.force_close()
        return answer

    def _unreadable(self, malformed: review.Malformed) -> web.StreamResponse:
        if not malformed.uid:
            return self._failed(http.HTTPStatus.BAD_REQUEST, str(malformed))
        self._counted.malformed.labels("200").inc()
        return _json(review.refuse(malformed.uid, f"ipseity: {malformed}", http.HTTPStatus.BAD_REQUEST))

    def _failed(
        self, status: http.HTTPStatus, message: str, headers: Mapping[str, str] | None = None
    ) -> web.StreamResponse:
        self._counted.malformed.labels(str(status.value)).inc()
        body = msgspec.json.encode({"error": message})
        return web.Response(status=status, body=body, content_type="application/json", headers=headers)


class _Nonsense(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp would log: what came was no HTTP. Counted; whoever sends it would choose how long our log gets."""

    def __init__(self, counted: metrics.Metrics) -> None:
        super().__init__(logging.getLogger("aiohttp.server"))
        self._counted = counted

    def log(self, level: int, msg: object, *args: object, **said: Any) -> None:
        """Count errors, without their tracebacks; pass on what is less."""
        if level >= logging.ERROR:
            self._counted.malformed.labels("400").inc()
        else:
            super().log(level, msg, *args, **said)


class _Unreadable(Exception):  # noqa: N818  # it reads as what happened
    """The body is no review."""

    def __init__(self, malformed: review.Malformed) -> None:
        super().__init__(str(malformed))
        self.malformed = malformed


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
