"""A lab for a whole test module, and the certainty that nothing of it is left afterwards."""

import asyncio
import contextlib
import json
import os
import pathlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from comparisons.lab import cgroups, cluster, lab, layout, mounts, plan
from ipseity import kube

Json = dict[str, Any]
PATIENCE_S = 20.0


def traces(names: layout.Lab) -> list[str]:
    """List everything on this machine that bears the lab's name."""
    found = [str(path) for path in layout.NETNS.glob(f"ips-{names.name}-*")]
    found += [str(path) for mount in cgroups.hierarchies() for path in mount.glob(f"ipseity-{names.name}")]
    found += [str(path) for path in mounts.below(names.state)]
    found += [str(names.state)] if names.state.exists() else []
    for process in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--lab" in words and names.name.encode() in words:
            found.append(str(process))
    return found


@pytest.fixture(scope="module")
def names() -> Iterator[layout.Lab]:
    """Name a lab of this module's own, and remove whatever it has become."""
    if os.geteuid() != 0:
        pytest.fail("these tests need root: they make namespaces, cgroups and mounts")
    it = layout.Lab(name=f"t{secrets.token_hex(3)}")
    try:
        yield it
    finally:
        lab.down(it)
        assert traces(it) == []


@pytest.fixture(scope="module")
def state(names: layout.Lab) -> lab.State:
    """Bring up two nodes, each with the smallest range there is."""
    return lab.up(names, lab.Wishes(nodes=2, pod_cidr=f"10.{100 + secrets.randbelow(100)}.0.0/28"))


class Api:
    """A client that knows what tests want."""

    def __init__(self, it: cluster.Cluster) -> None:
        self._it = it
        self._made: list[str] = []

    async def create(self, thing: Json, collection: str = "pods", root: str = "/api/v1") -> Json:
        """Create an object in the default namespace; it goes with the test."""
        path = f"{root}/namespaces/default/{collection}"
        made = await self._it.send("POST", path, thing)
        self._made.append(f"{path}/{made['metadata']['name']}")
        return made

    async def pod(self, name: str, *command: str, node: str = "node-a", **spec: Any) -> Json:
        """Create a pod of one container, bound to a node."""
        own = {
            "name": "main",
            "image": "none",
            **({"command": list(command)} if command else {}),
            **spec.pop("container", {}),
        }
        whole = {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [own], **spec}
        return await self.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": whole})

    async def get(self, name: str) -> Json | None:
        """Read a pod."""
        return await self._it.read(f"/api/v1/namespaces/default/pods/{name}")

    async def read(self, path: str) -> Json:
        """Read anything."""
        found = await self._it.read(path)
        assert found is not None, path
        return found

    async def until(self, name: str, holds: Callable[[Json], object], patience_s: float = PATIENCE_S) -> Json:
        """Read a pod until it is as it should be."""
        end_s, found = time.monotonic() + patience_s, None
        while time.monotonic() < end_s:
            found = await self.get(name)
            if found is not None and holds(found.get("status") or {}):
                return found
            await asyncio.sleep(0.02)
        pytest.fail(f"pod {name} did not come to that: {json.dumps((found or {}).get('status'), indent=1)}")

    async def phase(self, name: str, phase: str, patience_s: float = PATIENCE_S) -> Json:
        """Read a pod until it is in this phase."""
        return await self.until(name, lambda status: status.get("phase") == phase, patience_s)

    async def ready(self, name: str) -> Json:
        """Read a pod until it is ready."""
        return await self.until(name, lambda status: {"Ready": "True"}.items() <= conditions(status).items())

    async def log(self, name: str, container: str = "main", **query: str) -> str:
        """Read a container's log."""
        path = f"/api/v1/namespaces/default/pods/{name}/log"
        return (await kube.get(self._it.api, path, {"container": container, **query})).decode()

    async def delete(self, name: str, **options: Any) -> None:
        """Delete a pod and wait until it is gone."""
        await self._it.send("DELETE", f"/api/v1/namespaces/default/pods/{name}", options)
        end_s = time.monotonic() + PATIENCE_S
        while await self.get(name) is not None:
            assert time.monotonic() < end_s, f"pod {name} does not go"
            await asyncio.sleep(0.02)

    async def events(self, name: str) -> list[tuple[str, str]]:
        """Read reason and message of a pod's Events."""
        found = await self._it.read("/api/v1/namespaces/default/events") or {}
        mine = (it for it in found.get("items") or () if it["involvedObject"].get("name") == name)
        return [(it["reason"], it["message"]) for it in mine]

    async def close(self) -> None:
        """Remove what the test has made."""
        for path in reversed(self._made):
            with contextlib.suppress(kube.KubernetesError):
                await self._it.send("DELETE", path, {"gracePeriodSeconds": 0})
        await self.leave()

    async def leave(self) -> None:
        """Close the connection only."""
        await self._it.close()


def conditions(status: Json) -> dict[str, str]:
    """Conditions by type."""
    return {it["type"]: it["status"] for it in status.get("conditions") or ()}


def main(status: Json) -> Json:
    """Return the state of the only container."""
    return dict((status.get("containerStatuses") or [{}])[0])


@pytest.fixture
async def api(state: lab.State) -> AsyncIterator[Api]:
    """Connect to the lab's API; what a test creates through it goes with the test."""
    it = Api(cluster.Cluster(await kube.connect(str(state.names.kubeconfig)), "test"))
    try:
        yield it
    finally:
        await it.close()


@pytest.fixture
def node_plan(state: lab.State) -> plan.NodePlan:
    """Return the first node."""
    return state.plan.nodes[0]
