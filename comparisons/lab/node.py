"""A lab's node: a kubelet in small, driven by nothing but a Kubernetes API.

    python -m comparisons.lab.node --lab lab --name node-a --kubeconfig FILE

Here so that one process per node watches pods, Services and nodes and keeps the kernel as they say. It runs in the
host's namespaces; only short-lived threads and children enter the node's. What it was in the middle of when it is
killed, the next one sweeps away first.
"""

import asyncio
import contextlib
import functools
import ipaddress
import json
import os
import pathlib
import signal
from collections.abc import Callable
from typing import Any

import click
import structlog
from aiohttp import web

from comparisons.lab import (
    addresses,
    capabilities,
    cgroups,
    cluster,
    containers,
    errors,
    kubelet,
    layout,
    netlink,
    netns,
    network,
    plan,
    pod,
    processes,
    proxy,
    registration,
    sandbox,
    sweep,
)
from ipseity import informer, kube

Json = dict[str, Any]
SOURCES = (kube.Resource(path="/api/v1/configmaps"), kube.Resource(path="/api/v1/secrets"))
"""What volumes show. Only names and versions are kept; who shows one reads it."""
SLICES = kube.Resource(path="/apis/discovery.k8s.io/v1/endpointslices")
REFRESH_S = 60.0
"""The kubelet's ``syncFrequency``: how often volumes look at their sources, should a watch have missed something."""
BURY_S = 0.5
"""Between two looks for dead orphans, each of which holds a pod up. Arbitrary: a look costs less than a millisecond."""
log = structlog.get_logger("lab.node")


class Node:
    """One node. ``run`` returns when it is told to stop."""

    def __init__(self, host: sandbox.Host, traffic: proxy.Proxy) -> None:
        self._host = host
        self._traffic = traffic
        self._workers: dict[str, pod.Worker] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self.stop = asyncio.Event()
        traffic.service_changed = self._refresh_hosts

    async def run(self) -> None:
        """Serve until ``stop`` is set or a part of the node fails for good."""
        url, runner = await self._serve()
        wanted = registration.node(self._host.names, self._host.plan, url)
        parts = [
            self._host.cluster.send_events(),
            registration.keep(self._host, wanted),
            self._watch(kube.SERVICES, proxy.trim_service, self._traffic.take_service),
            self._watch(SLICES, proxy.trim_slice, self._traffic.take_slice),
            self._watch(kube.NODES, proxy.trim_node, self._traffic.take_node),
            *(self._watch(resource, _trim_source, functools.partial(self._outdate, resource)) for resource in SOURCES),
            self._traffic.run(),
            self._watch_pods(),
            self._housekeeping(),
            self._burying(),
            self._until_stopped(),
        ]
        tasks = [asyncio.create_task(part) for part in parts]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await _end([*tasks, *self._running.values()])
        await runner.cleanup()
        for task in done:
            task.result()

    async def _until_stopped(self) -> None:
        await self.stop.wait()

    async def _serve(self) -> tuple[str, web.AppRunner]:
        runner = web.AppRunner(kubelet.Kubelet(self._host, self._workers).application(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}", runner

    async def _watch(
        self,
        resource: kube.Resource,
        trim: Callable[[Json], Json | None],
        handle: Callable[[informer.WatchEvent[Json]], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        api = self._host.cluster.api
        following = informer.Informer(api, resource, trim=trim, clock=lambda: int(loop.time() * 1e9))
        async with contextlib.aclosing(following.events()) as events:
            async for event in events:
                handle(event)

    async def _watch_pods(self) -> None:
        with contextlib.suppress(kube.KubernetesError):  # then no pod comes either
            self._traffic.seed(await self._host.cluster.read(kube.SERVICES.path) or {})
        mine = kube.Resource(path=kube.PODS.path, field_selector=f"spec.nodeName={self._host.names.name}")
        await self._watch(mine, _trim_pod, self._take_pod)

    def _take_pod(self, event: informer.WatchEvent[Json]) -> None:
        worker = self._workers.get(event.uid)
        if event.change is informer.Change.GONE:
            if worker is not None:
                worker.forget()
        elif worker is not None:
            worker.update(event.value)
        else:
            self._admit(event.uid, event.value)

    def _admit(self, uid: str, it: Json) -> None:
        try:
            self._workers[uid] = pod.Worker(it, self._host)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("pod cannot be understood", pod=it["metadata"].get("name"), uid=uid, error=repr(error))
            return
        self._running[uid] = asyncio.create_task(self._live(uid))

    async def _live(self, uid: str) -> None:
        it = self._workers[uid].pod
        try:
            await self._workers[uid].run()
        except Exception:  # one pod that cannot be understood must not take the node's other pods with it
            log.exception("pod failed", pod=it["metadata"].get("name"), uid=uid)
            self._host.cluster.event(it, "Failed", "the node cannot handle this pod; its log says why", warning=True)
        finally:
            del self._workers[uid], self._running[uid]

    def _outdate(self, resource: kube.Resource, event: informer.WatchEvent[Json]) -> None:
        """Have the pods that show this object look at it again."""
        kind, namespace, name = resource.path.rpartition("/")[2], event.value["namespace"], event.value["name"]
        for worker in self._workers.values():
            if worker.follows(kind, namespace, name):
                worker.outdate()

    def _refresh_hosts(self) -> None:
        for worker in self._workers.values():
            worker.refresh_hosts()

    async def _burying(self) -> None:
        """Reap commands that lost their runtime, which was to reap them: a container cannot end before they are."""
        strangers: set[int] = set()
        while True:
            await asyncio.sleep(BURY_S)
            strangers = processes.bury(strangers)

    async def _housekeeping(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            for worker in self._workers.values():
                worker.outdate()


async def _end(tasks: "list[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _trim_source(it: Json) -> Json:
    return {key: it["metadata"][key] for key in ("namespace", "name", "resourceVersion")}


def _trim_pod(it: Json) -> Json:
    it["metadata"].pop("managedFields", None)
    return it


async def serve(names: layout.Node, kubeconfig: str) -> None:
    """Be this node until SIGTERM or SIGINT."""
    lab = plan.from_json(json.loads(names.lab.plan.read_text()))
    it = next(found for found in lab.nodes if found.name == names.name)
    names.state.mkdir(parents=True, exist_ok=True)
    sweep.pods(names)
    cgroups.adopt(f"{names.cgroup}/kubelet.service", os.getpid())
    processes.become_reaper()
    await asyncio.to_thread(_build_network, names, it, lab.fabric_cidrs)
    api = cluster.Cluster(await kube.connect(kubeconfig), names.name)
    traffic = proxy.Proxy(names.name, names.netns)
    host = sandbox.Host(
        names=names,
        plan=it,
        cluster=api,
        runtime=containers.Runtime(names),
        leases=sandbox.Leases(addresses.Pool([ipaddress.ip_network(cidr) for cidr in it.pod_cidrs])),
        services=traffic.services,
        slices=traffic.slices,
        capacity=registration.capacity(),
        capabilities=capabilities.available(),
    )
    node = Node(host, traffic)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, node.stop.set)
    try:
        await node.run()
    finally:
        await api.close()
        await asyncio.to_thread(sweep.pods, names)


def _build_network(names: layout.Node, it: plan.NodePlan, fabric_cidrs: tuple[str, ...]) -> None:
    netlink.apply(names.lab.fabric, network.no_node(it))
    netns.create(names.netns, lambda: netlink.run(network.node(names, it, fabric_cidrs)))
    netlink.apply(names.lab.fabric, network.node_port(it))


@click.command()
@click.option("--lab", required=True, help="Name of the lab that the node belongs to; it must have been planned.")
@click.option("--name", required=True, help="The node's name in the lab's plan.")
@click.option("--kubeconfig", required=True, help="How to reach the Kubernetes API.")
@click.option(
    "--root", type=click.Path(path_type=pathlib.Path), default=layout.ROOT, help="Where labs keep their state."
)
def main(lab: str, name: str, kubeconfig: str, root: pathlib.Path) -> None:
    """Run one node of a lab."""
    try:
        asyncio.run(serve(layout.Lab(name=lab, root=root).node(name), kubeconfig))
    except (errors.LabError, kube.KubernetesError) as error:
        raise click.ClickException(f"{error} ({error.hint})" if error.hint else str(error)) from error


if __name__ == "__main__":
    main()
