"""One annotation: every protocol works both ways, TLS 1.3 and nothing else is on the wire, and the caller is proven.

Two injected Deployments on two nodes. A capture at the server's own interface says what passed between the pods; the
applications say what they were told of their callers. Every HTTP request claims to be somebody else.
"""

import contextlib
import json
import pathlib
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

from tests.prove import verdict
from tests.scene import mesh

NAMESPACE = "shop"
PORTS = (8080, 9090, 7000, 3306)
TRUST_DOMAIN = "cluster.local"


def prove() -> verdict.Verdict:
    """Measure it."""
    with mesh.up("works") as where, tempfile.TemporaryDirectory(prefix="ipseity-works-") as folder:
        text = mesh.namespace(NAMESPACE)
        text += mesh.server(NAMESPACE, "client", node="node-a") + "---" + mesh.server(NAMESPACE, "web", node="node-b")
        where.apply(text)
        where.ready(NAMESPACE, "client", "web")
        lines: list[str] = []
        right = total = 0
        packets = {"tls": 0, "clear": 0}
        for source, target in (("client", "web"), ("web", "client")):
            address = where.get("pods", NAMESPACE, "-l", f"app={target}")[0]["status"]["podIP"]
            file = pathlib.Path(folder) / f"{target}.pcap"
            for way, host in (("through its Service", target), ("by its address", address)):
                with capturing(where, target, file):
                    found = where.call(NAMESPACE, where.pod(NAMESPACE, source), "every", host)
                seen = read_capture(file)
                checks = judge(found, source)
                right, total = right + sum(checks.values()), total + len(checks)
                packets = {key: packets[key] + seen[key] for key in packets}
                wrong = [name for name, holds in checks.items() if not holds]
                lines.append(f"{source} -> {target} {way:20} {len(checks) - len(wrong)} of {len(checks)} hold; {seen}")
                lines += [f"    {name}: {json.dumps(found.get(name.split()[0]))}" for name in wrong]
                holds_wire = seen["clear"] == 0 and seen["tls"] > 0 and seen["versions"] == ["0x0304"]
                right, total = right + holds_wire, total + 1
    return verdict.Verdict(
        holds=right == total,
        figure=f"{right} of {total} checks; {packets['tls']} segments of TLS 1.3, {packets['clear']} of anything else",
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
    words = ["nsenter", "-t", pid, "-n", "tshark", "-q", "-n", "-i", "eth0", "-w", str(file), "-f", "tcp"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        try:
            mesh.wait_until(lambda: file.exists() and file.stat().st_size > 0, 20, "tshark captures")
            yield
        finally:
            process.terminate()
            process.wait()


def read_capture(file: pathlib.Path) -> dict[str, Any]:
    """Count segments with payload to or from an application's port: TLS, and anything else."""
    ports = " || ".join(f"tcp.port == {port}" for port in PORTS)
    decode = [word for port in PORTS for word in ("-d", f"tcp.port=={port},tls")]
    fields = ["-T", "fields", "-e", "tls.record.content_type", "-e", "tcp.payload", "-e", "tls.handshake.type"]
    fields += ["-e", "tls.handshake.extensions.supported_version"]
    words = ["tshark", "-n", "-r", str(file), *decode, "-Y", f"({ports}) && tcp.len > 0", *fields]
    rows = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    tls = clear = 0
    versions: set[str] = set()
    for row in rows:
        kind, payload, handshake, version = ([*row.split("\t"), "", "", "", ""])[:4]
        # A probe of the kubelet is plaintext, from the node: the pods' own traffic is what is judged.
        if kind or continues(payload):
            tls += 1
        else:
            clear += not is_probe(payload)
        if "2" in handshake.split(","):
            versions.add(version)
    return {"tls": tls, "clear": clear, "versions": sorted(versions)}


def continues(payload: str) -> bool:
    """Tell a segment in the middle of a TLS record from text: tshark names the type where a record begins or ends."""
    raw = bytes.fromhex(payload.replace(":", ""))
    printable = sum(32 <= byte < 127 or byte in (9, 10, 13) for byte in raw)
    return len(raw) > 64 and printable < 0.6 * len(raw)


def is_probe(payload: str) -> bool:
    """Tell the kubelet's probe, and the answer to it."""
    raw = bytes.fromhex(payload.replace(":", ""))
    return b"kube-probe" in raw or b"/healthy" in raw
