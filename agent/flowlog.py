"""The flow log: flows as JSON lines in a file that rotates. Whatever the disk does, the agent goes on.

Here because a disk fills up, hangs or goes away, and none of that may hold a drain: ``write`` only puts flows in a
bounded queue, and a thread of its own encodes and writes them. What cannot be written is dropped and counted by cause,
and said once when it begins and once when it ends.

Leaves out the format (``flowjson``) and the file (``linefile``).
"""

import collections
import enum
import errno
import logging
import pathlib
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from agent import flowjson, linefile, model

_MAX_WAITING: Final = 50_000
"""Flows that may wait for the disk. Arbitrary: 10 s of a very busy node, some 10 MB."""
_BATCH: Final = 1_000
"""Flows that are encoded at once: some 500 kB of text."""
_log = logging.getLogger(__name__)


class DropCause(enum.StrEnum):
    """Why flows did not get into the log."""

    NO_SPACE = "no_space"
    REFUSED = "refused"
    """Permissions, a read-only file system, a directory that is not there."""
    FAULT = "fault"
    """Everything else that a disk may say."""
    BACKLOG = "backlog"
    """The disk is slower than the flows."""


_CAUSES: Final = {
    errno.ENOSPC: DropCause.NO_SPACE,
    errno.EDQUOT: DropCause.NO_SPACE,
    errno.EACCES: DropCause.REFUSED,
    errno.EPERM: DropCause.REFUSED,
    errno.EROFS: DropCause.REFUSED,
    errno.ENOENT: DropCause.REFUSED,
    errno.ENOTDIR: DropCause.REFUSED,
    errno.EISDIR: DropCause.REFUSED,
}


class FlowLog:
    """Takes flows; never raises and never waits for the disk."""

    def __init__(self, path: pathlib.Path, *, max_bytes: int, files: int, node_name: str) -> None:
        self.written = 0
        """Lines in the log, since the agent started."""
        self._file = linefile.LineFile(path, max_bytes=max_bytes, files=files)
        self._node_name = node_name
        self._drops: collections.Counter[DropCause] = collections.Counter()
        self._failing = False
        self._waiting: collections.deque[model.Flow] = collections.deque()
        self._in_hand = 0
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="flowlog", daemon=True)  # a hung disk must not hold exit
        self._thread.start()

    @property
    def drops(self) -> Mapping[DropCause, int]:
        """Flows that did not get into the log, by cause."""
        with self._changed:
            return dict(self._drops)

    def write(self, flows: Sequence[model.Flow]) -> None:
        """Take flows for the log, as many as there is room for."""
        with self._changed:
            room = max(0, _MAX_WAITING - len(self._waiting))
            self._waiting.extend(flows[:room])
            if len(flows) > room:
                self._drops[DropCause.BACKLOG] += len(flows) - room
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was taken is written or dropped; False if the disk is too slow for that."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._in_hand, timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Flush and stop; False if the disk was too slow, and what still waited is lost."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while batch := self._take():
            lines = [flowjson.encode(flowjson.from_flow(flow, node_name=self._node_name)) + b"\n" for flow in batch]
            written, error = self._file.append(lines)
            self._account(len(lines), written, error)
        self._file.close()

    def _take(self) -> list[model.Flow]:
        """Wait for flows; nothing means that there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            self._in_hand = len(batch)
            return batch

    def _account(self, lines: int, written: int, error: OSError | None) -> None:
        with self._changed:
            self._in_hand = 0
            self.written += written
            if error is not None:
                self._drops[_CAUSES.get(error.errno or 0, DropCause.FAULT)] += lines - written
            self._changed.notify_all()
        self._say(error)

    def _say(self, error: OSError | None) -> None:
        if error is not None and not self._failing:
            _log.warning("cannot write flow log %s: %s; flows are dropped and counted", self._file.path, error.strerror)
        elif error is None and self._failing:
            _log.warning("flow log %s is written again; dropped so far: %s", self._file.path, dict(self.drops))
        self._failing = error is not None
