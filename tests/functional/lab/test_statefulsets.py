"""A StatefulSet of real pods: each has its name for itself and for others. The order of things: the contract tests."""

from tests.functional.lab import conftest

SERVER = """
import http.server, socket, sys
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(socket.gethostname().encode())
    def log_message(self, *_): pass
Server(("::", 8080), Handler).serve_forever()
"""
ASK = """
import socket, time, urllib.request
print(socket.getfqdn())
for name in ("db-0.db", "db-1.db.default.svc.cluster.local"):
    for _ in range(100):
        try:
            print(name, urllib.request.urlopen(f"http://{name}:8080/", timeout=5).read().decode())
            break
        except OSError:
            time.sleep(0.05)
"""


async def test_pods_are_found_by_name(api: conftest.Api) -> None:
    """By the headless Service, from a pod on another node; the pod itself knows its name too."""
    labels = {"app": "db"}
    service = {"metadata": {"name": "db"}, "spec": {"clusterIP": "None", "selector": labels, "ports": [{"port": 8080}]}}
    await api.create({"apiVersion": "v1", "kind": "Service", **service}, "services")
    probe = {"httpGet": {"port": 8080}, "periodSeconds": 1}
    container = {"name": "main", "image": "none", "command": ["python3", "-c", SERVER], "readinessProbe": probe}
    pod = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    spec = {"serviceName": "db", "replicas": 2, "selector": {"matchLabels": labels}}
    spec |= {"template": {"metadata": {"labels": labels}, "spec": pod}}
    thing = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": spec}
    await api.create(thing, "statefulsets", "/apis/apps/v1")
    await api.ready("db-0")
    await api.ready("db-1")
    place = {"restartPolicy": "Never", "hostname": "asks", "subdomain": "db"}
    await api.pod("asks", "python3", "-c", ASK, node="node-b", **place)
    await api.phase("asks", "Succeeded")
    expected = [
        "asks.db.default.svc.cluster.local",
        "db-0.db db-0",
        "db-1.db.default.svc.cluster.local db-1",
    ]
    assert expected == (await api.log("asks")).splitlines()
