"""From a container as the pod writes it to one that runs: sources read, bundle made, root mounted, runtime called.

Here because a start is where the pure parts (``environment``, ``volumes``, ``bundle``) meet the world. Leaves out
when to start (``lifecycle``) and what comes of it (``runs``).
"""

import asyncio
import contextlib
import pathlib
import secrets
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from comparisons.lab import (
    bundle,
    containers,
    credentials,
    environment,
    errors,
    lifecycle,
    logs,
    mounts,
    prober,
    sandbox,
    volumes,
)

Json = dict[str, Any]
LAST_WORDS_BYTES = 4096
"""The kubelet's limit of a termination message."""
PAUSE = "pause"
PAUSE_COMMAND = ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 86400 & wait $!; done"]
"""The first process of a PID namespace that a pod's containers share: it waits, and so buries whoever dies below it."""
COULD_NOT_START = 128
"""Exit status of a container whose first process never came to be (containerd's StartError)."""


class Launcher:
    """Starts the containers of one pod."""

    def __init__(self, host: sandbox.Host, box: sandbox.Sandbox) -> None:
        self._host = host
        self._box = box
        self._credentials = credentials.Credentials(host.cluster)
        self._pause: containers.Instance | None = None
        self._warned = False

    async def sources(self) -> environment.Sources:
        """Read from the API what the pod's variables and volumes refer to."""
        namespace = self._box.pod["metadata"]["namespace"]
        wanted = sorted(environment.references(self._box.pod))
        paths = [f"/api/v1/namespaces/{namespace}/{kind}/{name}" for kind, name in wanted]
        found = await asyncio.gather(*(self._host.cluster.read(path) for path in paths))
        known = {key: it for key, it in zip(wanted, found, strict=True) if it is not None}
        return environment.Sources(
            pod=self._box.pod,
            node_name=self._host.names.name,
            host_ips=self._host.plan.ips,
            pod_ips=self._box.ips,
            capacity=self._host.capacity,
            configmaps={name: it for (kind, name), it in known.items() if kind == "configmaps"},
            secrets={name: it for (kind, name), it in known.items() if kind == "secrets"},
            tokens=await self._tokens(),
        )

    async def _tokens(self) -> Mapping[tuple[str, int], str]:
        try:
            return await self._credentials.current(self._box.pod, volumes.tokens(self._box.pod))
        except credentials.Unavailable as error:
            self._warn(f"no ServiceAccount token: {error}")
            return {}

    def tokens_due_wall_ns(self) -> int | None:
        """When the pod's tokens are to be renewed; None if it has none."""
        return self._credentials.due_wall_ns()

    def _warn(self, message: str) -> None:
        if not self._warned:  # said once: the volume is refreshed every minute
            self._host.cluster.event(self._box.pod, volumes.MOUNT_ERROR, message, warning=True)
        self._warned = True

    async def prepare(self) -> None:
        """Start what the containers share, if they share more than the network."""
        if self._box.pod["spec"].get("shareProcessNamespace") and self._pause is None:
            spec = {"name": PAUSE, "command": PAUSE_COMMAND}
            self._pause = await self._run(spec, 0, await self.sources(), self._directory(PAUSE, 0))

    async def finish(self) -> None:
        """End what ``prepare`` started."""
        if self._pause is not None:
            pause, self._pause = self._pause, None
            pause.kill()
            await pause.wait()
            await self._host.runtime.remove(pause)

    async def start(self, container: lifecycle.Container, restarts: int) -> containers.Instance:
        """Start a container's n-th run. PodRefused: not as it is written; ProgramFailed: the runtime will not."""
        sources = await self.sources()
        directory = self._directory(container.name, restarts)
        try:
            return await self._run(container.spec, restarts, sources, directory)
        except BaseException:
            containers.discard(directory)
            raise

    async def _run(
        self, spec: Json, restarts: int, sources: environment.Sources, directory: pathlib.Path
    ) -> containers.Instance:
        pod, identity = self._box.pod, secrets.token_hex(32)
        found = environment.variables(spec, sources, self._service_variables())
        arguments = environment.arguments(spec, found)
        containers.discard(directory)
        mounted = self._mounts(spec, directory, found)
        place = bundle.Place(
            root=mounts.root(directory, bundle.image_root(spec)),
            netns=self._box.netns,
            cgroup=f"{self._box.cgroup}/{identity}",
            hostname=environment.hostname(pod),
            pid_namespace=self._pid_namespace(),
            host_ipc=bool(pod["spec"].get("hostIPC")),
            host_network=self._box.host_network,
            capabilities=self._host.capabilities,
        )
        task = bundle.Task(arguments=arguments, environ=found, mounts=mounted)
        config = bundle.config(pod, spec, place, task)
        try:
            return await self._host.runtime.start(identity, directory, config, self.log(spec["name"], restarts))
        except errors.ProgramFailed:
            await self._host.runtime.forget(identity)
            raise

    def _service_variables(self) -> dict[str, str]:
        links = self._box.pod["spec"].get("enableServiceLinks") is not False
        return environment.services(self._host.services(), self._box.pod["metadata"]["namespace"] if links else None)

    def _mounts(self, spec: Json, directory: pathlib.Path, found: dict[str, str]) -> list[bundle.Mount]:
        words = directory / "last-words"
        words.parent.mkdir(parents=True)
        words.touch()
        words.chmod(0o666)
        own = [
            bundle.Mount(source=self._box.directory / "hosts", destination="/etc/hosts"),
            bundle.Mount(source=self._box.directory / "resolv.conf", destination="/etc/resolv.conf"),
            bundle.Mount(source=words, destination=spec.get("terminationMessagePath") or "/dev/termination-log"),
        ]
        asked = volumes.mounts(spec, self._box.directory / "volumes", self._box.filled, found)
        for mount in asked:
            if not mount.source.exists():  # a subPath that is not there yet is a directory, as for the kubelet
                mount.source.mkdir(parents=True)
                mount.source.chmod(0o777)
        replaced = {mount.destination for mount in asked}
        return [*(mount for mount in own if mount.destination not in replaced), *asked]

    def _pid_namespace(self) -> str:
        if self._box.pod["spec"].get("hostPID"):
            return "host"
        return "private" if self._pause is None else f"/proc/{self._pause.pid}/ns/pid"

    def target(self, container: lifecycle.Container, instance: containers.Instance) -> prober.Target:
        """Where this container's probes and hooks go."""

        async def execute(arguments: Sequence[str], timeout_s: float) -> tuple[bool, str]:
            outcome = await self._host.runtime.execute(instance, arguments, timeout_s=timeout_s)
            return outcome.code == 0, outcome.output.strip() or f"exit status {outcome.code}"

        ip = self._box.ips[0]
        return prober.Target(container=container.spec, ip=ip, netns=self._host.names.netns, execute=execute)

    def log(self, name: str, restarts: int) -> pathlib.Path:
        """Where a container's n-th run is logged."""
        return log_path(self._host, self._box.pod, name, restarts)

    def drop_logs(self) -> None:
        """Remove the logs of a pod that is no more: nobody can ask for them."""
        shutil.rmtree(self.log(PAUSE, 0).parent.parent, ignore_errors=True)

    def _directory(self, name: str, restarts: int) -> pathlib.Path:
        return self._box.directory / "containers" / f"{name}-{restarts}"


def log_path(host: sandbox.Host, pod: Json, name: str, restarts: int) -> pathlib.Path:
    """Where the n-th run of a pod's container is logged."""
    metadata = pod["metadata"]
    return logs.path(host.names.logs, metadata["namespace"], metadata["name"], metadata["uid"], name, restarts)


def last_words(instance: containers.Instance) -> str:
    """Tell what a container left in its termination message file."""
    with contextlib.suppress(OSError):
        return (instance.directory / "last-words").read_bytes()[:LAST_WORDS_BYTES].decode(errors="replace")
    return ""


def unsupported(pod: Json) -> list[str]:
    """Tell what a pod asks for and the lab silently would not do: said in an Event when it starts."""
    ports = [port for it in pod["spec"]["containers"] for port in it.get("ports") or () if port.get("hostPort")]
    hosted = pod["spec"].get("hostNetwork")
    return [f"hostPort {port['hostPort']} is not opened" for port in ports if not hosted]
