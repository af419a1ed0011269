"""Programs that the lab runs, and processes that it must find again: always by descriptor or by (pid, start time).

Here because a pid alone is a number that somebody else may have by now. Leaves out containers: their processes are
ended through their cgroup (``cgroups``).
"""

import asyncio
import contextlib
import ctypes
import dataclasses
import os
import pathlib
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence

from comparisons.lab import errors


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a program ended."""

    code: int
    """Exit status; 128 + signal number if a signal ended it, as a shell says it."""
    output: str
    """Standard output and error, the last ``OUTPUT_BYTES`` of them."""


OUTPUT_BYTES = 64 * 1024
"""Arbitrary: more than any message that a person would read."""
PR_SET_CHILD_SUBREAPER = 36
"""include/uapi/linux/prctl.h"""
_AWAITED: set[int] = set()
"""Children of this process that somebody waits for, and nobody else may reap."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A process for as long as it lives: the start time tells it from a later one with the same pid."""

    pid: int
    start_ticks: int
    """Field 22 of /proc/PID/stat: clock ticks since boot."""

    def write(self, path: pathlib.Path) -> None:
        """Keep it in a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{self.pid} {self.start_ticks}\n")

    def alive(self) -> bool:
        """Whether this very process still runs; a zombie does not, and is buried if it is a child of ours."""
        stat = _stat(self.pid)
        if stat == (self.start_ticks, False):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, os.WNOHANG)
        return stat == (self.start_ticks, True)

    def end(self, number: signal.Signals, *, timeout_s: float) -> bool:
        """Send a signal and wait; whether it is gone."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.alive():
                return True
            signal.pidfd_send_signal(descriptor, number)
            ready, _, _ = select.select([descriptor], [], [], timeout_s)
            return bool(ready) and not self.alive()
        except ProcessLookupError:
            return True
        finally:
            os.close(descriptor)


def identity(pid: int) -> Identity:
    """Who has this pid now. LabError: nobody."""
    stat = _stat(pid)
    if stat is None:
        raise errors.LabError(f"no process has pid {pid}")
    return Identity(pid=pid, start_ticks=stat[0])


def read(path: pathlib.Path) -> Identity | None:
    """Tell what ``Identity.write`` kept; None if there is nothing legible."""
    try:
        pid, ticks = path.read_text().split()
        return Identity(pid=int(pid), start_ticks=int(ticks))
    except (OSError, ValueError):
        return None


def bury(strangers: set[int]) -> set[int]:
    """Reap those of ``strangers`` that are still dead children of ours; the answer is who is dead now.

    An orphan that was adopted is nobody's business when it dies, unless somebody waits for it. A container's first
    process is waited for a moment after it was adopted, so only who is dead on two visits in a row is a stranger.
    """
    dead = {pid for pid in children() if pid not in _AWAITED and (_stat(pid) or (0, True))[1] is False}
    for pid in dead & strangers:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return dead - strangers


def children() -> list[int]:
    """List this process's children, those that it has adopted among them."""
    found: list[int] = []
    for path in pathlib.Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(pid) for pid in path.read_text().split()]
    return found


def _stat(pid: int) -> tuple[int, bool] | None:
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return int(fields[19]), fields[0] not in "ZX"


def become_reaper() -> None:
    """Adopt the orphans of this process's children: a detached container's first process is waited for here."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise errors.LabError(f"cannot become a subreaper: {os.strerror(ctypes.get_errno()).lower()}")


async def run(
    arguments: Sequence[str], *, stdin: bytes = b"", environ: Mapping[str, str] | None = None, timeout_s: float = 60
) -> Outcome:
    """Run a program to its end. Output goes through a file, so that a grandchild that keeps it open holds nobody up."""
    with _scratch() as output, _scratch() as given:
        os.write(given, stdin)
        os.lseek(given, 0, os.SEEK_SET)
        child = start(arguments, stdin=given, stdout=output, stderr=output, environ=environ)
        try:
            code = await wait(child, timeout_s=timeout_s)
        except TimeoutError:
            return Outcome(code=128 + signal.SIGKILL, output=f"no end after {timeout_s:g} s")
        return Outcome(code=code, output=_tail(output))


async def check(arguments: Sequence[str], *, doing: str, stdin: bytes = b"", timeout_s: float = 60) -> str:
    """Run a program and return what it prints; ProgramFailed says what was being done and quotes it."""
    outcome = await run(arguments, stdin=stdin, timeout_s=timeout_s)
    if outcome.code != 0:
        words = outcome.output.strip() or f"exit status {outcome.code}"
        raise errors.ProgramFailed(f"cannot {doing}: {arguments[0]}: {words}")
    return outcome.output


def start(
    arguments: Sequence[str], *, stdin: int, stdout: int, stderr: int, environ: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start a program with these descriptors and nothing else of ours; to be waited for with ``wait``."""
    try:
        child = subprocess.Popen(  # noqa: S603  # argument lists only, never a shell
            list(arguments), stdin=stdin, stdout=stdout, stderr=stderr, env=environ, start_new_session=True
        )
    except OSError as error:
        raise errors.ProgramFailed(
            f"cannot run {arguments[0]}: {(error.strerror or str(error)).lower()}", hint=f"is {arguments[0]} installed?"
        ) from error
    _AWAITED.add(child.pid)
    return child


def daemon(arguments: Sequence[str], log: pathlib.Path, environ: Mapping[str, str]) -> Identity:
    """Start a program that outlives this one; what it says goes to the end of ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output, pathlib.Path(os.devnull).open("rb") as nothing:
        given = (
            (os.POSIX_SPAWN_DUP2, nothing.fileno(), 0),
            *((os.POSIX_SPAWN_DUP2, output.fileno(), to) for to in (1, 2)),
        )
        return identity(os.posix_spawn(arguments[0], list(arguments), environ, file_actions=given, setsid=True))


async def wait(child: "subprocess.Popen[bytes]", *, timeout_s: float) -> int:
    """Wait for a child's exit status, as a shell says it. TimeoutError: it was killed."""
    descriptor = os.pidfd_open(child.pid)
    try:
        async with asyncio.timeout(timeout_s):
            await ended(descriptor)
    except (TimeoutError, asyncio.CancelledError):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        raise
    finally:
        os.close(descriptor)
        code = child.wait()
        _AWAITED.discard(child.pid)
    return code if code >= 0 else 128 - code


async def ended(descriptor: int) -> None:
    """Return once the process of this pidfd has ended."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    loop.add_reader(descriptor, done.set)
    try:
        await done.wait()
    finally:
        loop.remove_reader(descriptor)


def adopt(pid: int) -> int:
    """Give a pidfd of an adopted child that will be waited for: it is to be reaped with ``reap``."""
    descriptor = os.pidfd_open(pid)
    _AWAITED.add(pid)
    return descriptor


def reap(descriptor: int, pid: int) -> int:
    """Collect the exit status of an ended child that ``subprocess`` does not know."""
    try:
        result = os.waitid(os.P_PIDFD, descriptor, os.WEXITED)
    except ChildProcessError:
        return 255  # not ours: somebody else has reaped it, and its status with it
    finally:
        _AWAITED.discard(pid)
    if result is None:
        return 255
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status


@contextlib.contextmanager
def _scratch() -> Iterator[int]:
    descriptor = os.memfd_create("lab", os.MFD_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _tail(descriptor: int) -> str:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    return os.pread(descriptor, OUTPUT_BYTES, max(0, size - OUTPUT_BYTES)).decode(errors="replace")
