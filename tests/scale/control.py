"""The whole control plane with 1,000 Services, 10,000 endpoints and 2,000 proxies that hear of every change.

The process is the one that is deployed, over an API server that is a fake (``tests.bench.mesh_plane``); proxies are
those of ``tests.bench.light_proxies``. API server and proxies have processes of their own, which run ahead of others as
the control plane does: none of them is kept waiting for a second because the rest of a cluster is on the same machine.
An endpoint change is a pod that stops being ready or is ready again, in turn with a pod that comes or goes: every proxy
has a list of the pods' own addresses too, and is told it again then.
"""

import asyncio
import dataclasses
import functools
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

from injector.discovery import resource
from tests.bench import costs, figure, light_crowds, mesh_callers, mesh_cluster, mesh_control, mesh_plane

LARGE = mesh_cluster.Cluster(pods=10_000, services=1_000, accounts=50)
PROXIES = 2_000
CHANGES = 200
"""Of both kinds: of ten changes of a kind, the p99 is how the worst one went."""
PAUSE_S = 1.0
SETTLED_S = 5.0
MEMORY_MB, CORES, LATE_S = 1_000.0, 1.0, 2.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was measured."""

    synced_s: float
    """From the start of the process until it was ready."""
    told_s: float
    """From the first proxy's connection until all were told everything."""
    told_cores: float
    told_mb: float
    alone_mb: float
    """Resident memory before there were proxies."""
    resident_mb: float
    changing_cores: float
    late_s: tuple[tuple[float, ...], tuple[float, ...]]
    """Of pods that were there, and of pods that came or went: after how long each proxy heard."""


def figures() -> Iterator[figure.Figure]:
    """Measure."""
    found = asyncio.run(_measured())
    print(f"{LARGE.pods} pods of {LARGE.accounts} accounts behind {LARGE.services} Services, {PROXIES} proxies:")
    print(f"  ready after {found.synced_s:.1f} s, {found.alone_mb:.0f} MB")
    print(f"  all proxies told {found.told_mb:.0f} MB in {found.told_s:.1f} s, {found.told_cores:.2f} cores")
    yield figure.Figure(
        name="control plane, resident memory", value=found.resident_mb, unit="MB", limit=MEMORY_MB, detail="at the end"
    )
    yield figure.Figure(
        name="control plane, while endpoints change", value=found.changing_cores, unit="cores", limit=CORES
    )
    for what, late_s in zip(("a pod's readiness", "pods that come and go"), found.late_s, strict=True):
        yield figure.Figure(
            name=f"{what}, p99 of {PROXIES} proxies",
            value=_share(late_s, 0.99),
            unit="s",
            limit=LATE_S,
            detail=f"{CHANGES // 2} changes; p50 {_share(late_s, 0.5):.3f} s, worst {max(late_s):.3f} s",
        )


async def _measured() -> Found:
    async with mesh_plane.running(LARGE) as plane:
        synced_s, alone = time.monotonic() - plane.began_s, costs.resident_bytes(plane.pid)
        papers = [await mesh_callers.papers(plane.ports.identity, plane.bundle, each) for each in range(PROXIES)]
        meter = _Meter(plane.pid)
        async with light_crowds.connected(plane.ports.discovery, plane.bundle, papers) as crowd:
            told_s, told_cores = meter.read()
            told_mb = crowd.bytes / 1e6
            await asyncio.sleep(SETTLED_S)
            meter = _Meter(plane.pid)
            late_s = await _changes(plane, crowd)
            _, changing_cores = meter.read()
            resident = costs.resident_bytes(plane.pid)
    return Found(
        synced_s=synced_s,
        told_s=told_s,
        told_cores=told_cores,
        told_mb=told_mb,
        alone_mb=alone / 1e6,
        resident_mb=resident / 1e6,
        changing_cores=changing_cores,
        late_s=late_s,
    )


async def _changes(plane: mesh_plane.Plane, crowd: light_crowds.Crowds) -> tuple[tuple[float, ...], tuple[float, ...]]:
    flipped: list[float] = []
    scaled: list[float] = []
    async with mesh_control.ahead(plane.pid, plane.api.pid, os.getpid(), *crowd.pids):
        for number in range(CHANGES // 2):
            up, before = number % 2 == 0, number % 2 == 1
            unready = frozenset({LARGE.services} if up else ())
            there = (LARGE.pods,) if before else ()
            steps: Sequence[tuple[list[float], Callable[[], Awaitable[None]]]] = (
                (flipped, functools.partial(plane.api.put, *LARGE.endpoints(0, *there, unready=unready))),
                (scaled, functools.partial(plane.scale, up=up, unready=unready)),
            )
            for found, change in steps:
                await asyncio.sleep(PAUSE_S)
                found.extend(await crowd.heard(resource.ENDPOINT, f"{LARGE.watched()}@", change))
    return tuple(flipped), tuple(scaled)


class _Meter:
    """Reads how much of a core a process takes."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._began_s, self._spent_s = time.monotonic(), costs.processor_s(pid)

    def read(self) -> tuple[float, float]:
        """Give the seconds since the beginning, and cores."""
        took_s = time.monotonic() - self._began_s
        return took_s, (costs.processor_s(self._pid) - self._spent_s) / took_s


def _share(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]
