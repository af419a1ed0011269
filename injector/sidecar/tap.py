"""Shows requests as this pod's Envoy answers them: one JSON object a line, for a while, and then no more.

    tap.run(tap.Asked(directory="/run/ipseity.io", share_percent=100, seconds=30, most=1000, until_eof=True))

Envoy writes what ``discovery.tapped`` says, and nothing unless it is told to: how many of 10,000 requests, by a number
in its runtime, which is set when this begins and taken back when it ends. It writes to a socket that is there for that
long only, in a directory that only the proxy's user can enter: so whoever may run a command in the proxy's container
may tap, and nobody else.

Here because nothing may listen for it, and because a reader that is slow must not fill Envoy's memory: whatever comes
is taken, and what cannot be passed on is dropped and counted. Leaves out what a record has, and who asks.
"""

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final, NamedTuple

from injector import errors
from injector.sidecar import admin, files, packed

RUNTIME_KEY: Final = "ipseity.tap"
"""Of 10,000 requests, so many are told of."""
_OF: Final = 100
"""Units of the runtime's number in one percent."""
_MAX_WAITING: Final = 256 * 1024
"""Bytes that wait for whoever reads: half a second of a busy pod."""
_MAX_MESSAGE: Final = 1 << 20
"""Envoy sends what it has every 0.2 s, or 16 KiB."""
_LOOK_S: Final = 0.2


class Asked(NamedTuple):
    """What is wanted."""

    directory: str
    """The proxy's."""
    share_percent: float
    seconds: float
    most: int
    """Lines; then it ends."""
    until_eof: bool
    """End also when standard input does: whoever asked has gone."""


class Told(NamedTuple):
    """What became of it."""

    shown: int
    dropped: int
    """Because they came faster than they were read."""


def run(asked: Asked, *, out: int = 1) -> Told:
    """Tap; writes lines to the descriptor ``out``. Raises CannotRun."""
    with _alone(asked.directory), _listening(files.tap_socket(asked.directory)) as listener, _stoppable() as stopped:
        path = files.admin_socket(asked.directory)
        # Anything older was waiting in Envoy since somebody tapped before.
        began_s = int(time.clock_gettime(time.CLOCK_REALTIME))
        if not admin.set_runtime(path, RUNTIME_KEY, str(max(1, round(asked.share_percent * _OF)))):
            raise errors.CannotRun(
                "Envoy does not answer on its admin socket", hint="run this in the proxy's container"
            )
        try:
            return _Tap(asked, listener, out, began_s).run(stopped)
        finally:
            admin.set_runtime(path, RUNTIME_KEY, "")


class _Tap:
    """One run: takes all that comes, passes on what it can."""

    def __init__(self, asked: Asked, listener: socket.socket, out: int, began_s: int) -> None:
        self._asked = asked
        self._listener = listener
        self._out = out
        self._began_s = began_s
        self._parts: dict[socket.socket, bytearray] = {}
        self._waiting = bytearray()
        self._shown = self._dropped = 0
        self._over = False
        self._selector = selectors.PollSelector()  # epoll refuses files, and standard output may be one

    def run(self, stopped: list[int]) -> Told:
        ends_s = time.monotonic() + self._asked.seconds
        os.set_blocking(self._out, False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        if self._asked.until_eof:
            self._selector.register(0, selectors.EVENT_READ)
        try:
            while not (self._over or stopped) and (left_s := ends_s - time.monotonic()) > 0:
                for key, _ in self._selector.select(min(left_s, _LOOK_S)):
                    self._ready(key.fileobj)
            self._flush()
        finally:
            for each in self._parts:
                each.close()
            self._selector.close()
            os.set_blocking(self._out, True)
        return Told(shown=self._shown, dropped=self._dropped)

    def _ready(self, source: Any) -> None:
        if source is self._listener:
            connection, _ = self._listener.accept()
            self._parts[connection] = bytearray()
            self._selector.register(connection, selectors.EVENT_READ)
        elif source == self._out:
            self._flush()
        elif source == 0:
            self._over = self._over or not os.read(0, 4096)
        else:
            self._read(source)

    def _read(self, connection: socket.socket) -> None:
        part = self._parts[connection]
        try:
            piece = connection.recv(65_536)
        except OSError:
            piece = b""
        part += piece
        try:
            while part:
                message, taken = packed.read(bytes(part))
                del part[:taken]
                self._take(message)
        except packed.Short:
            if piece and len(part) <= _MAX_MESSAGE:
                return
        except packed.Garbled:
            self._dropped += 1
            piece = b""
        if not piece or part:
            self._selector.unregister(connection)
            del self._parts[connection]
            connection.close()

    def _take(self, message: Any) -> None:
        """Take ``[tag, [[seconds, record], ...]]``."""
        match message:
            case [str(), list(entries)]:
                for entry in entries:
                    match entry:
                        case [int(at_s), dict(record)] if at_s >= self._began_s:
                            self._show(record)
                        case _:
                            pass
            case _:
                self._dropped += 1

    def _show(self, record: dict[str, Any]) -> None:
        if self._over:
            return
        line = json.dumps(record, ensure_ascii=True).encode() + b"\n"
        if len(self._waiting) + len(line) > _MAX_WAITING:
            self._dropped += 1
            return
        self._waiting += line
        self._shown += 1
        self._over = self._shown >= self._asked.most
        self._flush()

    def _flush(self) -> None:
        """Write what can be written now, and be told when there is room for the rest."""
        try:
            while self._waiting:
                del self._waiting[: os.write(self._out, self._waiting)]
        except BlockingIOError:
            with contextlib.suppress(KeyError):
                self._selector.register(self._out, selectors.EVENT_WRITE)
            return
        except OSError:  # nobody reads any more
            self._over = True
            return
        with contextlib.suppress(KeyError):
            self._selector.unregister(self._out)


@contextlib.contextmanager
def _alone(directory: str) -> Iterator[None]:
    """Be the only one who taps this pod. Raises CannotRun."""
    try:
        lock = os.open(f"{directory}/tap.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise errors.CannotRun(
            f"cannot tap in {directory}: {error.strerror}", hint="run this in the proxy's container"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise errors.CannotRun("somebody else taps this pod", hint="it ends by itself; try again then") from error
    finally:
        os.close(lock)


@contextlib.contextmanager
def _listening(path: str) -> Iterator[socket.socket]:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108  # pathlib is megabytes
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        try:
            os.chmod(path, 0o600)  # noqa: PTH101  # as above
            listener.listen(64)
            yield listener
        finally:
            os.unlink(path)  # noqa: PTH108  # as above


@contextlib.contextmanager
def _stoppable() -> Iterator[list[int]]:
    """Give a list that a signal is put into."""
    caught: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        caught.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
