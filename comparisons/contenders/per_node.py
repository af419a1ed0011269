"""One proxy for each node, which holds the keys of its pods and speaks for them: the model of Istio's ambient mesh.

Certificates come from the same authority as the sidecars', policies are the same objects; what differs is where the
proxy is. Programs of a command line, two for each node.
"""

import asyncio
import contextlib
import dataclasses
import pathlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar, Final

from comparisons import match, stage
from comparisons.contenders import mesh, model, sidecar
from comparisons.lab import cgroups

TAKES_PART: Final = "comparisons.ipseity.io/node-proxy"
IDENTITY_PORT: Final = 8444
ALPN: Final = "ipseity-node"
HOLD: Final = """
import time
def listening():
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table]
    return {int(row[1][-4:], 16) for row in rows if row[3] == "0A"}
while not {15001, 15006} <= listening():
    time.sleep(0.01)
"""
"""Looks and does not call: who called these ports would have the proxy call itself."""
STARTED_S: Final = 60.0
STOPPED_S: Final = 10.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PerNode(sidecar.Sidecar):
    """See the module."""

    name: str = "node"
    lanes: int = 5
    title: str = "One proxy per node"
    what: str = (
        "An Envoy on each node with the keys of all its pods, to which their TCP is led: mTLS between nodes, policy by "
        "service account at the receiving one. The model of Istio ambient's ztunnel, of our own parts."
    )
    running: ClassVar[dict[tuple[str, str], asyncio.subprocess.Process]] = {}
    """By lab and node: what hears and configures."""

    @contextlib.asynccontextmanager
    async def install(self, where: stage.Stage) -> AsyncIterator[None]:
        """Have the certificate authority, and a proxy for each node."""
        await mesh.install(where)
        pods = await where.api.read(f"/api/v1/namespaces/{mesh.NAMESPACE}/pods") or {"items": ()}
        address = next(it["status"]["podIP"] for it in pods["items"] if it["status"].get("podIP"))
        async with contextlib.AsyncExitStack() as stack:
            for node in where.nodes:
                await stack.enter_async_context(self._proxy(where, node, f"{address}:{IDENTITY_PORT}"))
            yield

    @contextlib.asynccontextmanager
    async def _proxy(self, where: stage.Stage, node: str, identity: str) -> AsyncIterator[None]:
        here, folder = where.names.node(node), state(where, node)
        folder.parent.mkdir(parents=True, exist_ok=True)
        words = [
            sys.executable, "-m", "comparisons.node_proxy", "--node", node, "--kubeconfig", str(where.kubeconfig),
            "--netns", str(here.netns), "--pods", str(here.state / "netns"), "--state", str(folder),
            "--identity", identity, "--cgroup", f"{here.cgroup}/node-proxy-envoy.service",
        ]  # fmt: skip
        said = where.names.log(f"node-proxy-{node}")
        said.parent.mkdir(parents=True, exist_ok=True)
        with said.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *words, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.running[where.names.name, node] = process
        group = f"{here.cgroup}/node-proxy.service"
        try:
            cgroups.adopt(group, process.pid)
            deadline_s = time.monotonic() + STARTED_S
            while not (folder / "ready").exists():
                self._alive(where, node)
                if time.monotonic() > deadline_s:
                    message = f"the proxy of {node} is not ready within {STARTED_S:.0f} s"
                    raise stage.StageError(message, hint=f"see {said}")
                await asyncio.sleep(stage.POLL_S)
            yield
        finally:
            del self.running[where.names.name, node]
            await _end(process)
            for each in (group, f"{here.cgroup}/node-proxy-envoy.service"):
                cgroups.end(each)

    def _alive(self, where: stage.Stage, node: str) -> None:
        """StageError if what hears for a node has ended: its Envoy goes on with what it knows."""
        if self.running[where.names.name, node].returncode is not None:
            said = where.names.log(f"node-proxy-{node}")
            raise stage.StageError(f"the proxy of {node} ended: {said.read_text()[-300:]}", hint=f"see {said}")

    def believes(self, where: stage.Stage, node: str) -> Sequence[match.Belief]:
        """Go by no addresses."""
        del node
        for each in where.nodes:
            self._alive(where, each)
        return ()

    def annotations(self) -> Mapping[str, str]:
        """Ask for the redirect."""
        return {TAKES_PART: "enabled"}

    def admitted(self, pod: model.Json) -> model.Json:
        """Hold it until its node's proxy listens in it, as a CNI plugin does."""
        takes_part = (pod["metadata"].get("annotations") or {}).get(TAKES_PART) == "enabled"
        if not takes_part or pod["spec"].get("hostNetwork"):
            return pod
        wait = {"name": "held", "image": "comparisons/held", "command": [stage.PYTHON, "-I", "-S", "-c", HOLD]}
        return {**pod, "spec": {**pod["spec"], "initContainers": [wait]}}

    @contextlib.asynccontextmanager
    async def partition(self, where: stage.Stage, node: str) -> AsyncIterator[None]:
        """Freeze what hears of changes: Envoy goes on with what it knows."""
        process = self.running[where.names.name, node]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def loot(self, where: stage.Stage, pod: model.Json) -> model.Loot | None:
        """Copy the key of the pod's account from the proxy of its node, where all keys of the node are."""
        account = f"{pod['metadata']['namespace']}.{pod['spec']['serviceAccountName']}"
        there = state(where, pod["spec"]["nodeName"]) / "keys" / account
        keys, chains = (sorted(there.glob(f"{what}-*.pem")) for what in ("key", "cert"))
        found = mesh.loot(pod, keys[-1].read_bytes() + chains[-1].read_bytes())
        return dataclasses.replace(found, protocol=ALPN)


def state(where: stage.Stage, node: str) -> pathlib.Path:
    """Say where a node's proxy keeps its files: in the lab's memory."""
    return where.names.node(node).state / "node-proxy"


async def _end(process: asyncio.subprocess.Process) -> None:
    """End one, with its Envoy; what does not end in time is ended with its cgroup."""
    if process.returncode is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOPPED_S):
                await process.wait()
