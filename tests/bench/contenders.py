"""Who watches while the load runs. Each is gone before the next one comes: programs left attached would cost on."""

import contextlib
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

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
