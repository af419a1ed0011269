"""A listening socket for HTTP with bounds: so many connections, so many TLS handshakes, and so long for each of these.

Here because a connection costs memory (with TLS some 300 kB) whoever opens it, and before it has said anything.
Whoever is too many makes room: of the handshakes the oldest, first of the same address; of the connections the one
that was idle longest. A handshake never ends a connection: it proves nothing. Callers of ours open another.
Leaves out requests, and the bounds of gRPC, which has its own.
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
_GREETINGS: Final = 128
"""Handshakes at a time. One takes some ms, so whoever means it is done long before as many others have come."""
_GREETINGS_OF_ONE: Final = 64
"""Of one address: an API server that creates a hundred pods opens as many connections, each with its handshake."""
_FAREWELL_S: Final = 1.0
"""How long the other end may take to answer that we hang up."""
_AGAIN_S: Final = 1.0
"""After a failure to accept: there are no more file descriptors, and waiting is all that helps."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_log = structlog.get_logger("door")


class Door:
    """Lets connections in until ``close``."""

    def __init__(self, most: int, *, context: ssl.SSLContext | None = None) -> None:
        """``most``: connections that may stay; twice as many are there at most, with those in work. Not handshakes."""
        self._most = most
        self._context = context
        self._greeting: dict[asyncio.Task[None], str] = {}
        """Handshakes and the addresses they come from, oldest first."""
        self._working: set[Any] = set()
        """Handlers of connections that are in a request."""
        self._inside: dict[Any, asyncio.Transport] = {}
        """Handlers of connections, longest idle first."""
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
            transport = self._inside.pop(request.protocol, None)
            if transport is not None:
                self._inside[request.protocol] = transport

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
                connection, peer = await loop.sock_accept(listening)
                trouble = ""
            except OSError as error:
                if str(error) != trouble:
                    _log.error("cannot accept connections", error=str(error))
                trouble = str(error)
                await asyncio.sleep(_AGAIN_S)
                continue
            self._drop(peer[0])
            task = loop.create_task(self._greet(connection, server))
            self._greeting[task] = peer[0]
            task.add_done_callback(lambda done: self._greeting.pop(done, None))
            await asyncio.sleep(0)  # to accept does not wait while there are more, and handshakes must go on

    def _drop(self, address: str) -> None:
        """Make room for one more handshake: the oldest ends."""
        same = [task for task, its in self._greeting.items() if its == address]
        if len(same) >= _GREETINGS_OF_ONE:
            oldest = same[0]
        elif len(self._greeting) >= _GREETINGS:
            oldest = next(iter(self._greeting))
        else:
            return
        del self._greeting[oldest]
        oldest.cancel()

    async def _greet(self, connection: socket.socket, server: web.Server) -> None:
        limits_s = {"ssl_handshake_timeout": _HANDSHAKE_S, "ssl_shutdown_timeout": _FAREWELL_S}
        with contextlib.suppress(OSError):  # whoever it was is gone, or speaks no TLS that is served here
            transport, handler = await asyncio.get_running_loop().connect_accepted_socket(
                server, connection, ssl=self._context, **(limits_s if self._context else {})
            )
            self._admit(handler, transport, server)

    def _admit(self, handler: Any, transport: asyncio.Transport, server: web.Server) -> None:
        """Take in a connection whose handshake is done; those that were idle longest make room for it."""
        there = set(server.connections)
        self._inside = {each: its for each, its in self._inside.items() if each in there}
        self._leaving &= there
        if len(self._inside) >= 2 * self._most:
            idle = next((each for each in self._inside if each in self._leaving - self._working), None)
            if idle is None:  # all are in work
                transport.abort()
                return
            self._inside.pop(idle).abort()  # it has not answered our farewell
        self._inside[handler] = transport
        staying = [each for each in self._inside if each not in self._leaving]
        staying.sort(key=lambda each: each in self._working)  # in work is not idle
        for each in staying[: max(0, len(staying) - self._most)]:
            self._leaving.add(each)
            if each in self._working:
                each.close()  # after its answer
            else:
                each.force_close()
