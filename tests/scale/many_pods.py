"""An API server of a cluster with more pods than this machine has memory for: each is made as it is asked for.

    python -m tests.scale.many_pods NODES PODS      prints its port; then answers ``churn N``, ``end``, ``counts``

Pods are recordings of kube-apiserver's, ReplicaSet's and StatefulSet's and so on, with names, addresses and versions of
their own: pages of 250, as asked for. A pod that comes or goes is seven events; beside these each node says every five
minutes that it lives. Of nodes, Services and accounts
only what the kinds require is here, since none are recorded. Leaves out everything but list and watch.
"""

import asyncio
import collections
import contextlib
import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from aiohttp import web

from tests.fakes import recordings

Json = dict[str, Any]
HEARTBEAT_S: Final = 300.0
"""How often a kubelet writes a node's status though nothing has changed (``nodeStatusReportFrequency``)."""
SERVICES, ACCOUNTS = 5_000, 2_000
_OWNED: Final = ("ReplicaSet", "ReplicaSet", "ReplicaSet", "StatefulSet", "DaemonSet", "Job")
"""Of recorded pods, in which share."""
_FIELD: Final = "spec.nodeName="
_PENDING, _RUNNING, _ENDING = range(3)
_COMES: Final = (("ADDED", _PENDING), ("MODIFIED", _PENDING), ("MODIFIED", _PENDING), ("MODIFIED", _RUNNING))
_GOES: Final = (("MODIFIED", _ENDING), ("MODIFIED", _ENDING), ("DELETED", _ENDING))
"""As recorded: what is told of a pod between its making and its readiness, and between its deletion and its end."""
_REPLICAS: Final = 20


class Pods:
    """Says what pods are like: texts of recordings, cut where one differs from the other."""

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes
        items = recordings.load("pod-list")["items"]
        owned: dict[str, Json] = {}
        for each in items:
            for owner in each["metadata"].get("ownerReferences", ()):
                owned.setdefault(owner["kind"], each)
        self._texts = [tuple(_template(stage) for stage in _stages(owned[kind])) for kind in _OWNED]
        """By workload: what it is like while pending, running and ending."""

    def text(self, number: int, version: int, stage: int = _RUNNING) -> str:
        """Give a pod as JSON."""
        workload = number // _REPLICAS
        found = self._texts[workload % len(self._texts)][stage]
        marks = {
            "NAME": f"web-{workload}-b975d49dd-{number:06x}",
            "SPACE": f"team-{workload % 200}",
            "APP": f"web-{workload}",
            "UID": f"5dd97f77-65a9-4e49-b48c-{number:012x}",
            "ADDRESS": f"10.{64 + number // 65_536}.{number // 256 % 256}.{number % 256}",
            "NODE": f"node-{self.node(number)}",
            "ACCOUNT": f"account-{workload % ACCOUNTS}",
            "VERSION": str(version),
        }
        return found % marks

    def node(self, number: int) -> int:
        """Say which node has it."""
        return number * 7919 % self.nodes


def _template(pod: Json) -> str:
    meta, spec, status = pod["metadata"], pod["spec"], pod["status"]
    owner = {**meta["ownerReferences"][0], "name": "%(APP)s-b975d49dd"}
    marked = {
        **meta,
        "name": "%(NAME)s",
        "namespace": "%(SPACE)s",
        "uid": "%(UID)s",
        "resourceVersion": "%(VERSION)s",
        "labels": {**meta.get("labels", {}), "app": "%(APP)s"},
        "ownerReferences": [owner],
    }
    placed = {**spec, "nodeName": "%(NODE)s", "serviceAccountName": "%(ACCOUNT)s", "serviceAccount": "%(ACCOUNT)s"}
    told = {**status, "podIP": "%(ADDRESS)s", "podIPs": [{"ip": "%(ADDRESS)s"}]} if "podIP" in status else status
    whole = {"metadata": marked, "spec": placed, "status": told}
    plain = json.dumps(pod).count("%")
    if plain:
        raise ValueError(f"a recorded pod has {plain} per cent signs, which mark what differs")
    return json.dumps(whole, separators=(",", ":"))


def _stages(pod: Json) -> tuple[Json, Json, Json]:
    """Say how a pod is before its kubelet has said anything, while it runs, and after it was deleted."""
    pending = {"phase": "Pending", "qosClass": pod["status"].get("qosClass", "BestEffort")}
    ending = {**pod["metadata"], "deletionTimestamp": "2026-11-22T12:30:00Z", "deletionGracePeriodSeconds": 30}
    return {**pod, "status": pending}, pod, {**pod, "metadata": ending}


class Api:
    """Lists, watches, and what was asked for. The cluster's pods are a range of numbers, which moves with the churn."""

    def __init__(self, nodes: int, pods: int) -> None:
        self.pods = Pods(nodes)
        self.first, self.beyond = 0, pods
        self.version = 1_000_000
        self.asked: collections.Counter[str] = collections.Counter()
        self.began_s = 0.0
        """When the first list was asked for, on the monotonic clock."""
        self.sent = 0
        """Events, each to one watch."""
        self.watch_s: dict[str, float] = {}
        """By collection: how long its last watch was to last."""
        self._watches: dict[asyncio.Queue[bytes], tuple[str, int | None]] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer."""
        kind = request.path.rpartition("/")[2]
        node = _node_of(request.query.get("fieldSelector", ""))
        if "watch" in request.query:
            self.asked[f"watch {kind}"] += 1
            return await self._watch(request, kind, node)
        self.asked[f"list {kind}"] += 1
        self.began_s = self.began_s or time.monotonic()
        numbers = self._numbers(kind, node)
        start, limit = int(request.query.get("continue", "0")), int(request.query.get("limit", "500"))
        more = str(start + limit) if start + limit < len(numbers) else ""
        meta = json.dumps({"resourceVersion": str(self.version), "continue": more})
        items = ",".join(self._text(kind, number) for number in numbers[start : start + limit])
        body = f'{{"kind":"List","apiVersion":"v1","metadata":{meta},"items":[{items}]}}'
        return web.Response(body=body.encode(), content_type="application/json")

    def _numbers(self, kind: str, node: int | None) -> Sequence[int]:
        if kind == "pods":
            there = range(self.first, self.beyond)
            return there if node is None else [number for number in there if self.pods.node(number) == node]
        return range({"nodes": self.pods.nodes, "services": SERVICES, "serviceaccounts": ACCOUNTS}.get(kind, 0))

    def _text(self, kind: str, number: int) -> str:
        return self.pods.text(number, self.version) if kind == "pods" else _OTHERS[kind](number, self.version)

    async def _watch(self, request: web.Request, kind: str, node: int | None) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._watches[queue] = kind, node
        self.watch_s[kind] = float(request.query["timeoutSeconds"])
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.watch_s[kind]):
                    while True:
                        await response.write(await queue.get())
        finally:
            del self._watches[queue]
        return response

    def tell(self, kind: str, change: str, text: str, node: int | None = None) -> None:
        """Tell the watches an event."""
        line = f'{{"type":"{change}","object":{text}}}\n'.encode()
        for queue, (what, only) in self._watches.items():
            if what == kind and only in (None, node):
                queue.put_nowait(line)
                self.sent += 1

    async def churn(self, a_second: float) -> None:
        """Let a pod come and the oldest go, so many in a second, and nodes say that they live; until cancelled."""
        loop = asyncio.get_running_loop()
        began_s, beats = loop.time(), 0
        for number in itertools.count(1):
            await asyncio.sleep(max(0.0, began_s + number / a_second - loop.time()))
            for change, stage in _COMES:
                self._say(self.beyond, change, stage)
            for change, stage in _GOES:
                self._say(self.first, change, stage)
            self.first, self.beyond = self.first + 1, self.beyond + 1
            while beats < (loop.time() - began_s) * self.pods.nodes / HEARTBEAT_S:
                self.version += 1
                self.tell("nodes", "MODIFIED", _node(beats % self.pods.nodes, self.version))
                beats += 1

    def _say(self, number: int, change: str, stage: int) -> None:
        self.version += 1
        self.tell("pods", change, self.pods.text(number, self.version, stage), self.pods.node(number))


def _node_of(selector: str) -> int | None:
    return int(selector.rpartition("-")[2]) if selector.startswith(_FIELD) else None


def _node(number: int, version: int) -> str:
    name, address = f"node-{number}", f"172.{16 + number // 62_500}.{number // 250}.{number % 250 + 1}"
    meta = {"name": name, "uid": f"node-uid-{number}", "resourceVersion": str(version)}
    conditions = [
        {"type": kind, "status": "False", "reason": f"KubeletHas{kind}", "lastHeartbeatTime": "2026-11-27T12:00:00Z"}
        for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    ]
    addresses = [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]
    images = [
        {"names": [f"registry.example/app-{each}@sha256:{each:064x}"], "sizeBytes": 1 << 26} for each in range(50)
    ]
    status = {"addresses": addresses, "conditions": conditions, "images": images}
    return json.dumps({"metadata": meta, "spec": {"podCIDR": "", "providerID": f"cloud://{name}"}, "status": status})


def _service(number: int, version: int) -> str:
    address = f"10.{32 + number // 62_500}.{number // 250}.{number % 250 + 1}"
    meta = {"name": f"web-{number}", "namespace": f"team-{number % 200}", "uid": f"service-uid-{number}"}
    spec = {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80, "targetPort": 8080}]}
    return json.dumps({"metadata": {**meta, "resourceVersion": str(version)}, "spec": spec, "status": {}})


def _account(number: int, version: int) -> str:
    meta = {"name": f"account-{number}", "namespace": f"team-{number % 200}", "uid": f"account-uid-{number}"}
    return json.dumps({"metadata": {**meta, "resourceVersion": str(version)}})


_OTHERS: Final[dict[str, Callable[[int, int], str]]] = {
    "nodes": _node,
    "services": _service,
    "serviceaccounts": _account,
}


async def _serve(nodes: int, pods: int) -> None:
    api = Api(nodes, pods)
    app = web.Application()
    app.router.add_get("/{path:.*}", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    churning: asyncio.Task[None] | None = None
    while line := (await reader.readline()).decode().split():
        if line[0] == "churn":
            churning = asyncio.create_task(api.churn(float(line[1])))
        elif line[0] == "end" and churning is not None:
            churning.cancel()
        told = {"asked": api.asked, "sent": api.sent, "watch_s": api.watch_s, "began_s": api.began_s}
        print(json.dumps({**told, "came": api.beyond - pods}), flush=True)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
