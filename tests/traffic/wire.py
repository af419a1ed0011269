"""How client and server talk, and the system calls that both use to send exactly so many bytes."""

import errno
import fcntl
import os
import select
import socket
import struct
import tempfile
import termios
import time

from tests.traffic import plan

HEADER = struct.Struct("!QQBB")
"""First bytes of a TCP request: request and reply length in bytes (with header), ``plan.By``, ``plan.End``."""
QUESTION = struct.Struct("!H")
"""First bytes of a datagram: the length of the datagram to answer with."""
CHUNK = 65536
PATIENCE_S = 30.0
"""Arbitrary: far above any exchange or rest here, far below a test's time limit."""


def be_patient(connection: socket.socket) -> None:
    """Give up on a silent peer. Not ``settimeout``: that makes the descriptor non-blocking, and sendfile fails."""
    limit = struct.pack("ll", int(PATIENCE_S), 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def send(connection: socket.socket, payload: bytes, by: plan.By) -> int:
    """Send all of it the asked-for way; returns its length."""
    if by is plan.By.SEND or not payload:
        connection.sendall(payload)
        return len(payload)
    with tempfile.TemporaryFile() as file:
        file.write(payload)
        file.flush()
        return sendfile(connection, file.fileno()) if by is plan.By.SENDFILE else splice(connection, file.fileno())


def sendfile(connection: socket.socket, file: int) -> int:
    """Send a whole file, the kernel reading it by itself."""
    done = 0
    while moved := os.sendfile(connection.fileno(), file, done, CHUNK):
        done += moved
    return done


def splice(connection: socket.socket, file: int) -> int:
    """Send a whole file page by page, through the pipe that this system call needs."""
    reading, writing = os.pipe()
    done = 0
    try:
        while moved := os.splice(file, writing, CHUNK, offset_src=done):
            done += moved
            while moved:
                moved -= os.splice(reading, connection.fileno(), moved)
    finally:
        os.close(reading)
        os.close(writing)
    return done


def receive(connection: socket.socket, expected: int) -> bytes:
    """Receive exactly so many bytes."""
    chunks, missing = [], expected
    while missing:
        chunk = connection.recv(min(missing, CHUNK))
        if not chunk:
            raise ConnectionError(errno.EPROTO, f"closed {missing} bytes before the end")
        chunks.append(chunk)
        missing -= len(chunk)
    return b"".join(chunks)


def until_end(connection: socket.socket) -> None:
    """Wait for the other side's end of the connection."""
    if connection.recv(1):
        raise ConnectionError(errno.EPROTO, "more bytes than agreed")


def until_acknowledged(connection: socket.socket) -> None:
    """Wait until the peer's kernel has acknowledged every byte that was sent (SIOCOUTQ is TIOCOUTQ)."""
    deadline_s = time.monotonic() + PATIENCE_S
    while struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0]:
        if time.monotonic() > deadline_s:
            raise TimeoutError(errno.ETIME, "bytes stay unacknowledged")
        select.select([], [], [], 0.002)  # the kernel has no event for "acknowledged"


def reset(connection: socket.socket) -> None:
    """Close with a RST, after acknowledging what came in: a RST's own acknowledgement is not looked at."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
