"""An API server that lets a program do what a manifest's roles allow, and nothing else: a proxy before the real one.

Here because the lab's API server authenticates and does not authorize. Judges as Kubernetes' RBAC does, as far as our
roles go: verbs, groups, resources with their subresource, names (also that of ``fieldSelector=metadata.name=``), and
roles of one namespace.
"""

import asyncio
import contextlib
import dataclasses
import pathlib
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import aiohttp
import yaml
from aiohttp import web

_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as RBAC sees it."""

    verb: str
    group: str
    resource: str
    """With its subresource: ``pods/status``."""
    namespace: str
    name: str


def understood(method: str, path: str, query: Mapping[str, str]) -> Request:
    """Read what a request wants, as kube-apiserver does."""
    parts = path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] != "status":
        namespace, rest = rest[1], rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    listed = "watch" if "watch" in query else "list"
    verb = _VERBS.get(method) or ("get" if name else listed)
    selector = query.get("fieldSelector", "")
    named = name or (selector.partition("=")[2] if selector.startswith("metadata.name=") else "")
    resource = "/".join([rest[0], *rest[2:3]])
    return Request(verb=verb, group=group, resource=resource, namespace=namespace, name=named)


class Roles:
    """The roles of a manifest, all bound to the one who asks."""

    def __init__(self, manifest: pathlib.Path) -> None:
        found = [each for each in yaml.safe_load_all(manifest.read_text()) if each]
        self._everywhere = [rule for each in found if each["kind"] == "ClusterRole" for rule in each["rules"]]
        self._within = [
            (each["metadata"]["namespace"], rule) for each in found if each["kind"] == "Role" for rule in each["rules"]
        ]

    def allow(self, asked: Request) -> bool:
        """Say whether any rule allows it."""
        rules = [*self._everywhere, *(rule for namespace, rule in self._within if namespace == asked.namespace)]
        return any(_allows(rule, asked) for rule in rules)


def _allows(rule: Json, asked: Request) -> bool:
    names = rule.get("resourceNames")
    return (
        asked.verb in rule["verbs"]
        and asked.group in rule["apiGroups"]
        and asked.resource in rule["resources"]
        and (not names or asked.name in names)
    )


@dataclasses.dataclass(slots=True)
class Gatekeeper:
    """A proxy that runs."""

    kubeconfig: pathlib.Path
    refused: set[Request] = dataclasses.field(default_factory=set)
    allowed: set[Request] = dataclasses.field(default_factory=set)
    more: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    """Something was asked for."""

    async def asked(self, verb: str, resource: str) -> None:
        """Wait until something was asked for, allowed or not."""
        while (verb, resource) not in {(each.verb, each.resource) for each in self.allowed | self.refused}:
            self.more.clear()
            await self.more.wait()


@contextlib.asynccontextmanager
async def before(kubeconfig: pathlib.Path, roles: Roles, directory: pathlib.Path) -> AsyncIterator[Gatekeeper]:
    """Run a proxy before the API server of a kubeconfig, with that one's credentials."""
    config = _read(kubeconfig)
    url, token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    keeper = Gatekeeper(directory / "kubeconfig")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=0)) as session:

        async def handle(request: web.Request) -> web.StreamResponse:
            asked = understood(request.method, request.path, request.query)
            allowed = roles.allow(asked)
            (keeper.allowed if allowed else keeper.refused).add(asked)
            keeper.more.set()
            if not allowed:
                return web.json_response({"kind": "Status", "code": 403, "message": f"forbidden: {asked}"}, status=403)
            return await _passed_on(session, request, url, token)

        runner = web.AppRunner(_application(handle), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}
        keeper.kubeconfig.write_text(yaml.safe_dump(config))
        try:
            yield keeper
        finally:
            await runner.cleanup()


def _read(kubeconfig: pathlib.Path) -> Json:
    found: Json = yaml.safe_load(kubeconfig.read_text())
    return found


def _application(handle: Any) -> web.Application:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    return application


async def _passed_on(session: aiohttp.ClientSession, request: web.Request, url: str, token: str) -> web.StreamResponse:
    headers = {"Authorization": f"Bearer {token}", "Accept": request.headers.get("Accept", "*/*")}
    if "Content-Type" in request.headers:
        headers["Content-Type"] = request.headers["Content-Type"]
    body = await request.read()
    timeout = aiohttp.ClientTimeout(total=None)
    async with session.request(
        request.method, f"{url}{request.path_qs}", data=body, headers=headers, timeout=timeout
    ) as answer:
        response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
        return response
