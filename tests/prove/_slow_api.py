"""An API server that is heard late: a relay in front of it that holds back all that it says, and can be cut.

Here because IP look-ups are wrong for as long as the news take, and in a lab they take 10 ms.
"""

import collections
import contextlib
import pathlib
import selectors
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Final

import yaml

_CHUNK: Final = 1 << 16
_TICK_S: Final = 0.02


class Relay:
    """Passes bytes to the server at once, and back after ``late_s``. One thread."""

    def __init__(self, server: tuple[str, int], late_s: float) -> None:
        self.cuts: list[tuple[int, int]] = []
        """When the server was out of reach, in wall time; each ends when it can be reached again."""
        self._server, self._late_s = server, late_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._peer: dict[socket.socket, socket.socket] = {}
        self._held: dict[socket.socket, collections.deque[tuple[float, bytes]]] = {}
        self._late: set[socket.socket] = set()
        """Sockets towards the clients."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._cut_from_ns = 0
        self._away = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def cut(self) -> None:
        """Be out of reach from now on: what is held back is lost, and nobody gets through."""
        self._cut_from_ns = time.time_ns()
        self._away.set()

    def restore(self) -> None:
        """Be reachable again."""
        self._away.clear()
        self.cuts.append((self._cut_from_ns, time.time_ns()))

    def close(self) -> None:
        """End it."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(_TICK_S):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if sock is self._listener:
                    self._accept()
                elif sock in self._peer:
                    self._read(sock)
            if self._away.is_set():
                for sock in list(self._late):
                    self._close(sock)
            self._deliver()
        for sock in list(self._late):
            self._close(sock)
        self._listener.close()
        self._selector.close()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._away.is_set():
            client.close()
            return
        server = socket.create_connection(self._server)
        self._peer[client], self._peer[server] = server, client
        self._held[client], self._held[server] = collections.deque(), collections.deque()
        self._late.add(client)
        for each in (client, server):
            self._selector.register(each, selectors.EVENT_READ)

    def _read(self, sock: socket.socket) -> None:
        to = self._peer[sock]
        try:
            more = sock.recv(_CHUNK)
        except OSError:
            more = b""
        if not more:
            self._selector.unregister(sock)
        due_s = time.monotonic() + (self._late_s if to in self._late else 0.0)
        self._held[to].append((due_s, more))

    def _deliver(self) -> None:
        now_s = time.monotonic()
        for sock in list(self._held):
            held = self._held.get(sock)
            while held and held[0][0] <= now_s:
                _, more = held.popleft()
                try:
                    if not more:
                        raise ConnectionResetError
                    sock.sendall(more)
                except OSError:
                    self._close(sock)
                    break

    def _close(self, sock: socket.socket) -> None:
        for each in (sock, self._peer.get(sock)):
            if each is not None and each in self._peer:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(each)
                del self._peer[each], self._held[each]
                self._late.discard(each)
                each.close()


@contextlib.contextmanager
def relay(kubeconfig: pathlib.Path, folder: pathlib.Path, late_s: float) -> Iterator[tuple[Relay, pathlib.Path]]:
    """Run a relay in front of a cluster; gives it, and a kubeconfig that goes through it."""
    config = yaml.safe_load(kubeconfig.read_text())
    (cluster,) = config["clusters"]
    url = urllib.parse.urlsplit(cluster["cluster"]["server"])
    assert url.hostname is not None
    assert url.port is not None
    made = Relay((url.hostname, url.port), late_s)
    try:
        cluster["cluster"]["server"] = f"https://127.0.0.1:{made.port}"
        through = folder / "kubeconfig"
        through.touch(0o600)
        through.write_text(yaml.safe_dump(config))
        yield made, through
    finally:
        made.close()
