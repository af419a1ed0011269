"""Starting children and learning how they ended, as PID 1 of a container must. Linux only.

Here because the first process of a container also inherits every orphan, and because the subprocess library would cost
the supervisor memory for what four system calls do. Leaves out what the children are.
"""

import contextlib
import os
import select
import signal
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)
_DEVNULL: Final = "/dev/null"


class Ended(NamedTuple):
    """A child that is gone."""

    pid: int
    code: int
    """Exit code; negative: the signal that killed it."""


class Signals:
    """What the process was told by signals since it last looked; waiting ends when one comes."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, _note)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)

    def wait(self, timeout_s: float) -> set[int]:
        """Wait for signals, or until the time is over; gives their numbers."""
        found: set[int] = set()
        if self._poll.poll(max(0, int(timeout_s * 1000))):
            with contextlib.suppress(BlockingIOError):
                while data := os.read(self._reader, 512):
                    found.update(data)
        return found


def _note(number: int, frame: object) -> None:
    """Do nothing: the number is in the pipe already. Without a handler Python would not put it there."""
    del number, frame


def start(arguments: list[str], environ: Mapping[str, str], *, stdout: int | None = None) -> int:
    """Start a program (a path) with nothing on standard input; ``stdout`` replaces ours. Raises OSError."""
    actions: list[tuple[object, ...]] = [(os.POSIX_SPAWN_OPEN, 0, _DEVNULL, os.O_RDONLY, 0)]
    if stdout is not None:
        actions.append((os.POSIX_SPAWN_DUP2, stdout, 1))
    return os.posix_spawn(arguments[0], arguments, environ, file_actions=actions, setsigdef=[signal.SIGPIPE])


def reap() -> Iterable[Ended]:
    """Take leave of every child that has ended, also of orphans that were never ours."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield Ended(pid, os.waitstatus_to_exitcode(status))


def tell(pid: int, number: int) -> None:
    """Send a signal; a child that is gone already gets none."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
