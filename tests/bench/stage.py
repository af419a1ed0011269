"""Two rooms on a bridge, as two pods of a node are, a server that is waiting, and the compiled load between them."""

import contextlib
import dataclasses
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

from tests.scene import room

SOURCE = pathlib.Path(__file__).with_name("load.c")
PORT = 7001
MANY = "10.203.128.1"
"""First of the addresses that the callee has besides its own: 10.203.128.0/17, for as many edges."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where load is made."""

    caller: room.Room
    callee: room.Room
    program: pathlib.Path

    @property
    def cgroup(self) -> pathlib.Path:
        """The part of the cgroup tree that holds both rooms and nothing else."""
        return self.caller.cgroup.parent

    @contextlib.contextmanager
    def serving(self, port: int) -> Iterator[None]:
        """Have one more server, whose listener is younger than whoever watches now."""
        with self.callee.start(self.program, "serve", str(port)) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            try:
                yield
            finally:
                server.kill()

    def connections_a_second(self, count: int, *, spread: int = 1, port: int = PORT) -> float:
        """Make short connections, one after the other, to ``spread`` addresses in turn."""
        address = self.callee.address4 if spread == 1 else MANY
        return float(self.caller.run(self.program, "crr", address, str(port), str(count), str(spread)))

    def long_connection(self, rate: float, duration_s: float, port: int = PORT) -> tuple[float, float, float]:
        """Exchange on one connection: requests a second, median and 99th percentile in microseconds."""
        words = ("long", self.callee.address4, str(port), str(rate), str(duration_s))
        a_second, median_us, tail_us = map(float, self.caller.run(self.program, *words).split())
        return a_second, median_us, tail_us

    def bytes_a_second(self, duration_s: float) -> float:
        """Send on one connection for so long."""
        return float(self.caller.run(self.program, "bulk", self.callee.address4, str(PORT), str(duration_s)))


@contextlib.contextmanager
def ready() -> Iterator[Stage]:
    """Compile the load, make the rooms, start the server."""
    with (
        tempfile.TemporaryDirectory(prefix="ipseity-bench-") as folder,
        room.pair("bench", bridged=True) as (caller, callee),
    ):
        program = pathlib.Path(folder) / "load"
        compiler = shutil.which("gcc") or "gcc"
        subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", program, SOURCE], check=True)
        room.ip("-n", callee.name, "route", "add", "local", "10.203.128.0/17", "dev", "lo")
        made = Stage(caller=caller, callee=callee, program=program)
        with made.serving(PORT):
            yield made
