"""What keeping an intent costs: latency at a fixed rate, and CPU and memory of every part, while requests flow.

Here because a policy that nobody can afford keeps nobody out. The same callers ask the same server in each contender's
lab; parts are told apart by the cgroups of the lab and the programs in them. Leaves out what is enforced.
"""

import asyncio
import collections
import contextlib
import pathlib
import random
from collections.abc import Mapping, Sequence
from typing import Final

from comparisons import results, stage, stats
from comparisons.contenders import model
from comparisons.lab import cgroups
from comparisons.scenarios import scene

SECONDS: Final = 6.0
WARM_S: Final = 1.0
"""Connections are opened and proxies told of their peers in this time: it is not counted."""
RATE: Final = 200.0
"""Requests a second, from all callers together. Arbitrary: half of what two cores can do with every contender."""
TOGETHER: Final = 10
"""Callers that are made at a time: fifty proxies that start at once keep one another from starting in time."""
PARTS: Final = (
    ("comparisons.node_proxy", "node agent"),
    ("envoy", "proxy"),
    ("ipseity sidecar", "proxy"),
    ("sidecar", "proxy"),
    ("control-plane", "control plane"),
    ("ip-policy", "policy agent"),
    ("agent run", "node agent"),
    ("actor.py", "application"),
)
"""By what a command line has in it; the first that fits."""


async def measure(where: stage.Stage, contender: model.Contender, pods: int) -> results.Usage:
    """Load a server from so many pods."""
    namespace = f"cost-{pods}"  # one that is being deleted takes nothing new
    it = scene.Scene(
        where=where,
        contender=contender,
        namespace=namespace,
        chance=random.Random(0),  # noqa: S311  # nothing is drawn
        parameters={},
    )
    await where.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    await it.serve()
    await it.intend("client")
    every_ms = 1000 * pods / RATE
    flags = (
        "--every",
        f"{every_ms:.3f}",
        "--seconds",
        f"{SECONDS}",
        "--warm",
        f"{WARM_S}",
        "--wait",
        "go",
        "--then",
        "stay",
    )
    names = [f"client-{number}" for number in range(pods)]
    for some in (names[at : at + TOGETHER] for at in range(0, pods, TOGETHER)):
        for name in some:
            await it.call("client", "load", *flags, name=name)
        for name in some:
            await where.wrote(name, "started")
            await where.ready(namespace, name)
    (where.truth() / "go").touch()
    await asyncio.sleep(WARM_S)
    before, from_ns = _cpu_us(where), stage.now_ns()
    await asyncio.sleep(SECONDS - WARM_S)
    after, until_ns = _cpu_us(where), stage.now_ns()
    memory = _memory_kb(where)
    for name in names:
        await where.wrote(name, "done")
    told = [_told((where.truth() / name).read_text()) for name in names]
    taken_s = [value for values, _, _ in told for value in values]
    seconds = (until_ns - from_ns) / 1e9
    await it.dismiss("web", *names)
    await where.delete("Namespace", "", namespace)
    where.forget("")
    return results.Usage(
        contender=contender.name,
        pods=pods,
        rate=RATE,
        answered=round(sum(len(values) / took_s for values, took_s, _ in told if took_s), 1),
        failed=sum(failed for _, _, failed in told),
        p50_ms=round(1000 * stats.quantile(taken_s, 0.5), 3),
        p99_ms=round(1000 * stats.quantile(taken_s, 0.99), 3),
        cpu_ms_per_s={part: round((after[part] - before.get(part, 0)) / 1000 / seconds, 2) for part in sorted(after)},
        memory_mb={part: round(kb / 1024, 1) for part, kb in sorted(memory.items())},
    )


def _told(text: str) -> tuple[list[float], float, int]:
    """Read what a caller said: latencies, how long it took, how many failed."""
    for line in text.splitlines():
        words = line.split()
        if words[1] == "load":
            took_s, failed, *values = words[3].split(",")
            return [float(value) for value in values], float(took_s), int(failed)
    return [], 0.0, 0


def _groups(where: stage.Stage) -> dict[pathlib.Path, str]:
    """List the cgroups of the lab that have processes of a part, with the part."""
    found = {}
    for path in (cgroups.unified() / where.names.cgroup.lstrip("/")).rglob("cgroup.procs"):
        with contextlib.suppress(OSError):
            part = _part(path.read_text().split())
            if part:
                found[path.parent] = part
    return found


def _part(pids: Sequence[str]) -> str:
    for pid in pids:
        with contextlib.suppress(OSError):
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            for word, part in PARTS:
                if word in words:
                    return part
    return ""


def _cpu_us(where: stage.Stage) -> Mapping[str, int]:
    """Sum up CPU time by part."""
    found: collections.Counter[str] = collections.Counter()
    for path, part in _groups(where).items():
        with contextlib.suppress(OSError):
            said = dict(line.split() for line in (path / "cpu.stat").read_text().splitlines())
            found[part] += int(said["usage_usec"])
    return found


def _memory_kb(where: stage.Stage) -> Mapping[str, int]:
    """Sum up memory by part: what is a process's own, and its share of what it shares (PSS)."""
    found: collections.Counter[str] = collections.Counter()
    for path, part in _groups(where).items():
        with contextlib.suppress(OSError):
            for pid in (path / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
                    found[part] += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return found
