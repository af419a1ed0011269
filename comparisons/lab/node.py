"""A lab's node: a kubelet in small, driven by nothing but a Kubernetes API.

    python -m comparisons.lab.node --lab lab --name node-a --kubeconfig FILE

Here so that one process per node watches pods, Services and nodes and keeps the kernel as they say. It runs in the host's
namespaces; only short-lived threads and children enter the node's. What it was in the middle of when it is killed, the next one
sweeps away first.
"""

import asyncio
import contextlib
import ipaddress
import json
import os
import pathlib
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import click
import structlog
from aiohttp import web

from comparisons.lab import (
    addresses,
    bundle,
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
    registration,
    sandbox,
    services,
    sweep,
)
from ipseity import informer, kube

Json = dict[str, Any]
SLICES = kube.Resource(path="/apis/discovery.k8s.io/v1/endpointslices")
SETTLE_S = 0.02
"""How long changes of Services are collected before they become rules: a rollout is one change, not fifty. Arbitrary."""
REFRESH_S = 60.0
"""The kubelet's ``syncFrequency``: how often volumes follow their sources."""
log = structlog.get_logger("lab.node")


class Node:
    """One node. ``run`` returns when it is told to stop."""

    def __init__(self, host: sandbox.Host) -> None:
        self._host = host
        self._workers: dict[str, pod.Worker] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._objects: dict[str, dict[str, Json]] = {"services": {}, "endpointslices": {}}
        self._neighbours: dict[str, plan.NodePlan] = {}
        self._rules = ""
        self._dirty = asyncio.Event()
        self.stop = asyncio.Event()

    def known_services(self) -> list[Json]:
        """The Services known now, in a stable order."""
        return services.merged(self._objects["services"])

    async def run(self) -> None:
        """Serve until ``stop`` is set or a part of the node fails for good."""
        url, runner = await self._serve()
        mine = kube.Resource(path=kube.PODS.path, field_selector=f"spec.nodeName={self._host.names.name}")
        wanted = registration.node(self._host.names, self._host.plan, url)
        parts = [
            self._host.cluster.send_events(),
            registration.keep(self._host, wanted),
            self._watch(mine, _whole, self._pod),
            self._watch(kube.SERVICES, _service, self._service),
            self._watch(SLICES, _slice, self._slice),
            self._watch(kube.NODES, _neighbour, self._neighbour),
            self._program(),
            self._refresh(),
            self.stop.wait(),
        ]
        tasks = [asyncio.ensure_future(part) for part in parts]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in (*tasks, *self._running.values()):
            task.cancel()
        await asyncio.gather(*tasks, *self._running.values(), return_exceptions=True)
        await runner.cleanup()
        for task in done:
            task.result()

    async def _serve(self) -> tuple[str, web.AppRunner]:
        runner = web.AppRunner(kubelet.Kubelet(self._host, self._workers).application(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}", runner

    async def _watch(
        self,
        resource: kube.Resource,
        trim: Callable[[Json], Json | None],
        handle: Callable[[informer.WatchEvent[Json]], Awaitable[None]],
    ) -> None:
        loop = asyncio.get_running_loop()
        following = informer.Informer(self._host.cluster.api, resource, trim=trim, clock=lambda: int(loop.time() * 1e9))
        async with contextlib.aclosing(following.events()) as events:
            async for event in events:
                await handle(event)

    async def _pod(self, event: informer.WatchEvent[Json]) -> None:
        worker = self._workers.get(event.uid)
        if event.change is informer.Change.GONE:
            if worker is not None:
                worker.forget()
        elif worker is not None:
            worker.update(event.value)
        else:
            self._workers[event.uid] = pod.Worker(event.value, self._host)
            self._running[event.uid] = asyncio.create_task(self._live(event.uid))

    async def _live(self, uid: str) -> None:
        worker = self._workers[uid]
        try:
            await worker.run()
        except Exception:  # a defect in one pod's handling must not take the node's other pods with it
            log.exception("pod failed", pod=worker.pod["metadata"]["name"], uid=uid)
        finally:
            del self._workers[uid], self._running[uid]

    async def _service(self, event: informer.WatchEvent[Json]) -> None:
        self._remember("services", event)
        for worker in self._workers.values():
            worker.refresh_hosts()

    async def _slice(self, event: informer.WatchEvent[Json]) -> None:
        self._remember("endpointslices", event)

    def _remember(self, kind: str, event: informer.WatchEvent[Json]) -> None:
        if event.change is informer.Change.GONE:
            self._objects[kind].pop(event.uid, None)
        else:
            self._objects[kind][event.uid] = event.value
        self._dirty.set()

    async def _program(self) -> None:
        """Keep the Service rules as the API says, for ever."""
        while True:
            await self._dirty.wait()
            await asyncio.sleep(SETTLE_S)
            self._dirty.clear()
            slices = services.merged(self._objects["endpointslices"])
            rules = services.ruleset(services.frontends(self.known_services(), slices))
            if rules != self._rules:
                await services.apply(self._host.names.netns, rules)
                self._rules = rules

    async def _neighbour(self, event: informer.WatchEvent[Json]) -> None:
        it = plan.NodePlan(**event.value)
        if it.name == self._host.names.name:
            return
        before = self._neighbours.pop(it.name, None)
        operations: list[network.Operation] = []
        if before is not None:
            operations += [network.NoRoute(destination=cidr) for cidr in before.pod_cidrs]
        if event.change is informer.Change.SEEN:
            self._neighbours[it.name] = it
            operations += network.routes([it], link=network.UPLINK)
        await asyncio.to_thread(netlink.apply, self._host.names.netns, operations)

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            for worker in tuple(self._workers.values()):
                await worker.refresh_volumes()


def _whole(it: Json) -> Json:
    it["metadata"].pop("managedFields", None)
    return it


def _named(it: Json) -> Json:
    return {key: it["metadata"][key] for key in ("namespace", "name", "labels") if it["metadata"].get(key)}


def _service(it: Json) -> Json:
    kept = ("type", "clusterIP", "clusterIPs", "ports")
    return {"metadata": _named(it), "spec": {key: it["spec"][key] for key in kept if it["spec"].get(key)}}


def _slice(it: Json) -> Json:
    return {"metadata": _named(it), **{key: it[key] for key in ("addressType", "endpoints", "ports") if it.get(key)}}


def _neighbour(it: Json) -> Json | None:
    ips = [one["address"] for one in (it.get("status") or {}).get("addresses") or () if one["type"] == "InternalIP"]
    cidrs = (it.get("spec") or {}).get("podCIDRs") or ()
    return {"name": it["metadata"]["name"], "ips": tuple(ips), "pod_cidrs": tuple(cidrs)} if ips and cidrs else None


def build_network(names: layout.Node, it: plan.NodePlan, fabric_cidrs: tuple[str, ...]) -> None:
    """Make the node's namespace and plug it into the fabric."""
    netlink.apply(names.lab.fabric, network.no_node(it))
    netns.create(names.netns, lambda: netlink.run(network.node(names, it, fabric_cidrs)))
    netlink.apply(names.lab.fabric, network.node_port(it))


def available_capabilities() -> frozenset[str]:
    """What this process may hand on, by name without CAP_."""
    status = pathlib.Path("/proc/self/status").read_text()
    mask = int(status.partition("CapBnd:")[2].split()[0], 16)
    return frozenset(name for bit, name in enumerate(bundle.ALL_CAPABILITIES) if mask >> bit & 1)


async def serve(names: layout.Node, kubeconfig: str) -> None:
    """Be this node until SIGTERM or SIGINT."""
    lab = plan.from_json(json.loads(names.lab.plan.read_text()))
    it = next(found for found in lab.nodes if found.name == names.name)
    names.state.mkdir(parents=True, exist_ok=True)
    sweep.pods(names)
    cgroups.adopt(f"{names.cgroup}/kubelet.service", os.getpid())
    processes.become_reaper()
    await asyncio.to_thread(build_network, names, it, lab.fabric_cidrs)
    api = cluster.Cluster(await kube.connect(kubeconfig), names.name)
    host = sandbox.Host(
        names=names,
        plan=it,
        cluster=api,
        runtime=containers.Runtime(names),
        leases=sandbox.Leases(addresses.Pool([ipaddress.ip_network(cidr) for cidr in it.pod_cidrs])),
        services=lambda: node.known_services(),
        capacity=registration.capacity(),
        capabilities=available_capabilities(),
    )
    node = Node(host)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, node.stop.set)
    try:
        await node.run()
    finally:
        await api.close()
        await asyncio.to_thread(sweep.pods, names)


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
        log.exception("node cannot go on", node=name)
        raise click.ClickException(f"{error} ({error.hint})" if error.hint else str(error)) from error


if __name__ == "__main__":
    main()
