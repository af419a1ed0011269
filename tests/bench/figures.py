"""The figures that a release must meet, each measured and put beside its limit."""

import statistics
import time
from collections.abc import Callable, Iterator

from agent import attach, edges, kernel
from tests.bench import contenders, costs, figure, stage
from tests.scene import agent

ROUNDS = 5
RATE_ROUNDS = 9
BULK_ROUNDS = 15
"""More: one connection's throughput varies by a tenth from one second to the next."""
CONNECTIONS = 15_000
BULK_S = 1.0
BUSY_EDGES = 1_000
FULL_EDGES = 65_536
WATCHERS = (contenders.nobody, contenders.ipseity, contenders.hooks, contenders.tcplife)


def all_figures(where: stage.Stage) -> Iterator[figure.Figure]:
    """Measure everything, cheapest first."""
    yield first_flow(where)
    yield from kernel_time(where)
    yield from at_full_rate(where)
    yield from full_table(where)
    yield from rates(where)


def interleaved(where: stage.Stage, measure: Callable[[], float], rounds: int) -> dict[str, float]:
    """Medians of rounds in which every watcher has its turn, each relative to nobody in the same round.

    Whatever drifts, drifts for all of a round: a neighbour on the machine, a clock that was lowered.
    """
    found: dict[str, list[float]] = {watcher.__name__: [] for watcher in WATCHERS}
    for _ in range(rounds):
        alone = 1.0
        for watcher in WATCHERS:
            with watcher(where):
                value = measure()
            alone = value if watcher is contenders.nobody else alone
            found[watcher.__name__].append(value if watcher is contenders.nobody else value / alone)
    return {name: statistics.median(values) for name, values in found.items()}


def rates(where: stage.Stage) -> Iterator[figure.Figure]:
    """Short connections a second and bytes a second, relative to nobody watching."""
    where.connections_a_second(CONNECTIONS)  # the first round of all would be the slowest
    short = interleaved(where, lambda: where.connections_a_second(CONNECTIONS), RATE_ROUNDS)
    bulk = interleaved(where, lambda: where.bytes_a_second(BULK_S), BULK_ROUNDS)
    for name, rate, limit, unit, rounds in (
        ("connections/s", short, 0.97, "/s", RATE_ROUNDS),
        ("bulk throughput", bulk, 0.99, "B/s", BULK_ROUNDS),
    ):
        others = f"empty programs at the same hooks: {rate['hooks']:.3f}; tcplife: {rate['tcplife']:.3f}"
        detail = f"{rate['nobody']:.4g} {unit} alone; median of {rounds} rounds; {others}"
        yield figure.Figure(
            name=f"{name}, of without", value=rate["ipseity"], unit="x", limit=limit, at_least=True, detail=detail
        )


def first_flow(where: stage.Stage) -> figure.Figure:
    """From the start of the process to its first flow, while connections are made."""
    flags = (contenders.INSTANCE, "--cgroup-root", where.cgroup)
    with where.caller.start(where.program, "crr", where.callee.address4, str(stage.PORT), "10000000", "1") as load:
        started_s = time.monotonic()
        try:
            with agent.running(*flags) as watched:
                agent.wait_until(lambda: bool(watched.flows()), agent.START_LIMIT_S, "a flow is told")
                took_s = time.monotonic() - started_s
        finally:
            load.kill()
    return figure.Figure(name="first flow after start", value=took_s, unit="s", limit=3.0)


def kernel_time(where: stage.Stage) -> Iterator[figure.Figure]:
    """Time in our programs for each end of a short connection, timed by the kernel itself.

    The kernel bills its own timing, some 60 ns a call, to the program: an empty one beside ours shows how much. Hence
    two figures: the TCP program as billed, which is how the first sketch of it was measured (1.9 us), and all of
    them, with the packet programs that TCP only passes through, less the bill of as many empty calls.
    """
    with contenders.ipseity(where), costs.kernel_statistics(), costs.empty_programs(where.cgroup) as empty:
        before = costs.kernel_time_ns(contenders.INSTANCE)
        where.connections_a_second(CONNECTIONS)
        after = costs.kernel_time_ns(contenders.INSTANCE)
        bills = {kind: ns / count for kind, (ns, count) in _bills(empty)}
    spent = {name: (after[name][0] - before[name][0], after[name][1] - before[name][1]) for name in after}
    ends = 2 * CONNECTIONS
    calls = ((name, count, ns / count) for name, (ns, count) in spent.items() if count)
    told = ", ".join(f"{name} {count / ends:.1f} x {each_ns:.0f} ns" for name, count, each_ns in calls)
    billed_us = {name: ns / ends / 1000 for name, (ns, _) in spent.items()}
    empty_us = sum(
        count * bills["cgroup_skb" if name.startswith("packet") else "sock_ops"] / ends / 1000
        for name, (_, count) in spent.items()
    )
    total_us = sum(billed_us.values())
    yield figure.Figure(
        name="kernel time per connection end, TCP program",
        value=billed_us["tcp_ops"],
        unit="us",
        limit=1.2,
        detail=told,
    )
    detail = f"{total_us:.2f} us billed, of which {empty_us:.2f} us for as many empty calls"
    yield figure.Figure(
        name="kernel time per connection end, all, net", value=total_us - empty_us, unit="us", limit=1.2, detail=detail
    )


def _bills(empty: dict[str, int]) -> Iterator[tuple[str, tuple[int, int]]]:
    for kind, program in empty.items():
        yield kind, costs.program_time_ns(program)


def at_full_rate(where: stage.Stage) -> Iterator[figure.Figure]:
    """Measure what the process takes while as many connections as possible touch a thousand edges."""
    with contenders.ipseity(where) as watched:
        pid = watched.process.pid
        before_s, started_s = costs.processor_s(pid), time.monotonic()
        rate = where.connections_a_second(10 * CONNECTIONS, spread=BUSY_EDGES // 2)
        share = (costs.processor_s(pid) - before_s) / (time.monotonic() - started_s)
        resident = costs.resident_bytes(pid)
    detail = f"{rate:.0f} connections/s over {BUSY_EDGES} edges"
    yield figure.Figure(name="agent, share of one processor", value=100 * share, unit="%", limit=2.0, detail=detail)
    yield figure.Figure(name="agent, resident memory", value=resident / 1e6, unit="MB", limit=100.0)


def full_table(where: stage.Stage) -> Iterator[figure.Figure]:
    """Memory and drain of a table that is full, read the way the agent reads it."""
    options = attach.Options(cgroup_root=where.cgroup, instance=contenders.INSTANCE, max_edges=FULL_EDGES)
    held = kernel.Kernel(options)
    try:
        held.settle(records=False, private=True, kept=[], collapsed=[])
        where.connections_a_second(FULL_EDGES * 3 // 4, spread=32_000)
        table, times_ms = edges.Table(), []
        for _ in range(ROUNDS):
            started_s = time.monotonic()
            keys, values = held.edges()
            told = table.difference(keys, values, idle_before_boot_ns=0)
            times_ms.append(1000 * (time.monotonic() - started_s))
            table.commit(told)
        memory = costs.map_memory_bytes(contenders.INSTANCE)
    finally:
        held.close()
        attach.cleanup(options.bpffs, contenders.INSTANCE)
    detail = f"median of {ROUNDS}, nothing new; the first, with every edge new: {times_ms[0]:.0f} ms"
    median_ms = statistics.median(times_ms)
    yield figure.Figure(name=f"drain of {len(keys)} edges", value=median_ms, unit="ms", limit=50.0, detail=detail)
    yield figure.Figure(
        name=f"kernel memory, room for {FULL_EDGES} edges", value=memory / 2**20, unit="MiB", limit=32.0
    )
