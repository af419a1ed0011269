"""Keeps as many pods of a ReplicaSet as it asks for, and counts them."""

import asyncio
from collections.abc import Sequence

from comparisons.lab import clock
from comparisons.lab.api import kinds, selector
from comparisons.lab.controllers import cache, pods, reporting, writer
from ipseity import kube

BURST = 500
"""Pods made or deleted in one go: kube-controller-manager's BurstReplicas."""


def victims(found: Sequence[cache.Value], count: int) -> list[cache.Value]:
    """Which pods go first: unscheduled, then pending, then not ready, then the youngest."""

    def rank(pod: cache.Value) -> tuple[bool, bool, bool]:
        return (bool(pod["spec"].get("nodeName")), pods.phase(pod) == "Running", pods.ready(pod))

    youngest_first = sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"], reverse=True)
    return sorted(youngest_first, key=rank)[:count]


class ReplicaSets:
    """The ReplicaSet controller."""

    name = "replicaset-controller"

    def __init__(self, known: cache.Cache, out: writer.Writer, events: reporting.Reporter) -> None:
        self._known = known
        self._out = out
        self._events = events

    def keys(self, kind: kinds.Kind, value: cache.Value, *, gone: bool) -> Sequence[cache.Key]:
        """Return the set itself, and the set of a pod that changed; all that would adopt an orphan."""
        _ = gone
        if kind is kinds.REPLICA_SET:
            return [cache.key_of(value)]
        if kind is not kinds.POD:
            return []
        owner = cache.controller_of(value)
        if owner is not None:
            return [(value["metadata"]["namespace"], owner["name"])] if owner["kind"] == kinds.REPLICA_SET.kind else []
        sets = self._known.all(kinds.REPLICA_SET, value["metadata"]["namespace"])
        return [cache.key_of(each) for each in sets if _selects(each, value)]

    async def reconcile(self, key: cache.Key) -> float | None:
        """Make or deletes pods, then writes the status."""
        owner = self._known.get(kinds.REPLICA_SET, key)
        if owner is None:
            return None
        await self._adopt(owner)
        uid = owner["metadata"]["uid"]
        found = [pod for pod in self._known.owned(uid, kinds.POD) if pods.active(pod)]
        failure = None
        if not pods.deleting(owner):
            failure = await self._scale(owner, found)
        again_s = await self._write_status(owner, failure)
        if failure is not None:
            raise failure
        return again_s

    async def _adopt(self, owner: cache.Value) -> None:
        if pods.deleting(owner):
            return
        for pod in self._known.all(kinds.POD, owner["metadata"]["namespace"]):
            if cache.controller_of(pod) is None and pods.active(pod) and _selects(owner, pod):
                others = pod["metadata"].get("ownerReferences") or []
                change = {"metadata": {"ownerReferences": [*others, pods.owner_reference(owner)]}}
                await self._out.patch(kinds.POD, pod, change)

    async def _scale(self, owner: cache.Value, found: list[cache.Value]) -> kube.KubernetesError | None:
        missing = owner["spec"].get("replicas", 1) - len(found)
        made = pods.from_template(owner, owner["spec"]["template"])
        if missing > 0:
            tasks = [self._create(owner, made) for _ in range(min(missing, BURST))]
        else:
            tasks = [self._delete(owner, pod) for pod in victims(found, min(-missing, BURST))]
        failures = [each for each in await asyncio.gather(*tasks, return_exceptions=True) if each is not None]
        for failure in failures:
            if not isinstance(failure, kube.KubernetesError):
                raise failure
        return failures[0] if failures else None  # type: ignore[return-value]  # all others were raised above

    async def _create(self, owner: cache.Value, pod: cache.Value) -> None:
        try:
            made = await self._out.create(kinds.POD, pod)
        except kube.KubernetesError as error:
            self._events.say(owner, "FailedCreate", f"Error creating: {error}", by=self.name, warning=True)
            raise
        self._events.say(owner, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}", by=self.name)

    async def _delete(self, owner: cache.Value, pod: cache.Value) -> None:
        await self._out.delete(kinds.POD, pod)
        self._events.say(owner, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}", by=self.name)

    async def _write_status(self, owner: cache.Value, failure: Exception | None) -> float | None:
        now_wall_ns = clock.wall_ns()
        found = [pod for pod in self._known.owned(owner["metadata"]["uid"], kinds.POD) if pods.active(pod)]
        delays = [pods.available_in_s(pod, owner["spec"].get("minReadySeconds", 0), now_wall_ns) for pod in found]
        ready = [delay for delay in delays if delay is not None]
        status = _status(owner, found, ready, failure, now_wall_ns)
        if status != owner.get("status"):
            await self._out.replace(kinds.REPLICA_SET, {**owner, "status": status}, "status")
        return min((delay for delay in ready if delay > 0), default=None)


def _status(
    owner: cache.Value, found: list[cache.Value], ready: list[float], failure: Exception | None, now_wall_ns: int
) -> cache.Value:
    labels = owner["spec"]["template"].get("metadata", {}).get("labels", {})
    labelled = [pod for pod in found if labels.items() <= (pod["metadata"].get("labels") or {}).items()]
    counts = {
        "replicas": len(found),
        "fullyLabeledReplicas": len(labelled),
        "readyReplicas": len(ready),
        "availableReplicas": sum(delay == 0 for delay in ready),
    }
    kept: cache.Value = {key: count for key, count in counts.items() if count or key == "replicas"}
    conditions = [each for each in (owner.get("status") or {}).get("conditions") or () if each["type"] != FAILURE]
    if failure is not None:
        said = {"type": FAILURE, "status": "True", "reason": "FailedCreate", "message": str(failure)}
        conditions = pods.set_condition((owner.get("status") or {}).get("conditions") or [], said, now_wall_ns)
    kept |= {"conditions": conditions} if conditions else {}
    return kept | {"observedGeneration": owner["metadata"].get("generation", 0)}


FAILURE = "ReplicaFailure"


def _selects(owner: cache.Value, pod: cache.Value) -> bool:
    return selector.matches(owner["spec"].get("selector"), pod["metadata"].get("labels") or {})
