"""Keeps one pod of a DaemonSet on every node that its template may run on, also on nodes that are not ready.

The pod gets its node's name at once instead of an affinity for the scheduler to find out: with one pod a node the
outcome is the same. Leaves out surge, and ControllerRevision objects: an old pod is one whose template hash is not
the present one.
"""

import asyncio
import collections
from collections.abc import Mapping, Sequence

from comparisons.lab import clock
from comparisons.lab.api import kinds
from comparisons.lab.controllers import cache, pods, reporting, rollout, writer

HASH = "controller-revision-hash"


class DaemonSets:
    """The DaemonSet controller."""

    name = "daemonset-controller"

    def __init__(self, known: cache.Cache, out: writer.Writer, events: reporting.Reporter) -> None:
        self._known = known
        self._out = out
        self._events = events

    def keys(self, kind: kinds.Kind, value: cache.Value, *, gone: bool) -> Sequence[cache.Key]:
        """Return the set itself, that of a pod, and all of them when a node changes."""
        _ = gone
        if kind is kinds.DAEMON_SET:
            return [cache.key_of(value)]
        if kind is kinds.NODE:
            return [cache.key_of(each) for each in self._known.all(kinds.DAEMON_SET)]
        owner = cache.controller_of(value) if kind is kinds.POD else None
        if owner is None or owner["kind"] != kinds.DAEMON_SET.kind:
            return []
        return [(value["metadata"]["namespace"], owner["name"])]

    async def reconcile(self, key: cache.Key) -> float | None:
        """Make and deletes pods, then writes the status."""
        owner = self._known.get(kinds.DAEMON_SET, key)
        if owner is None or pods.deleting(owner):
            return None
        mark = pods.template_hash(owner["spec"]["template"])
        nodes = [node["metadata"]["name"] for node in self._known.all(kinds.NODE) if runs_on(owner, node)]
        by_node = self._by_node(owner)
        await self._delete(owner, _surplus(by_node, nodes))
        missing = [name for name in nodes if not by_node.get(name)]
        await asyncio.gather(*(self._create(owner, name, mark) for name in missing))
        await self._replace_old(owner, nodes, mark)
        await self._write_status(owner, nodes, mark)
        return None

    def _by_node(self, owner: cache.Value) -> Mapping[str, list[cache.Value]]:
        """All pods of the set; one on its way out still holds its node's place."""
        found: dict[str, list[cache.Value]] = collections.defaultdict(list)
        for pod in self._known.owned(owner["metadata"]["uid"], kinds.POD):
            found[pod["spec"].get("nodeName", "")].append(pod)
        return found

    async def _create(self, owner: cache.Value, node: str, mark: str) -> None:
        made = pods.from_template(owner, owner["spec"]["template"], {HASH: mark, "pod-template-generation": "1"})
        made["spec"] = {**made["spec"], "nodeName": node}
        pod = await self._out.create(kinds.POD, made)
        self._events.say(owner, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}", by=self.name)

    async def _delete(self, owner: cache.Value, surplus: Sequence[cache.Value]) -> None:
        for pod in surplus:
            await self._out.delete(kinds.POD, pod)
            self._events.say(owner, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}", by=self.name)

    async def _replace_old(self, owner: cache.Value, nodes: Sequence[str], mark: str) -> None:
        """Delete old pods, as many at a time as may be unavailable; their nodes then get new ones."""
        strategy = owner["spec"]["updateStrategy"]
        if strategy["type"] != "RollingUpdate":
            return
        limit = rollout.absolute((strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1), len(nodes), up=True)
        present = [pod for name in nodes for pod in self._by_node(owner).get(name, []) if pods.active(pod)]
        unavailable = len(nodes) - sum(pods.ready(pod) for pod in present)
        old = sorted((pod for pod in present if _mark(pod) != mark), key=pods.ready)
        useless = [pod for pod in old if not pods.ready(pod)]
        good = [pod for pod in old if pods.ready(pod)]
        await self._delete(owner, [*useless, *good[: max(0, limit - unavailable)]])

    async def _write_status(self, owner: cache.Value, nodes: Sequence[str], mark: str) -> None:
        by_node = self._by_node(owner)
        held = {name: next((pod for pod in by_node.get(name, []) if pods.active(pod)), None) for name in nodes}
        found = _status(owner, [pod for pod in held.values() if pod is not None], len(nodes), mark)
        found["numberMisscheduled"] = sum(bool(by_node[name]) for name in by_node if name not in held)
        if found != owner.get("status"):
            await self._out.replace(kinds.DAEMON_SET, {**owner, "status": found}, "status")


def runs_on(owner: cache.Value, node: cache.Value) -> bool:
    """Whether the template's node selector admits the node."""
    labels = node["metadata"].get("labels") or {}
    wanted = owner["spec"]["template"]["spec"].get("nodeSelector") or {}
    return not pods.deleting(node) and all(labels.get(key) == value for key, value in wanted.items())


def _mark(pod: cache.Value) -> str:
    found: str = (pod["metadata"].get("labels") or {}).get(HASH, "")
    return found


def _surplus(by_node: Mapping[str, list[cache.Value]], nodes: Sequence[str]) -> list[cache.Value]:
    """Pods on nodes that are not theirs, second pods of a node, and pods that have ended."""
    surplus = []
    for name, found in by_node.items():
        live = [pod for pod in found if pods.active(pod)]
        surplus += [pod for pod in found if pods.phase(pod) in pods.TERMINAL and not pods.deleting(pod)]
        surplus += live[1:] if name in nodes else live
    return surplus


def _status(owner: cache.Value, held: Sequence[cache.Value], desired: int, mark: str) -> cache.Value:
    delays = [pods.available_in_s(pod, owner["spec"].get("minReadySeconds", 0), clock.wall_ns()) for pod in held]
    ready = [delay for delay in delays if delay is not None]
    available = sum(delay == 0 for delay in ready)
    optional = {
        "updatedNumberScheduled": sum(_mark(pod) == mark for pod in held),
        "numberAvailable": available,
        "numberUnavailable": desired - available,
    }
    return {
        "currentNumberScheduled": len(held),
        "numberMisscheduled": 0,
        "desiredNumberScheduled": desired,
        "numberReady": len(ready),
        "observedGeneration": owner["metadata"].get("generation", 0),
        **{key: count for key, count in optional.items() if count},
    }
