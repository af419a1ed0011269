"""The contender's agent on one node: watches policies, pods, namespaces and nodes, and enforces what they mean.

Here so that one process per node does what a network plugin's does: hear, compile, load in one transaction, end what
is not allowed any more, and say how long that took. It does nothing before it has heard everything once, and leaves
its rules in force when it ends or loses the API server: a restart opens no door. Leaves out every decision
(``compiler``, ``connections``).
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from comparisons.ip_policy import (
    compiler,
    connections,
    delays,
    errors,
    heard,
    kernel,
    model,
    reading,
    ruleset,
    tracking,
)
from ipseity import informer, kube

if TYPE_CHECKING:
    from kubernetes.aio import client

T = TypeVar("T", model.Pod, model.Namespace, model.Policy, model.Node)
POLICIES = kube.Resource(path="/apis/networking.k8s.io/v1/networkpolicies")
NAMESPACES = kube.Resource(path="/api/v1/namespaces")
RETRY_S = 1.0
REFRESH_S = 180.0
"""Everything is loaded anew so often, should somebody else have changed it: Felix' ``NftablesRefreshInterval``."""
log = structlog.get_logger("ip-policy")


class Agent:
    """Enforces on one node until it is cancelled."""

    def __init__(
        self,
        node: str,
        api: "client.ApiClient",
        rules: kernel.Kernel,
        options: compiler.Options,
        told: delays.Log,
    ) -> None:
        self._node = node
        self._api = api
        self._rules = rules
        self._options = options
        self._told = told
        self._cluster = heard.Cluster()
        self._waiting: list[Callable[[], bool]] = []
        self._enforcing = False
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Watch and enforce for ever."""
        cluster = self._cluster
        parts = [
            self._follow("pod", kube.PODS, reading.pod, cluster.pods),
            self._follow("namespace", NAMESPACES, reading.namespace, cluster.namespaces),
            self._follow("policy", POLICIES, reading.policy, cluster.policies),
            self._follow("node", kube.NODES, reading.node, cluster.nodes),
            self._enforce(),
            self._refresh(),
        ]
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part)

    async def _follow(
        self, kind: str, resource: kube.Resource, trim: Callable[[Any], T], objects: heard.Collection[T]
    ) -> None:
        following = informer.Informer(self._api, resource, trim=trim, clock=time.monotonic_ns)
        self._waiting.append(lambda: following.synced and len(objects.objects) == len(following))
        looking = asyncio.create_task(self._look(following))
        try:
            async with contextlib.aclosing(following.events()) as events:
                async for event in events:
                    objects.take(event)
                    self._cluster.note(kind, event)
                    self._wake.set()
        finally:
            looking.cancel()

    async def _look(self, following: informer.Informer[T]) -> None:
        """Wake up once a first list is there: an empty one brings no event."""
        while not following.synced:  # noqa: ASYNC110  # the informer has no event for it; once in an agent's life
            await asyncio.sleep(0.05)
        self._wake.set()

    async def _enforce(self) -> None:
        """Enforce what was heard, all of it at once; what is heard meanwhile comes next."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self._enforcing and not all(ready() for ready in self._waiting):
                continue
            news = self._cluster.news()
            try:
                await self._enforce_now(news)
            except errors.PolicyError as error:
                self._cluster.again(news)
                log.error("rules are not in force", error=str(error), hint=error.hint)  # noqa: TRY400  # says all
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    async def _enforce_now(self, news: list[heard.News]) -> None:
        state = self._cluster.state()
        wanted = compiler.compile_for(self._node, state, self._options)
        how, ended = await asyncio.to_thread(self._apply, state, wanted)
        now_mono_ns = time.monotonic_ns()
        if self._enforcing:
            self._told.write(delays.change(each, how=how.value, ended=ended, now_mono_ns=now_mono_ns) for each in news)
        else:
            options, self._enforcing = self._options, True
            said = delays.enforcing(self._node, strict=options.strict, gate=options.gate, now_mono_ns=now_mono_ns)
            self._told.write([said])

    def _apply(self, state: model.State, wanted: ruleset.Ruleset) -> tuple[kernel.How, int]:
        how = self._rules.bring(wanted)
        if how is kernel.How.NOTHING or not self._options.strict:
            return how, 0
        return how, self._rules.inside(lambda: tracking.forget(connections.refused(state, self._node, tracking.read())))

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            self._rules.doubt()
            self._wake.set()
