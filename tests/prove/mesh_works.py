"""One annotation: every protocol works both ways, TLS 1.3 and nothing else is on the wire, and the caller is proven.

Two injected Deployments on two nodes. A capture at the server's own interface says what passed between the pods; the
applications say what they were told of their callers. Every HTTP request claims to be somebody else.
"""

import contextlib
import json
import pathlib
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

from tests.prove import verdict
from tests.scene import mesh

NAMESPACE = "shop"
RING_S = 1.0
PORTS = (8080, 9090, 7000, 3306)
TRUST_DOMAIN = "cluster.local"
_RECORDS = range(20, 24)
"""Content types: change cipher spec, alert, handshake, application data (RFC 8446, 5.1)."""
_RECORD_HEAD, _MAX_RECORD = 5, (1 << 14) + 256


def prove() -> verdict.Verdict:
    """Measure it."""
    with mesh.up("works") as where, tempfile.TemporaryDirectory(prefix="ipseity-works-") as folder:
        text = mesh.namespace(NAMESPACE)
        text += mesh.server(NAMESPACE, "client", node="node-a") + "---" + mesh.server(NAMESPACE, "web", node="node-b")
        where.apply(text)
        where.ready(NAMESPACE, "client", "web")
        lines: list[str] = []
        right = total = 0
        versions: set[str] = set()
        packets = {"tls": 0, "clear": 0}
        for source, target in (("client", "web"), ("web", "client")):
            address, own = (
                where.get("pods", NAMESPACE, "-l", f"app={app}")[0]["status"]["podIP"] for app in (target, source)
            )
            file = pathlib.Path(folder) / f"{target}.pcap"
            for way, host in (("through its Service", target), ("by its address", address)):
                with capturing(where, target, file):
                    found = where.call(NAMESPACE, where.pod(NAMESPACE, source), "every", host)
                seen = read_capture(file, (address, own))
                checks = judge(found, source)
                right, total = right + sum(checks.values()), total + len(checks)
                packets = {key: packets[key] + seen[key] for key in packets}
                wrong = [name for name, holds in checks.items() if not holds]
                lines.append(f"{source} -> {target} {way:20} {len(checks) - len(wrong)} of {len(checks)} hold; {seen}")
                lines += [f"    {name}: {json.dumps(found.get(name.split()[0]))}" for name in wrong]
                # A connection that is used again shows no handshake: then no version is seen, and never another one.
                holds_wire = seen["clear"] == 0 and seen["tls"] > 0 and set(seen["versions"]) <= {"0x0304"}
                versions |= set(seen["versions"])
                right, total = right + holds_wire, total + 1
    return verdict.Verdict(
        holds=right == total and versions == {"0x0304"},
        figure=f"{right} of {total} checks; {packets['tls']} records of TLS 1.3, {packets['clear']} streams of other",
        lines=tuple(lines),
    )


def judge(found: dict[str, Any], source: str) -> dict[str, bool]:
    """Say of each thing that must hold whether it does."""
    caller = f"URI=spiffe://{TRUST_DOMAIN}/ns/{NAMESPACE}/sa/{source}"
    holds = {
        "http1": found["http1"].get("protocol") == "HTTP/1.1",
        "websocket": found["websocket"].get("echo") == "seven",
        "grpc": found["grpc"].get("question") == "seven" and found["grpc"].get("stream") == ["1", "2", "3"],
        "opaque": found["opaque"].get("same") is True,
        "server_first": found["server_first"].get("echo") == "seven" and found["server_first"]["waited_s"] < 1,
    }
    for name in ("http1", "websocket", "grpc"):
        told = str(found[name].get("caller", ""))
        holds[f"{name} caller"] = caller in told
        holds[f"{name} unforged"] = bool(told) and "sa/root" not in told
    return holds


@contextlib.contextmanager
def capturing(where: mesh.Mesh, app: str, file: pathlib.Path) -> Iterator[None]:
    """Capture what passes a pod's interface meanwhile."""
    pod = next(each for each in where.get("pods", NAMESPACE, "-l", f"app={app}"))
    pid = str(where.pid(pod))
    file.unlink(missing_ok=True)
    words = ["nsenter", "-t", pid, "-n", "dumpcap", "-q", "-i", "eth0", "-w", str(file), "-f", "tcp"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            # It names the file once the interface is open; what passes from then on is captured.
            if not any(line.startswith("File:") for line in process.stderr):
                raise verdict.CannotMeasure("dumpcap captures nothing", hint="see: dumpcap -i eth0")
            yield
            ended_s = mesh.now_s()  # what is in the kernel's ring is handed on in blocks
            mesh.wait_until(lambda: mesh.now_s() - ended_s > RING_S, 5, "the ring is read")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def read_capture(file: pathlib.Path, pods: tuple[str, str]) -> dict[str, Any]:
    """Say of every stream between two pods whether it is TLS from its first byte to its last, and of which version.

    The kubelet's probes come from the node, and are plaintext by design: what pods say to each other is judged.
    """
    between = f"ip.addr == {pods[0]} && ip.addr == {pods[1]} && tcp.len > 0"
    fields = [word for name in ("tcp.stream", "tcp.srcport", "tcp.seq", "tcp.payload") for word in ("-e", name)]
    sent: dict[tuple[str, str], dict[int, bytes]] = {}
    for row in tshark(file, between, *fields):
        stream, port, seq, payload = row.split("\t")
        sent.setdefault((stream, port), {})[int(seq)] = bytes.fromhex(payload.replace(":", ""))
    records = [tls_records(b"".join(part for _, part in sorted(parts.items()))) for parts in sent.values()]
    decode = [word for port in PORTS for word in ("-d", f"tcp.port=={port},tls")]
    hellos = tshark(
        file, f"{between} && tls.handshake.type == 2", "-e", "tls.handshake.extensions.supported_version", *decode
    )
    return {
        "tls": sum(number for number in records if number is not None),
        "clear": sum(number is None for number in records),
        "versions": sorted(set(hellos)),
    }


def tshark(file: pathlib.Path, wanted: str, *fields: str) -> list[str]:
    """Read fields of the packets that a display filter lets through."""
    words = ["tshark", "-n", "-r", str(file), "-Y", wanted, "-T", "fields", *fields]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()


def tls_records(raw: bytes) -> int | None:
    """Count the TLS records that bytes are made of; None: they are not, or not only."""
    count = at = 0
    while at + _RECORD_HEAD <= len(raw):
        kind, major, length = raw[at], raw[at + 1], int.from_bytes(raw[at + 3 : at + 5], "big")
        if kind not in _RECORDS or major != 3 or length > _MAX_RECORD:
            return None
        at += _RECORD_HEAD + length
        count += 1
    return count if at >= len(raw) and count else None
