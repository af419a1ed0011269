"""A pod with nothing but its proxy: a namespace on a wire to the test, and the real supervisor with the real Envoy.

As the user and with the capabilities that they have in a cluster (none).

    test 10.213.0.1, fd00:213::1  ----veth----  10.213.0.2, fd00:213::2 pod

Leaves out the application, the redirect, and the control plane (``tests.fakes.control_plane``).
"""

import asyncio
import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from tests.fakes import authority, control_plane
from tests.scene import clone

HOST, POD = "10.213.0.1", "10.213.0.2"
HOST6, POD6 = "fd00:213::1", "fd00:213::2"
UID = 2102
IDENTITY_PORT, DISCOVERY_PORT, ECHO_PORT, MTLS_PORT, HTTP_PORT = 18_444, 18_445, 18_080, 9000, 9001
SPIFFE_ID = "spiffe://cluster.local/ns/default/sa/web"
PATIENCE_S = 30.0
"""Most that any one event may take: a certificate is 1 s, Envoy's start 0.3 s, on two cores that others use too."""
_COMMAND = "import sys; from injector.sidecar import commands; commands.sidecar(sys.argv[1:])"
_AS_THE_PROXY = (
    *("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--bounding-set=-all", "--no-new-privs"),
    *(sys.executable, "-c", _COMMAND),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """The namespace and the directories."""

    name: str
    identity: pathlib.Path
    workload: pathlib.Path

    def give(self, plane: control_plane.ControlPlane, *, token: str = "token") -> None:
        """Deliver token and trust bundle, as the kubelet does."""
        self.deliver("token", token.encode())
        self.deliver("ca.crt", plane.authority.bundle)

    def deliver(self, name: str, data: bytes) -> None:
        """Put a file in the projected volume, at once."""
        passing = self.identity / f".{name}"
        passing.write_bytes(data)
        passing.chmod(0o644)
        passing.rename(self.identity / name)


class Proxy:
    """A supervisor that runs, and what it and its Envoy have said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._more = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    async def said(self, event: str, text: str = "", *, after: int = 0) -> dict[str, Any]:
        """Wait for a line of this event that has the text in it, beyond the first ``after`` lines."""

        def found() -> dict[str, Any] | None:
            matching = (line for line in self.lines[after:] if line["event"] == event and text in json.dumps(line))
            return next(matching, None)

        try:
            async with asyncio.timeout(PATIENCE_S), self._more:
                return await self._more.wait_for(found)
        except TimeoutError:
            raise AssertionError(f"no {event!r} with {text!r} in {self.lines[-9:]}") from None

    async def ready(self) -> None:
        """Wait until Envoy has its configuration and listens."""
        async with asyncio.timeout(PATIENCE_S):
            while not await asyncio.to_thread(is_ready):
                await self._turn()

    async def _turn(self) -> None:
        """Let a moment pass: until the proxy says something, or 50 ms."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05), self._more:
                await self._more.wait()

    async def ended(self) -> int:
        """Wait for the end; gives the exit code."""
        async with asyncio.timeout(PATIENCE_S):
            code = await self.process.wait()
            await self._reader
        return code

    def tell(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        os.kill(self.process.pid, number)

    @property
    def envoy_pid(self) -> int:
        """Of the Envoy that was started last."""
        return int([line for line in self.lines if line["event"] == "envoy-started"][-1]["pid"])

    async def _read(self) -> None:
        assert self.process.stderr
        async for line in self.process.stderr:
            async with self._more:
                self.lines.append(_parsed(line))
                self._more.notify_all()


def is_ready() -> bool:
    """Ask as the kubelet does."""
    connection = http.client.HTTPConnection(POD, 15_020, timeout=PATIENCE_S)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/ready")
        return connection.getresponse().status == http.client.OK
    return False


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError:
        return {"event": "unstructured", "text": line.decode(errors="replace")}


@contextlib.contextmanager
def pod(*, volume_bytes: int = 8 << 20) -> Iterator[Pod]:
    """Make the pod, and leave nothing behind."""
    name = f"ipseity-proxied-{os.getpid()}"
    with contextlib.ExitStack() as cleanup:
        top = pathlib.Path(tempfile.mkdtemp(prefix="ipseity-proxied-", dir="/var/tmp"))
        made = Pod(name=name, identity=top / "identity", workload=top / "workload")
        top.chmod(0o755)
        cleanup.callback(top.rmdir)
        for directory in (made.identity, made.workload):
            directory.mkdir(mode=0o755)
            cleanup.callback(directory.rmdir)
        volume = f"size={volume_bytes},uid={UID},gid={UID},mode=0770"
        run("mount", "-t", "tmpfs", "-o", volume, "ipseity-workload", str(made.workload))
        cleanup.callback(run, "umount", "--lazy", str(made.workload))
        cleanup.callback(lambda: [path.unlink() for path in made.identity.iterdir()])
        run("ip", "netns", "add", name)
        cleanup.callback(run, "ip", "netns", "delete", name)
        near = f"ips{os.getpid()}"
        run("ip", "link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", name)
        cleanup.callback(run, "ip", "link", "delete", near)  # at once; that of a namespace is some time later
        wire(near, name)
        yield made


@contextlib.asynccontextmanager
async def proxy(made: Pod, *, within: Sequence[str] = (), **settings: object) -> AsyncIterator[Proxy]:
    """Run the supervisor in the pod until the block ends. ``settings``: fields of ``config.Run``.

    ``within``: a program that runs it, such as unshare.
    """
    variables = {
        "pod_name": "web-1", "pod_namespace": "default", "service_account": "web",
        "identity_address": f"{HOST}:{IDENTITY_PORT}", "discovery_address": f"{HOST}:{DISCOVERY_PORT}",
        "identity_dir": made.identity, "workload_dir": made.workload, "proxy_log_level": "warning", **settings,
    }  # fmt: skip
    environ = {f"IPSEITY_{name.upper()}": str(value) for name, value in variables.items()}
    process = await asyncio.create_subprocess_exec(
        *("setsid", "ip", "netns", "exec", made.name), *within, *_AS_THE_PROXY, "run",
        cwd=clone.ROOT, env={"PATH": os.environ["PATH"], **environ}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    running = Proxy(process)
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its children too: outside a container nobody else ends them
        await running.ended()


async def command(made: Pod, *words: str) -> None:
    """Run ``ipseity sidecar`` in the pod, as the proxy's user; it must succeed."""
    enter = ("ip", "netns", "exec", made.name, *_AS_THE_PROXY)
    process = await asyncio.create_subprocess_exec(*enter, *words, cwd=clone.ROOT)
    async with asyncio.timeout(PATIENCE_S):
        assert 0 == await process.wait()


def wire(near: str, name: str) -> None:
    """Give both ends of the wire their addresses."""
    run("ip", "address", "add", f"{HOST}/24", "dev", near)
    run("ip", "address", "add", f"{HOST6}/64", "dev", near, "nodad")
    run("ip", "link", "set", near, "up")
    for words in (
        ("link", "set", "lo", "up"),
        ("address", "add", f"{POD}/24", "dev", "eth0"),
        ("address", "add", f"{POD6}/64", "dev", "eth0", "nodad"),
        ("link", "set", "eth0", "up"),
        ("route", "add", "default", "via", HOST),
    ):
        run("ip", "-n", name, *words)


def run(*words: str) -> None:
    """Run a program that must succeed."""
    subprocess.run(words, check=True)


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[None]:
    """Serve what the proxy's cluster leads to: it gives back what it gets."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, HOST, ECHO_PORT):
        yield


def caller(trusts: authority.Authority, of: authority.Authority, directory: pathlib.Path) -> ssl.SSLContext:
    """Make what a meshed client speaks mTLS with; the name of the server is not looked at here."""
    key, chain = of.identity("spiffe://cluster.local/ns/default/sa/caller")
    both = directory / "caller.pem"
    both.write_bytes(key + chain)
    context = ssl.create_default_context(cadata=trusts.bundle.decode())
    context.check_hostname = False
    context.load_cert_chain(both)
    return context


def resources(made: Pod) -> dict[str, list[dict[str, Any]]]:
    """Write a listener with mTLS and the cluster behind it, and a listener that answers HTTP itself."""

    def secret(name: str) -> dict[str, Any]:
        source = {"path": str(made.workload / f"sds-{name}.json"), "watched_directory": {"path": str(made.workload)}}
        return {"name": name, "sds_config": {"path_config_source": source, "resource_api_version": "V3"}}

    tls = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificate_sds_secret_configs": [secret("workload")],
            "validation_context_sds_secret_config": secret("trust"),
        },
    }
    proxied = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "echo",
        "cluster": "echo",
    }
    chain = {
        "transport_socket": {"name": "tls", "typed_config": tls},
        "filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxied}],
    }
    to_echo = {"endpoint": {"address": {"socket_address": {"address": HOST, "port_value": ECHO_PORT}}}}
    listeners = [_listener("mtls", MTLS_PORT, chain), _listener("http", HTTP_PORT, _greeting())]
    cluster = {
        "name": "echo",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "echo", "endpoints": [{"lb_endpoints": [to_echo]}]},
    }
    return {control_plane.LISTENER: listeners, control_plane.CLUSTER: [cluster]}


def _listener(name: str, port: int, chain: dict[str, Any]) -> dict[str, Any]:
    address = {"socket_address": {"address": "0.0.0.0", "port_value": port}}
    return {"name": name, "address": address, "filter_chains": [chain]}


def _greeting() -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "hello"}}}
    filters = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{filters}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "inbound",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{filters}.http.router.v3.Router"}}
        ],
    }
    return {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
