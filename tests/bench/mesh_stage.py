"""A lab with two pairs of pods, one with our sidecars and one with hand-written ones, and the load between them.

Callers are on one node and callees on the other, so that a request takes the same way through the kernel in both pairs.
What each of the ways in ``Way`` goes through, ours and theirs:

- ``DIRECT``: from a pod without a proxy to a port that is not redirected;
- ``REDIRECTED``: bytes, through both proxies without TLS. Ours does that for an address that no pod is known to have,
  so our callee gets one more;
- ``BYTES`` and ``HTTP``: mTLS, carried as bytes or read as HTTP; ours through a Service.
"""

import contextlib
import dataclasses
import enum
import itertools
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from injector import names
from tests.bench import mesh_static
from tests.fakes import authority
from tests.scene import guard, lab, mesh

SOURCE = pathlib.Path(__file__).with_name("mesh_load.c")
NAMESPACE = "bench"
CONNECTIONS, RATE = 16, 1_000
SWAP = 50
"""Requests of each side after which the other one is first: a tenth of a second."""
WARMING = 200
"""Requests of each side that do not count: connections behind the proxies are made by them."""
_PORTS = (mesh_static.HTTP, mesh_static.BYTES, mesh_static.PLAIN, mesh_static.DIRECT)
_AHEAD = ("chrt", "--fifo", "10")
"""Everything on the way, ours and theirs, runs ahead of whatever else the machine does: neighbours are not measured."""
_SHARES = pathlib.Path("/sys/fs/cgroup/cpu/cgroup.procs")
_UNKNOWN_HOST = 250
"""Last byte of the address that our callee has and no pod is known to have."""


class Way(enum.Enum):
    """How a request gets there."""

    DIRECT = "direct"
    REDIRECTED = "redirected, no TLS"
    BYTES = "TCP mTLS"
    HTTP = "HTTP mTLS"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What one round of load found, in milliseconds from when each request was due."""

    requests: int
    failed: int
    p50_ms: float
    p99_ms: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where load is made."""

    mesh: mesh.Mesh
    program: pathlib.Path
    callers: dict[bool, int]
    """A process in the network namespace of our caller (True) and of theirs."""
    targets: dict[tuple[bool, Way], tuple[str, int]]

    def load(self, way: Way, *sides: bool, requests: int) -> tuple[Latency, ...]:
        """Make so many requests by each side, ours (True) or theirs, in turn; others before them do not count."""
        command = self.command(way, *sides, requests=requests)
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout
        return tuple(_read(line) for line in said.splitlines())

    def command(self, way: Way, *sides: bool, requests: int) -> list[str]:
        """Spell the command that makes load."""
        numbers = (CONNECTIONS, RATE, WARMING + requests, SWAP, WARMING)
        targets = ((self.callers[ours], *self.targets[ours, way]) for ours in sides)
        return [*_AHEAD, str(self.program), *map(str, ("ask", *numbers, *itertools.chain.from_iterable(targets)))]

    def handshakes(self, app: str) -> int:
        """Give how many TLS handshakes one of our sidecars has finished."""
        address = f"http://127.0.0.1:{names.STATUS_PORT}/metrics"
        read = f"import urllib.request as u; print(u.urlopen({address!r}).read().decode())"
        said = _enter(self.mesh.pid(one(self.mesh, app)), sys.executable, "-c", read)
        counts = (line.split() for line in said.splitlines() if line.startswith("envoy_listener_ssl_handshake{"))
        return sum(int(line[-1]) for line in counts)

    def sidecar(self, app: str) -> dict[str, int]:
        """Give the private memory of each process of one of our sidecars, in bytes, by name."""
        (pod,) = self.mesh.get("pods", NAMESPACE, "-l", f"app={app}")
        statuses = (*pod["status"].get("initContainerStatuses", ()), *pod["status"]["containerStatuses"])
        (container,) = (each["containerID"] for each in statuses if each["name"] == names.PROXY)
        key = container.removeprefix("runc://")
        found: dict[str, int] = {}
        for path in pathlib.Path("/proc").glob("[0-9]*/cgroup"):
            with contextlib.suppress(OSError):
                if key in path.read_text():
                    name = (path.parent / "comm").read_text().strip()
                    found[name] = found.get(name, 0) + private_bytes(int(path.parent.name))
        return found


def hasten(where: mesh.Mesh) -> None:
    """Have every process of the pods on the way run ahead of others."""
    uids = [each["metadata"]["uid"] for each in where.get("pods", NAMESPACE)]
    for path in pathlib.Path("/proc").glob("[0-9]*/cgroup"):
        with contextlib.suppress(OSError):
            if any(uid in path.read_text() for uid in uids):
                _hasten(path.parent.name)


def _hasten(pid: str) -> None:
    if _SHARES.exists():  # cgroup v1: a group has no real-time share of its own, so the process leaves it
        _SHARES.write_text(pid)
    subprocess.run([*_AHEAD[:2], "--all-tasks", "--pid", _AHEAD[2], pid], check=True)


def private_bytes(pid: int) -> int:
    """Read what memory a process has for itself: it would be free if the process ended."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))


def _read(said: str) -> Latency:
    requests, failed, p50_us, p99_us, *_ = said.split()
    return Latency(requests=int(requests), failed=int(failed), p50_ms=float(p50_us) / 1000, p99_ms=float(p99_us) / 1000)


@contextlib.contextmanager
def ready() -> Iterator[Stage]:
    """Compile the load, bring the pods up, redirect."""
    with compiled() as program, mesh.up("bench") as where:
        yield _staged(where, program.parent, program)


@contextlib.contextmanager
def compiled() -> Iterator[pathlib.Path]:
    """Compile the load, in a folder that pods may read; afterwards it is gone."""
    with tempfile.TemporaryDirectory(prefix="ipseity-bench-", dir="/var/tmp") as folder:
        place = pathlib.Path(folder)
        place.chmod(0o755)
        program = place / "mesh_load"
        compiler = shutil.which("gcc") or "gcc"
        subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, SOURCE], check=True)
        yield program


def _staged(where: mesh.Mesh, place: pathlib.Path, program: pathlib.Path) -> Stage:
    _write_identities(place)
    serve = [str(program), "serve", *map(str, _PORTS)]
    rest = ["/bin/sleep", "infinity"]
    (place / "server.json").write_text(mesh_static.server(str(place / "server")))
    where.apply(mesh.namespace(NAMESPACE))
    apply(where, _service(), pod("server", serve, "node-b"), pod("client", rest, "node-a"))
    apply(where, pod("static-server", serve, "node-b", proxy=place / "server.json"))
    theirs = _address(where, "static-server")
    (place / "client.json").write_text(mesh_static.client(str(place / "client"), theirs))
    apply(where, pod("static-client", rest, "node-a", proxy=place / "client.json"))
    callers = {ours: where.pid(one(where, "client" if ours else "static-client")) for ours in (True, False)}
    for pid, hook in ((callers[False], "output"), (where.pid(one(where, "static-server")), "prerouting")):
        _enter(pid, "nft", "-f", "-", given=mesh_static.redirect(hook))
    unknown = f"{_address(where, 'server').rpartition('.')[0]}.{_UNKNOWN_HOST}"
    _enter(where.pid(one(where, "server")), "ip", "address", "add", f"{unknown}/32", "dev", "eth0")
    hasten(where)
    service = where.get("services", NAMESPACE)[0]["spec"]["clusterIP"]
    targets = {
        (True, Way.REDIRECTED): (unknown, mesh_static.BYTES),
        (True, Way.BYTES): (service, mesh_static.BYTES),
        (True, Way.HTTP): (service, mesh_static.HTTP),
        (False, Way.DIRECT): (theirs, mesh_static.DIRECT),
        (False, Way.REDIRECTED): (theirs, mesh_static.PLAIN),
        (False, Way.BYTES): (theirs, mesh_static.BYTES),
        (False, Way.HTTP): (theirs, mesh_static.HTTP),
    }
    return Stage(mesh=where, program=program, callers=callers, targets=targets)


def _write_identities(place: pathlib.Path) -> None:
    """Write what the hand-written proxies prove themselves with; they may read it, as any file of theirs."""
    made = authority.make("bench")
    for end, spiffe_id in (("client", mesh_static.CLIENT_ID), ("server", mesh_static.SERVER_ID)):
        folder = place / end
        folder.mkdir()
        key, chain = made.identity(spiffe_id)
        for name, data in (("key.pem", key), ("cert.pem", chain), ("ca.pem", made.bundle)):
            (folder / name).write_bytes(data)
            shutil.chown(folder / name, names.PROXY_UID)


def apply(where: mesh.Mesh, *objects: dict[str, Any]) -> None:
    """Make objects, and wait for those that are pods."""
    where.kubectl("apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
    for each in objects:
        if each["kind"] == "Pod":
            name = each["metadata"]["name"]
            limit = f"--timeout={mesh.READY_S:.0f}s"
            where.kubectl("wait", "-n", NAMESPACE, "--for=condition=Ready", f"pod/{name}", limit)


def one(where: mesh.Mesh, app: str) -> dict[str, Any]:
    """Give the one pod of an app."""
    (found,) = where.get("pods", NAMESPACE, "-l", f"app={app}")
    return found


def _address(where: mesh.Mesh, app: str) -> str:
    return str(one(where, app)["status"]["podIP"])


def _enter(pid: int, *words: str, given: str = "") -> str:
    return lab.succeed("nsenter", "--target", str(pid), "--net", *words, given=given)


def tried(pid: int, *words: str) -> str:
    """Run a command in the network of a process, and give what it says of its errors."""
    command = ["nsenter", "--target", str(pid), "--net", *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30).stderr


def _service() -> dict[str, Any]:
    ports = [{"name": "http", "port": mesh_static.HTTP}, {"name": "tcp-bytes", "port": mesh_static.BYTES}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server", "namespace": NAMESPACE},
        "spec": {"selector": {"app": "server"}, "ports": ports},
    }


def pod(app: str, command: Sequence[str], node: str, *, proxy: pathlib.Path | None = None) -> dict[str, Any]:
    """Give a pod: injected, or with a proxy of its own beside it, which is granted what ours is."""
    said = {"ipseity.io/inject": "enabled"} if proxy is None else {}
    containers: list[dict[str, Any]] = [{"name": "app", "image": "tests/load", "command": list(command)}]
    if proxy is not None:
        envoy = guard.ENVOY
        containers.append(
            {
                "name": "proxy",
                "image": "tests/envoy",
                "command": [str(envoy), "-c", str(proxy), "--concurrency", "1", "--disable-hot-restart"],
                "resources": {"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"memory": "256Mi"}},
                "securityContext": {"runAsUser": names.PROXY_UID, "runAsGroup": names.PROXY_UID},
            }
        )
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": app, "namespace": NAMESPACE, "labels": {"app": app}, "annotations": said},
        "spec": {"nodeName": node, "containers": containers, "terminationGracePeriodSeconds": 0},
    }
