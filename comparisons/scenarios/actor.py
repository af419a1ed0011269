"""A program that a pod runs: it calls, or answers, and writes down each time that it did. What it writes is the truth.

    actor.py serve LOG [--http PORT] [--lines PORT] [--udp PORT] [--at ADDRESS]
    actor.py call  LOG TARGET [--kind http|udp|spoof] [--method GET] [--every MS] [--seconds S]
    actor.py hold  LOG TARGET [--every MS] [--seconds S]      one connection, a line at a time
    actor.py load  LOG TARGET [--every MS] [--seconds S] [--warm S]    requests at fixed times; latencies
    actor.py read  LOG INTERFACE                   what passes there in the clear, as one who listens on the way sees it
    actor.py obey  LOG                             what is ordered: a word a line, in a file order@ME@WHO beside the log

With ``--wait FILE`` a caller begins when that file is beside its log, with ``--until FILE`` it ends early when that
one is; with ``--then stay`` it does not leave. ``--from ADDRESS``: of this machine; ``--loot FILE --sni NAME --alpn
NAME``: under TLS with somebody else's key. ``--first answered``: one at a time until one is. ``--as ADDRESS``: whose
``spoof`` writes as its own; ``--uid``: who it is.

Here because a comparison needs to know who sent what, whatever the address says. Attempts are due at fixed times and do
not wait for one another. Standard library only, and as little of it as will do: how soon a pod can send its first
packet is one of the things that are measured. The clock is the machine's, the same in every pod.
"""

import contextlib
import os
import socket
import struct
import sys
import threading
import time

TYPE_CHECKING = False  # typing costs a start 10 ms
if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 0.9
"""After this an attempt has failed. The kernel sends a SYN again after 1 s: one attempt is one packet. Shorter, and a
machine that was busy for a moment would be taken for somebody who refuses."""
MAX_CALLERS = 300
"""More than are under way at once: 0.9 s of attempts, every 4 ms."""
ANY_PROTOCOL = 3
"""ETH_P_ALL, from linux/if_ether.h."""
LINE_BYTES = 4096
EVERYWHERE = "0.0.0.0"  # noqa: S104  # a server in a pod of a lab
NEVER = threading.Event()
"""Waited for with a time-out."""


class Log:
    """Lines of ``time what id more``, each in one write."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def say(self, what: str, name: str, more: str = "-") -> None:
        """Write one line."""
        os.write(self._file, f"{time.monotonic_ns()} {what} {name} {more}\n".encode())


def head(connection: socket.socket) -> bytes:
    """Read a request or an answer up to its empty line."""
    found = b""
    while b"\r\n\r\n" not in found:
        piece = connection.recv(LINE_BYTES)
        if not piece:
            break
        found += piece
    return found


def answer_http(connection: socket.socket, peer: str, log: Log) -> None:
    """Answer requests on one connection, and log each with what the caller is said to be."""
    with connection, contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while request := head(connection):
            first, *lines = request.decode("latin-1").split("\r\n")
            method, path, *_ = [*first.split(" "), "", ""]
            said = [line.partition(":")[2] for line in lines if line.lower().startswith("x-forwarded-client-cert:")]
            log.say("got", path.lstrip("/"), f"{peer} {method} {who(said)}")
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def who(said: list[str]) -> str:
    """Give the identity that a proxy has proven, from its header; "-" if there is none."""
    parts = (said[0].strip() if said else "").split(";")
    return next((part.partition("=")[2] for part in parts if part.startswith("URI=")), "-")


def answer_lines(connection: socket.socket, peer: str, log: Log) -> None:
    """Echo lines."""
    with connection, contextlib.suppress(OSError), connection.makefile("rb") as lines:
        for line in lines:
            log.say("got", line.decode("latin-1").strip(), f"{peer} LINE -")
            connection.sendall(line)


def serve(log: Log, ports: "dict[str, int]", at: str) -> None:
    """Answer for ever."""
    if ports["udp"]:
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind((at, ports["udp"]))
        threading.Thread(target=answer_datagrams, args=(datagrams, log), daemon=True).start()
    for kind, answer in (("lines", answer_lines), ("http", answer_http)):
        if ports[kind]:
            listener = socket.create_server((at, ports[kind]), backlog=512)
            threading.Thread(target=accept, args=(listener, answer, log), daemon=True).start()
    log.say("ready", "-")
    NEVER.wait()


def accept(listener: socket.socket, answer: "Callable[[socket.socket, str, Log], None]", log: Log) -> None:
    """Give each connection a thread."""
    while True:
        connection, (peer, *_) = listener.accept()
        threading.Thread(target=answer, args=(connection, peer, log), daemon=True).start()


def answer_datagrams(datagrams: socket.socket, log: Log) -> None:
    """Echo datagrams."""
    while True:
        text, (peer, *rest) = datagrams.recvfrom(LINE_BYTES)
        log.say("got", text.decode("latin-1"), f"{peer} UDP -")
        with contextlib.suppress(OSError):
            datagrams.sendto(text, (peer, *rest))


def disguise(flags: "dict[str, str]") -> "Callable[[socket.socket], socket.socket]":
    """Give what puts a connection under TLS with a stolen key; if none was stolen, what leaves it as it is."""
    if "loot" not in flags:
        return lambda plain: plain
    import ssl  # noqa: PLC0415  # 10 ms that only a thief pays

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(flags["loot"])
    context.set_alpn_protocols([flags["alpn"]])
    return lambda plain: context.wrap_socket(plain, server_hostname=flags["sni"])


def call(  # noqa: PLR0913, PLR0917  # a command line
    log: Log,
    target: "tuple[str, int]",
    kind: str,
    method: str,
    every_s: float,
    seconds: float,
    until: str,
    flags: "dict[str, str]",
) -> None:
    """Attempt again and again, each in a thread of its own. Returns when all of them have ended."""
    wrap, source = disguise(flags), flags.get("from", "")
    room = threading.Semaphore(MAX_CALLERS)
    number, answered = 0, "first" not in flags
    while not answered:  # hundreds at once would keep a busy machine from ever answering one
        name = f"{os.environ['WHO']}:{number}"
        number += 1
        log.say("sent", name, method)
        room.acquire()
        answered = attempt(log, name, target, kind, method, room, source, wrap)
        NEVER.wait(every_s)
    due_s = time.monotonic()
    end_s = due_s + seconds
    while due_s < end_s and not (until and os.access(until, os.F_OK)):
        room.acquire()
        name = f"{os.environ['WHO']}:{number}"
        log.say("sent", name, method)
        if kind == "spoof":
            spoof(log, name, target, flags.get("as", ""))
            room.release()
        else:
            threading.Thread(target=attempt, args=(log, name, target, kind, method, room, source, wrap)).start()
        number += 1
        due_s += every_s
        NEVER.wait(max(0.0, due_s - time.monotonic()))
    for _ in range(MAX_CALLERS):
        room.acquire()


def attempt(  # noqa: PLR0913, PLR0917  # one line of a plan
    log: Log,
    name: str,
    target: "tuple[str, int]",
    kind: str,
    method: str,
    room: threading.Semaphore,
    source: str,
    wrap: "Callable[[socket.socket], socket.socket]",
) -> bool:
    """Do it once, and tell whether it was answered."""
    sort = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
    try:
        with socket.socket(socket.AF_INET, sort) as connection:
            connection.settimeout(PATIENCE_S)
            if source:
                connection.bind((source, 0))
            connection.connect(target)
            if kind == "udp":
                connection.send(name.encode())
                connection.recv(LINE_BYTES)
                status = "200"
            else:
                request = f"{method} /{name} HTTP/1.1\r\nhost: {target[0]}\r\nconnection: close\r\n"
                with wrap(connection) as stream:
                    stream.sendall(f"{request}content-length: 0\r\n\r\n".encode())
                    status = [*head(stream).decode("latin-1").split(" "), "closed", "closed"][1]
        log.say("answered" if status == "200" else "refused", name, status)
    except OSError as error:
        log.say("refused", name, type(error).__name__)
        return False
    finally:
        room.release()
    return status == "200"


def spoof(log: Log, name: str, target: "tuple[str, int]", who: str) -> None:
    """Send one datagram under somebody else's address; the answer, if any, goes to whom that is."""
    text = name.encode()
    udp = struct.pack("!HHHH", 40000, target[1], 8 + len(text), 0) + text  # no checksum: IPv4 allows that
    addresses = socket.inet_aton(who) + socket.inet_aton(target[0])
    packet = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0) + addresses + udp
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:  # the kernel fills in the sum
            raw.sendto(packet, (target[0], 0))
        log.say("refused", name, "nobody-answers")  # what counts is whether the server got it
    except OSError as error:
        log.say("refused", name, type(error).__name__)


def read(log: Log, interface: str) -> None:
    """Note each request that passes in the clear."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(ANY_PROTOCOL)) as wire:
        wire.bind((interface, 0))
        log.say("ready", "-")
        while True:
            for word in wire.recv(65535).split(b" HTTP/1.1\r\n")[:-1]:
                method, _, path = word[-80:].decode("latin-1").rpartition(" ")
                if path.startswith("/") and ":" in path:
                    log.say("got", path.lstrip("/"), f"- {method[-4:].strip()} -")


def obey(path: str) -> None:
    """Carry out orders for ever, each in a process of its own: it is ``WHO``, and writes to a log of that name."""
    folder, _, me = path.rpartition("/")
    while True:
        for name in os.listdir(folder):  # noqa: PTH208  # no pathlib: see above
            if not name.startswith(f"order@{me}@"):
                continue
            with open(f"{folder}/{name}", encoding="utf-8") as order:  # noqa: PTH123  # as above
                words = order.read().splitlines()
            os.unlink(f"{folder}/{name}")  # noqa: PTH108  # as above; once, and it may be given again
            if os.fork() == 0:
                who = os.environ["WHO"] = name.rpartition("@")[2]
                try:
                    main([words[0], f"{folder}/{who}", *words[1:]])
                except BaseException:  # noqa: BLE001  # as the interpreter would, and no further
                    sys.excepthook(*sys.exc_info())
                    os._exit(1)
                os._exit(0)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        NEVER.wait(0.01)


def connected(target: "tuple[str, int]") -> socket.socket:
    """Connect, however often it takes: what is held is the point, not how soon."""
    for _ in range(60):
        with contextlib.suppress(OSError):
            return socket.create_connection(target, timeout=PATIENCE_S)
        NEVER.wait(0.1)
    raise ConnectionError


def hold(log: Log, target: "tuple[str, int]", every_s: float, seconds: float) -> None:
    """Keep one connection busy until it ends, once there is one."""
    number = 0
    try:
        with connected(target) as connection:
            end_s = time.monotonic() + seconds
            while time.monotonic() < end_s:
                name = f"{os.environ['WHO']}:{number}"
                log.say("sent", name, "LINE")
                connection.sendall(f"{name}\n".encode())
                if not connection.recv(LINE_BYTES):
                    raise ConnectionError
                log.say("answered", name, "200")
                number += 1
                NEVER.wait(every_s)
    except OSError as error:
        log.say("refused", f"{os.environ['WHO']}:{number}", type(error).__name__)
        after = f"{os.environ['WHO']}:{number + 1}"  # what broke may have carried the last line; it carries no other
        log.say("sent", after, "LINE")
        log.say("refused", after, "gone")


def load(log: Log, target: "tuple[str, int]", every_s: float, seconds: float, warm_s: float) -> None:
    """Send requests at fixed times over kept connections; latency counts from when one was due, once it is warm."""
    start_s, workers = time.monotonic() + 0.05, 8
    total = int(seconds / every_s)
    taken: list[float] = []
    failed: list[str] = []

    def work(worker: int) -> None:
        with socket.create_connection(target, timeout=2) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for number in range(worker, total, workers):
                due_s = start_s + number * every_s
                NEVER.wait(max(0.0, due_s - time.monotonic()))
                connection.sendall(f"GET /load:{number} HTTP/1.1\r\nhost: {target[0]}\r\n\r\n".encode())
                said = head(connection)
                if b" 200 " in said[:20]:
                    if due_s - start_s >= warm_s:
                        taken.append(time.monotonic() - due_s)
                else:
                    failed.append(said[:20].decode("latin-1"))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.monotonic() - start_s - warm_s
    log.say("load", "-", ",".join([f"{took_s:.6f}", str(len(failed)), *(f"{value:.6f}" for value in taken)]))


def main(words: "list[str]") -> None:
    """Run as a program."""
    what, path, *rest = words
    log = Log(path)
    log.say("started", "-")
    flags = {rest[at][2:]: rest[at + 1] for at in range(len(rest) - 1) if rest[at].startswith("--")}
    if what == "serve":
        ports = {kind: int(flags.get(kind, "0")) for kind in ("http", "lines", "udp")}
        serve(log, ports, flags.get("at", EVERYWHERE))
        return
    if what == "obey":
        obey(path)
    if what == "read":
        read(log, rest[0])
    if "uid" in flags:
        os.setuid(int(flags["uid"]))
    host, _, port = rest[0].rpartition(":")
    target = (host, int(port))
    every_s, seconds = float(flags.get("every", "10")) / 1000, float(flags.get("seconds", "1"))
    beside = path.rpartition("/")[0] + "/"
    while "wait" in flags and not os.access(beside + flags["wait"], os.F_OK):
        NEVER.wait(0.01)
    if what == "call":
        until = beside + flags["until"] if "until" in flags else ""
        method = flags.get("method", "GET")
        call(log, target, flags.get("kind", "http"), method, every_s, seconds, until, flags)
    elif what == "hold":
        hold(log, target, every_s, seconds)
    else:
        load(log, target, every_s, seconds, float(flags.get("warm", "0")))
    log.say("done", "-")
    if flags.get("then") == "stay":
        NEVER.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
