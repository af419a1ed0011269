"""``pods/log``: passed on to the log server that the pod's node names in its annotation ``ipseity.io/lab-kubelet``.

The node serves ``GET /containerLogs/<namespace>/<pod>/<container>`` with kubelet's query (follow, tailLines,
previous...).
"""

import dataclasses
from typing import Any

import aiohttp
from aiohttp import web

from comparisons.lab.api import kinds, registry, status

Value = dict[str, Any]

KUBELET = "ipseity.io/lab-kubelet"
PASSED_ON = ("follow", "tailLines", "previous", "sinceSeconds", "sinceTime", "timestamps", "limitBytes", "stream")
CHUNK = 64 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Logs:
    """The handler, over one registry and one HTTP client."""

    rules: registry.Registry
    session: aiohttp.ClientSession

    async def handle(self, request: web.Request, pod: Value) -> web.StreamResponse:
        """Streams a container's log; raises Refused."""
        url = self._url(pod, _container(pod, request.query.get("container", "")))
        query = {key: request.query[key] for key in PASSED_ON if key in request.query}
        try:
            async with self.session.get(url, params=query) as answer:
                return await _pass_on(request, answer)
        except aiohttp.ClientError as error:
            raise status.unavailable(f"cannot read the log from {url}: {error}") from error

    def _url(self, pod: Value, container: str) -> str:
        meta = pod["metadata"]
        node_name = pod["spec"].get("nodeName", "")
        if not node_name:
            raise status.bad_request(f"pod {meta['name']} does not have a host assigned")
        node = self.rules.get(kinds.NODE, ("", node_name))
        base = (node["metadata"].get("annotations") or {}).get(KUBELET)
        if not base:
            raise status.unavailable(f"node {node_name} has no annotation {KUBELET}: nothing there serves logs")
        return f"{base.rstrip('/')}/containerLogs/{meta['namespace']}/{meta['name']}/{container}"


def _container(pod: Value, wanted: str) -> str:
    names = [each["name"] for group in ("containers", "initContainers") for each in pod["spec"].get(group) or ()]
    name = pod["metadata"]["name"]
    if not wanted and len(pod["spec"]["containers"]) > 1:
        known = " ".join(each["name"] for each in pod["spec"]["containers"])
        raise status.bad_request(f"a container name must be specified for pod {name}, choose one of: [{known}]")
    if wanted and wanted not in names:
        raise status.bad_request(f"container {wanted} is not valid for pod {name}")
    return wanted or names[0]


async def _pass_on(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    if answer.status >= web.HTTPBadRequest.status_code:
        raise status.bad_request((await answer.text()).strip() or f"the node answered {answer.status}")
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    async for chunk in answer.content.iter_chunked(CHUNK):
        await response.write(chunk)
    await response.write_eof()
    return response
