"""One node's proxy as processes: this one hears, redirects, fetches certificates and writes; Envoy carries.

Leaves out every decision (``envoy``).
"""

import asyncio
import contextlib
import dataclasses
import importlib.util
import json
import os
import pathlib
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import structlog

from comparisons.lab import cgroups, cluster
from comparisons.node_proxy import envoy, keys, model, redirect
from ipseity import informer, kube

T = TypeVar("T", model.Pod, model.Policy)
POLICIES: Final = kube.Resource(path="/apis/ipseity.io/v1alpha1/authorizationpolicies")
NETNS_S: Final = 60.0
POLL_S: Final = 0.005
DRAIN_S: Final = 0
"""What a chain that is gone carried ends at once, as in the sidecars."""
STOP_S: Final = 5.0
log = structlog.get_logger("node-proxy")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What it is told."""

    node: str
    kubeconfig: str
    netns: pathlib.Path
    """The node's network namespace."""
    pods: pathlib.Path
    """Where the network namespaces of its pods are, by UID."""
    state: pathlib.Path
    identity: str
    """Address and port of the certificate authority."""
    cgroup: str
    """Where Envoy's processor time is counted, from the root of each hierarchy."""


async def run(wishes: Wishes) -> int:
    """Carry until SIGTERM; gives Envoy's exit code if that ended by itself."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    api = cluster.Cluster(await kube.connect(wishes.kubeconfig), "node-proxy")
    proxy = Proxy(wishes, api)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    process = await proxy.start()
    tasks = [asyncio.create_task(it) for it in (proxy.run(), process.wait(), stopping.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done() and task.exception() is not None:
                log.error("ended", error=str(task.exception()))
    finally:
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await api.close()
    return 0 if stopping.is_set() else process.returncode or 1


class Proxy:
    """See the module."""

    def __init__(self, wishes: Wishes, api: cluster.Cluster) -> None:
        self._wishes = wishes
        self._api = api
        self._keys = keys.Keys(api, wishes.netns, wishes.state, wishes.identity)
        self._pods: dict[str, model.Pod] = {}
        self._policies: dict[str, model.Policy] = {}
        self._captured: set[str] = set()
        """UIDs of pods whose TCP is to be led here, ..."""
        self._redirected: set[str] = set()
        """... and is."""
        self._certified: dict[str, asyncio.Task[None]] = {}
        self._ready: set[str] = set()
        """Accounts that have a certificate."""
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> asyncio.subprocess.Process:
        """Start Envoy with nothing to do yet."""
        state = self._wishes.state
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._write("cds.json", {"resources": []})
        self._write("lds.json", {"resources": []})
        self._write("bootstrap.json", envoy.bootstrap(self._wishes.node, state))
        words = ["nsenter", f"--net={self._wishes.netns}", _envoy(), "-c", str(state / "bootstrap.json")]
        words += ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"]
        words += ["--drain-time-s", str(DRAIN_S), "--drain-strategy", "immediate"]
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # sockets of all pods of the node are in one process
        process = await asyncio.create_subprocess_exec(*words)
        cgroups.adopt(self._wishes.cgroup, process.pid)
        return process

    async def run(self) -> None:
        """Hear and write, for ever."""
        api, clock = self._api.api, time.monotonic_ns
        pods = informer.Informer(api, kube.PODS, trim=model.pod, clock=clock)
        policies = informer.Informer(api, POLICIES, trim=model.policy, clock=clock)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(pods, self._pods))
            group.create_task(self._follow(policies, self._policies))
            group.create_task(self._configure(lambda: pods.synced and policies.synced))

    async def _follow(self, following: informer.Informer[T], into: dict[str, T]) -> None:
        async with contextlib.aclosing(following.events()) as events:
            async for event in events:
                if event.change is informer.Change.GONE:
                    into.pop(event.uid, None)
                else:
                    into[event.uid] = event.value
                self._look(event.uid)
                self._wake.set()

    def _look(self, uid: str) -> None:
        """Take a new pod of this node in."""
        pod = self._pods.get(uid)
        if pod is None or pod.node != self._wishes.node:
            self._captured.discard(uid)
            self._redirected.discard(uid)
            return
        if uid not in self._captured:
            self._captured.add(uid)
            self._spawn(self._capture(pod))
        if str(pod.account) not in self._certified:
            self._certified[str(pod.account)] = self._spawn(self._certify(pod))

    def _spawn(self, what: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _capture(self, pod: model.Pod) -> None:
        """Redirect a pod's TCP as soon as it has a network namespace."""
        netns, deadline_s = self._wishes.pods / pod.uid, time.monotonic() + NETNS_S
        while pod.uid in self._captured and time.monotonic() < deadline_s:
            if netns.exists() and await _redirected(netns):  # the file is there a moment before the namespace is
                self._redirected.add(pod.uid)
                self._wake.set()
                return
            await asyncio.sleep(POLL_S)
        if pod.uid in self._captured:
            log.error("not redirected", pod=pod.name)

    async def _certify(self, pod: model.Pod) -> None:
        """Have a certificate for an account for as long as it has pods here."""
        account = str(pod.account)
        while True:
            left_s = await self._keys.get(pod)
            self._ready.add(account)
            self._wake.set()
            await asyncio.sleep(left_s / 2)
            mine = [it for it in self._pods.values() if it.node == self._wishes.node and str(it.account) == account]
            if not mine:
                self._ready.discard(account)
                del self._certified[account]
                return
            pod = mine[0]

    async def _configure(self, synced: Callable[[], bool]) -> None:
        """Write what is to be, once everything was heard, and whenever something changed."""
        while not synced():  # noqa: ASYNC110  # an informer has no event for it
            await asyncio.sleep(POLL_S)
        self._wake.set()
        while True:
            await self._wake.wait()
            await asyncio.sleep(POLL_S)  # what comes together is written together
            self._wake.clear()
            node = self._node()
            self._write("cds.json", envoy.clusters(node))  # first: listeners lead to clusters
            self._write("lds.json", envoy.listeners(node))
            (self._wishes.state / "ready").touch()

    def _node(self) -> model.Node:
        everybody = sorted(self._pods.values(), key=lambda it: it.uid)
        local = [
            (it, self._wishes.pods / it.uid)
            for it in everybody
            if it.uid in self._redirected and it.address and str(it.account) in self._ready
        ]
        return model.Node(
            local=local,
            everybody=everybody,
            policies=[self._policies[uid] for uid in sorted(self._policies)],
            keys=self._keys.top,
            trust=self._keys.trust,
        )

    def _write(self, name: str, document: envoy.Json) -> None:
        """Put a file in place at once, if it says something new: Envoy reads it when it is moved."""
        path, text = self._wishes.state / name, json.dumps(document)
        if not path.exists() or path.read_text() != text:
            draft = path.with_suffix(".new")
            draft.write_text(text)
            draft.replace(path)


async def _redirected(netns: pathlib.Path) -> bool:
    process = await asyncio.create_subprocess_exec(
        "nsenter", f"--net={netns}", "nft", "-f", "-", stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    await process.communicate(redirect.ruleset().encode())
    return process.returncode == 0


def _envoy() -> str:
    """Find the Envoy that the mesh runs."""
    found = importlib.util.find_spec("envoy")
    places = list(found.submodule_search_locations or ()) if found else []
    return next((f"{place}/_bin/envoy" for place in places if os.access(f"{place}/_bin/envoy", os.X_OK)), "envoy")
