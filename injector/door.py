"""A listening socket for HTTP with bounds: so many connections, and so long for a TLS handshake.

Here because a connection costs memory (with TLS some 300 kB) whoever opens it, and before it has said anything.
Whoever is too many makes room: the oldest connection is ended, after the request that it may be in. Callers of ours
open another. Leaves out requests, and the bounds of gRPC, which has its own.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from aiohttp import web

_HANDSHAKE_S: Final = 5.0
_FAREWELL_S: Final = 1.0
"""How long the other end may take to answer that we hang up."""
_AGAIN_S: Final = 1.0
"""After a failure to accept: there are no more file descriptors, and waiting is all that helps."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_log = structlog.get_logger("door")


class Door:
    """Lets connections in until ``close``."""

    def __init__(self, most: int, *, context: ssl.SSLContext | None = None) -> None:
        """``most``: connections that may stay; twice as many are there at most, those in work and in handshakes."""
        self._most = most
        self._context = context
        self._greeting: set[asyncio.Task[None]] = set()
        self._working: set[Any] = set()
        """Handlers of connections that are in a request."""
        self._leaving: set[Any] = set()
        """Handlers that were told to end and have not yet."""
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    @web.middleware
    async def attend(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Be the application's outermost middleware: tells who is in work."""
        self._working.add(request.protocol)
        try:
            return await handler(request)
        finally:
            self._working.discard(request.protocol)

    def open(self, runner: web.AppRunner, host: str, port: int, *, backlog: int) -> int:
        """Listen, and give the port; the runner is set up. Raises OSError."""
        if runner.server is None:
            raise RuntimeError("the runner is not set up")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=backlog)
        self._socket.setblocking(False)  # noqa: FBT003  # the name of the method says it
        self._accepting = asyncio.create_task(self._accept(self._socket, runner.server))
        return int(self._socket.getsockname()[1])

    async def close(self) -> None:
        """Let nobody in any more; who is in stays."""
        ending = [*self._greeting, *([self._accepting] if self._accepting else [])]
        for each in ending:
            each.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    async def _accept(self, listening: socket.socket, server: web.Server) -> None:
        loop = asyncio.get_running_loop()
        trouble = ""
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
                trouble = ""
            except OSError as error:
                if str(error) != trouble:
                    _log.error("cannot accept connections", error=str(error))
                trouble = str(error)
                await asyncio.sleep(_AGAIN_S)
                continue
            if self._room(server):
                task = loop.create_task(self._greet(connection, server))
                self._greeting.add(task)
                task.add_done_callback(self._greeting.discard)
            else:
                connection.close()

    def _room(self, server: web.Server) -> bool:
        """Make room for one more; False where all are in work or in a handshake."""
        inside = server.connections
        if len(inside) + len(self._greeting) >= 2 * self._most:
            return False
        self._leaving.intersection_update(inside)
        staying = [each for each in inside if each not in self._leaving]
        for each in staying[: max(0, len(staying) + len(self._greeting) + 1 - self._most)]:
            self._leaving.add(each)
            if each in self._working:
                each.close()  # after its answer
            else:
                each.force_close()
        return True

    async def _greet(self, connection: socket.socket, serve: Callable[[], Any]) -> None:
        limits_s = {"ssl_handshake_timeout": _HANDSHAKE_S, "ssl_shutdown_timeout": _FAREWELL_S}
        with contextlib.suppress(OSError):  # whoever it was is gone, or speaks no TLS that is served here
            await asyncio.get_running_loop().connect_accepted_socket(
                serve, connection, ssl=self._context, **(limits_s if self._context else {})
            )
