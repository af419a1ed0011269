"""Who watches while the load runs. Each is gone before the next one comes: programs left attached would cost on."""

import contextlib
import os
import pathlib
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import numpy as np

from agent import bpfcall, wire
from tests.bench import costs, stage
from tests.scene import agent, metrics

INSTANCE = "bench"
SETTLED_DRAINS = 2
"""After so many a start is over: what is measured is an agent that has been there, not one that arrives."""


@contextlib.contextmanager
def nobody(where: stage.Stage) -> Iterator[None]:
    """Nothing watches."""
    del where
    yield


@contextlib.contextmanager
def ipseity(where: stage.Stage) -> Iterator[agent.Agent]:
    """Our agent, as it is by default: no flow log, so no records of single connections."""
    with agent.running(INSTANCE, "--cgroup-root", where.cgroup, "--flow-log", "") as watched:
        agent.wait_until(lambda: _drains(watched) >= SETTLED_DRAINS, agent.START_LIMIT_S, "the agent has settled")
        yield watched


@contextlib.contextmanager
def handshake(where: stage.Stage) -> Iterator[agent.Agent]:
    """Our agent with keys, and both rooms with an identity, written where it would write those of pods."""
    with tempfile.TemporaryDirectory(prefix="ipseity-bench-") as folder:
        key = pathlib.Path(folder) / "key"
        key.touch(mode=0o600)
        key.write_text(f"{secrets.token_hex(16)}\n")
        flags = ("--cgroup-root", where.cgroup, "--flow-log", "", "--handshake-key-file", key)
        with agent.running(INSTANCE, *flags) as watched:
            agent.wait_until(lambda: _drains(watched) >= SETTLED_DRAINS, agent.START_LIMIT_S, "the agent has settled")
            agent.wait_until(_is_on, agent.START_LIMIT_S, "identities are told in handshakes")
            _identify(where)
            yield watched


def _is_on() -> bool:
    (path,) = costs.pins(INSTANCE, "kernel_settings")
    settings = bpfcall.unpinned(str(path))
    raw = bpfcall.lookup(settings, bytes(4), wire.KERNEL_SETTINGS.itemsize)
    os.close(settings)
    return bool(np.frombuffer(raw, wire.KERNEL_SETTINGS)["handshake"][0])


def _identify(where: stage.Stage) -> None:
    (path,) = costs.pins(INSTANCE, "identities")
    identities = bpfcall.unpinned(str(path))
    for tag, room in enumerate((where.caller, where.callee), start=1):
        bpfcall.update(identities, room.cgroup_id.to_bytes(8, sys.byteorder), wire.identity(tag, tag))
    os.close(identities)


def _drains(watched: agent.Agent) -> float:
    return metrics.sums(watched).get("ipseity_drain_seconds_count", {}).get((), 0.0)


@contextlib.contextmanager
def hooks(where: stage.Stage) -> Iterator[None]:
    """Attach programs that do nothing to the hooks that ours use: what no program there can be cheaper than."""
    with costs.empty_programs(where.cgroup):
        yield


@contextlib.contextmanager
def tcplife(where: stage.Stage) -> Iterator[None]:
    """Run the tool of libbpf-tools that tells each connection's bytes and duration, for contrast."""
    del where
    program = shutil.which("tcplife") or "/usr/sbin/tcplife"
    with subprocess.Popen([program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as watching:
        assert watching.stdout is not None
        drain = subprocess.Popen(["cat"], stdin=watching.stdout, stdout=subprocess.DEVNULL)
        try:
            agent.wait_until(lambda: attached("tcplife", watching), agent.START_LIMIT_S, "tcplife is attached")
            yield
        finally:
            watching.terminate()
            watching.wait()
            drain.wait()


def attached(name: str, watching: subprocess.Popen[bytes]) -> bool:
    """Tell whether a tool has attached its programs: it holds perf events or links by then."""
    if watching.poll() is not None:
        raise RuntimeError(f"{name} ended with {watching.returncode} before it watched anything")
    kinds = []
    for fd in pathlib.Path(f"/proc/{watching.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            kinds.append(str(fd.readlink()))
    return any("perf_event" in kind or "bpf_link" in kind or "bpf-link" in kind for kind in kinds)
