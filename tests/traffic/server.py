"""Answer TCP exchanges and UDP datagrams on one port until SIGTERM, then report.

Usage: ``python3 -m tests.traffic.server PORT``. Listens on every address, IPv4 and IPv6. Says ``ready`` once it does;
the report is the last line. ``--ask PLAN --every N`` follows a plan of its own within every Nth request, as a web
server asks its database; ``--tell`` reports after every exchange, for a pod that is only heard through its log.
"""

import argparse
import signal
import socket
import threading
from collections.abc import Callable, Sequence

from tests.traffic import client, plan, tally, wire


class Server:
    """One service port, both protocols."""

    def __init__(self, port: int, ask: Sequence[plan.Step] = (), every: int = 1, *, tell: bool = False) -> None:
        self.port = port
        self.ask = ask
        self.every = every
        self.tell = tell
        self.asked = 0
        self.ledger = tally.Ledger()
        self.busy: list[threading.Thread] = []
        self.listener = socket.create_server(("::", port), family=socket.AF_INET6, backlog=1024, dualstack_ipv6=True)
        self.datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # A socket bound to "::" answers IPv4-mapped peers from the address that they asked: no need to bind each.
        self.datagrams.bind(("::", port))

    def edge(self, protocol: str, remote: str) -> tally.Edge:
        """Name the edge of a peer that came to us."""
        return tally.Edge(protocol, "ingress", tally.plain(remote), self.port)

    def accept(self) -> None:
        """Answer every connection in a thread of its own."""
        while True:
            connection, (remote, *_) = self.listener.accept()
            thread = threading.Thread(target=self.answer, args=(connection, remote), daemon=True)
            self.busy.append(thread)
            thread.start()

    def answer(self, connection: socket.socket, remote: str) -> None:
        """One connection, counted when it has ended."""
        count = tally.Tally(opened=1)
        try:
            with connection:
                wire.be_patient(connection)
                exchange(connection, count, self.meanwhile)
        except OSError as error:
            count += tally.failure(error)
        count.closed = 1
        self.ledger.add(self.edge("tcp", remote), count)
        if self.tell:
            print(self.ledger.dump(), flush=True)

    def meanwhile(self) -> None:
        """Do what is to be done between request and reply."""
        self.asked += 1
        if self.asked % self.every == 0:
            for step in self.ask:
                client.do(step, self.ledger)

    def answer_datagrams(self) -> None:
        """Answer each datagram with one of the length that it asks for."""
        while True:
            question, sender = self.datagrams.recvfrom(wire.CHUNK)
            (length,) = wire.QUESTION.unpack_from(question)
            sent = self.datagrams.sendto(bytes(length), sender)
            count = tally.Tally(received_datagrams=1, received_bytes=len(question), sent_datagrams=1, sent_bytes=sent)
            self.ledger.add(self.edge("udp", sender[0]), count)

    def finish(self) -> None:
        """Let the connections under way come to their end."""
        for thread in self.busy:
            thread.join(wire.PATIENCE_S)


def exchange(connection: socket.socket, count: tally.Tally, meanwhile: Callable[[], None]) -> None:
    """Take a request, give the reply, end the connection as the request's header says."""
    header = wire.receive(connection, wire.HEADER.size)
    count.received_bytes += len(header)
    request_bytes, reply_bytes, by, end = wire.HEADER.unpack(header)
    count.received_bytes += len(wire.receive(connection, request_bytes - len(header)))
    meanwhile()
    match plan.End(end):
        case plan.End.HALF:
            wire.until_end(connection)
            count.sent_bytes += wire.send(connection, bytes(reply_bytes), plan.By(by))
        case plan.End.SERVER:
            count.sent_bytes += wire.send(connection, bytes(reply_bytes), plan.By(by))
        case plan.End.CLIENT:
            count.sent_bytes += wire.send(connection, bytes(reply_bytes), plan.By(by))
            wire.until_end(connection)
        case plan.End.CLIENT_RESETS | plan.End.SERVER_RESETS:
            count.sent_bytes += wire.send(connection, bytes(reply_bytes), plan.By(by))
            # One byte more, so that the client's last segment acknowledges the whole reply before the reset.
            count.received_bytes += len(wire.receive(connection, 1))
            if end == plan.End.SERVER_RESETS:
                wire.reset(connection)
            else:
                wire.until_end(connection)


def main() -> None:
    """Run as a program."""
    words = argparse.ArgumentParser()
    words.add_argument("port", type=int)
    words.add_argument("--ask", type=plan.load, default=[])
    words.add_argument("--every", type=int, default=1)
    words.add_argument("--tell", action="store_true")
    given = words.parse_args()
    server = Server(given.port, given.ask, given.every, tell=given.tell)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    for task in (server.accept, server.answer_datagrams):
        threading.Thread(target=task, daemon=True).start()
    print("ready", flush=True)
    stop.wait()
    server.finish()
    print(server.ledger.dump(), flush=True)


if __name__ == "__main__":
    main()
