"""A file of whole lines that rotates, on a disk that may be full.

Here because a reader of the flow log must be able to parse every line, also of a log that a full disk or a crash
interrupted: what was taken only in part is cut off. Leaves out what the lines say and what to do about an error.
"""

import contextlib
import itertools
import os
import pathlib
import stat
from collections.abc import Iterator, Sequence
from typing import Final

_PIECE_BYTES: Final = 256 * 1024
"""Written at once: large enough that calls do not matter, small enough that a full disk loses little."""
_TAIL_BYTES: Final = 64 * 1024
"""Read at once when looking for the end of the last whole line."""
_MODE: Final = 0o640


class LineFile:
    """Appends lines to ``path``; at ``max_bytes`` it becomes ``path.1``, and so on, ``files`` in all."""

    def __init__(self, path: pathlib.Path, *, max_bytes: int, files: int) -> None:
        self.path: Final = path
        self._max_bytes = max_bytes
        self._files = files
        self._fd = -1
        self._size = 0
        """Bytes up to the end of the last whole line."""
        self._regular = False

    def append(self, lines: Sequence[bytes]) -> tuple[int, OSError | None]:
        """Write lines, each with its line end; tells how many are in the file whole, and what stopped the rest.

        After an error the file is closed; the next call opens it again, so whatever was mended is used.
        """
        written = 0
        for piece in _pieces(lines, min(_PIECE_BYTES, self._max_bytes)):
            whole, error = self._append(piece)
            written += whole
            if error is not None:
                self.close()
                return written, error
        return written, None

    def close(self) -> None:
        """Close the file; a later ``append`` opens it again."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
        self._fd = -1

    def _append(self, piece: Sequence[bytes]) -> tuple[int, OSError | None]:
        data = b"".join(piece)
        try:
            self._make_ready(len(data))
        except OSError as error:
            return 0, error
        return self._write(data)

    def _make_ready(self, more_bytes: int) -> None:
        if self._fd >= 0 and not self._is_ours():
            self.close()
        if self._fd < 0:
            self._open()
        if self._regular and self._size and self._size + more_bytes > self._max_bytes:
            self.close()
            self._rotate()
            self._open()

    def _is_ours(self) -> bool:
        """Tell whether the path still names the open file: somebody may have moved or removed it."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._fd))
        except FileNotFoundError:
            return False

    def _open(self) -> None:
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        found = os.fstat(self._fd)
        self._regular = stat.S_ISREG(found.st_mode)
        self._size = found.st_size
        if self._regular:
            self._cut(_whole_bytes(self._fd, self._size))

    def _cut(self, size: int) -> None:
        """Take back what is behind the last whole line, as a full disk or a crash left it."""
        if self._regular and size < os.fstat(self._fd).st_size:
            os.ftruncate(self._fd, size)
        self._size = size

    def _write(self, data: bytes) -> tuple[int, OSError | None]:
        """Write lines; where the disk stops in the middle of one, take that one back."""
        done = 0
        try:
            while done < len(data):
                done += os.write(self._fd, data[done:])
        except OSError as error:
            whole = data.rfind(b"\n", 0, done) + 1
            with contextlib.suppress(OSError):  # else the next _open() does it
                self._cut(self._size + whole)
            return data.count(b"\n", 0, whole), error
        self._size += done
        return data.count(b"\n"), None

    def _rotate(self) -> None:
        """Move the file out of the way: path.3 over path.4, ..., path over path.1."""
        names = [self.path, *(self.path.with_name(f"{self.path.name}.{n}") for n in range(1, self._files))]
        if len(names) == 1:
            self.path.unlink(missing_ok=True)
        for newer, older in reversed(list(itertools.pairwise(names))):
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)


def _pieces(lines: Sequence[bytes], limit_bytes: int) -> Iterator[list[bytes]]:
    """Split into runs of whole lines, each no longer than the limit unless a single line is."""
    piece: list[bytes] = []
    size = 0
    for line in lines:
        if piece and size + len(line) > limit_bytes:
            yield piece
            piece, size = [], 0
        piece.append(line)
        size += len(line)
    if piece:
        yield piece


def _whole_bytes(fd: int, size: int) -> int:
    """Give where the last whole line ends."""
    end = size
    while end > 0:
        start = max(0, end - _TAIL_BYTES)
        found = os.pread(fd, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
