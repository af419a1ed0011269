"""A street of pods on one switch: each with its redirect, a real Envoy, and ``tests.traffic.polyglot`` inside.

    discovery (the real one, in this process)  10.215.0.1:18445
    switch  10.215.0.1/24 ---- pod 10.215.0.10  ---- pod 10.215.0.11 ...

Certificates come from ``tests.fakes.authority``, the cluster is a value that a test changes, and a Service is nothing
but its ClusterIP: who reaches it has been redirected. Leaves out the supervisor, the webhook and Kubernetes.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import grpc
import prometheus_client
from envoy.service.discovery.v3 import ads_pb2_grpc

from injector import annotations
from injector.cluster import model
from injector.discovery import hub, metrics, service, settings
from injector.routes import attach
from injector.sidecar import bootstrap, envoy, files, orders, redirect
from ipseity import identity
from tests.fakes import authority
from tests.scene import clone, guard

if TYPE_CHECKING:
    from injector.policy import model as policy
    from injector.routes import model as routes

SWITCH: Final = "ipseity-street"
GATE: Final = "10.215.0.1"
GATE6: Final = "fd00:215::1"
PORT: Final = 18_445
UID: Final = 2102
PATIENCE_S: Final = 60.0
TRUST_DOMAIN: Final = identity.TrustDomain("cluster.local")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """One pod's namespace and directory."""

    name: str
    pod: model.Pod
    workload: pathlib.Path

    @property
    def spiffe_id(self) -> identity.SpiffeId:
        """Who it is."""
        return identity.SpiffeId(TRUST_DOMAIN, self.pod.account)

    def command(self, *words: str) -> list[str]:
        """Give the words that run a program inside."""
        return ["ip", "netns", "exec", self.name, *words]

    async def start(self, module: str, *words: str) -> asyncio.subprocess.Process:
        """Start one of our own programs inside; its output is a pipe."""
        return await asyncio.create_subprocess_exec(
            *self.command(sys.executable, "-m", module, *words), cwd=clone.ROOT, stdout=asyncio.subprocess.PIPE
        )

    async def ask(self, *words: str) -> Any:
        """Run ``tests.traffic.caller`` to its end, and give its last line, read."""
        process = await self.start("tests.traffic.caller", *words)
        async with asyncio.timeout(PATIENCE_S):
            output, _ = await process.communicate()
        return json.loads(output.splitlines()[-1])

    async def admin(self, path: str) -> str:
        """Ask this pod's Envoy."""
        connector = aiohttp.UnixConnector(files.admin_socket(str(self.workload)))
        async with aiohttp.ClientSession(connector=connector) as session, session.get(f"http://envoy{path}") as answer:
            return await answer.text()

    async def stats(self, text: str) -> dict[str, int]:
        """Give the counters whose name has a text in it."""
        lines = (await self.admin("/stats?usedonly")).splitlines()
        pairs = (line.rsplit(": ", 1) for line in lines if text in line)
        return {name: int(value) for name, value in pairs if value.isdigit()}

    async def listeners(self) -> dict[str, str]:
        """Give the dynamic listeners, and ``active`` or what else they are in."""
        dump = json.loads(await self.admin("/config_dump?resource=dynamic_listeners"))
        return {
            each["name"]: "active" if "active_state" in each and "error_state" not in each else json.dumps(each)[:400]
            for each in dump.get("configs", ())
        }


def pod(number: int, account: str, namespace: str = "shop", **said: Any) -> model.Pod:
    """Describe a pod; ``number`` is in its name and addresses."""
    return model.Pod(
        ref=identity.PodRef(namespace, f"{account}-{number}", f"uid-{number}"),
        account=identity.ServiceAccount(namespace, account),
        labels={"app": account},
        addresses=(f"10.215.0.{number}", f"fd00:215::{number}"),
        ports=said.pop("ports", PORTS),
        **{"meshed": True, "ready": True, "opaque_ports": annotations.DEFAULT_OPAQUE_PORTS, **said},
    )


PORTS: Final = tuple(
    model.PodPort(name=name, port=port) for name, port in (("http", 8080), ("grpc", 9090), ("", 7000), ("mysql", 3306))
)
_SAID: Final = {
    8080: model.Protocol.DETECT,
    9090: model.Protocol.HTTP2,
    7000: model.Protocol.DETECT,
    3306: model.Protocol.OPAQUE,
}


def fronting(name: str, address: str, pods: Sequence[model.Pod], **said: Any) -> model.Service:
    """Describe a Service in front of pods that run polyglot."""
    ports = tuple(
        model.ServicePort(name=str(port), port=port, target=port, protocol=said.get("protocol", protocol))
        for port, protocol in _SAID.items()
    )
    return model.Service(
        namespace=said.get("namespace", "shop"),
        name=name,
        addresses=(address,),
        ports=ports,
        endpoints={
            each.name: tuple(
                model.Endpoint(address=pod.addresses[0], port=each.port, pod=pod.ref, account=pod.expects(each.port))
                for pod in pods
            )
            for each in ports
        },
    )


class Street:
    """The switch, the control plane, and who lives here."""

    def __init__(self, top: pathlib.Path) -> None:
        self.top = top
        self.authority = authority.make()
        self.pods: list[model.Pod] = []
        self.services: list[model.Service] = []
        self.policies: list[policy.AuthorizationPolicy] = []
        self.routes: list[routes.Route] = []
        self.grants: list[routes.Grant] = []
        self.revision = 0

    def publish(self) -> None:
        """Tell the control plane what is true now."""
        self.revision += 1
        state = model.state_of(TRUST_DOMAIN, self.pods, self.services, revision=self.revision)
        self.attached = attach.attach(state.services, self.routes, self.grants)
        self.hub.publish(state, tuple(self.policies), self.attached)

    async def synced(self, count: int) -> None:
        """Wait until so many proxies have accepted all there is."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                states = [each.state for each in self.hub.statuses()]
                if self.revision == self._told() and states == ["synced"] * count:
                    return
                await asyncio.sleep(0.01)

    def _told(self) -> int:
        world = self.hub._world
        return 0 if world is None else world.state.revision

    async def open(self) -> None:
        """Start to serve discovery, knowing nothing of what an earlier control plane knew."""
        counted = metrics.Metrics(prometheus_client.CollectorRegistry())
        config = settings.Settings(trust_domain=TRUST_DOMAIN)
        self.hub = hub.Hub(config, counted, clock=time.monotonic)
        self.service = service.Service(
            self.hub, counted, TRUST_DOMAIN, clock=time.monotonic, wall_s=lambda: time.clock_gettime(0)
        )
        key, chain = self.authority.identity(authority.CONTROL_PLANE_ID, dns=authority.CONTROL_PLANE)
        self._server = grpc.aio.server(options=service.OPTIONS)
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(self.service, self._server)
        mutual = grpc.ssl_server_credentials([(key, chain)], self.authority.bundle, require_client_auth=True)
        self._server.add_secure_port(f"{GATE}:{PORT}", mutual)
        await self._server.start()
        self._running = asyncio.create_task(self.hub.run())

    async def close(self) -> None:
        """Stop serving; pods go on."""
        self.service.close()
        self._running.cancel()
        await self._server.stop(1)

    async def restart(self) -> None:
        """Be a control plane that was replaced by a new one."""
        await self.close()
        await self.open()
        self.publish()

    @contextlib.asynccontextmanager
    async def house(self, lives: model.Pod, *, application: bool = True) -> AsyncIterator[House]:
        """Have a pod live here: namespace, redirect, certificate, Envoy, application."""
        made = House(name=f"ipseity-{lives.ref.name}", pod=lives, workload=self.top / lives.ref.name)
        made.workload.mkdir()
        os.chown(made.workload, UID, UID)
        with _namespace(made):
            self.certify(made)
            told = _orders(made)
            config = bootstrap.make(told, bootstrap.Facts(ipv6=True, heap_bytes=0))
            (made.workload / "bootstrap.json").write_text(json.dumps(config))
            async with contextlib.AsyncExitStack() as stack:
                if application:
                    process = await made.start("tests.traffic.polyglot", "--name", lives.ref.name)
                    stack.push_async_callback(_end, process)
                    async with asyncio.timeout(PATIENCE_S):
                        assert process.stdout is not None
                        assert b"ready" in await process.stdout.readline()
                with (made.workload / "envoy.log").open("wb") as log:
                    process = await asyncio.create_subprocess_exec(*_envoy(made, told), stdout=log, stderr=log)
                stack.push_async_callback(_end, process)
                yield made

    def certify(self, made: House, generation: int = 1) -> None:
        """Give a pod its certificate and the anchors."""
        dns = f"{made.pod.ref.name}.{made.pod.ref.namespace}.pod.{TRUST_DOMAIN}"
        key, chain = self.authority.identity(str(made.spiffe_id), dns=dns)
        directory = str(made.workload)
        real = files.publish_identity(directory, key, chain, generation)
        os.chown(real.key, UID, UID)
        files.publish_trust(directory, self.authority.bundle, generation)
        for name in ("sds-workload.json", "sds-trust.json"):
            path = made.workload / name
            files.replace(str(path), path.read_bytes().replace(directory.encode(), b"/run/ipseity.io"))


@contextlib.asynccontextmanager
async def street() -> AsyncIterator[Street]:
    """Build the switch, serve, and leave nothing behind."""
    top = _top()
    try:
        _run("ip", "link", "add", SWITCH, "type", "bridge")
        try:
            _run("ip", "address", "add", f"{GATE}/24", "dev", SWITCH)
            _run("ip", "address", "add", f"{GATE6}/64", "dev", SWITCH, "nodad")
            _run("ip", "link", "set", SWITCH, "up")
            made = Street(top)
            await made.open()
            try:
                yield made
            finally:
                await made.close()
        finally:
            _run("ip", "link", "delete", SWITCH)
    finally:
        shutil.rmtree(top)


def _top() -> pathlib.Path:
    made = pathlib.Path(tempfile.mkdtemp(prefix="ipseity-street-", dir="/var/tmp"))
    made.chmod(0o755)
    return made


@contextlib.contextmanager
def _namespace(made: House) -> Iterator[None]:
    near = f"ips{made.pod.addresses[0].rpartition('.')[2]}"
    _run("ip", "netns", "add", made.name)
    try:
        _run("ip", "link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", made.name)
        _run("ip", "link", "set", near, "master", SWITCH, "up")
        inside = ("ip", "-n", made.name)
        _run(*inside, "link", "set", "lo", "up")
        _run(*inside, "address", "add", f"{made.pod.addresses[0]}/24", "dev", "eth0")
        _run(*inside, "address", "add", f"{made.pod.addresses[1]}/64", "dev", "eth0", "nodad")
        _run(*inside, "link", "set", "eth0", "up")
        _run(*inside, "route", "add", "default", "via", GATE)
        rules = redirect.ruleset(redirect.Redirect())
        _run(*made.command("nft", "-f", "-"), input=rules.encode())
        yield
    finally:
        subprocess.run(["ip", "link", "delete", near], check=False)
        _run("ip", "netns", "delete", made.name)


def _orders(made: House) -> orders.Orders:
    return orders.Orders(
        pod_name=made.pod.ref.name,
        pod_namespace=made.pod.ref.namespace,
        pod_uid=made.pod.ref.uid,
        node_name="node",
        service_account=made.pod.account.name,
        trust_domain=str(TRUST_DOMAIN),
        control_plane=authority.CONTROL_PLANE,
        control_plane_id=authority.CONTROL_PLANE_ID,
        identity_address=f"{GATE}:1",
        discovery_address=f"{GATE}:{PORT}",
        identity_dir="/nonexistent",
        workload_dir="/run/ipseity.io",
        proxy_uid=UID,
        envoy=str(guard.ENVOY),
        python=sys.executable,
        version="test",
        log_level="warning",
        concurrency=1,
        max_connections=10_000,
        drain_s=1.0,
    )


def _envoy(made: House, told: orders.Orders) -> list[str]:
    """Give the words that run Envoy as in a pod: its volume at its place, its user, no capability."""
    place = f"mount -t tmpfs none /run && mkdir {told.workload_dir} && mount --bind {made.workload} {told.workload_dir}"
    demoted = f"setpriv --reuid {UID} --regid {UID} --clear-groups --bounding-set=-all --inh-caps=-all"
    program = " ".join(f"'{word}'" for word in envoy.command(told))
    return made.command("sh", "-c", f"{place} && exec {demoted} {program}")


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def _run(*words: str, **said: Any) -> None:
    subprocess.run(words, check=True, **said)
