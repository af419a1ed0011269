"""A Kubernetes API server that has one Secret: get, create and conditional replace, as ``agent.keysecret`` asks.

Leaves out everything else: the lab's API server is the one that behaves like the real thing.
"""

import json
import pathlib
from typing import Any, Self

from aiohttp import web

Json = dict[str, Any]
NAMESPACE, NAME = "ipseity-system", "ipseity-handshake"
_PATH = f"/api/v1/namespaces/{NAMESPACE}/secrets"


class SecretApi:
    """Serves it on a free loopback port."""

    def __init__(self) -> None:
        self.secret: Json | None = None
        self.version = 100
        self.refuses = 0
        """HTTP status to answer everything with; 0: nothing is refused."""
        self.meddle = False
        """Somebody else writes right before every replacement."""
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get(f"{_PATH}/{NAME}", self._get)
        app.router.add_post(_PATH, self._post)
        app.router.add_put(f"{_PATH}/{NAME}", self._put)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def kubeconfig(self, path: pathlib.Path) -> str:
        """Write a file that leads here."""
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
        context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
        config = {"kind": "Config", "apiVersion": "v1", "current-context": "x", "clusters": [cluster]}
        path.write_text(json.dumps(config | {"contexts": [context], "users": [{"name": "u", "user": {}}]}))
        return str(path)

    async def _get(self, request: web.Request) -> web.Response:
        if self.refuses:
            return self._status(self.refuses)
        return self._status(404) if self.secret is None else web.json_response(self.secret)

    async def _post(self, request: web.Request) -> web.Response:
        if self.secret is not None:
            return self._status(409)
        return self._keep(await request.json())

    async def _put(self, request: web.Request) -> web.Response:
        assert self.secret is not None
        body = await request.json()
        if self.meddle:
            self._keep(self.secret)
        if body["metadata"]["resourceVersion"] != self.secret["metadata"]["resourceVersion"]:
            return self._status(409)
        return self._keep(body)

    def _keep(self, body: Json) -> web.Response:
        self.version += 1
        self.secret = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return web.json_response(self.secret)

    def _status(self, code: int) -> web.Response:
        return web.json_response({"kind": "Status", "code": code, "message": f"no: {code}"}, status=code)
