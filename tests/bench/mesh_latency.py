"""What our sidecars add to a request, beside hand-written ones; and what memory they have under that load.

    python -m tests.bench.mesh_latency            # only this part of ``make bench``
    python -m tests.bench.mesh_latency --itself   # theirs beside theirs: what is not 1.000 is the method's own error

One process calls both in turn, a request to the one and a millisecond later one to the other, so that whatever the
machine does, it does to both. (In turns of a tenth of a second each, a single stall of some milliseconds decided whose
p99 was worse: rounds went from 0.5 to 2.) A round compares the latencies of some thousands of requests to each; the
median of the rounds is printed, with its standard error.
"""

import dataclasses
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence

from tests.bench import figure, mesh_stage
from tests.bench.mesh_stage import Way

ROUNDS = 9
REQUESTS = 4_000
"""By each side in a round."""
DIRECT_ROUNDS = 1
"""Nothing is promised about it."""
LIMIT = 1.05
MEMORY_MB = 30.0
_MEMORY_S = 5
_COMPARED = (Way.REDIRECTED, Way.BYTES, Way.HTTP)
_MEDIAN = math.sqrt(math.pi / 2)
"""Standard error of a median, as a multiple of a mean's."""


@dataclasses.dataclass(frozen=True, slots=True)
class Round:
    """What one round found of one way."""

    ours: mesh_stage.Latency
    theirs: mesh_stage.Latency


def figures(*, itself: bool = False) -> Iterator[figure.Figure]:
    """Measure. ``itself``: theirs stand in for ours."""
    with mesh_stage.ready() as where:
        direct = [_both(where, Way.DIRECT, ours=False) for _ in range(DIRECT_ROUNDS)]
        found: dict[Way, list[Round]] = {each: [] for each in _COMPARED}
        for _ in range(ROUNDS):
            for way, rounds in found.items():
                rounds.append(_both(where, way, ours=not itself))
        yield from _latencies(found, direct)
        if itself:
            return
        yield _memory(where)
        handshakes = where.handshakes("server")
    least = ROUNDS * mesh_stage.CONNECTIONS  # of bytes alone: requests share connections between the proxies
    if handshakes < least:
        raise RuntimeError(f"our callee has seen {handshakes} TLS handshakes where {least} were to be")


def _both(where: mesh_stage.Stage, way: Way, *, ours: bool) -> Round:
    """Measure one way, by both in turn."""
    found = where.load(way, ours, False, requests=REQUESTS)  # noqa: FBT003  # and theirs
    failed, asked = sum(each.failed for each in found), sum(each.requests for each in found)
    if failed:
        raise RuntimeError(f"{way.value}: {failed} of {asked} requests failed")
    return Round(*found)


def _latencies(found: dict[Way, list[Round]], direct: Sequence[Round]) -> Iterator[figure.Figure]:
    for name in ("p50", "p99"):
        direct_ms = statistics.median(getattr(each.theirs, f"{name}_ms") for each in direct)
        for way, rounds in found.items():
            ours, theirs = ([getattr(side, f"{name}_ms") for side in sides] for sides in _sides(rounds))
            ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
            error = _MEDIAN * statistics.stdev(ratios) / math.sqrt(len(ratios))
            yield figure.Figure(
                name=f"{way.value}, {name}, of by hand",
                value=statistics.median(ratios),
                unit="x",
                limit=LIMIT,
                detail=f"+- {error:.3f} ({len(ratios)} rounds, {min(ratios):.3f} to {max(ratios):.3f}); "
                f"{statistics.median(ours):.3f} ms, by hand {statistics.median(theirs):.3f} ms, "
                f"direct {direct_ms:.3f} ms; {mesh_stage.RATE}/s",
            )


def _sides(rounds: Sequence[Round]) -> tuple[list[mesh_stage.Latency], list[mesh_stage.Latency]]:
    return [each.ours for each in rounds], [each.theirs for each in rounds]


def _memory(where: mesh_stage.Stage) -> figure.Figure:
    """Read the memory of both sidecars in the middle of a load of requests."""
    command = where.command(Way.HTTP, True, requests=_MEMORY_S * mesh_stage.RATE)  # noqa: FBT003  # ours
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


def main(words: Sequence[str]) -> int:
    """Run as a program."""
    if words not in ([], ["--itself"]) or os.geteuid() != 0:
        print("usage: python -m tests.bench.mesh_latency [--itself], as root", file=sys.stderr)
        return 2
    tally = figure.printed(figures(itself=bool(words)))
    print(f"{tally.said} ({figure.machine()})")
    return 0 if tally.holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
