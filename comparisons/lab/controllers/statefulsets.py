"""Keeps the pods of a StatefulSet: stable names, one after the other or all at once, updated from last to first.

The order is that of k8s.io/kubernetes/pkg/controller/statefulset, with its known trait that a pod which never becomes
ready holds up an ordered set until somebody deletes it. Leaves out volume claims, and ControllerRevision objects: an
old pod is one whose template hash is not the present one, and a pod below ``partition`` that is lost comes back new.
"""

import asyncio
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from comparisons.lab import clock
from comparisons.lab.api import kinds
from comparisons.lab.controllers import cache, pods, reporting, writer
from ipseity import kube

Value = dict[str, Any]

HASH = "controller-revision-hash"
POD_NAME, POD_INDEX = "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is to be done now."""

    create: Sequence[int] = ()
    """Ordinals."""
    delete: Sequence[Value] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A set and its pods at a moment."""

    owner: Value
    held: Mapping[int, Value]
    """Ordinal -> pod, also one on its way out: it still has the name."""
    now_wall_ns: int

    @property
    def wanted(self) -> range:
        """Ordinals that should have a pod."""
        start = (self.owner["spec"].get("ordinals") or {}).get("start", 0)
        return range(start, start + self.owner["spec"]["replicas"])

    @property
    def ordered(self) -> bool:
        """Whether one pod waits for the one before."""
        return bool(self.owner["spec"]["podManagementPolicy"] == "OrderedReady")

    def available_in_s(self, pod: Value) -> float | None:
        """0 if the pod is available, None if it is not even ready."""
        return pods.available_in_s(pod, self.owner["spec"].get("minReadySeconds", 0), self.now_wall_ns)

    def available(self, ordinal: int) -> bool:
        """Whether the pod is there, stays, and is available."""
        pod = self.held.get(ordinal)
        return pod is not None and pods.active(pod) and self.available_in_s(pod) == 0


def revision(owner: Value) -> str:
    """Return the name of the present template."""
    return f"{owner['metadata']['name']}-{pods.template_hash(owner['spec']['template'])}"


def ordinal_of(owner: Value, pod: Value) -> int | None:
    """Return the number in a pod's name, if it is one of this set."""
    prefix, _, number = pod["metadata"]["name"].rpartition("-")
    return int(number) if prefix == owner["metadata"]["name"] and number.isdigit() else None


def plan(seen: Picture) -> Step:
    """Return the next step: fill up from the first, shrink from the last, then replace what is old from the last."""
    create = [ordinal for ordinal in seen.wanted if ordinal not in seen.held]
    kept = [seen.held[ordinal] for ordinal in seen.wanted if ordinal in seen.held]
    ended = [pod for pod in kept if pods.phase(pod) in pods.TERMINAL and not pods.deleting(pod)]
    surplus = [seen.held[ordinal] for ordinal in sorted(seen.held, reverse=True) if ordinal not in seen.wanted]
    if seen.ordered:
        return _in_order(seen, ended, surplus)
    leaving = [pod for pod in (*surplus, *ended) if not pods.deleting(pod)]
    return Step(create=create, delete=leaving) if create or leaving else _replace(seen)


def _in_order(seen: Picture, ended: Sequence[Value], surplus: Sequence[Value]) -> Step:
    for ordinal in seen.wanted:
        pod = seen.held.get(ordinal)
        if pod is None:
            return Step(create=[ordinal])
        if pod in ended:
            return Step(delete=[pod])
        if not seen.available(ordinal):
            return Step()
    if surplus:
        return Step() if pods.deleting(surplus[0]) else Step(delete=surplus[:1])
    return _replace(seen)


def _replace(seen: Picture) -> Step:
    strategy, mark = seen.owner["spec"]["updateStrategy"], revision(seen.owner)
    if strategy["type"] != "RollingUpdate":
        return Step()
    first = seen.wanted.start + (strategy.get("rollingUpdate") or {}).get("partition", 0)
    for ordinal in (each for each in reversed(seen.wanted) if each >= first):
        pod = seen.held.get(ordinal)
        if pod is None or pods.deleting(pod):
            return Step()
        if _mark(pod) != mark:
            return Step(delete=[pod])
        if not seen.available(ordinal):
            return Step()
    return Step()


def _mark(pod: Value) -> str:
    found: str = (pod["metadata"].get("labels") or {}).get(HASH, "")
    return found


def pod_of(owner: Value, ordinal: int) -> Value:
    """Return the pod of an ordinal."""
    name = f"{owner['metadata']['name']}-{ordinal}"
    labels = {HASH: revision(owner), POD_NAME: name, POD_INDEX: str(ordinal)}
    made = pods.from_template(owner, owner["spec"]["template"], labels)
    meta = {**made["metadata"], "name": name}
    place = {"hostname": name}
    place |= {"subdomain": owner["spec"]["serviceName"]} if owner["spec"].get("serviceName") else {}
    return {**made, "metadata": meta, "spec": {**made["spec"], **place}}


def status_of(seen: Picture) -> Value:
    """Return the status that the set should have."""
    owner, mark, old = seen.owner, revision(seen.owner), seen.owner.get("status") or {}
    live = [pod for pod in seen.held.values() if pods.active(pod)]
    delays = [delay for delay in map(seen.available_in_s, live) if delay is not None]
    updated = sum(_mark(pod) == mark for pod in live)
    done = updated == len(live) == owner["spec"]["replicas"] == len(delays)
    current = mark if done or not old.get("currentRevision") else old["currentRevision"]
    counts = {
        "readyReplicas": len(delays),
        "currentReplicas": sum(_mark(pod) == current for pod in live),
        "updatedReplicas": updated,
    }
    return {
        "replicas": len(live),
        "availableReplicas": sum(delay == 0 for delay in delays),
        **{key: count for key, count in counts.items() if count},
        "currentRevision": current,
        "updateRevision": mark,
        "collisionCount": 0,
        "observedGeneration": owner["metadata"].get("generation", 0),
    }


class StatefulSets:
    """The StatefulSet controller."""

    name = "statefulset-controller"

    def __init__(self, known: cache.Cache, out: writer.Writer, events: reporting.Reporter) -> None:
        self._known = known
        self._out = out
        self._events = events

    def keys(self, kind: kinds.Kind, value: cache.Value, *, gone: bool) -> Sequence[cache.Key]:
        """Return the set itself, and that of a pod."""
        _ = gone
        if kind is kinds.STATEFUL_SET:
            return [cache.key_of(value)]
        owner = cache.controller_of(value) if kind is kinds.POD else None
        if owner is None or owner["kind"] != kinds.STATEFUL_SET.kind:
            return []
        return [(value["metadata"]["namespace"], owner["name"])]

    async def reconcile(self, key: cache.Key) -> float | None:
        """Take the next step, then write the status."""
        owner = self._known.get(kinds.STATEFUL_SET, key)
        if owner is None or pods.deleting(owner):
            return None
        seen = self._seen(owner)
        step = plan(seen)
        for pod in step.delete:
            await self._out.delete(kinds.POD, pod)
            self._say(owner, "SuccessfulDelete", "delete", pod["metadata"]["name"])
        await asyncio.gather(*(self._create(owner, ordinal) for ordinal in step.create))
        return await self._write_status(self._seen(owner))

    def _seen(self, owner: cache.Value) -> Picture:
        owned = self._known.owned(owner["metadata"]["uid"], kinds.POD)
        return Picture(owner=owner, held=dict(_numbered(owner, owned)), now_wall_ns=clock.wall_ns())

    async def _create(self, owner: cache.Value, ordinal: int) -> None:
        pod = pod_of(owner, ordinal)
        try:
            await self._out.create(kinds.POD, pod)
        except kube.KubernetesError as error:
            name = pod["metadata"]["name"]
            message = f"create Pod {name} in StatefulSet {owner['metadata']['name']} failed error: {error}"
            self._events.say(owner, "FailedCreate", message, by=self.name, warning=True)
            raise
        self._say(owner, "SuccessfulCreate", "create", pod["metadata"]["name"])

    def _say(self, owner: cache.Value, reason: str, verb: str, pod: str) -> None:
        message = f"{verb} Pod {pod} in StatefulSet {owner['metadata']['name']} successful"
        self._events.say(owner, reason, message, by=self.name)

    async def _write_status(self, seen: Picture) -> float | None:
        found = status_of(seen)
        if found != seen.owner.get("status"):
            await self._out.replace(kinds.STATEFUL_SET, {**seen.owner, "status": found}, "status")
        waits = (seen.available_in_s(pod) for pod in seen.held.values() if pods.active(pod))
        return min((delay for delay in waits if delay), default=None)


def _numbered(owner: cache.Value, owned: Sequence[cache.Value]) -> Iterator[tuple[int, cache.Value]]:
    for pod in owned:
        ordinal = ordinal_of(owner, pod)
        if ordinal is not None:
            yield ordinal, pod
