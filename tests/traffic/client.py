"""Do what a plan says, then report: ``python3 -m tests.traffic.client PLAN`` (JSON, see ``plan``).

The steps run side by side; the connections of one step one after the other. The report is the last line.
"""

import concurrent.futures
import socket
import sys
import threading
from typing import assert_never

from tests.traffic import plan, tally, wire

SYN_RETRIES = 1
"""So that a connection to nowhere times out after 1 + 2 s instead of two minutes (TCP_SYNCNT)."""


def do(step: plan.Step, ledger: tally.Ledger) -> None:
    """Do one step as often as it says."""
    match step:
        case plan.Exchange() | plan.Attempt():
            for _ in range(step.count):
                ledger.add(tally.Edge("tcp", "egress", tally.plain(step.address), step.port), connection(step))
                rest(step.pause_s if isinstance(step, plan.Exchange) else 0.0)
        case plan.Datagrams():
            ledger.add(tally.Edge("udp", "egress", tally.plain(step.address), step.port), datagrams(step))
        case _:
            assert_never(step)


def rest(duration_s: float) -> None:
    """Do nothing for a while, as a client does that has nothing to say."""
    if duration_s:
        threading.Event().wait(duration_s)


def connection(step: plan.Exchange | plan.Attempt) -> tally.Tally:
    """Make one TCP connection and count what came of it."""
    count = tally.Tally()
    try:
        with dial(step) as sock:
            count.opened = 1
            if isinstance(step, plan.Exchange):
                exchange(sock, step, count)
    except OSError as error:
        count += tally.failure(error)
    count.closed = count.opened
    return count


def dial(step: plan.Exchange | plan.Attempt) -> socket.socket:
    """Connect; a blocking socket, so that the kernel's verdict is not mistaken for our impatience."""
    mapped = isinstance(step, plan.Exchange) and step.mapped
    family = socket.AF_INET6 if mapped or ":" in step.address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, SYN_RETRIES)
        sock.connect((f"::ffff:{step.address}" if mapped else step.address, step.port))
    except OSError:
        sock.close()
        raise
    return sock


def exchange(sock: socket.socket, step: plan.Exchange, count: tally.Tally) -> None:
    """One request, one reply, and the end that was asked for."""
    header = wire.HEADER.pack(step.request_bytes, step.reply_bytes, step.by, step.end)
    count.sent_bytes += wire.send(sock, header, plan.By.SEND)
    half = (step.request_bytes - len(header)) // 2 if step.held_s else 0
    count.sent_bytes += wire.send(sock, bytes(half), plan.By(step.by))
    rest(step.held_s)
    count.sent_bytes += wire.send(sock, bytes(step.request_bytes - len(header) - half), plan.By(step.by))
    if step.end == plan.End.HALF:
        sock.shutdown(socket.SHUT_WR)
    count.received_bytes += len(wire.receive(sock, step.reply_bytes))
    match plan.End(step.end):
        case plan.End.SERVER | plan.End.HALF:
            wire.until_end(sock)
        case plan.End.CLIENT:
            sock.close()
        case plan.End.CLIENT_RESETS:
            count.sent_bytes += wire.send(sock, b"!", plan.By.SEND)
            wire.until_acknowledged(sock)
            wire.reset(sock)
        case plan.End.SERVER_RESETS:
            count.sent_bytes += wire.send(sock, b"!", plan.By.SEND)
            wire.until_end(sock)


def datagrams(step: plan.Datagrams) -> tally.Tally:
    """All datagrams of a step from one socket."""
    count = tally.Tally()
    family = socket.AF_INET6 if ":" in step.address else socket.AF_INET
    question = wire.QUESTION.pack(step.reply_bytes).ljust(step.request_bytes, b"\0")
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(wire.PATIENCE_S)
        if step.connected:
            sock.connect((step.address, step.port))
        for _ in range(step.count):
            sent = sock.send(question) if step.connected else sock.sendto(question, (step.address, step.port))
            received = len(sock.recv(wire.CHUNK))
            count += tally.Tally(sent_datagrams=1, sent_bytes=sent, received_datagrams=1, received_bytes=received)
    return count


def main(text: str) -> None:
    """Run as a program."""
    steps = plan.load(text)
    ledger = tally.Ledger()
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(steps) or 1) as pool:
        for done in [pool.submit(do, step, ledger) for step in steps]:
            done.result()
    print(ledger.dump(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
