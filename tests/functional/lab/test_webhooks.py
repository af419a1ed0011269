"""An admission webhook that is a pod of the lab, asked by the lab's API server through its Service.

Leaves out everything that does not need a real pod: the contract tests have it.
"""

import base64
from typing import Any

import pytest

from comparisons.lab import lab
from ipseity import kube
from tests.fakes import admission_webhook
from tests.functional.lab import conftest

Json = dict[str, Any]

WEBHOOK = """
import base64, http.server, json, os, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        seen = {"example.com/asked-by": self.client_address[0]}
        patch = [{"op": "add", "path": "/metadata/annotations", "value": seen}]
        review["response"] = {"uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch",
                              "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
        body = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
file = os.memfd_create("pem")
os.write(file, base64.b64decode(sys.argv[1]))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"/proc/self/fd/{file}")
server = http.server.ThreadingHTTPServer(("", 8443), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
READY = {"readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1}}
HOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


def configuration(ca: bytes) -> Json:
    """Return a webhook behind the Service ``hook``, asked about pods that ask for it."""
    service = {"namespace": "default", "name": "hook", "path": "/", "port": 443}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "hook"},
        "webhooks": [
            {
                "name": "hook.example.com",
                "clientConfig": {"service": service, "caBundle": base64.b64encode(ca).decode()},
                "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
                "matchConditions": [{"name": "hosts", "expression": "object.metadata.name.startsWith('wanted')"}],
                "sideEffects": "None",
                "timeoutSeconds": 5,
                "admissionReviewVersions": ["v1"],
            }
        ],
    }


@pytest.mark.parametrize("node", ["node-a", "node-b"])
async def test_a_pod_is_asked(api: conftest.Api, state: lab.State, node: str) -> None:
    """On whatever node it runs, while it is ready; pods that do not ask for it never depend on it."""
    private, pem = admission_webhook.certificate([], ["hook.default.svc"])
    both = base64.b64encode(private + pem).decode()
    await api.pod("hook", "python3", "-c", WEBHOOK, both, node=node, container=READY)
    ips = [it["ip"] for it in (await api.ready("hook"))["status"]["podIPs"]]
    ports = [{"name": "https", "port": 443, "targetPort": 8443}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"}, "spec": {"ports": ports}}
    await api.create(service, "services")
    endpoints = await api.create(_slice(ips[0]), "endpointslices", "/apis/discovery.k8s.io/v1")
    await api._it.send("POST", HOOKS, configuration(pem))
    try:
        made = await api.pod("wanted-1", "sleep", "60")
        assert state.plan.fabric_cidrs[0].rpartition(".")[0] in made["metadata"]["annotations"]["example.com/asked-by"]
        assert "annotations" not in (await api.pod("other", "sleep", "60"))["metadata"]
        unready = {"endpoints": [{"addresses": ips[:1], "conditions": {"ready": False}}]}
        path = f"/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/{endpoints['metadata']['name']}"
        await api._it.send("PATCH", path, unready, content_type="application/merge-patch+json")
        with pytest.raises(kube.KubernetesError, match="no endpoints available for service"):
            await api.pod("wanted-2", "sleep", "60")
        await api.pod("another", "sleep", "60")
    finally:
        await api._it.send("DELETE", f"{HOOKS}/hook", {})


def _slice(ip: str) -> Json:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "hook-by-hand", "labels": {"kubernetes.io/service-name": "hook"}},
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": 8443, "protocol": "TCP"}],
        "endpoints": [{"addresses": [ip], "conditions": {"ready": True}}],
    }
