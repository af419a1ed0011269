"""The issuance log's files: a line is on the disk before the certificate leaves the house, or there is no certificate.

Here because the log is worth something only if nothing is missing from it. So it fails closed: on a full or broken disk
nothing is signed, callers are told to come back, and it is counted. That is bearable since a leaf is renewed at 70 % of
its life (7 h of 24 are left to mend the disk) and since the log's own size is bounded; the other way round, whoever can
fill the disk could have certificates that nobody knows of.

Lines that wait are written together and synced once (group commit), so the disk's latency bounds the time of one
answer and not the number of answers. At ``max_bytes`` the file becomes ``path.1``, and so on; the chain goes on over
the files. One process at a time writes: the file is locked.
A torn last line, left by a crash in the middle of a write, is cut off and said; its certificate was never handed out.
"""

import asyncio
import contextlib
import dataclasses
import fcntl
import os
import pathlib
from collections.abc import Coroutine, Iterator
from typing import Any, Final

import structlog

from injector import errors
from injector.identity import issuance

_MAX_BATCH: Final = 512
_MODE: Final = 0o640
_TAIL_BYTES: Final = 64 * 1024
"""Read at once when looking for the last line; a line is about 600 bytes."""
log = structlog.get_logger("identity")


class LogFailed(Exception):  # noqa: N818  # it reads as what happened
    """A line could not be written. What waited with it is not written either."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    entry: issuance.Entry
    written: asyncio.Future[None]


class IssuanceLog:
    """Appends entries. One task runs ``run``; ``append`` returns when the entry is on the disk."""

    def __init__(self, path: pathlib.Path, *, max_bytes: int = 64 * 1024 * 1024, files: int = 16) -> None:
        """Prepare; ``open`` reads where the chain ends. 64 MiB are some 100,000 certificates; 16 files a GiB."""
        self._path = path
        self._max_bytes = max_bytes
        self._files = files
        self._fd = -1
        self._size = 0
        """Bytes that are surely ours: whole lines, synced."""
        self._file: tuple[int, int] | None = None
        """Device and inode of the file that ``_size`` is about."""
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self.head = issuance.Head()
        self.torn_bytes = 0
        """Cut off behind the last whole line when the log was opened."""
        self.failures = 0
        """Entries that could not be written."""
        self._failing = False

    def open(self) -> None:
        """Open or make the file, take back a torn line, find the head. Raises CannotRun."""
        try:
            self._open()
        except BlockingIOError as error:
            raise errors.CannotRun(
                f"another process writes the issuance log {self._path}", hint="one control plane at a time has it"
            ) from error
        except OSError as error:
            raise errors.CannotRun(
                f"cannot open the issuance log {self._path}: {error.strerror}",
                hint="without it nothing is signed; give a directory that can be written",
            ) from error

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    async def append(self, entry: issuance.Entry) -> None:
        """Put an entry on the disk. Raises LogFailed."""
        waiting = _Waiting(entry=entry, written=asyncio.get_running_loop().create_future())
        self._queue.put_nowait(waiting)  # bounded by who calls: ``service`` admits so many at a time
        await waiting.written

    async def run(self) -> None:
        """Write what waits, for ever."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < _MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._commit(batch)

    async def _commit(self, batch: list[_Waiting]) -> None:
        lines, head = [], self.head
        for waiting in batch:
            line, head = issuance.chain(head, waiting.entry)
            lines.append(line + b"\n")
        try:
            await _to_its_end(asyncio.to_thread(self._write, b"".join(lines)))
        except OSError as error:
            self._fail(batch, error)
            return
        self.head = head
        if self._failing:
            log.warning("the issuance log is written again", path=str(self._path), failures=self.failures)
        self._failing = False
        for waiting in batch:
            if not waiting.written.done():  # a caller may have gone away
                waiting.written.set_result(None)

    def _fail(self, batch: list[_Waiting], error: OSError) -> None:
        self.failures += len(batch)
        if not self._failing:
            log.error("cannot write the issuance log: nothing is signed", path=str(self._path), error=error.strerror)
        self._failing = True
        for waiting in batch:
            if not waiting.written.done():
                waiting.written.set_exception(LogFailed(f"cannot write the issuance log: {error.strerror}"))

    def _open(self) -> None:
        size = self._open_file()
        whole, last = _last_line(self._fd, size)
        last = last or self._last_of_older()
        looks_right = not size or os.pread(self._fd, 1, 0) == b"{"
        found = (_head_of(last) if last else self.head) if looks_right else None
        if found is None:
            self.close()
            raise errors.CannotRun(
                f"what is in {self._path} is none of an issuance log",
                hint="move the file away, and keep it: ipseity identity log verify FILE tells what is wrong with it",
            )
        if whole < size:
            os.ftruncate(self._fd, whole)
            self.torn_bytes += size - whole
            log.warning("a torn line was cut from the issuance log", path=str(self._path), cut_bytes=size - whole)
        self._size, self.head = whole, found

    def _open_file(self) -> int:
        """Open and lock; give the size. What a failed write left behind in our own file is taken back first."""
        self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(self._fd)
            if self._file == (found.st_dev, found.st_ino) and found.st_size > self._size:
                os.ftruncate(self._fd, self._size)
                found = os.fstat(self._fd)
        except OSError:
            self.close()
            raise
        self._file = (found.st_dev, found.st_ino)
        return found.st_size

    def _last_of_older(self) -> bytes:
        """Give the last line of the newest rotated file: a crash may come right after the rotation."""
        older = _numbered(self._path, 1)
        if not older.is_file():
            return b""
        fd = os.open(older, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _last_line(fd, os.fstat(fd).st_size)[1]
        finally:
            os.close(fd)

    def _write(self, data: bytes) -> None:
        """Write and sync; what was written only in part is taken back, so that the chain does not break."""
        if self._fd < 0 or not self._is_ours():
            self.close()
            self._reopen()
        if self._size and self._size + len(data) > self._max_bytes:
            self._rotate()
        try:
            done = 0
            while done < len(data):
                done += os.write(self._fd, data[done:])
            os.fdatasync(self._fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            self.close()  # the next write opens it again, and cuts what could not be cut now
            raise
        self._size += len(data)

    def _reopen(self) -> None:
        """Open again. The head in memory is the truth: a new file goes on from it, another end is refused."""
        before = self.head
        try:
            self._open()
        except errors.CannotRun as error:
            raise OSError(0, str(error)) from error
        found, self.head = self.head, before
        if self._size and found != before:
            self.close()
            raise OSError(0, f"it ends at line {found.seq}, not at {before.seq}: somebody else wrote or removed lines")

    def _is_ours(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._fd))
        except FileNotFoundError:
            return False

    def _rotate(self) -> None:
        self.close()
        for number in range(self._files - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                _numbered(self._path, number - 1).replace(_numbered(self._path, number))
        if self._files == 1:
            self._path.unlink(missing_ok=True)
        self._size = self._open_file()


def lines(path: pathlib.Path) -> Iterator[bytes]:
    """Give the lines of a log with its rotated files, oldest first, without line ends. A torn end is left out.

    Raises OSError.
    """
    number = 1
    while _numbered(path, number).is_file():
        number += 1
    for each in range(number - 1, -1, -1):
        with _numbered(path, each).open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line[:-1]


async def _to_its_end(writing: Coroutine[Any, Any, None]) -> None:
    """Wait for a thread even when cancelled: nobody may close the file below it."""
    task = asyncio.ensure_future(writing)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _numbered(path: pathlib.Path, number: int) -> pathlib.Path:
    return path.with_name(f"{path.name}.{number}") if number else path


def _last_line(fd: int, size: int) -> tuple[int, bytes]:
    """Give how many bytes are whole lines, and the last of these without its end."""
    tail, start = b"", size
    while start and tail.count(b"\n") < 2:
        step = min(_TAIL_BYTES, start)
        start -= step
        tail = os.pread(fd, step, start) + tail
    whole = tail.rfind(b"\n") + 1
    return (start + whole if whole else 0), tail[:whole].rstrip(b"\n").rpartition(b"\n")[2]


def _head_of(line: bytes) -> issuance.Head | None:
    try:
        return issuance.Head(seq=issuance.read(line).seq, digest=issuance.digest(line))
    except ValueError:
        return None
