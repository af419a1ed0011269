"""Runs a Job's pods until enough have succeeded, or too many have failed.

Which pods have ended is remembered here for as long as the Job exists, so that a deleted pod still counts. Leaves out
Indexed completion, pod failure policies, success policies, and the tracking finalizer that would outlive this
process.
"""

import asyncio
from collections.abc import Sequence

from comparisons.lab import clock
from comparisons.lab.api import kinds
from comparisons.lab.controllers import cache, job_status, pods, reporting, writer


class Jobs:
    """The Job controller."""

    name = "job-controller"

    def __init__(self, known: cache.Cache, out: writer.Writer, events: reporting.Reporter) -> None:
        self._known = known
        self._out = out
        self._events = events
        self._ended: dict[str, dict[str, job_status.Ended]] = {}
        """Job's uid -> pod's uid -> how it ended."""
        self._forgiven: set[str] = set()
        """Pods that we ended ourselves: no failures."""

    def keys(self, kind: kinds.Kind, value: cache.Value, *, gone: bool) -> Sequence[cache.Key]:
        """Return the Job itself, and the Job of a pod that changed."""
        if kind is kinds.JOB:
            if gone:
                self._ended.pop(value["metadata"]["uid"], None)
            return [cache.key_of(value)]
        owner = cache.controller_of(value) if kind is kinds.POD else None
        if owner is None or owner["kind"] != kinds.JOB.kind:
            return []
        self._note(owner["uid"], value, gone=gone)
        return [(value["metadata"]["namespace"], owner["name"])]

    def _note(self, job_uid: str, pod: cache.Value, *, gone: bool) -> None:
        """Remembers a pod that has ended; one that goes without having ended has failed."""
        if gone and pod["metadata"]["uid"] in self._forgiven:
            self._forgiven.discard(pod["metadata"]["uid"])
        elif pods.phase(pod) in pods.TERMINAL or gone:
            ended = job_status.Ended(failed=pods.phase(pod) != "Succeeded", at_wall_ns=job_status.ended_wall_ns(pod))
            self._ended.setdefault(job_uid, {}).setdefault(pod["metadata"]["uid"], ended)

    async def reconcile(self, key: cache.Key) -> float | None:
        """Make or deletes pods, then writes the status."""
        job = self._known.get(kinds.JOB, key)
        if job is None or pods.deleting(job):
            return None
        now_wall_ns = clock.wall_ns()
        if job_status.finished(job):
            return await self._expire(job, now_wall_ns)
        view = self._view(job)
        verdict = job_status.verdict(job, view, now_wall_ns)
        wait_s = await self._run(job, view, verdict, now_wall_ns)
        await self._write_status(job, verdict, now_wall_ns)
        return wait_s

    def _view(self, job: cache.Value) -> job_status.View:
        uid = job["metadata"]["uid"]
        owned = self._known.owned(uid, kinds.POD)
        return job_status.View(
            active=[pod for pod in owned if pods.active(pod)],
            terminating=sum(pods.deleting(pod) and pods.phase(pod) not in pods.TERMINAL for pod in owned),
            ended=list(self._ended.get(uid, {}).values()),
        )

    async def _run(
        self, job: cache.Value, view: job_status.View, verdict: cache.Value | None, now_wall_ns: int
    ) -> float | None:
        if verdict is not None or job["spec"].get("suspend"):
            await asyncio.gather(*(self._delete(pod) for pod in view.active))
            return None
        missing = job_status.missing(job, view)
        wait_s = job_status.back_off_s(view, now_wall_ns)
        if missing > 0 and wait_s > 0:
            return wait_s
        made = pods.from_template(job, job["spec"]["template"])
        await asyncio.gather(*(self._create(job, made) for _ in range(missing)))
        surplus = view.active[: max(0, -missing)]
        await asyncio.gather(*(self._delete(pod) for pod in surplus))
        return job_status.deadline_s(job, now_wall_ns)

    async def _create(self, job: cache.Value, pod: cache.Value) -> None:
        made = await self._out.create(kinds.POD, pod)
        self._events.say(job, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}", by=self.name)

    async def _delete(self, pod: cache.Value) -> None:
        self._forgiven.add(pod["metadata"]["uid"])
        await self._out.delete(kinds.POD, pod)

    async def _write_status(self, job: cache.Value, verdict: cache.Value | None, now_wall_ns: int) -> None:
        status = job_status.status(job, self._view(job), verdict, now_wall_ns)
        if status == job.get("status"):
            return
        done = await self._out.replace(kinds.JOB, {**job, "status": status}, "status")
        if done is not None and verdict is not None:
            warning = verdict["type"] == "Failed"
            self._events.say(job, verdict.get("reason", "Completed"), verdict["message"], by=self.name, warning=warning)

    async def _expire(self, job: cache.Value, now_wall_ns: int) -> float | None:
        """Delete a finished Job when its time is over."""
        left_s = job_status.left_s(job, now_wall_ns)
        if left_s is not None and left_s <= 0:
            await self._out.delete(kinds.JOB, job, "Foreground")
        return left_s if left_s is not None and left_s > 0 else None
