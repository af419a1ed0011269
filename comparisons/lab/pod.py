"""One pod on the node, from the first sight of it until nothing of it is left.

Here because a pod is one sequence of steps with one owner: this file performs what ``lifecycle`` decides and has
``publisher`` tell what came of it. Leaves out how (``sandbox``, ``runs``) and what it means (``lifecycle``,
``status``).
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import structlog

from comparisons.lab import (
    cgroups,
    clock,
    environment,
    errors,
    launch,
    lifecycle,
    publisher,
    recall,
    runs,
    sandbox,
    status,
)
from ipseity import kube

Json = dict[str, Any]
RETRY_S = 1.0
"""Before another attempt at what a pod lacks; doubles up to RETRY_MAX_S. Arbitrary: somebody watches a lab."""
RETRY_MAX_S = 15.0
GRACE_S = 30.0
"""The API's default of ``terminationGracePeriodSeconds``."""
FOREVER_S = float("inf")
SOONEST_S = 1.0
"""Between two looks at tokens, however short they live."""
log = structlog.get_logger("lab.node")


class Worker:
    """Runs one pod. One task reads ``run()``; the node calls ``update`` and ``forget``."""

    def __init__(self, pod: Json, host: sandbox.Host) -> None:
        self.pod = pod
        self._host = host
        self._sandbox = sandbox.Sandbox(host=host, pod=pod, uid=pod["metadata"]["uid"])
        self._launcher = launch.Launcher(host, self._sandbox)
        self._over = recall.phase(pod)
        self._reason = ""
        self._message = ""
        self._started_wall_ns = clock.wall_ns()
        self._gone = False
        self._wake = asyncio.Event()
        self._outdated = asyncio.Event()
        self._publisher = publisher.Publisher(host.cluster, self._facts, settled=bool(self._over))
        self._runs = runs.Runs(
            recall.containers(pod, clock.wall_ns()),
            launcher=self._launcher,
            runtime=host.runtime,
            say=self._say,
            changed=self._changed,
        )

    def update(self, pod: Json) -> None:
        """Take in a newer state of the pod."""
        if _labelled(pod) != _labelled(self.pod):
            self.outdate()
        self.pod = pod
        self._sandbox.pod = pod
        self._changed()

    def forget(self) -> None:
        """End the pod without grace: the API has no such pod any more."""
        self._gone = True
        self._runs.hurry.set()
        self._wake.set()

    def refresh_hosts(self) -> None:
        """Write the Services known now into the pod's /etc/hosts."""
        if self._sandbox.ips and not self._over:
            self._sandbox.write_hosts()

    def follows(self, kind: str, namespace: str, name: str) -> bool:
        """Whether a volume of the pod shows this object ("configmaps" or "secrets")."""
        here = namespace == self.pod["metadata"]["namespace"]
        return here and (kind, name) in environment.volume_references(self.pod)

    def outdate(self) -> None:
        """Something that the pod's volumes show may have changed."""
        self._outdated.set()

    async def _keep_fresh(self) -> None:
        """Bring volumes up to date when something changed, and tokens before they end. For ever."""
        delay_s = RETRY_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._freshness_s()):  # wait_for may swallow a cancellation before 3.12
                    await self._outdated.wait()
            self._outdated.clear()
            if not self._sandbox.filled or self._over:
                continue
            try:
                self._sandbox.refill(await self._launcher.sources())
            except (errors.LabError, kube.KubernetesError, OSError) as error:
                log.warning("volumes lag behind", pod=self.pod["metadata"]["name"], error=str(error))
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RETRY_MAX_S)
                self._outdated.set()
            else:
                delay_s = RETRY_S

    def _freshness_s(self) -> float | None:
        due_wall_ns = self._launcher.tokens_due_wall_ns()
        return None if due_wall_ns is None else max(SOONEST_S, (due_wall_ns - clock.wall_ns()) / 1e9)

    def record(self, name: str) -> lifecycle.Container | None:
        """Tell what is known of one of its containers."""
        return next((it for it in self._runs.records if it.name == name), None)

    async def run(self) -> None:
        """From the first address to the last trace. Whatever fails is told in an Event and tried again."""
        publishing = asyncio.create_task(self._publisher.run())
        refreshing = asyncio.create_task(self._keep_fresh())
        try:
            if not self._over:
                await self._live()
            await self._farewell()
        except Exception:
            await self._runs.stop(0)
            await self._release()
            raise
        finally:
            publishing.cancel()
            refreshing.cancel()
            await asyncio.gather(publishing, refreshing, self._runs.close(), return_exceptions=True)

    @property
    def _leaving(self) -> bool:
        return self._gone or "deletionTimestamp" in self.pod["metadata"]

    async def _live(self) -> None:
        over = ""
        if await self._prepare():
            over = await self._proceed()
        await self._runs.stop(self._grace_s())
        await self._release()
        self._over = over or recall.last_phase(self._runs.records)
        self._publisher.changed()

    async def _prepare(self) -> bool:
        """Network and volumes, however many attempts it takes; False: the pod is to go first."""
        for missing in launch.unsupported(self.pod):
            self._say("NotSupported", missing, True)  # noqa: FBT003  # a warning
        delay_s = RETRY_S
        while not self._leaving:
            self._wake.clear()
            try:
                await self._unless_leaving(self._build())
            except (errors.LabError, kube.KubernetesError) as error:
                reason = error.reason if isinstance(error, errors.PodRefused) else "FailedCreatePodSandBox"
                self._say(reason, str(error), True)  # noqa: FBT003  # a warning
                await self._pause(delay_s)
                delay_s = min(2 * delay_s, RETRY_MAX_S)
            else:
                return not self._leaving
        return False

    async def _build(self) -> None:
        if not self._sandbox.ips:
            try:
                await self._sandbox.build(self._cannot_build)
            except BaseException:
                await self._sandbox.destroy()
                raise
        self._sandbox.fill(await self._launcher.sources())
        await self._launcher.prepare()

    async def _unless_leaving(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this, but drop it once the pod is to go: waiting for an address must not delay a deletion."""
        task = asyncio.create_task(work)
        while not task.done() and not self._leaving:
            self._wake.clear()
            waking = asyncio.create_task(self._wake.wait())
            await asyncio.wait((task, waking), return_when=asyncio.FIRST_COMPLETED)
            waking.cancel()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _proceed(self) -> str:
        """Do what ``lifecycle`` says until the pod is over or to go; its last phase, or nothing."""
        deadline_s = self._deadline_s()
        while not self._leaving:
            self._wake.clear()
            if _now_s() >= deadline_s:
                self._reason = "DeadlineExceeded"
                self._message = "Pod was active on the node longer than the specified deadline"
                return "Failed"
            decision = lifecycle.decide(self.pod["spec"].get("restartPolicy") or "Always", self._runs.records, _now_s())
            if decision.over:
                return decision.over
            if decision.stop:
                await self._runs.stop(self._grace_s())
            for name in decision.start:
                await self._runs.start(name, self._grace_s())
            await self._pause(min(decision.wake_s or FOREVER_S, deadline_s) - _now_s())
        return ""

    def _deadline_s(self) -> float:
        active_s = self.pod["spec"].get("activeDeadlineSeconds")
        return FOREVER_S if active_s is None else _now_s() + float(active_s)

    def _grace_s(self) -> float:
        if self._gone:
            return 0.0
        metadata, spec = self.pod["metadata"], self.pod["spec"]
        grace_s = metadata.get("deletionGracePeriodSeconds", spec.get("terminationGracePeriodSeconds"))
        return GRACE_S if grace_s is None else float(grace_s)

    async def _pause(self, duration_s: float) -> None:
        """Until something happens, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if duration_s == FOREVER_S else max(0.0, duration_s)):
                await self._wake.wait()

    async def _release(self) -> None:
        """Give back what the pod holds: a pod that is over keeps its status and its logs, not its address."""
        while True:
            try:
                await self._launcher.finish()
                await self._sandbox.destroy()
            except errors.LabError as error:
                log.warning("pod cannot be taken down", pod=self.pod["metadata"]["name"], error=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _farewell(self) -> None:
        """Wait until somebody deletes the pod, then have the node's last word."""
        while not self._leaving:
            self._wake.clear()
            await self._wake.wait()
        while not self._gone:
            self._wake.clear()
            await self._publisher.flush()
            try:
                await self._host.cluster.remove(self.pod)
            except kube.KubernetesError:
                await self._pause(RETRY_S)
            else:
                break
        self._launcher.drop_logs()

    def _changed(self) -> None:
        self._publisher.changed()
        self._wake.set()

    def _cannot_build(self, error: Exception) -> None:
        self._say("FailedCreatePodSandBox", str(error), warning=True)

    def _say(self, reason: str, message: str, warning: bool) -> None:  # noqa: FBT001  # the type of an Event
        self._host.cluster.event(self.pod, reason, message, warning=warning)

    def _facts(self) -> status.Facts:
        return status.Facts(
            pod=self.pod,
            containers=self._runs.records,
            host_ips=self._host.plan.ips,
            ips=self._sandbox.ips,
            qos=cgroups.qos(self.pod),
            started_wall_ns=self._started_wall_ns,
            over=self._over,
            reason=self._reason,
            message=self._message,
        )


def _labelled(pod: Json) -> tuple[Json | None, Json | None]:
    """Return what the downward API shows of a pod and may change while it runs."""
    return pod["metadata"].get("labels"), pod["metadata"].get("annotations")


def _now_s() -> float:
    return asyncio.get_running_loop().time()
