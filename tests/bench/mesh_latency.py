"""What our sidecars add to a request, beside hand-written ones; and what memory they have under that load.

Rounds are interleaved (ours, theirs; next time theirs, ours) and each is compared with its neighbour; medians of the
rounds are printed. Whatever drifts, drifts for both.
"""

import dataclasses
import itertools
import statistics
import subprocess
from collections.abc import Iterator

from tests.bench import figure, mesh_stage
from tests.bench.mesh_stage import Way

ROUNDS = 41
"""The p99 of a thousand requests varies by a sixth from one second to the next: so many, and it is known to 3 %."""
DIRECT_ROUNDS = 5
"""Nothing is promised about it."""
REQUESTS = 1_000
LIMIT = 1.05
MEMORY_MB = 30.0
_MEMORY_S = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Round:
    """What one round found of one way, p50 and p99 in milliseconds."""

    ours: tuple[float, float]
    theirs: tuple[float, float]


def figures() -> Iterator[figure.Figure]:
    """Measure."""
    with mesh_stage.ready() as where:
        for each in Way:  # the first of all would be the slowest
            _both(where, each, swapped=False)
        found: dict[Way, list[Round]] = {each: [] for each in Way}
        for number, each in itertools.product(range(ROUNDS), Way):
            if each is not Way.DIRECT or number < DIRECT_ROUNDS:
                found[each].append(_both(where, each, swapped=number % 2 == 1))
        yield from _latencies(found)
        yield _memory(where)
        handshakes = where.handshakes("server")
    least = (ROUNDS + 1) * mesh_stage.CONNECTIONS  # of bytes alone: requests share connections between the proxies
    if handshakes < least:
        raise RuntimeError(f"our callee has seen {handshakes} TLS handshakes where {least} were to be")


def _both(where: mesh_stage.Stage, way: Way, *, swapped: bool) -> Round:
    """Measure one way, by whom it can be gone."""
    found = {}
    for ours in (False, True) if swapped else (True, False):
        if (ours, way) in where.targets:
            seen = where.load(way, ours=ours, requests=REQUESTS)
            if seen.failed:
                raise RuntimeError(f"{way.value}: {seen.failed} of {seen.requests} requests failed")
            found[ours] = (seen.p50_ms, seen.p99_ms)
    return Round(ours=found.get(True, found[False]), theirs=found[False])


def _latencies(found: dict[Way, list[Round]]) -> Iterator[figure.Figure]:
    for at, name in enumerate(("p50", "p99")):
        direct_ms = statistics.median(each.theirs[at] for each in found[Way.DIRECT])
        for way in (Way.REDIRECTED, Way.BYTES, Way.HTTP):
            rounds = found[way]
            ours_ms, theirs_ms = (
                statistics.median(side) for side in zip(*((x.ours[at], x.theirs[at]) for x in rounds), strict=True)
            )
            detail = f"{ours_ms:.3f} ms, by hand {theirs_ms:.3f} ms, direct {direct_ms:.3f} ms; {ROUNDS} rounds"
            yield figure.Figure(
                name=f"{way.value}, {name}, of by hand",
                value=statistics.median(each.ours[at] / each.theirs[at] for each in rounds),
                unit="x",
                limit=LIMIT,
                detail=f"{detail} at {mesh_stage.RATE}/s",
            )


def _memory(where: mesh_stage.Stage) -> figure.Figure:
    """Read the memory of both sidecars in the middle of a load of requests."""
    command = where.command(Way.HTTP, ours=True, requests=_MEMORY_S * mesh_stage.RATE)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as load:
        try:
            load.wait(_MEMORY_S / 2)
        except subprocess.TimeoutExpired:
            found = {app: where.sidecar(app) for app in ("client", "server")}
        else:
            raise RuntimeError("the load ended before it was looked at")
    app, parts = max(found.items(), key=lambda item: sum(item[1].values()))
    told = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sorted(parts.items()))
    return figure.Figure(
        name="sidecar, private memory under load",
        value=sum(parts.values()) / 1e6,
        unit="MB",
        limit=MEMORY_MB,
        detail=f"the {app}'s, which has more: {told}",
    )
