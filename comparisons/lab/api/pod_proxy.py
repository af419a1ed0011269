"""``pods/<name>[:<port>]/proxy/<path>``: passed on to the pod's own address, from where pods can be reached.

Here because a host has no way to a pod of the lab, and a client with a kubeconfig has this one on every cluster. Rules:
k8s.io/kubernetes/pkg/registry/core/pod/rest and strategy.ResourceLocation. Only GET over plain HTTP; no upgrades, and
no rewriting of what a page says of itself.
"""

import dataclasses
import urllib.parse
from typing import Any

import aiohttp
from aiohttp import web

from comparisons.lab.api import asking, kinds, registry, status

Value = dict[str, Any]

CHUNK = 64 * 1024
KEPT = ("Content-Type", "Content-Encoding", "Content-Length", "Cache-Control")
"""Headers of the pod's answer that are passed on."""
SENT = ("Accept", "Accept-Encoding", "User-Agent")
"""Headers of the request that are; never the caller's token."""


@dataclasses.dataclass(frozen=True, slots=True)
class PodProxy:
    """The handler, over one registry and a client whose sockets are where pods can be reached."""

    rules: registry.Registry
    session: aiohttp.ClientSession

    async def handle(self, request: web.Request, target: asking.Target) -> web.StreamResponse:
        """Answer as the pod does; raises Refused."""
        url = self._url(target) + (f"?{request.query_string}" if request.query_string else "")
        sent = {name: request.headers[name] for name in SENT if name in request.headers}
        try:
            async with self.session.get(url, headers=sent, allow_redirects=False, auto_decompress=False) as answer:
                kept = {name: answer.headers[name] for name in KEPT if name in answer.headers}
                response = web.StreamResponse(status=answer.status, headers=kept)
                await response.prepare(request)
                async for chunk in answer.content.iter_chunked(CHUNK):
                    await response.write(chunk)
                await response.write_eof()
                return response
        except (aiohttp.ClientConnectionError, TimeoutError) as error:
            raise status.unavailable(f"error trying to reach service: {error}") from error

    def _url(self, target: asking.Target) -> str:
        name, port = _named(target.name)
        pod = self.rules.get(kinds.POD, (target.namespace, name))
        address = (pod.get("status") or {}).get("podIP", "")
        if not address:
            raise status.internal_error("address not allowed")
        host = f"[{address}]" if ":" in address else address
        path = urllib.parse.quote(f"/{target.beyond}", safe="/~!$&'()*+,;=:@-._")
        return f"http://{host}:{port or _first_port(pod)}{path}"


def _named(text: str) -> tuple[str, str]:
    """``name``, ``name:port`` or ``http:name:port``; raises Refused."""
    match text.split(":"):
        case [name]:
            return name, ""
        case [name, port] | ["http" | "", name, port] if port == "" or (port.isascii() and port.isdigit()):
            return name, port
        case _:
            raise status.bad_request(f'invalid pod request "{text}"')


def _first_port(pod: Value) -> int:
    """As the real server: the first port of the first container that declares one, else HTTP's."""
    declared = [port["containerPort"] for each in pod["spec"]["containers"] for port in each.get("ports") or ()]
    return int(declared[0]) if declared else 80
