"""Whoever dies in the middle of a comparison, even by SIGKILL, leaves no lab behind: this process outlives it.

Here because a lab is many processes and things of the kernel, and only somebody else can remove them when their owner
had no time to. It waits on a pipe whose other end closes with its owner. Leaves out an orderly end: then the lab is
gone already, and there is nothing to sweep.
"""

import contextlib
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

from comparisons.lab import lab, layout

PINS = pathlib.Path("/sys/fs/bpf/ipseity")


@contextlib.contextmanager
def watching(name: str) -> Iterator[None]:
    """Have somebody wait for our end."""
    words = [sys.executable, "-m", "comparisons.guard", name]
    root = str(pathlib.Path(__file__).parents[1])
    with subprocess.Popen(words, stdin=subprocess.PIPE, cwd=root, start_new_session=True) as process:  # noqa: S603  # words of ours, no shell
        try:
            yield
        finally:
            process.communicate()


def sweep(name: str) -> None:
    """Remove a lab, and what node agents in it have pinned."""
    names = layout.Lab(name=name)
    if names.state.exists() or names.fabric.exists():
        lab.down(names)
    command = pathlib.Path(sys.executable).with_name("ipseity")
    for path in PINS.glob(f"{name}-*") if PINS.is_dir() else ():
        subprocess.run([str(command), "agent", "cleanup", "--instance", path.name], check=False, capture_output=True)  # noqa: S603  # words of ours, no shell


def main() -> None:
    """Run as a program: wait, then sweep."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    sys.stdin.buffer.read()
    sweep(sys.argv[1])


if __name__ == "__main__":
    main()
