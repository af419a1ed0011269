"""Traffic between pods, nodes and Services of a lab. Leaves out byte counts and names: those are the agent's tests."""

import asyncio
import subprocess
import time
from typing import Any

from comparisons.lab import lab
from tests.functional.lab import conftest

SERVER = """
import http.server, socket
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(self.client_address[0].encode())
    def log_message(self, *_): pass
Server(("::", 8080), Handler).serve_forever()
"""
READY = {"readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1}}
SLICES = "/apis/discovery.k8s.io/v1"


async def server(api: conftest.Api, name: str, node: str) -> list[str]:
    """Run a server that says who asked; its addresses."""
    await api.pod(name, "python3", "-c", SERVER, node=node, container=READY)
    return [it["ip"] for it in (await api.ready(name))["status"]["podIPs"]]


def curl(state: lab.State, node: str, pod: dict[str, Any], url: str) -> tuple[int, str]:
    """Ask from inside a pod's network namespace: curl's exit status and the answer."""
    namespace = state.names.node(node).pod_netns(pod["metadata"]["uid"])
    command = ["nsenter", f"--net={namespace}", "curl", "-s", "-m", "5", "-o", "-", url]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)
    return done.returncode, done.stdout


def endpoint_slice(service: str, *ips: str) -> dict[str, Any]:
    """Make an EndpointSlice as its controller would."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{service}-by-hand", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in ips],
    }


async def answers(state: lab.State, node: str, pod: dict[str, Any], url: str, expected: tuple[int, str]) -> None:
    """Ask until the answer is the expected one."""
    end_s, found = time.monotonic() + 5, (0, "")
    while found != expected:
        assert time.monotonic() < end_s, f"{url}: {found}, not {expected}"
        found = await asyncio.to_thread(curl, state, node, pod, url)


async def test_pods_reach_one_another(api: conftest.Api, state: lab.State) -> None:
    """On one node and across, IPv4 and IPv6, and each is seen with its own address."""
    near = await server(api, "near", "node-a")
    far = await server(api, "far", "node-b")
    client = await api.pod("client", "sleep", "100")
    client = await api.phase("client", "Running")
    four, six = (it["ip"] for it in client["status"]["podIPs"])
    for peer in (near, far):
        await answers(state, "node-a", client, f"http://{peer[0]}:8080/", (0, f"::ffff:{four}"))
        await answers(state, "node-a", client, f"http://[{peer[1]}]:8080/", (0, six))


async def test_service(api: conftest.Api, state: lab.State) -> None:
    """A Service's address leads to its pods from anywhere, also from themselves; without pods it refuses."""
    ip = (await server(api, "served", "node-b"))[0]
    port = {"port": 80, "targetPort": 8080}
    thing = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [port]}}
    address = (await api.create(thing, "services"))["spec"]["clusterIP"]
    await api.pod("asks", "sleep", "100")
    asks = await api.phase("asks", "Running")
    refused = (7, "")
    await answers(state, "node-a", asks, f"http://{address}/", refused)
    made = await api.create(endpoint_slice("web", ip), "endpointslices", SLICES)
    await answers(state, "node-a", asks, f"http://{address}/", (0, f"::ffff:{asks['status']['podIP']}"))
    served = await api.get("served")
    assert served is not None
    gateway = state.plan.nodes[1].pod_cidrs[0].replace("8/29", "9")
    await answers(state, "node-b", served, f"http://{address}/", (0, f"::ffff:{gateway}"))
    await answers(state, "node-a", asks, f"http://{address}:81/", refused)
    uid = asks["metadata"]["uid"]
    hosts = (state.names.node("node-a").pods / uid / "hosts").read_text()
    assert f"{address}\tweb.default.svc.cluster.local web.default.svc web.default web\n" in hosts
    assert made["metadata"]["name"] == "web-by-hand"


async def test_outside_is_the_fabric(api: conftest.Api, state: lab.State) -> None:
    """What is neither pod nor Service nor node ends at the router between the nodes, which says so."""
    await api.pod("leaves", "sleep", "100")
    leaves = await api.phase("leaves", "Running")
    await answers(state, "node-a", leaves, "http://203.0.113.7/", (7, ""))
