"""What routes cost the control plane: how soon 500 proxies hear of new weights; a thousand changes a minute.

Every one of 50 Services has a route. Changes are writes of an HTTPRoute, as a progressive delivery makes them, and
statuses are written back, as in a cluster. A core is a second of the process's time in a second of the clock.
"""

import asyncio
import functools
import itertools
import os
import time
from collections.abc import AsyncIterator, Iterator

from injector.discovery import resource
from tests.bench import costs, figure, light_proxies, mesh_callers, mesh_control, mesh_plane

CHANGES = 20
PAUSE_S = 0.5
A_MINUTE, LASTING_S = 1_000, 30
SETTLED_S = 3.0
LATE_S, CORES = 1.0, 1.0


def figures() -> Iterator[figure.Figure]:
    """Measure."""
    yield from asyncio.run(_measured())


async def _measured() -> list[figure.Figure]:
    async with mesh_plane.running() as plane:
        cluster = plane.api.cluster
        for number in range(cluster.services):
            await plane.api.put(*cluster.route(number, 10))
        papers = [await mesh_callers.papers(plane.ports.identity, plane.bundle, each) for each in range(cluster.pods)]
        async with light_proxies.connected(plane.ports.discovery, plane.bundle, papers) as crowd:
            await asyncio.sleep(SETTLED_S)
            async with mesh_control.ahead(plane.pid, os.getpid()):
                return [await _heard(plane, crowd), await _lasting(plane, crowd)]


async def _heard(plane: mesh_plane.Plane, crowd: light_proxies.Crowd) -> figure.Figure:
    """Change the weights of one route, again and again."""
    late_s: list[float] = []
    for weight in range(CHANGES):
        await asyncio.sleep(PAUSE_S)
        change = functools.partial(plane.api.put, *plane.api.cluster.route(0, weight))
        late_s += await crowd.heard(resource.ROUTE, plane.api.cluster.watched(), change)
    late_s.sort()
    return figure.Figure(
        name=f"weight change at {crowd.size} proxies, p99",
        value=late_s[int(0.99 * (len(late_s) - 1))],
        unit="s",
        limit=LATE_S,
        detail=f"p50 {late_s[len(late_s) // 2]:.3f} s, worst {late_s[-1]:.3f} s; {CHANGES} changes, by mTLS",
    )


async def _lasting(plane: mesh_plane.Plane, crowd: light_proxies.Crowd) -> figure.Figure:
    """Change routes at a rate, one Service's after the other's."""
    began_s, before_s = time.monotonic(), costs.processor_s(plane.pid)
    written, told = 0, crowd.bytes
    async for number in _at_a_rate():
        cluster = plane.api.cluster
        await plane.api.put(*cluster.route(number % cluster.services, 20 + number // cluster.services % 60))
        written += 1
    took_s, spent_s = time.monotonic() - began_s, costs.processor_s(plane.pid) - before_s
    last = functools.partial(plane.api.put, *plane.api.cluster.route(0, 99))
    late_s = sorted(await crowd.heard(resource.ROUTE, plane.api.cluster.watched(), last))
    return figure.Figure(
        name=f"control plane at {A_MINUTE} route changes a minute",
        value=spent_s / took_s,
        unit="cores",
        limit=CORES,
        detail=f"{written} in {took_s:.0f} s, {(crowd.bytes - told) / 1e6:.0f} MB told to {crowd.size} proxies; "
        f"one right after them is heard after {late_s[int(0.99 * (len(late_s) - 1))]:.3f} s at p99",
    )


async def _at_a_rate() -> AsyncIterator[int]:
    began_s = time.monotonic()
    for number in itertools.count():
        due_s = number * 60 / A_MINUTE
        if due_s >= LASTING_S:
            return
        await asyncio.sleep(max(0.0, began_s + due_s - time.monotonic()))
        yield number
