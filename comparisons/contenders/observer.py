"""The node agent alone: it says who called whom, and stops nobody. A program of the command line, one per node."""

import asyncio
import contextlib
import dataclasses
import json
import pathlib
import signal
import socket
import time
from collections.abc import AsyncIterator

from comparisons import stage
from comparisons.contenders import model, nothing
from comparisons.lab import cgroups

STARTED_S = 30.0
STOPPED_S = 10.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Observer(nothing.Nothing):
    """See the module. It only looks, so all but what runs is as without it."""

    name: str = "agent"
    lanes: int = 6
    title: str = "Node agent only"
    what: str = "Ipseity's eBPF agent on each node. It names both ends of every flow and enforces nothing."

    @contextlib.asynccontextmanager
    async def install(self, where: stage.Stage) -> AsyncIterator[None]:
        """Run an agent for each node."""
        async with contextlib.AsyncExitStack() as stack:
            for node in where.nodes:
                await stack.enter_async_context(_agent(where, node))
            yield


@contextlib.asynccontextmanager
async def _agent(where: stage.Stage, node: str) -> AsyncIterator[None]:
    folder = where.top / f"agent-{node}"
    folder.mkdir()
    api = folder / "agent.sock"
    root = cgroups.unified() / where.names.node(node).cgroup.lstrip("/")
    words = [
        str(stage.BIN / "ipseity"), "agent", "run", "--instance", f"{where.names.name}-{node}",
        "--api", f"unix://{api}", "--state", str(folder / "state"), "--flow-log", str(flow_log(where, node)),
        "--node-name", node, "--cgroup-root", str(root), "--kubeconfig", str(where.kubeconfig), "--max-interval-s", "1",
    ]  # fmt: skip
    with (folder / "agent.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*words, stdout=log, stderr=log, start_new_session=True)
    try:
        cgroups.adopt(f"{where.names.node(node).cgroup}/agent.service", process.pid)
        deadline_s = time.monotonic() + STARTED_S
        while not _answers(api):
            said = (folder / "agent.log").read_text()[-300:]
            if process.returncode is not None:
                raise stage.StageError(f"the agent of {node} ended: {said}")
            if time.monotonic() > deadline_s:
                raise stage.StageError(f"the agent of {node} is not ready within {STARTED_S:.0f} s: {said}")
            await asyncio.sleep(stage.POLL_S)
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(STOPPED_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        cleanup = [str(stage.BIN / "ipseity"), "agent", "cleanup", "--instance", f"{where.names.name}-{node}"]
        with contextlib.suppress(stage.StageError):
            await stage.command(*cleanup)


def _answers(api: pathlib.Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(api))
            connection.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)
        except OSError:
            return False


def flow_log(where: stage.Stage, node: str) -> pathlib.Path:
    """Name the file in which an agent writes its flows."""
    return where.top / f"agent-{node}" / "flows.jsonl"


def flows(where: stage.Stage) -> list[model.Json]:
    """Read what the agents have written."""
    found = []
    for node in where.nodes:
        path = flow_log(where, node)
        if path.exists():
            found += [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return found
