"""What watching adds to a short connection, by turns: a block of connections that is watched, one that is not, and on.

Outcome: for each watcher the rate of the watched side relative to the other, with its error. Two callers and two
servers share namespaces, switch, processors and the very milliseconds, and differ by cgroup, which is where programs
are attached. So a difference of 0.3 % shows on a machine where rates of whole seconds vary by 5 %. Both on one
processor, where a connection is nothing but work, and on two, where most of it is waiting for the other to wake up.

Leaves out what falls on both sides alike: the two tracepoints, which are the machine's, and the agent's own processor
time. These are in the rates of ``figures`` and ``handshake``.
"""

import contextlib
import dataclasses
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

from tests.bench import stage

BLOCK, TURNS = 20, 1_500
"""A block is 1 ms or so: shorter than what disturbs it. 1,500 of them put the error of the median below 0.005."""
WARM_UP: Final = TURNS // 10
PORTS: Final = {"watched": 7101, "alone": 7102}
PROCESSORS: Final = (("one processor", (0, 0)), ("two processors", (0, 1)))

Watcher = Callable[[stage.Stage], AbstractContextManager[Any]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Of the watched side to the other."""

    rate: float
    """Median over pairs of blocks: connections a second, watched, relative to alone."""
    error: float
    """Standard error of that median."""
    added_us: float
    """Median of the time that a watched connection takes longer."""
    alone_us: float

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.rate:.3f} (+- {self.error:.3f}), {self.added_us:+.2f} us on {self.alone_us:.1f}"


def notes(where: stage.Stage, *watchers: Watcher) -> Iterator[str]:
    """Compare each watcher with nobody watching, on one processor and on two."""
    for words, processors in PROCESSORS:
        told = "; ".join(f"{watcher.__name__} {compared(where, watcher, processors)}" for watcher in watchers)
        yield f"by turns of {BLOCK} connections, {words}: {told}"


def compared(where: stage.Stage, watcher: Watcher, processors: tuple[int, int]) -> Difference:
    """Play ``TURNS`` pairs of blocks, callers on the first processor and servers on the second."""
    with contextlib.ExitStack() as stack:
        sides = {name: stack.enter_context(_side(where, name)) for name in PORTS}
        stack.enter_context(watcher(sides["watched"]))
        for name, port in PORTS.items():
            stack.enter_context(_serving(sides[name], port, processors[1]))
        watched, alone = _play(sides, processors[0])
    pairs = list(zip(watched[WARM_UP:], alone[WARM_UP:], strict=True))
    rates = [other / ours for ours, other in pairs]
    low, _, high = statistics.quantiles(rates, n=4)
    return Difference(
        rate=statistics.median(rates),
        error=1.253 * (high - low) / 1.349 / len(rates) ** 0.5,  # of a median of normal values, spread from quartiles
        added_us=statistics.median(ours - other for ours, other in pairs) / 1000,
        alone_us=statistics.median(other for _, other in pairs) / 1000,
    )


@contextlib.contextmanager
def _side(where: stage.Stage, name: str) -> Iterator[stage.Stage]:
    """Give both rooms a second cgroup, below one that holds only these two."""
    base = where.cgroup / name
    rooms = [
        dataclasses.replace(one, cgroup=base / end) for one, end in ((where.caller, "caller"), (where.callee, "callee"))
    ]
    with contextlib.ExitStack() as stack:
        for cgroup in (base, *(one.cgroup for one in rooms)):
            cgroup.mkdir()
            stack.callback(cgroup.rmdir)
        yield dataclasses.replace(where, caller=rooms[0], callee=rooms[1])


@contextlib.contextmanager
def _serving(side: stage.Stage, port: int, processor: int) -> Iterator[None]:
    with side.callee.start("taskset", "-c", str(processor), side.program, "serve", str(port)) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            server.kill()


def _play(sides: dict[str, stage.Stage], processor: int) -> list[list[float]]:
    """Have the callers of both sides take turns; returns nanoseconds a connection, one list a side."""
    (first_in, second_out), (second_in, first_out) = os.pipe(), os.pipe()
    with tempfile.TemporaryFile("w+") as one, tempfile.TemporaryFile("w+") as other:
        callers = []
        for (name, side), (source, sink, told) in zip(
            sides.items(), ((first_in, first_out, one), (second_in, second_out, other)), strict=True
        ):
            words = ("turns", side.callee.address4, str(PORTS[name]), str(BLOCK), str(TURNS))
            command = side.caller.command("taskset", "-c", str(processor), side.program, *words)
            callers.append(subprocess.Popen(command, stdin=source, stdout=sink, stderr=told))
        os.write(second_out, b"t")
        ended = [caller.wait() for caller in callers]
        for fd in (first_in, second_out, second_in, first_out):
            os.close(fd)
        if any(ended):
            raise RuntimeError(f"the callers ended with {ended}")
        one.seek(0)
        other.seek(0)
        return [[float(line) for line in told] for told in (one, other)]
