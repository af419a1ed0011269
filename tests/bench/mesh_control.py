"""What the control plane can do: reviews and certificates a second, and how soon 500 proxies hear of a change.

Rates are of one core: so many for each second of processor time that its process has used, however many cores callers
and API server take away meanwhile. What is measured by the clock runs ahead of other processes. Medians of rounds.
"""

import asyncio
import base64
import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from injector.discovery import resource
from tests.bench import costs, figure, light_proxies, mesh_callers, mesh_cluster, mesh_plane
from tests.fakes import recordings

ROUNDS = 5
REVIEWS, CERTIFICATES = 2_000, 500
AT_ONCE = 16
RATE, RATE_S = 100, 4
CHANGES = 20
_WEBHOOK = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/ipseity"
_REVIEW = "admissionreview-deployment-pod"
_PATIENCE_S = 60.0
_PAUSE_S = 0.5
"""Between changes, so that each is one of its own."""


def figures() -> Iterator[figure.Figure]:
    """Measure."""
    yield from asyncio.run(_measured())


async def _measured() -> list[figure.Figure]:
    async with mesh_plane.running() as plane:
        return [
            *await _reviews(plane),
            await _certificates(plane),
            *await _crowd(plane),
        ]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What callers found, and what it cost."""

    a_second: float
    a_core_second: float
    latencies_ms: list[float]

    @property
    def p99_ms(self) -> float:
        """The worst but a hundredth."""
        return self.latencies_ms[int(0.99 * (len(self.latencies_ms) - 1))]


async def _asked(plane: mesh_plane.Plane, count: int, *words: str, ahead: bool = False) -> Round:
    """Have callers ask ``count`` times."""
    program = [*(("chrt", "--fifo", "10") if ahead else ()), sys.executable, "-m", "tests.bench.mesh_callers", *words]
    before_s = costs.processor_s(plane.pid)
    process = await asyncio.create_subprocess_exec(*program, stdout=subprocess.PIPE)
    said, _ = await asyncio.wait_for(process.communicate(), _PATIENCE_S)
    if process.returncode != 0:
        raise RuntimeError(f"{words[0]} ended with {process.returncode}")
    spent_s = costs.processor_s(plane.pid) - before_s
    told: dict[str, Any] = json.loads(said)
    return Round(
        a_second=count / told["took_s"], a_core_second=count / spent_s, latencies_ms=list(told["latencies_ms"])
    )


async def _reviews(plane: mesh_plane.Plane) -> list[figure.Figure]:
    """Review pods of a Deployment, as recorded from kube-apiserver."""
    review = recordings.load(_REVIEW)["body"]
    body, ca = plane.folder / "review.json", plane.folder / "webhook.pem"
    body.write_text(json.dumps(_opted_in(review)))
    (hook, *_) = (await plane.api.get(_WEBHOOK))["webhooks"]
    ca.write_bytes(base64.b64decode(hook["clientConfig"]["caBundle"]))
    where = ("review", str(body), str(plane.ports.webhook), str(ca))
    fast, steady = [], []
    for _ in range(ROUNDS):
        fast.append(await _asked(plane, REVIEWS, *where, str(REVIEWS), str(AT_ONCE), "0"))
        async with ahead(plane.pid):
            count = RATE * RATE_S
            steady.append(await _asked(plane, count, *where, str(count), str(AT_ONCE), str(RATE), ahead=True))
    p50_ms = statistics.median(statistics.median(each.latencies_ms) for each in steady)
    return [
        figure.Figure(
            name=f"webhook, p99 at {RATE}/s",
            value=statistics.median(each.p99_ms for each in steady),
            unit="ms",
            limit=10.0,
            detail=f"p50 {p50_ms:.2f} ms; {ROUNDS} rounds of {RATE_S} s",
        ),
        _rate("webhook, reviews/s on one core", fast, "TLS, Events and all"),
    ]


def _opted_in(review: dict[str, Any]) -> dict[str, Any]:
    metadata = review["request"]["object"]["metadata"]
    metadata["annotations"] = {**metadata.get("annotations", {}), "ipseity.io/inject": "enabled"}
    review["request"]["namespace"] = mesh_cluster.NAMESPACE
    return review


async def _certificates(plane: mesh_plane.Plane) -> figure.Figure:
    bundle = plane.folder / "bundle.pem"
    bundle.write_text(plane.bundle)
    words = ("certify", str(bundle), str(plane.ports.identity), str(CERTIFICATES), str(AT_ONCE))
    rounds = [await _asked(plane, CERTIFICATES, *words) for _ in range(ROUNDS)]
    return _rate("certificates/s on one core", rounds, "a connection each, on disk before it is told")


def _rate(name: str, rounds: list[Round], how: str) -> figure.Figure:
    wall = statistics.median(each.a_second for each in rounds)
    return figure.Figure(
        name=name,
        value=statistics.median(each.a_core_second for each in rounds),
        unit="/s",
        limit=300.0,
        at_least=True,
        detail=f"{how}; {wall:.0f}/s by the clock, with callers on the same machine; {ROUNDS} rounds",
    )


@contextlib.asynccontextmanager
async def ahead(*pids: int) -> AsyncIterator[None]:
    """Have processes run ahead of others meanwhile: latency is their own then, and not a neighbour's."""
    _schedule(pids, os.SCHED_FIFO, 10)
    try:
        yield
    finally:
        _schedule(pids, os.SCHED_OTHER, 0)


def _schedule(pids: Iterable[int], policy: int, priority: int) -> None:
    for path in (path for pid in pids for path in pathlib.Path(f"/proc/{pid}/task").iterdir()):
        with contextlib.suppress(ProcessLookupError):  # a thread that has ended meanwhile
            os.sched_setscheduler(int(path.name), policy, os.sched_param(priority))


async def _crowd(plane: mesh_plane.Plane) -> list[figure.Figure]:
    """Connect a proxy for every pod; then let a pod come and go, again and again."""
    cluster, late_s = plane.api.cluster, []
    papers = [await mesh_callers.papers(plane.ports.identity, plane.bundle, number) for number in range(cluster.pods)]
    async with light_proxies.connected(plane.ports.discovery, plane.bundle, papers) as crowd:
        async with ahead(plane.pid, plane.api.pid, os.getpid()):
            for number in range(CHANGES):
                await asyncio.sleep(_PAUSE_S)
                change = functools.partial(plane.scale, up=number % 2 == 0)
                late_s += await crowd.heard(resource.ENDPOINT, f"{cluster.watched()}@", change)
        resident = costs.resident_bytes(plane.pid)
    return _heard(sorted(late_s), cluster, resident)


def _heard(late_s: list[float], cluster: mesh_cluster.Cluster, resident: int) -> list[figure.Figure]:
    told = f"p50 {late_s[len(late_s) // 2]:.3f} s, worst {late_s[-1]:.3f} s; {CHANGES} changes, by mTLS, acknowledged"
    return [
        figure.Figure(
            name=f"endpoint change at {cluster.pods} proxies, p99",
            value=late_s[int(0.99 * (len(late_s) - 1))],
            unit="s",
            limit=1.0,
            detail=told,
        ),
        figure.Figure(
            name="control plane, resident memory with them",
            value=resident / 1e6,
            unit="MB",
            limit=300.0,
            detail=f"{cluster.pods} pods behind {cluster.services} Services",
        ),
    ]
