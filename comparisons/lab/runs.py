"""The runs of one pod's containers: start, probe, stop, and the record of how each ended.

Here because a run is followed by tasks that must all end with it. Says nothing about order or restarts: ``lifecycle``
decides from the records kept here, ``pod`` asks for what it decided.
"""

import asyncio
import contextlib
import dataclasses
import signal
from collections.abc import Callable
from typing import Any

from comparisons.lab import cgroups, clock, containers, errors, launch, lifecycle, prober, probes
from ipseity import kube

Json = dict[str, Any]
RETRY_S = 1.0
"""Before another attempt at an incomplete container. Arbitrary: somebody is about to complete it."""
POST_START_S = 300.0
"""How long a postStart hook may take; the kubelet sets no limit."""
LEAST_S = 2.0
"""kubelet's minimumGracePeriodInSeconds: between SIGTERM and SIGKILL, however long hooks and turns took."""
Say = Callable[[str, str, bool], None]
"""Leave an Event: reason, message, whether it is a warning."""


class Runs:
    """All containers of a pod, dead or alive. ``changed`` is called after every change of a record."""

    def __init__(
        self,
        records: tuple[lifecycle.Container, ...],
        *,
        launcher: launch.Launcher,
        runtime: containers.Runtime,
        say: Say,
        changed: Callable[[], None],
    ) -> None:
        self._records = {it.name: it for it in records}
        self._launcher = launcher
        self._runtime = runtime
        self._say = say
        self._changed = changed
        self._instances: dict[str, containers.Instance] = {}
        self._probing: dict[str, asyncio.Task[None]] = {}
        self._following: dict[str, asyncio.Task[None]] = {}
        self._stopping: dict[str, asyncio.Task[None]] = {}
        self._ending = False
        self.hurry = asyncio.Event()
        """Set: nobody waits for grace periods any more."""

    @property
    def records(self) -> tuple[lifecycle.Container, ...]:
        """What is known now, in the pod's order."""
        return tuple(self._records.values())

    async def start(self, name: str, grace_s: float) -> None:
        """Start a container (again). ``grace_s``: what it gets when a probe of it fails."""
        before, began = self._records[name], clock.wall_ns()
        again = isinstance(before.state, lifecycle.Terminated)
        last = before.state if isinstance(before.state, lifecycle.Terminated) else before.last
        restarts = before.restarts + (1 if again else 0)
        try:
            instance = await self._launcher.start(before, restarts)
        except errors.ProgramFailed as error:
            self._say("Failed", str(error), True)  # noqa: FBT003  # a warning
            self._set(name, last=last, restarts=restarts)
            self._record(name, "", began, _now_s(), launch.COULD_NOT_START, "StartError", str(error))
        except (errors.LabError, kube.KubernetesError) as error:
            self._say("Failed", str(error), True)  # noqa: FBT003  # a warning
            reason = error.reason if isinstance(error, errors.PodRefused) else "CreateContainerError"
            self._set(name, state=lifecycle.Waiting(reason=reason, message=str(error), retry_s=_now_s() + RETRY_S))
        else:
            running = lifecycle.Running(id=instance.id, started_wall_ns=began, started_s=_now_s())
            self._instances[name] = instance
            self._set(name, state=running, last=last, restarts=restarts, started=False, ready=False)
            self._say("Started", f"Started container {name}", False)  # noqa: FBT003  # no warning
            self._probing[name] = asyncio.create_task(self._probe(name, instance, grace_s))
            self._following[name] = asyncio.create_task(self._follow(name, instance, running))

    async def stop(self, grace_s: float) -> None:
        """End all containers within one grace period, in the kubelet's order.

        preStop hooks run at once. SIGTERM comes to the main containers first, then to the sidecars, the last one
        first: whoever still talks through a sidecar has it until it is done.
        """
        self._ending = True
        running = [it for it in self.records if it.name in self._instances]
        turns: list[asyncio.Task[None]] = [
            self._following[it.name] for it in running if it.role is not lifecycle.Role.SIDECAR
        ]
        stops = [self._stop(it.name, grace_s) for it in running if it.role is not lifecycle.Role.SIDECAR]
        for it in reversed(running):
            if it.role is lifecycle.Role.SIDECAR:
                stops.append(self._stop(it.name, grace_s, tuple(turns)))
                turns.append(self._following[it.name])
        await asyncio.gather(*stops)

    async def _stop(self, name: str, grace_s: float, before: "tuple[asyncio.Task[None], ...]" = ()) -> None:
        """preStop, the end of those ``before``, SIGTERM, and SIGKILL to the whole cgroup when the time is over.

        Returns when the container is gone.
        """
        instance = self._instances.get(name)
        if instance is None:
            return
        following, end_s = self._following[name], _now_s() + grace_s
        if grace_s > 0:
            waited = await self._pre_stop(name, instance, grace_s)
            waited |= await self._until(before, end_s - _now_s())
            if not following.done():
                instance.signal(signal.SIGTERM)
                await self._until((following,), max(LEAST_S if waited else 0.0, end_s - _now_s()))
        if not following.done():
            instance.kill()
        await asyncio.wait((following,))

    async def _pre_stop(self, name: str, instance: containers.Instance, grace_s: float) -> bool:
        """Run the container's hook, if it has one, unless the container ends first; whether there was one."""
        hook = (self._records[name].spec.get("lifecycle") or {}).get("preStop")
        if not hook:
            return False
        acting = asyncio.create_task(prober.act(hook, self._launcher.target(self._records[name], instance), grace_s))
        await self._until((acting, self._following[name]), grace_s, asyncio.FIRST_COMPLETED)
        if not acting.done():
            acting.cancel()
            await asyncio.wait((acting,))
        elif not acting.result()[0]:
            self._say("FailedPreStopHook", acting.result()[1], True)  # noqa: FBT003  # a warning
        return True

    async def _until(
        self, tasks: "tuple[asyncio.Task[Any], ...]", timeout_s: float, when: str = asyncio.ALL_COMPLETED
    ) -> bool:
        """Wait for tasks, no longer than that, and not at all in a hurry; whether there was anything to wait for."""
        if not tasks or all(task.done() for task in tasks):
            return False
        waiting = asyncio.create_task(asyncio.wait(tasks, return_when=when))
        hurry = asyncio.create_task(self.hurry.wait())
        await asyncio.wait((waiting, hurry), timeout=max(0.0, timeout_s), return_when=asyncio.FIRST_COMPLETED)
        for each in (waiting, hurry):
            each.cancel()
        return True

    async def _probe(self, name: str, instance: containers.Instance, grace_s: float) -> None:
        target = self._launcher.target(self._records[name], instance)
        hook = (self._records[name].spec.get("lifecycle") or {}).get("postStart")
        if hook:
            ok, words = await prober.act(hook, target, POST_START_S)
            if not ok:
                self._say("FailedPostStartHook", words, True)  # noqa: FBT003  # a warning
                self._stop_soon(name, grace_s)
                return
        await prober.watch(target, lambda purpose, ok, words: self._probed(name, grace_s, purpose, ok=ok, words=words))

    def _probed(self, name: str, grace_s: float, purpose: probes.Purpose, *, ok: bool, words: str) -> None:
        if self._ending and purpose is not probes.Purpose.READINESS:
            return  # it is on its way out: only who may still send to it is of interest
        if not ok:
            self._say("Unhealthy", f"{purpose.value} failed: {words}", True)  # noqa: FBT003  # a warning
        if purpose is probes.Purpose.READINESS:
            self._set(name, ready=ok)
        elif not ok:
            self._stop_soon(name, grace_s)
        elif purpose is probes.Purpose.STARTUP:
            self._set(name, started=True)

    def _stop_soon(self, name: str, grace_s: float) -> None:
        """End a container that fails its probe; its restart policy decides what comes next."""
        if name not in self._stopping:
            self._say("Killing", f"Container {name} failed a probe or hook and is ended", False)  # noqa: FBT003  # no warning
            self._stopping[name] = asyncio.create_task(self._stop(name, grace_s))

    async def _follow(self, name: str, instance: containers.Instance, running: lifecycle.Running) -> None:
        """Wait for the end of a run, take everything back, and record how it ended."""
        code = await instance.wait()
        self._probing.pop(name).cancel()
        out_of_memory = code != 0 and cgroups.out_of_memory(instance.cgroup)
        words = launch.last_words(instance)
        try:
            await self._runtime.remove(instance)
        except errors.LabError as error:
            self._say("FailedKillPod", str(error), True)  # noqa: FBT003  # a warning; the sandbox ends what is left
        del self._instances[name]
        self._stopping.pop(name, None)
        reason = "OOMKilled" if out_of_memory else "Completed" if code == 0 else "Error"
        self._record(name, instance.id, running.started_wall_ns, running.started_s, code, reason, words)

    def _record(  # noqa: PLR0913, PLR0917  # the columns of one record
        self, name: str, identity: str, started_wall_ns: int, started_s: float, code: int, reason: str, message: str
    ) -> None:
        now_s = _now_s()
        end = lifecycle.Terminated(
            id=identity,
            exit_code=code,
            reason=reason,
            message=message,
            started_wall_ns=started_wall_ns,
            finished_wall_ns=clock.wall_ns(),
            finished_s=now_s,
            ran_s=now_s - started_s,
        )
        backoff_s = lifecycle.next_backoff_s(self._records[name], end.ran_s)
        self._set(name, state=end, started=False, ready=False, backoff_s=backoff_s)

    def _set(self, name: str, **changes: Any) -> None:
        self._records[name] = dataclasses.replace(self._records[name], **changes)
        self._changed()

    async def close(self) -> None:
        """Leave no task behind."""
        tasks = [*self._probing.values(), *self._following.values(), *self._stopping.values()]
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
