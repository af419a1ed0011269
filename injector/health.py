"""/metrics, /readyz and /livez of the control plane, over plain HTTP: for the kubelet and Prometheus.

Here because a probe must answer while TLS material is still being made. Says names of parts and counts, no secrets.
"""

from collections.abc import Callable, Mapping
from typing import Final

import prometheus_client
from aiohttp import web

from injector import door, errors

_CONNECTIONS: Final = 32
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


class Server:
    """Serves until ``close``."""

    def __init__(
        self,
        registry: prometheus_client.CollectorRegistry,
        ready: Mapping[str, Callable[[], bool]],
        *,
        refresh: Callable[[], None],
    ) -> None:
        """``ready``: by what is needed, whether it is there; ``refresh`` sets gauges before they are read."""
        self._registry = registry
        self._ready = ready
        self._refresh = refresh
        self._door = door.Door(_CONNECTIONS)
        application = web.Application(middlewares=[self._door.attend])
        application.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/readyz", self._readyz),
                web.get("/livez", self._livez),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None)

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises CannotRun."""
        await self._runner.setup()
        try:
            self._door.open(self._runner, host, port, backlog=_CONNECTIONS)
        except OSError as error:
            raise errors.CannotRun(
                f"cannot serve metrics on {host}:{port}: {error.strerror or error}", hint="who else has the port?"
            ) from error

    async def close(self) -> None:
        """Stop."""
        await self._door.close()
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        del request
        self._refresh()
        body = prometheus_client.generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": _TEXT})

    async def _readyz(self, request: web.Request) -> web.StreamResponse:
        del request
        lacks = [what for what, is_there in self._ready.items() if not is_there()]
        return web.Response(
            status=503 if lacks else 200, text="".join(f"waits for {what}\n" for what in lacks) or "ok\n"
        )

    async def _livez(self, request: web.Request) -> web.StreamResponse:
        del request
        return web.Response(text="ok\n")
