"""The Node object: what this node says of itself, and its heartbeat.

Here because schedulers, controllers and the agent learn from it where pods may go and which addresses are a node's.
The objects are computed; ``keep`` sends them.
"""

import asyncio
import os
import pathlib
import platform
from collections.abc import Mapping
from typing import Any

import structlog

from comparisons.lab import clock, cluster, kubelet, layout, plan, sandbox
from ipseity import kube

Json = dict[str, Any]
HEARTBEAT_S = 10.0
"""The kubelet's ``nodeStatusUpdateFrequency``."""
RETRY_S = 0.5
MAX_PODS = 250
CGROUP = "ipseity.io/lab-cgroup"
"""Annotation: the node's root in the cgroup hierarchies, what an agent's ``--cgroup-root`` needs."""
log = structlog.get_logger("lab.node")


def capacity() -> dict[str, str]:
    """Tell what the machine has; every node of a lab claims all of it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": str(os.cpu_count() or 1), "memory": f"{total // 1024}Ki", "pods": str(MAX_PODS)}


def node(names: layout.Node, it: plan.NodePlan, url: str) -> Json:
    """Return the Node object without its status."""
    labels = {"kubernetes.io/hostname": it.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": _architecture()}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": it.name,
            "labels": {**labels, "ipseity.io/lab": names.lab.name},
            "annotations": {kubelet.ANNOTATION: url, CGROUP: names.cgroup},
        },
        "spec": {"podCIDR": it.pod_cidrs[0], "podCIDRs": list(it.pod_cidrs)},
    }


def status(it: plan.NodePlan, resources: Mapping[str, str], since_wall_ns: int, now_wall_ns: int) -> Json:
    """Its status: ready since it was started."""
    since, now = clock.rfc3339(since_wall_ns), clock.rfc3339(now_wall_ns)
    troubles = ("MemoryPressure", "DiskPressure", "PIDPressure")
    conditions = [("Ready", "True", "KubeletReady"), *((kind, "False", f"KubeletHasNo{kind}") for kind in troubles)]
    return {
        "addresses": [
            *({"type": "InternalIP", "address": ip} for ip in it.ips),
            {"type": "Hostname", "address": it.name},
        ],
        "capacity": dict(resources),
        "allocatable": dict(resources),
        "conditions": [
            {"type": kind, "status": answer, "reason": reason, "lastHeartbeatTime": now, "lastTransitionTime": since}
            for kind, answer, reason in conditions
        ],
        "nodeInfo": _info(),
    }


def _info() -> Json:
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {
        "architecture": _architecture(),
        "bootID": boot,
        "containerRuntimeVersion": "runc://lab",
        "kernelVersion": platform.release(),
        "kubeProxyVersion": "",
        "kubeletVersion": "v1.36.0-lab",
        "machineID": boot.replace("-", ""),
        "operatingSystem": "linux",
        "osImage": "the host's",
        "systemUUID": boot,
    }


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


async def keep(host: sandbox.Host, wanted: Json) -> None:
    """Register, then say every few seconds that the node lives; register again if the API forgets it. For ever."""
    since, silent = clock.wall_ns(), False
    while True:
        try:
            await _beat(host.cluster, wanted, status(host.plan, host.capacity, since, clock.wall_ns()))
        except kube.KubernetesError as error:
            if not silent:  # said once: the API server is away, and everybody sees that
                log.warning("node cannot report", error=str(error), hint=error.hint)
            silent = True
            await asyncio.sleep(RETRY_S)
        else:
            silent = False
            host.names.ready.touch()
            await asyncio.sleep(HEARTBEAT_S)


async def _beat(api: cluster.Cluster, wanted: Json, current: Json) -> None:
    path = f"/api/v1/nodes/{wanted['metadata']['name']}"
    found = await api.read(path)
    if found is None:
        await api.send("POST", "/api/v1/nodes", {**wanted, "status": current})
    elif not _same(found, wanted):
        await api.send("PATCH", path, {key: wanted[key] for key in ("metadata", "spec")}, content_type=cluster.MERGE)
    await api.send("PATCH", f"{path}/status", {"status": current}, content_type=cluster.MERGE)


def _same(found: Json, wanted: Json) -> bool:
    return all(
        wanted["metadata"][part].items() <= (found["metadata"].get(part) or {}).items()
        for part in ("labels", "annotations")
    )
