"""How soon a change reaches a crowd of proxies, and what the control plane that tells them weighs.

    python -m tests.bench.crowd [--proxies 500] [--services 1000] [--pods 10000] [--accounts 50] [--changes 23]

Discovery, as it is, in a process of its own, by mTLS on the loopback; proxies are those of ``light_proxies``. A change
is a pod more, and an endpoint. Leaves out Envoy's own time to apply (milliseconds for one endpoint) and the watch of
Kubernetes.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import pathlib
import sys
import time

import grpc
import prometheus_client
from envoy.service.discovery.v3 import ads_pb2_grpc

from injector.cluster import model
from injector.discovery import hub, metrics, resource, service, settings
from tests.bench import light_proxies
from tests.fakes import authority, clusters

WATCHED = "outbound|80|shop/s0@"


@dataclasses.dataclass(slots=True)
class Cluster:
    """The cluster that is told of: pods in Services, in turn."""

    pods: list[model.Pod]
    services: list[model.Service]
    revision: int = 0

    def state(self) -> model.ClusterState:
        """Give it as it is now."""
        self.revision += 1
        return clusters.state(self.pods, self.services, revision=self.revision)

    def change(self) -> None:
        """Let a pod come, and be one more endpoint of the first Service."""
        first = self.services[0]
        pod = clusters.pod(len(self.pods), self.pods[0].account.name)
        self.pods.append(pod)
        there = first.endpoints[""]
        more = model.Endpoint(address=pod.addresses[0], port=there[0].port, pod=pod.ref, account=pod.account)
        self.services[0] = dataclasses.replace(first, endpoints={"": (*there, more)})


def cluster(said: argparse.Namespace) -> Cluster:
    """Make it."""
    pods = [clusters.pod(number, f"account{number % said.accounts}") for number in range(said.pods)]
    services = [
        clusters.service(
            f"s{n}", pods[n :: said.services], address=f"10.{96 + n // 62_500}.{n // 250 % 250}.{n % 250 + 1}"
        )
        for n in range(said.services)
    ]
    return Cluster(pods, services)


async def serve(said: argparse.Namespace) -> None:
    """Be the control plane: a line on stdin is a change; tells that it was published."""
    ours, there = authority.make(), cluster(said)
    counted = metrics.Metrics(prometheus_client.CollectorRegistry())
    known = hub.Hub(settings.Settings(trust_domain=clusters.TRUST_DOMAIN), counted, clock=time.monotonic)
    serving = service.Service(
        known, counted, clusters.TRUST_DOMAIN, clock=time.monotonic, wall_s=lambda: time.clock_gettime(0)
    )
    server = grpc.aio.server(options=service.OPTIONS)
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(serving, server)
    key, chain = ours.identity(authority.CONTROL_PLANE_ID, dns=authority.CONTROL_PLANE)
    port = server.add_secure_port(
        "127.0.0.1:0", grpc.ssl_server_credentials([(key, chain)], ours.bundle, require_client_auth=True)
    )
    await server.start()
    running = asyncio.create_task(known.run())
    known.publish(there.state(), ())
    papers = []
    for pod in there.pods[: said.proxies]:
        dns = f"{pod.ref.name}.{pod.ref.namespace}.pod.{clusters.TRUST_DOMAIN}"
        papers.append([text.decode() for text in ours.identity(str(clusters.who(pod.account.name)), dns=dns)])
    print(json.dumps({"port": port, "bundle": ours.bundle.decode(), "papers": papers}), flush=True)
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        there.change()
        known.publish(there.state(), ())
        print(json.dumps({"rss_kb": _rss_kb()}), flush=True)
    running.cancel()


def _rss_kb() -> int:
    status = pathlib.Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


async def measure(said: argparse.Namespace) -> None:
    """Connect the crowd, change things, print figures."""
    words = [f"--{name}={value}" for name, value in vars(said).items() if name != "serve"]
    plane = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.crowd", "--serve", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 26,
    )
    assert plane.stdin is not None
    assert plane.stdout is not None
    hello = json.loads(await plane.stdout.readline())
    changing = _Changing(plane.stdin, plane.stdout)
    began_s = time.monotonic()
    async with light_proxies.connected(hello["port"], hello["bundle"], hello["papers"]) as crowd:
        print(f"{crowd.size} proxies are told everything {time.monotonic() - began_s:.1f} s after the first connected")
        late_s: list[float] = []
        for _ in range(said.changes):
            await asyncio.sleep(0.5)
            late_s += await crowd.heard(resource.ENDPOINT, WATCHED, changing.change)
    late_s.sort()
    print(f"an endpoint change is heard after {_share(late_s, 0.5):.3f} s p50, {late_s[-1]:.3f} s at most")
    print(f"control plane: {changing.rss_kb / 1024:.0f} MB resident")
    print(f"p99 {_share(late_s, 0.99):.3f} s")
    plane.stdin.close()
    with contextlib.suppress(ProcessLookupError):
        plane.kill()
    await plane.wait()


@dataclasses.dataclass(slots=True)
class _Changing:
    """Has the control plane change something."""

    to: asyncio.StreamWriter
    told: asyncio.StreamReader
    rss_kb: int = 0

    async def change(self) -> None:
        self.to.write(b"change\n")
        self.rss_kb = json.loads(await self.told.readline())["rss_kb"]


def _share(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))]


def main() -> None:
    """Run as a program."""
    words = argparse.ArgumentParser()
    for name, default in (("proxies", 500), ("services", 1000), ("pods", 10_000), ("accounts", 50), ("changes", 23)):
        words.add_argument(f"--{name}", type=int, default=default)
    words.add_argument("--serve", action="store_true")
    said = words.parse_args()
    asyncio.run(serve(said) if said.serve else measure(said))


if __name__ == "__main__":
    main()
