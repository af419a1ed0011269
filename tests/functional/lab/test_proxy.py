"""``pods/proxy``: whoever has a kubeconfig asks a pod of the lab by its name.

Leaves out what the lab does not have: other methods than GET, HTTPS, upgrades.
"""

import json
from typing import Any

import pytest

from comparisons.lab import lab
from ipseity import kube
from tests.functional.lab import conftest

SERVER = """
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = {"path": self.path, "token": "Authorization" in self.headers, "from": self.client_address[0]}
        body = json.dumps(said).encode()
        self.send_response(200 if self.path != "/missing" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""
READY = {"readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}, "ports": [{"containerPort": 8080}]}
PODS = "/api/v1/namespaces/default/pods"


async def test_a_pod_is_asked_by_its_name(api: conftest.Api, state: lab.State) -> None:
    """Port, path and query arrive, the caller's token does not; the answer's status is the pod's."""
    await api.pod("serves", "python3", "-c", SERVER, node="node-b", container=READY)
    await api.ready("serves")
    client = await kube.connect(str(state.names.kubeconfig))
    try:

        async def asked(name: str, path: str, query: dict[str, str] | None = None) -> Any:
            return json.loads(await kube.get(client, f"{PODS}/{name}/proxy{path}", query))

        said = await asked("serves:8080", "/a/b%20c", {"q": "1"})
        assert ("/a/b%20c?q=1", False) == (said["path"], said["token"])
        assert "/" == (await asked("serves", ""))["path"]
        assert "/x" == (await asked("http:serves:8080", "/x"))["path"]
        for name, path, status in (
            ("serves", "/missing", 404),
            ("serves:9", "/", 503),
            ("nobody", "/", 404),
            ("https:serves:8080", "/", 400),
        ):
            with pytest.raises(kube.KubernetesError) as raised:
                await asked(name, path)
            assert status == raised.value.status
    finally:
        await client.close()
