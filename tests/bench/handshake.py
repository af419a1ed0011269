"""What it costs to tell identities in handshakes: connections a second, kernel time, and nothing once one is over.

Beside nobody, the agent without it, and programs that do nothing at the same hooks: no program there is cheaper. Every
round has all of them in turn.
"""

import statistics
from collections.abc import Iterator

from tests.bench import contenders, costs, figure, stage, turns
from tests.scene import onlooker

PORT = 7002
"""Of a server that is started when whoever watches is there: a listener of this node, as most are."""
ROUNDS, LONG_ROUNDS = 9, 7
CONNECTIONS = 15_000
COUNTED = 1_009
RATE, LONG_S = 30_000, 2.0
NOISE = 0.05
"""Less is not to be told apart on a machine with neighbours, whatever few rounds say."""
WATCHERS = (contenders.nobody, contenders.ipseity, contenders.handshake, contenders.hooks)
LONG_WATCHERS = (contenders.nobody, contenders.ipseity, contenders.handshake)


def all_figures(where: stage.Stage) -> Iterator[figure.Figure]:
    """Measure everything."""
    yield connections(where)
    yield from long_connection(where)


def connections(where: stage.Stage) -> figure.Figure:
    """Short connections a second, relative to nobody watching in the same round."""
    found: dict[str, list[float]] = {watcher.__name__: [] for watcher in WATCHERS}
    for _ in range(ROUNDS):
        alone = 1.0
        for watcher in WATCHERS:
            with watcher(where), where.serving(PORT):
                rate = where.connections_a_second(CONNECTIONS, port=PORT)
            alone = rate if watcher is contenders.nobody else alone
            found[watcher.__name__].append(rate if watcher is contenders.nobody else rate / alone)
    of = {name: statistics.median(values) for name, values in found.items()}
    detail = (
        f"{of['nobody']:.4g} /s alone; median of {ROUNDS} rounds; the agent without it: {of['ipseity']:.3f}; "
        f"empty programs at the same hooks: {of['hooks']:.3f}"
    )
    return figure.Figure(
        name="connections/s with handshake, of without agent",
        value=of["handshake"],
        unit="x",
        limit=0.96,
        at_least=True,
        detail=detail,
    )


def long_connection(where: stage.Stage) -> Iterator[figure.Figure]:
    """Compare times on one connection with the agent without it. Noise: how far apart those rounds are themselves."""
    found: dict[str, list[tuple[float, float, float]]] = {watcher.__name__: [] for watcher in LONG_WATCHERS}
    for _ in range(LONG_ROUNDS):
        for watcher in LONG_WATCHERS:
            with watcher(where), where.serving(PORT):
                found[watcher.__name__].append(where.long_connection(RATE, LONG_S, PORT))
    for name, column in (("p50", 1), ("p99", 2)):
        of = {who: statistics.median(row[column] for row in rows) for who, rows in found.items()}
        without = [row[column] for row in found["ipseity"]]
        noise = (max(without) - min(without)) / of["ipseity"]
        rate = statistics.median(row[0] for row in found["handshake"])
        yield figure.Figure(
            name=f"long connection, {name}, of without handshake",
            value=of["handshake"] / of["ipseity"],
            unit="x",
            limit=1 + max(noise, NOISE),
            detail=f"{rate:.0f} requests/s; {of['nobody']:.1f} us alone, {of['ipseity']:.1f} without, "
            f"{of['handshake']:.1f} with; median of {LONG_ROUNDS} rounds",
        )


def notes(where: stage.Stage) -> Iterator[str]:
    """Say what a connection costs: callbacks of the kernel for both ends, and run times of our programs."""
    for watcher in (contenders.ipseity, contenders.handshake):
        with watcher(where), where.serving(PORT):
            with onlooker.looking(where.cgroup) as seen:
                where.connections_a_second(COUNTED, port=PORT)
                calls = seen.counts()
                before = seen.counts()
                where.long_connection(RATE, LONG_S, PORT)
                long = sum(seen.counts().values()) - sum(before.values())
            with costs.kernel_statistics():
                start = costs.kernel_time_ns(contenders.INSTANCE)
                where.connections_a_second(CONNECTIONS, port=PORT)
                end = costs.kernel_time_ns(contenders.INSTANCE)
        told = ", ".join(f"{name} {count / COUNTED:.2f}" for name, count in calls.items())
        yield f"{watcher.__name__}: callbacks a connection, both ends: {sum(calls.values()) / COUNTED:.2f} ({told})"
        yield f"{watcher.__name__}: callbacks of one connection with {RATE * LONG_S:.0f} requests: {long}"
        ran = {name: (end[name][0] - start[name][0], end[name][1] - start[name][1]) for name in end}
        each = ", ".join(
            f"{name} {runs / CONNECTIONS:.1f} x {ns / runs:.0f} ns" for name, (ns, runs) in ran.items() if runs
        )
        total_us = sum(ns for ns, _ in ran.values()) / CONNECTIONS / 1000
        yield f"{watcher.__name__}: kernel time a connection, both ends, as billed: {total_us:.2f} us ({each})"
    yield from turns.notes(where, contenders.hooks, contenders.ipseity, contenders.handshake)
