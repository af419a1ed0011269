"""What an injected pod needs of its node: sidecars in order, at both ends, and who may be sent traffic meanwhile."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from comparisons.lab import lab
from tests.functional.lab import conftest

SERVER = """
import http.server, os, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if os.path.exists("/shared" + self.path) else 503); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("", 15020), Handler).serve_forever()
"""
SHARED: dict[str, Any] = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
VOLUMES = [{"name": "shared", "emptyDir": {}}]


def probe(path: str) -> dict[str, Any]:
    """Ask the sidecar's server."""
    return {"httpGet": {"port": 15020, "path": path}, "periodSeconds": 1, "failureThreshold": 60}


def container(name: str, *command: str, **more: Any) -> dict[str, Any]:
    """Return a container that shares a directory with the others."""
    return {"name": name, "image": "none", "command": list(command), **SHARED, **more}


def pod(name: str, *containers: dict[str, Any], inits: tuple[dict[str, Any], ...] = (), **spec: Any) -> dict[str, Any]:
    """Return a pod on the first node."""
    own = {"nodeName": "node-a", "volumes": VOLUMES, "containers": list(containers), "initContainers": list(inits)}
    metadata = {"name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**own, **spec}}


async def told(api: conftest.Api, name: str, which: str, words: str) -> None:
    """Wait until a container has said this."""
    end_s = time.monotonic() + conftest.PATIENCE_S
    while words not in await api.log(name, which):
        assert time.monotonic() < end_s
        await asyncio.sleep(0.02)


async def test_the_next_waits_until_a_sidecar_has_started(api: conftest.Api, state: lab.State) -> None:
    """Its startup probe decides that; its readiness decides about the pod's, and shows at once in the slice."""
    side = container("side", "python3", "-c", SERVER, restartPolicy="Always")
    side |= {"startupProbe": probe("/started"), "readinessProbe": probe("/ready") | {"failureThreshold": 1}}
    after = container("after", "sh", "-c", "ls /shared > /shared/seen")
    main = container("main", "sh", "-c", "cat /shared/seen; sleep 100")
    spec = {"selector": {"app": "meshed"}, "ports": [{"port": 80}]}
    await api.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "meshed"}, "spec": spec}, "services")
    made = await api.create(pod("meshed", main, inits=(side, after)))
    running = await api.until("meshed", lambda found: "running" in _state(found, "side"))
    assert "waiting" in _state(running["status"], "after")
    shared = state.names.node("node-a").pods / made["metadata"]["uid"] / "volumes" / "shared"
    (shared / "started").touch()
    await api.phase("meshed", "Running")
    await told(api, "meshed", "main", "started")
    assert "False" == conftest.conditions((await api.get("meshed") or {})["status"])["Ready"]
    await _serving(api, "meshed", ready=False)
    (shared / "ready").touch()
    began_s = time.monotonic()
    await _serving(api, "meshed", ready=True)
    (shared / "ready").unlink()
    await _serving(api, "meshed", ready=False)
    assert time.monotonic() - began_s < 2 * (1 + 1)  # twice: a period of the probe and a second


def _state(status: dict[str, Any], name: str) -> dict[str, Any]:
    known = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return next((dict(it["state"]) for it in known if it["name"] == name), {})


async def _conditions(api: conftest.Api, service: str) -> list[dict[str, bool]]:
    found = await api.read("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices")
    mine = (it for it in found["items"] if it["metadata"]["labels"].get("kubernetes.io/service-name") == service)
    return [endpoint["conditions"] for it in mine for endpoint in it.get("endpoints") or ()]


async def _serving(api: conftest.Api, service: str, *, ready: bool, terminating: bool = False) -> None:
    wanted = {"ready": ready and not terminating, "serving": ready, "terminating": terminating}
    end_s = time.monotonic() + conftest.PATIENCE_S
    while [wanted] != await _conditions(api, service):
        assert time.monotonic() < end_s, await _conditions(api, service)
        await asyncio.sleep(0.02)


LATE = (
    "trap 'echo main ends; sleep 1; echo main ended >> /shared/log; exit 0' TERM; echo up; while :; do sleep 0.05; done"
)
SIDE = "trap 'echo {0} ended >> /shared/log; exit 0' TERM; echo up; while :; do sleep 0.05; done"
LAST = (
    "trap 'echo one ended >> /shared/log; cat /shared/log; sleep 1; exit 0' TERM; echo up; while :; do sleep 0.05; done"
)


async def test_sidecars_end_last(api: conftest.Api) -> None:
    """Hooks run at once; the main container ends first, then the sidecars from the last to the first."""
    hook = {"lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "echo hook >> /shared/log"]}}}}
    one = container("one", "sh", "-c", LAST, restartPolicy="Always")
    two = container("two", "sh", "-c", SIDE.format("two"), restartPolicy="Always", **hook)
    await api.create(pod("ends", container("main", "sh", "-c", LATE), inits=(one, two), activeDeadlineSeconds=600))
    await api.phase("ends", "Running")
    for name in ("one", "two", "main"):
        await told(api, "ends", name, "up")
    deleting = asyncio.create_task(api.delete("ends"))
    await told(api, "ends", "one", "one ended")
    assert ["up", "hook", "main ended", "two ended", "one ended"] == (await api.log("ends", "one")).splitlines()
    await deleting


async def test_a_pod_on_its_way_out_still_serves(api: conftest.Api) -> None:
    """Terminating and serving, not ready, for as long as its preStop hook keeps it."""
    hook = {"lifecycle": {"preStop": {"sleep": {"seconds": 2}}}}
    main = container("main", "sleep", "100", **hook)
    spec = {"selector": {"app": "drains"}, "ports": [{"port": 80}]}
    await api.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "drains"}, "spec": spec}, "services")
    await api.create(pod("drains", main, terminationGracePeriodSeconds=3))
    await _serving(api, "drains", ready=True)
    deleting = asyncio.create_task(api.delete("drains"))
    await _serving(api, "drains", ready=True, terminating=True)
    await deleting


async def test_a_hook_that_is_cut_off_holds_nobody_up(api: conftest.Api, state: lab.State) -> None:
    """A pod that is deleted at once while its hook runs: the orphan is reaped, so all that the pod had is free."""
    hook = {"lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "echo hook > /shared/log; sleep 600"]}}}}
    main = container("main", "sh", "-c", SIDE.format("main"), **hook)
    made = await api.create(pod("cut", main, terminationGracePeriodSeconds=300))
    await api.phase("cut", "Running")
    await told(api, "cut", "main", "up")
    directory = state.names.node("node-a").pods / made["metadata"]["uid"]
    deleting = asyncio.create_task(api.delete("cut"))
    await _until((directory / "volumes/shared/log").exists, "the hook runs")
    await api.delete("cut", gracePeriodSeconds=0)
    await deleting
    await _until(lambda: not directory.exists(), "nothing is left of the pod")


async def _until(holds: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + conftest.PATIENCE_S
    while not holds():
        assert time.monotonic() < end_s, what
        await asyncio.sleep(0.02)


async def test_a_job_completes_although_its_sidecar_runs(api: conftest.Api) -> None:
    """And the sidecar is ended."""
    side = container("side", "sleep", "100", restartPolicy="Always")
    own = {"nodeName": "node-a", "restartPolicy": "Never", "volumes": VOLUMES, "terminationGracePeriodSeconds": 1}
    template = {"spec": {**own, "initContainers": [side], "containers": [container("main", "true")]}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": {"template": template}}
    await api.create(job, "jobs", "/apis/batch/v1")
    end_s = time.monotonic() + conftest.PATIENCE_S
    while True:
        found = await api.read("/apis/batch/v1/namespaces/default/jobs/once")
        if conftest.conditions(found.get("status") or {}).get("Complete") == "True":
            break
        assert time.monotonic() < end_s, found.get("status")
        await asyncio.sleep(0.02)


FACTS = (
    "id -u; grep CapEff /proc/self/status | cut -f2; nft list tables > /dev/null && echo nft; echo $HOST $IPS $ID $NOTE"
)
FIELDS = {
    "HOST": "status.hostIP",
    "IPS": "status.podIPs",
    "ID": "metadata.uid",
    "NOTE": "metadata.annotations['config.ipseity.io/note']",
}


async def test_what_a_redirect_needs(api: conftest.Api, state: lab.State) -> None:
    """One capability and no other on a read-only root is enough for nftables; the pod's facts come as variables."""
    env = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in FIELDS.items()]
    security = {
        "runAsUser": 0,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
        "allowPrivilegeEscalation": False,
    }
    made = pod("redirects", container("main", "sh", "-c", FACTS, env=env, securityContext=security))
    made["metadata"]["annotations"] = {"config.ipseity.io/note": "seven"}
    made["spec"]["restartPolicy"] = "Never"
    uid = (await api.create(made))["metadata"]["uid"]
    status = (await api.phase("redirects", "Succeeded"))["status"]
    ips = ",".join(it["ip"] for it in status["podIPs"])
    wanted = ["0", f"{1 << 12:016x}", "nft", f"{state.plan.nodes[0].ips[0]} {ips} {uid} seven"]
    assert wanted == (await api.log("redirects")).splitlines()
