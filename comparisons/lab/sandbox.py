"""What a pod has before its first container: addresses, a network namespace, a cgroup, volumes, /etc/hosts.

Here so that everything a pod holds is taken in one place and given back in one place, in an order in which nothing of
it can be met again: processes first, then the link, then the namespace, and the addresses last.
"""

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import shutil
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from comparisons.lab import (
    addresses,
    bundle,
    cgroups,
    cluster,
    containers,
    environment,
    errors,
    layout,
    mounts,
    netlink,
    netns,
    network,
    plan,
    services,
    volumes,
)

Json = dict[str, Any]
UNPRIVILEGED = network.Sysctl(key="ipv4/ip_unprivileged_port_start", value="0")
"""As containerd 2: a pod's ports are its own, so nobody needs to be root for a low one."""


class Leases:
    """The node's addresses, and a queue of pods that wait for one."""

    def __init__(self, pool: addresses.Pool) -> None:
        self._pool = pool
        self._freed = asyncio.Condition()

    async def take(self, uid: str, waiting: Callable[[errors.Exhausted], None]) -> tuple[addresses.IpAddress, ...]:
        """Return the pod's addresses, as soon as there are any; ``waiting`` is told once if that is not now."""
        told = False
        async with self._freed:
            while True:
                try:
                    return self._pool.take(uid)
                except errors.Exhausted as error:
                    if not told:
                        waiting(error)
                    told = True
                await self._freed.wait()

    async def release(self, uid: str) -> None:
        """Let the pod's addresses go to the next one."""
        async with self._freed:
            self._pool.release(uid)
            self._freed.notify()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What all pods of a node share."""

    names: layout.Node
    plan: plan.NodePlan
    cluster: cluster.Cluster
    runtime: containers.Runtime
    leases: Leases
    services: Callable[[], Sequence[Json]]
    """The Services known now."""
    slices: Callable[[], Sequence[Json]]
    """Their EndpointSlices."""
    capacity: Mapping[str, str]
    capabilities: frozenset[str]


@dataclasses.dataclass(slots=True, kw_only=True)
class Sandbox:
    """One pod's. Made by ``build``, given back by ``destroy``."""

    host: Host
    pod: Json
    uid: str
    ips: tuple[str, ...] = ()
    """Empty until the network stands."""
    filled: Mapping[str, volumes.Volume] = dataclasses.field(default_factory=dict)

    @property
    def host_network(self) -> bool:
        """Whether the pod lives in the node's own namespace."""
        return bool(self.pod["spec"].get("hostNetwork"))

    @property
    def netns(self) -> pathlib.Path:
        """The namespace that all of the pod's containers run in."""
        return self.host.names.netns if self.host_network else self.host.names.pod_netns(self.uid)

    @property
    def directory(self) -> pathlib.Path:
        """Everything on disk that ends with the pod."""
        return self.host.names.pods / self.uid

    @property
    def cgroup(self) -> str:
        """The pod's, with one below it for each container."""
        return cgroups.pod(self.host.names.cgroup, self.uid, cgroups.qos(self.pod))

    @property
    def group(self) -> int | None:
        """The pod's ``fsGroup``."""
        group = (self.pod["spec"].get("securityContext") or {}).get("fsGroup")
        return None if group is None else int(group)

    async def build(self, waiting: Callable[[errors.Exhausted], None]) -> None:
        """Take addresses and make the network."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.host_network:
            self.ips = self.host.plan.ips
        else:
            ips = await self.host.leases.take(self.uid, waiting)
            await _finished(asyncio.to_thread(self._connect, ips, _sysctls(self.pod)))
            self.ips = tuple(str(ip) for ip in ips)
        self.write_hosts()
        (self.directory / "resolv.conf").write_text(bundle.resolv_conf(self.pod))

    def fill(self, sources: environment.Sources) -> None:
        """Make the volumes, or bring them up to date."""
        planned = {it["name"]: volumes.plan(it, sources) for it in self.pod["spec"].get("volumes") or ()}
        for path in volumes.write(self.directory / "volumes", planned, self.group):
            it = planned[path.name]
            mounts.tmpfs(path, mode=0o777, size_bytes=it.size_bytes if isinstance(it, volumes.Scratch) else 0)
            volumes.own(path, self.group)
        self.filled = planned

    def refill(self, sources: environment.Sources) -> None:
        """Bring up to date what programs see change: files. A volume whose source is gone stays as it was."""
        for it in self.pod["spec"].get("volumes") or ():
            with contextlib.suppress(errors.PodRefused):
                wanted = volumes.plan(it, sources)
                if isinstance(wanted, volumes.Files):
                    volumes.refresh(self.directory / "volumes" / it["name"], wanted.files, self.group)

    def write_hosts(self) -> None:
        """/etc/hosts with the Services known now. In place: containers hold this very file."""
        namespace = self.pod["metadata"]["namespace"]
        headless = [it for it in self.host.slices() if services.headless(it)]
        names = [
            *bundle.service_names(self.host.services(), namespace),
            *bundle.headless_names(headless, namespace),
        ]
        aliases = self.pod["spec"].get("hostAliases") or ()
        text = bundle.hosts(self.ips, environment.hostnames(self.pod), aliases, names)
        _overwrite(self.directory / "hosts", text.encode())

    async def destroy(self) -> None:
        """Give everything back. Harmless on what was never built, and twice."""
        await asyncio.to_thread(self._disconnect)
        await self.host.leases.release(self.uid)

    def _connect(self, ips: Sequence[addresses.IpAddress], sysctls: Sequence[network.Sysctl]) -> None:
        node = self.host.names
        netns.create(self.netns, lambda: netlink.run(network.pod_link(self.uid, ips, node)))
        netlink.apply(node.netns, network.pod_port(self.uid, ips))
        netlink.apply(self.netns, network.pod_addresses(ips, self.host.plan.pod_cidrs, sysctls))

    def _disconnect(self) -> None:
        cgroups.end(self.cgroup)
        if not self.host_network:
            netlink.apply(self.host.names.netns, network.no_pod(self.uid))
            netns.remove(self.netns)
        for path in mounts.below(self.directory):
            mounts.detach(path)
        shutil.rmtree(self.directory, ignore_errors=True)


async def _finished(work: Coroutine[Any, Any, None]) -> None:
    """Wait for work that a thread does to its end, even when cancelled: whoever cleans up must come after it."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise


def _overwrite(path: pathlib.Path, content: bytes) -> None:
    """Replace a file's content in place, and never empty it: somebody may be looking up a name just now."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+b", buffering=0) as file:
        if file.read() != content:
            os.pwrite(file.fileno(), content, 0)
            file.truncate(len(content))


def _sysctls(pod: Json) -> list[network.Sysctl]:
    asked = (pod["spec"].get("securityContext") or {}).get("sysctls") or ()
    for it in asked:
        if not it["name"].startswith("net."):
            raise errors.PodRefused(f"sysctl {it['name']}: the lab sets net.* only", reason="SysctlForbidden")
    own = (
        network.Sysctl(key=it["name"].removeprefix("net.").replace(".", "/"), value=str(it["value"])) for it in asked
    )
    return [UNPRIVILEGED, *own]
