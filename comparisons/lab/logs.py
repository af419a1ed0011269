"""Container logs: written as the container runtime interface says, read back as ``kubectl logs`` shows them.

Here because a program's own words are half of every diagnosis. A log is bounded: when it is full it becomes the older
half and a new one begins. Leaves out compression, and everything about who asks (``kubelet``).
"""

import asyncio
import contextlib
import os
import pathlib
from collections.abc import AsyncIterator, Callable, Iterator

MAX_BYTES = 10 * 1024 * 1024
"""The kubelet's ``containerLogMaxSize``."""
LINE_BYTES = 16 * 1024
"""Longer lines are written in parts, tagged P (containerd: ``max_container_log_line_size``)."""
FOLLOW_S = 0.2
"""How often a follower looks for more."""


def path(directory: pathlib.Path, namespace: str, pod: str, uid: str, container: str, restart: int) -> pathlib.Path:  # noqa: PLR0913, PLR0917  # the parts of the kubelet's path
    """Where the kubelet keeps the log of a container's n-th run."""
    return directory / f"{namespace}_{pod}_{uid}" / container / f"{restart}.log"


def older(log: pathlib.Path) -> pathlib.Path:
    """Return the half that was full."""
    return log.with_suffix(".log.1")


class Writer:
    """Takes what a container writes and keeps it, line by line. ``now`` gives the time stamp of a line."""

    def __init__(self, log: pathlib.Path, now: Callable[[], str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        self._now = now
        self._file = log.open("ab", buffering=0)
        self._size = 0
        self._rest = {"stdout": b"", "stderr": b""}
        self.lost = 0
        """Writes that the file system refused."""

    def take(self, stream: str, chunk: bytes) -> None:
        """Add what came from "stdout" or "stderr"; an empty chunk is its end."""
        *lines, rest = (self._rest[stream] + chunk).split(b"\n")
        parts = [piece for line in lines for piece in _cut(line, full=True)]
        if rest and (not chunk or len(rest) >= LINE_BYTES):
            parts += _cut(rest, full=not chunk)
            rest = b""
        self._rest[stream] = rest
        if parts:
            head = f"{self._now()} {stream} ".encode()
            self._write(b"".join(head + tag + b" " + text + b"\n" for tag, text in parts))

    def close(self) -> None:
        """Write what has no line end yet, and let go of the file."""
        for stream in self._rest:
            self.take(stream, b"")
        self._file.close()

    def _write(self, data: bytes) -> None:
        if self._size + len(data) > MAX_BYTES:
            self._file.close()
            self._log.replace(older(self._log))
            self._file, self._size = self._log.open("ab", buffering=0), 0
        try:
            self._file.write(data)
            self._size += len(data)
        except OSError:
            self.lost += 1


def _cut(line: bytes, *, full: bool) -> list[tuple[bytes, bytes]]:
    pieces = [line[at : at + LINE_BYTES] for at in range(0, len(line), LINE_BYTES)] or [b""]
    return [(b"P", piece) for piece in pieces[:-1]] + [(b"F" if full else b"P", pieces[-1])]


def plain(line: bytes, *, timestamps: bool = False) -> bytes:
    """Tell what the container wrote, without the runtime's three words before it; a part has no line end."""
    stamp, _, rest = line.partition(b" ")
    _, _, rest = rest.partition(b" ")
    tag, _, text = rest.partition(b" ")
    return (stamp + b" " if timestamps else b"") + text + (b"\n" if tag == b"F" else b"")


def lines(log: pathlib.Path) -> Iterator[bytes]:
    """Every line kept, the oldest first, in the runtime's form, without line end."""
    for part in (older(log), log):
        with contextlib.suppress(FileNotFoundError), part.open("rb") as file:
            yield from (line.rstrip(b"\n") for line in file)


async def follow(log: pathlib.Path, over: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Lines that come from now on, until ``over`` says that no more will."""
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        rest = b""
        while True:
            last = over()
            *found, rest = (rest + file.read()).split(b"\n")
            for line in found:
                yield line
            if last:
                return
            await asyncio.sleep(FOLLOW_S)
