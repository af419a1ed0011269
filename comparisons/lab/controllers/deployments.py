"""Keeps a Deployment's ReplicaSets: one for the present template, the older ones shrinking and then kept as history."""

from collections.abc import Sequence

from comparisons.lab import clock
from comparisons.lab.api import kinds
from comparisons.lab.controllers import cache, deployment_status, pods, reporting, rollout, writer

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"


class Deployments:
    """The Deployment controller."""

    name = "deployment-controller"

    def __init__(self, known: cache.Cache, out: writer.Writer, events: reporting.Reporter) -> None:
        self._known = known
        self._out = out
        self._events = events

    def keys(self, kind: kinds.Kind, value: cache.Value, *, gone: bool) -> Sequence[cache.Key]:
        """Return the Deployment itself, that of a ReplicaSet, and (for Recreate) that of a pod which is gone."""
        if kind is kinds.DEPLOYMENT:
            return [cache.key_of(value)]
        owner = cache.controller_of(value)
        if kind is kinds.REPLICA_SET and owner is not None:
            return [(value["metadata"]["namespace"], owner["name"])]
        if kind is kinds.POD and gone and owner is not None and owner["kind"] == kinds.REPLICA_SET.kind:
            replica_set = self._known.get(kinds.REPLICA_SET, (value["metadata"]["namespace"], owner["name"]))
            return self.keys(kinds.REPLICA_SET, replica_set, gone=False) if replica_set is not None else []
        return []

    async def reconcile(self, key: cache.Key) -> float | None:
        """Take the next step of the rollout, then writes the status."""
        deployment = self._known.get(kinds.DEPLOYMENT, key)
        if deployment is None or pods.deleting(deployment):
            return None
        new, old = self._split(deployment)
        if new is None and not deployment["spec"].get("paused"):
            new = await self._create(deployment, old)
        if new is not None:
            await self._mark_revision(deployment, new, old)
            await self._resize(deployment, new, old)
        await self._forget_history(deployment, old)
        return await self._write_status(deployment)

    def _split(self, deployment: cache.Value) -> tuple[cache.Value | None, list[cache.Value]]:
        """Return the set of the present template, and all others, oldest first."""
        owned = self._known.owned(deployment["metadata"]["uid"], kinds.REPLICA_SET)
        owned.sort(key=lambda each: (revision(each), each["metadata"]["creationTimestamp"]))
        wanted = _bare(deployment["spec"]["template"])
        same = [each for each in owned if _bare(each["spec"]["template"]) == wanted]
        new = same[0] if same else None
        return new, [each for each in owned if each is not new]

    async def _create(self, deployment: cache.Value, old: list[cache.Value]) -> cache.Value:
        template, meta = deployment["spec"]["template"], deployment["metadata"]
        mark = pods.template_hash(template)
        labels = {**(template.get("metadata") or {}).get("labels", {}), HASH: mark}
        chosen = deployment["spec"]["selector"]
        spec = {
            "replicas": 0,
            "selector": {**chosen, "matchLabels": {**chosen.get("matchLabels", {}), HASH: mark}},
            "template": {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}},
        }
        spec |= {key: deployment["spec"][key] for key in ("minReadySeconds",) if key in deployment["spec"]}
        metadata = {
            "name": f"{meta['name']}-{mark}",
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": {REVISION: str(_next_revision(old))},
            "ownerReferences": [pods.owner_reference(deployment)],
        }
        made = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec}
        return await self._out.create(kinds.REPLICA_SET, made)

    async def _mark_revision(self, deployment: cache.Value, new: cache.Value, old: list[cache.Value]) -> None:
        """Give the current set the newest revision, also one that is current again after a rollback."""
        number = str(max(revision(new), _next_revision(old)))
        for kind, value in ((kinds.REPLICA_SET, new), (kinds.DEPLOYMENT, deployment)):
            if (value["metadata"].get("annotations") or {}).get(REVISION) != number:
                await self._out.patch(kind, value, {"metadata": {"annotations": {REVISION: number}}})

    async def _resize(self, deployment: cache.Value, new: cache.Value, old: list[cache.Value]) -> None:
        spec = deployment["spec"]
        sizes = [_size(each) for each in old]
        old_pods = sum(len(self._known.owned(each["metadata"]["uid"], kinds.POD)) for each in old)
        if spec.get("paused"):
            plan = (
                rollout.plan(spec["replicas"], {"type": "RollingUpdate"}, _size(new), [], 0)
                if not any(s.wanted for s in sizes)
                else {}
            )
        else:
            plan = rollout.plan(spec["replicas"], spec["strategy"], _size(new), sizes, old_pods)
        for each in [new, *old]:
            name = each["metadata"]["name"]
            if name in plan:
                await self._scale(deployment, each, plan[name])

    async def _scale(self, deployment: cache.Value, replica_set: cache.Value, size: int) -> None:
        before, name = replica_set["spec"].get("replicas", 0), replica_set["metadata"]["name"]
        await self._out.patch(kinds.REPLICA_SET, replica_set, {"spec": {"replicas": size}})
        verb = "up" if size > before else "down"
        message = f"Scaled {verb} replica set {name} from {before} to {size}"
        self._events.say(deployment, "ScalingReplicaSet", message, by=self.name)

    async def _forget_history(self, deployment: cache.Value, old: list[cache.Value]) -> None:
        empty = [
            each for each in old if not each["spec"].get("replicas") and not (each.get("status") or {}).get("replicas")
        ]
        for each in empty[: max(0, len(empty) - deployment["spec"].get("revisionHistoryLimit", 10))]:
            await self._out.delete(kinds.REPLICA_SET, each)

    async def _write_status(self, deployment: cache.Value) -> float | None:
        new, old = self._split(deployment)
        found = deployment_status.status(deployment, new, old, clock.wall_ns())
        if found != deployment.get("status"):
            current = self._known.get(kinds.DEPLOYMENT, cache.key_of(deployment)) or deployment
            await self._out.replace(kinds.DEPLOYMENT, {**current, "status": found}, "status")
        return deployment_status.look_again_s(deployment, found, clock.wall_ns())


def revision(replica_set: cache.Value) -> int:
    """Return the number in the set's annotation; 0 without one."""
    text = (replica_set["metadata"].get("annotations") or {}).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def _next_revision(old: list[cache.Value]) -> int:
    return max((revision(each) for each in old), default=0) + 1


def _bare(template: cache.Value) -> cache.Value:
    """Return the template without the label that the controller adds."""
    meta = template.get("metadata") or {}
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key != HASH}
    return {**template, "metadata": {**{k: v for k, v in meta.items() if v}, "labels": labels}}


def _size(replica_set: cache.Value) -> rollout.Size:
    available = (replica_set.get("status") or {}).get("availableReplicas", 0)
    return rollout.Size(
        name=replica_set["metadata"]["name"], wanted=replica_set["spec"].get("replicas", 0), available=available
    )
