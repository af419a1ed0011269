"""Which node a pending pod goes to: ready, schedulable, matching its nodeSelector, and the one with the fewest pods.

Leaves out resources, affinity, taints other than cordon, and preemption: a lab's nodes are alike and never full.
"""

import collections
from collections.abc import Iterable, Mapping, Sequence

from comparisons.lab.api import kinds
from comparisons.lab.controllers import cache, reporting, writer
from ipseity import kube

SCHEDULER = "default-scheduler"
RETRY_S = 5.0
"""How soon a pod that fits nowhere is looked at again; a change of a node makes it sooner."""
TERMINAL = ("Succeeded", "Failed")


def choose(pod: cache.Value, nodes: Iterable[cache.Value], load: Mapping[str, int]) -> str | None:
    """Return the node's name; None if the pod fits nowhere. Equal nodes are taken by name."""
    fitting = sorted(
        (load.get(node["metadata"]["name"], 0), node["metadata"]["name"]) for node in nodes if fits(pod, node)
    )
    return fitting[0][1] if fitting else None


def fits(pod: cache.Value, node: cache.Value) -> bool:
    """Whether the node is up and has the labels that the pod asks for."""
    labels = node["metadata"].get("labels") or {}
    wanted = pod["spec"].get("nodeSelector") or {}
    return schedulable(node) and all(labels.get(key) == value for key, value in wanted.items())


def schedulable(node: cache.Value) -> bool:
    """Whether the node is ready, not cordoned and not on its way out."""
    if (node.get("spec") or {}).get("unschedulable") or node["metadata"].get("deletionTimestamp"):
        return False
    return ready(node)


def ready(node: cache.Value) -> bool:
    """Whether the node says that it is ready."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


class Scheduling:
    """The scheduler."""

    name = SCHEDULER

    def __init__(self, known: cache.Cache, out: writer.Writer, events: reporting.Reporter) -> None:
        self._known = known
        self._out = out
        self._events = events
        self._bound: dict[str, str] = {}
        """Pods that were given a node and are not yet seen with it: uid -> node."""

    def keys(self, kind: kinds.Kind, value: cache.Value, *, gone: bool) -> Sequence[cache.Key]:
        """Return a pod without a node; all of them when a node changes."""
        if kind is kinds.NODE:
            return [cache.key_of(pod) for pod in self._known.all(kinds.POD) if _waits(pod)]
        if kind is kinds.POD:
            if gone or value["spec"].get("nodeName"):
                self._bound.pop(value["metadata"]["uid"], None)
            return [cache.key_of(value)] if not gone and _waits(value) else []
        return []

    async def reconcile(self, key: cache.Key) -> float | None:
        """Binds the pod to a node, or says on it why not."""
        pod = self._known.get(kinds.POD, key)
        if pod is None or not _waits(pod) or pod["metadata"]["uid"] in self._bound:
            return None
        nodes = list(self._known.all(kinds.NODE))
        node = choose(pod, nodes, self._load())
        if node is None:
            await self._say_unschedulable(pod, len(nodes))
            return RETRY_S
        await self._bind(pod, node)
        return None

    def _load(self) -> Mapping[str, int]:
        """Live pods of each node."""
        live = (pod for pod in self._known.all(kinds.POD) if (pod.get("status") or {}).get("phase") not in TERMINAL)
        load = collections.Counter(pod["spec"].get("nodeName", "") for pod in live)
        load.update(self._bound.values())
        return load

    async def _bind(self, pod: cache.Value, node: str) -> None:
        meta = pod["metadata"]
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        named = {key: meta[key] for key in ("namespace", "name", "uid")}
        self._bound[meta["uid"]] = node
        try:
            await self._out.create(
                kinds.POD, {"apiVersion": "v1", "kind": "Binding", "metadata": named, "target": target}, "binding"
            )
        except kube.KubernetesError as error:
            self._bound.pop(meta["uid"], None)
            if error.status not in {writer.NOT_FOUND, writer.CONFLICT}:  # gone, or bound by somebody else
                raise
            return
        message = f"Successfully assigned {meta['namespace']}/{meta['name']} to {node}"
        self._events.say(pod, "Scheduled", message, by=self.name)

    async def _say_unschedulable(self, pod: cache.Value, nodes: int) -> None:
        message = f"0/{nodes} nodes are available: none is ready and matches the pod's node selector."
        found = (pod.get("status") or {}).get("conditions") or []
        if any(each.get("message") == message for each in found):
            return
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        others = [each for each in found if each["type"] != "PodScheduled"]
        self._events.say(pod, "FailedScheduling", message, by=self.name, warning=True)
        await self._out.patch(kinds.POD, pod, {"status": {"conditions": [*others, condition]}}, "status")


def _waits(pod: cache.Value) -> bool:
    spec = pod["spec"]
    mine = spec.get("schedulerName", SCHEDULER) == SCHEDULER and not spec.get("schedulingGates")
    terminal = (pod.get("status") or {}).get("phase") in TERMINAL
    return mine and not spec.get("nodeName") and not pod["metadata"].get("deletionTimestamp") and not terminal
