"""A pod that calls and is called, and says in every connection which one it is: ``python3 -m tests.traffic.owner``.

Usage: ``NUMBER PORT TARGET TARGET_PORT LIFE_S``. Answers every connection to PORT with ``REPLY_BYTES + NUMBER`` bytes,
and calls TARGET all the time with ``REQUEST_BYTES + NUMBER`` bytes, so that a record tells by its bytes whose it is.
Ends well after LIFE_S, or when it is told to. NUMBER 0 has no end, and TARGET decides who answers it.
"""

import contextlib
import signal
import socket
import sys
import threading
from typing import Final

REQUEST_BYTES: Final = 1_009
REPLY_BYTES: Final = 4_001
PAUSE_S: Final = 0.05
PATIENCE_S: Final = 0.5
QUESTION: Final = b"who is it?\n"


def answer(listener: socket.socket, number: int, stop: threading.Event) -> None:
    """Answer one connection after the other."""
    while not stop.is_set():
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(PATIENCE_S)
                if drained(connection):
                    connection.sendall(bytes(REPLY_BYTES + number))


def drained(connection: socket.socket) -> int:
    """Read up to the other side's end of sending; returns how many bytes there were."""
    count = 0
    while more := connection.recv(65536):
        count += len(more)
    return count


def call(target: tuple[str, int], request: bytes, stop: threading.Event) -> None:
    """Ask the target again and again; that nobody is there is no reason to end."""
    while not stop.wait(PAUSE_S):
        with contextlib.suppress(OSError), socket.create_connection(target, PATIENCE_S) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            drained(connection)


def main() -> None:
    """Run as a program."""
    number, port, target, target_port, life_s = sys.argv[1:]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    listener = socket.create_server(("", int(port)), backlog=128)
    listener.settimeout(PATIENCE_S)
    request = bytes(REQUEST_BYTES + int(number)) if int(number) else QUESTION
    tasks = [
        threading.Thread(target=answer, args=(listener, int(number), stop)),
        threading.Thread(target=call, args=((target, int(target_port)), request, stop)),
    ]
    for task in tasks:
        task.start()
    stop.wait(float(life_s) or None)
    stop.set()
    for task in tasks:
        task.join()


if __name__ == "__main__":
    main()
