"""An agent as a process of its own, as on a node: started with flags, asked over its socket, gone without a trace."""

import contextlib
import dataclasses
import http.client
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from agent import flowjson
from tests.scene import clone

START_LIMIT_S = 30.0
"""Arbitrary: ten times what a start may take; on a busy machine the compiler needs most of it."""
STOP_LIMIT_S = 5.0
"""What the agent promises for SIGTERM."""
POLL_S = 0.05


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A running agent."""

    process: subprocess.Popen[bytes]
    socket: pathlib.Path
    flow_log: pathlib.Path
    log: pathlib.Path

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask the API."""
        connection = UnixConnection(self.socket)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def alive(self) -> bool:
        """Tell whether it answers."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the agent ended with {self.process.returncode}:\n{self.log.read_text()[-4000:]}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.get("/healthz")[0] == http.client.OK
        return False

    def flows(self) -> list[flowjson.Flow]:
        """Read what it has written to its flow log."""
        if not self.flow_log.exists():
            return []
        lines = self.flow_log.read_bytes().splitlines(keepends=True)
        records = [flowjson.decode(line) for line in lines if line.endswith(b"\n")]
        return [record for record in records if isinstance(record, flowjson.Flow)]


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__("localhost", timeout=START_LIMIT_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the path instead of to a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(START_LIMIT_S)
        self.sock.connect(str(self._path))


@contextlib.contextmanager
def running(instance: str, *flags: str | pathlib.Path) -> Iterator[Agent]:
    """Start an agent, wait until it answers; afterwards end it and remove what it pinned."""
    with tempfile.TemporaryDirectory(prefix=f"ipseity-{instance}-") as name:
        folder = pathlib.Path(name)
        try:
            agent = start(instance, folder, *flags)
            try:
                wait_until(agent.alive, START_LIMIT_S, "the agent answers")
                yield agent
            finally:
                stop(agent.process)
        finally:
            subprocess.run(
                [*command(), "cleanup", "--instance", instance], cwd=clone.ROOT, check=True, capture_output=True
            )


def start(instance: str, folder: pathlib.Path, *flags: str | pathlib.Path) -> Agent:
    """Start an agent that keeps its files in ``folder``; it may be one that was there before."""
    api, flow_log, log = folder / "agent.sock", folder / "flows.jsonl", folder / "agent.log"
    own = ["--instance", instance, "--api", f"unix://{api}", "--state", folder / "state", "--flow-log", flow_log]
    words = [str(word) for word in [*command(), "run", *own, *flags]]
    with log.open("ab") as output:
        process = subprocess.Popen(words, cwd=clone.ROOT, stdout=output, stderr=output)
    return Agent(process=process, socket=api, flow_log=flow_log, log=log)


def command() -> list[str]:
    """Spell ``ipseity agent`` of the environment that we run from."""
    return [str(pathlib.Path(sys.executable).with_name("ipseity")), "agent"]


def stop(process: subprocess.Popen[bytes], *, limit_s: float = STOP_LIMIT_S) -> None:
    """Ask a process to end, and see that it does in time."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def wait_until(holds: Any, limit_s: float, what: str) -> float:
    """Wait for something that has no event to wait on; returns how long it took."""
    started_s = time.monotonic()
    while not holds():
        if time.monotonic() - started_s > limit_s:
            raise TimeoutError(f"not within {limit_s:.0f} s: {what}")
        time.sleep(POLL_S)  # noqa: TID251  # another process's state has no event
    return time.monotonic() - started_s
