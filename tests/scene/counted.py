"""The programs on a cgroup of our own, read without an agent: what it would read, before any name.

Leaves out network namespaces (``tests.scene.room``): everything here talks over loopback.
"""

import contextlib
import dataclasses
import ipaddress
import pathlib
import subprocess
from collections.abc import Iterator

from agent import attach, edges, kernel, model, records, wire
from tests.scene import clone, room

PRIVATE = tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "127.0.0.0/8", "::1/128", "fc00::/7"))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A cgroup and the programs that count in it."""

    cgroup: pathlib.Path
    kernel: kernel.Kernel

    def run(self, code: str, *arguments: str) -> str:
        """Run Python in the cgroup; it must succeed. Returns what it printed."""
        enter = 'echo $$ > "$0/cgroup.procs" && exec python3 -c "$@"'
        words = ["bash", "-c", enter, str(self.cgroup), code, *arguments]
        done = subprocess.run(words, cwd=clone.ROOT, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout

    def edges(self) -> list[edges.Change]:
        """Read all edges, as totals."""
        keys, values = self.kernel.edges()
        found = edges.Table().difference(keys, values, idle_before_boot_ns=0)
        return list(found.changes)

    def connections(self, direction: model.Direction) -> list[records.Connection]:
        """Take the records of ended connections, of one side."""
        array, malformed = wire.connection_records(self.kernel.records())
        good, impossible = records.read(array)
        assert (malformed, impossible) == (0, 0)
        return [each for each in good if each.edge.direction is direction]


@contextlib.contextmanager
def programs(
    tag: str, *, collapsed: tuple[str, ...] = (), private: bool = True, ring_bytes: int = 1 << 20
) -> Iterator[Counted]:
    """Attach the programs to a new cgroup; afterwards nothing is left."""
    cgroup = room.cgroup_root() / f"ipseity-{tag}"
    cgroup.mkdir()
    options = attach.Options(cgroup_root=cgroup, instance=tag, record_ring_bytes=ring_bytes)
    try:
        held = kernel.Kernel(options)
        prefixes = [ipaddress.ip_network(text) for text in collapsed]
        held.settle(records=True, private=private, kept=PRIVATE, collapsed=prefixes)
        yield Counted(cgroup=cgroup, kernel=held)
        held.close()
    finally:
        attach.cleanup(options.bpffs, tag)
        cgroup.rmdir()
