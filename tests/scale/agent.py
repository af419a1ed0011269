"""One agent with the API of 5,000 nodes and 150,000 pods, of which pods come and go.

The process is the one that is deployed, with its programs in the kernel; the API server is ``many_pods``. Its node is
one of the cluster's, whose pods are not on this machine: what the kernel's side costs is in ``make bench``. Twice: with
the addresses of all pods (``--remote-evidence ip``), and with this node's pods alone (``handshake``).
"""

import contextlib
import dataclasses
import http.client
import json
import pathlib
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tests.bench import costs, figure
from tests.scale import many_pods
from tests.scene import agent, clone, room

INSTANCE: Final = "scale"
NODES, PODS = 5_000, 150_000
_NUMBER: Final = 7
"""Of its node."""
A_SECOND: Final = 20.0
"""Pods that come, and as many that go: all 150,000 in two hours, seven events each."""
CHURN_S: Final = 60.0
SYNC_S, IP_MB, HANDSHAKE_MB = 10.0, 300.0, 120.0
AGAIN_MB: Final = 536.9
"""The chart's limit, 512Mi."""
_PATIENCE_S: Final = 120.0
_SETTLED_S: Final = 5.0
_TIMES: Final = 5
"""How often it is started: the same 150,000 pods take a machine that is shared with others up to twice as long."""
_GRACE_S: Final = 15.0
"""As the chart's terminationGracePeriodSeconds."""
_LOOK_S: Final = 0.5
"""To be asked takes the agent time too."""
_LOST: Final = ("ownership_", "watch_", "tick_failed")
"""Beginnings of what counts events that were lost."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was measured."""

    synced_s: float
    """From the first list that was asked for until all objects are known, and have been taken."""
    synced_cpu_s: float
    resident_mb: float
    peak_mb: float
    again_mb: float
    """The most that one needs that goes on from the checkpoint."""
    cores: float
    """While pods come and go."""
    events: int
    asked: dict[str, int]
    churn_asked: int
    a_minute: float
    """Requests, as long as watches last that were asked for."""


def figures() -> Iterator[figure.Figure]:
    """Measure."""
    for evidence, limit_mb in (("ip", IP_MB), ("handshake", HANDSHAKE_MB)):
        found = _measured(evidence)
        what = f"agent, --remote-evidence {evidence}"
        lists = ", ".join(f"{count} {name}" for name, count in sorted(found.asked.items()))
        print(f"{NODES} nodes, {PODS} pods, {many_pods.SERVICES} Services; {what}:")
        print(f"  requests to begin with: {lists}; {found.synced_cpu_s:.1f} s of processor")
        print(
            f"  {A_SECOND:g} pods/s replaced for {CHURN_S:.0f} s: {found.events} events, {found.cores:.3f} cores,"
            f" {found.churn_asked} requests; {found.a_minute:.1f} requests a minute as watches were asked to last"
        )
        took_s = sorted([found.synced_s, *(_took_s(evidence) for _ in range(_TIMES - 1))])
        yield figure.Figure(
            name=f"{what}, time to sync",
            value=statistics.median(took_s),
            unit="s",
            limit=SYNC_S,
            detail=f"median of {_TIMES}: {took_s[0]:.1f} to {took_s[-1]:.1f} s",
        )
        yield figure.Figure(
            name=f"{what}, memory",
            value=found.resident_mb,
            unit="MB",
            limit=limit_mb,
            detail=f"resident after that; at most {found.peak_mb:.0f} MB",
        )
        yield figure.Figure(name=f"{what}, started again", value=found.again_mb, unit="MB", limit=AGAIN_MB)


def _measured(evidence: str) -> Found:
    with _synced(evidence) as now:
        pid = now.watched.process.pid
        synced_cpu_s = costs.processor_s(pid)
        time.sleep(_SETTLED_S)  # noqa: TID251  # what it does meanwhile is what is measured
        began_cpu_s = costs.processor_s(pid)
        now.api.told(f"churn {A_SECOND}")
        time.sleep(CHURN_S)  # noqa: TID251  # as above
        after = now.api.told("end")
        _wait(now.watched, _known(evidence, after["came"]))
        resident, peak = costs.resident_bytes(pid), _peak_bytes(pid)
        spent_s = costs.processor_s(pid) - began_cpu_s
        agent.stop(now.watched.process, limit_s=_GRACE_S)
        return Found(
            synced_s=now.took_s,
            synced_cpu_s=synced_cpu_s,
            resident_mb=resident / 1e6,
            peak_mb=peak / 1e6,
            again_mb=_again_bytes(now, _known(evidence, after["came"])) / 1e6,
            cores=spent_s / CHURN_S,
            events=after["sent"],
            asked=now.asked,
            churn_asked=sum(after["asked"].values()) - sum(now.asked.values()),
            a_minute=sum(60 / each for each in after["watch_s"].values()),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Synced:
    """An agent that knows all of the cluster."""

    api: "_Api"
    watched: agent.Agent
    flags: Sequence[str | pathlib.Path]
    took_s: float
    asked: dict[str, int]


@contextlib.contextmanager
def _synced(evidence: str) -> Iterator[_Synced]:
    with contextlib.ExitStack() as stack:
        api = stack.enter_context(_Api.running())
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ipseity-scale-", dir="/var/tmp")))
        flags = _flags(stack.enter_context(_cgroup()), folder, api.port, evidence)
        watched = stack.enter_context(agent.running(INSTANCE, *flags))
        _wait(watched, _known(evidence, 0))
        told_s, before = time.monotonic(), api.told("counts")
        yield _Synced(api=api, watched=watched, flags=flags, took_s=told_s - before["began_s"], asked=before["asked"])
        agent.stop(watched.process, limit_s=_GRACE_S)


def _again_bytes(now: _Synced, expected: int) -> int:
    """Start it again where it was, and give the most memory that it had until it knew everything."""
    again = agent.start(INSTANCE, now.watched.socket.parent, *now.flags)
    try:
        agent.wait_until(again.alive, _PATIENCE_S, "the agent answers again")
        _wait(again, expected)
        return _peak_bytes(again.process.pid)
    finally:
        agent.stop(again.process, limit_s=_GRACE_S)


def _took_s(evidence: str) -> float:
    with _synced(evidence) as now:
        return now.took_s


def _known(evidence: str, came: int) -> int:
    """Count what an agent knows when so many pods have come: it remembers for ten minutes those that are gone."""
    cluster = many_pods.Pods(NODES)
    all_of_them = evidence == "ip"
    pods = sum(all_of_them or cluster.node(number) == _NUMBER for number in range(PODS + came))
    return pods + NODES + many_pods.SERVICES


def _flags(cgroup: pathlib.Path, folder: pathlib.Path, port: int, evidence: str) -> Sequence[str | pathlib.Path]:
    cluster = {"name": "scale", "cluster": {"server": f"http://127.0.0.1:{port}"}}
    context = {"name": "scale", "context": {"cluster": "scale", "user": "scale"}}
    users = [{"name": "scale", "user": {}}]
    config = {"clusters": [cluster], "contexts": [context], "users": users, "current-context": "scale"}
    (folder / "kubeconfig").write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **config}))
    key = folder / "key"
    key.touch(mode=0o600)
    key.write_text(f"{secrets.token_hex(16)}\n")
    words: dict[str, str | pathlib.Path] = {
        "--kubeconfig": folder / "kubeconfig",
        "--cgroup-root": cgroup,
        "--node-name": f"node-{_NUMBER}",
        "--remote-evidence": evidence,
        "--handshake-key-file": key,
    }
    return [each for pair in words.items() for each in pair]


@contextlib.contextmanager
def _cgroup() -> Iterator[pathlib.Path]:
    """Have a cgroup without anybody in it, so that the kernel has nothing to tell."""
    path = room.cgroup_root() / "ipseity-scale"
    path.mkdir()
    try:
        yield path
    finally:
        path.rmdir()


class _Api:
    """The API server, from here. Use ``running``."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._words, self._answers = process.stdin, process.stdout
        self.port = int(self._answers.readline())

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator["_Api"]:
        """Start it; afterwards it is gone."""
        words = [sys.executable, "-m", "tests.scale.many_pods", str(NODES), str(PODS)]
        pipes = subprocess.PIPE
        process = subprocess.Popen(words, cwd=clone.ROOT, stdin=pipes, stdout=pipes, text=True)
        with process:
            try:
                yield cls(process)
            finally:
                process.kill()

    def told(self, word: str) -> dict[str, Any]:
        """Say a word; gives what it counts."""
        print(word, file=self._words, flush=True)
        found: dict[str, Any] = json.loads(self._answers.readline())
        return found


def _wait(watched: agent.Agent, expected: int) -> None:
    """Wait until an agent knows so many objects, gone ones too, and all is well with it."""

    def holds() -> bool:
        ready, _ = watched.get("/readyz")
        told = json.loads(watched.get("/debug")[1])
        lost = {name: count for name, count in told["drops"].items() if name.startswith(_LOST) and count}
        if lost:
            raise RuntimeError(f"the agent has lost what it was told: {lost}")
        return ready == http.client.OK and told["objects"] >= expected

    until_s = time.monotonic() + _PATIENCE_S
    while not holds():
        if time.monotonic() > until_s:
            raise TimeoutError(f"the agent does not know {expected} objects after {_PATIENCE_S:.0f} s")
        time.sleep(_LOOK_S)  # noqa: TID251  # another process's state has no event


def _peak_bytes(pid: int) -> int:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])
