"""Parts of the claim ``rolling``: pods that come meanwhile, who leads, what proxies and agents have counted."""

import contextlib
import dataclasses
import datetime as dt
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

from prometheus_client import parser

from tests.prove import verdict
from tests.scene import clone, mesh
from tests.traffic import plan, tally

SYSTEM = "ipseity-system"
PORT = 7001
PATIENCE_S = 45.0
"""Of a new pod: image, certificate, configuration."""
BETWEEN_S = 2.0
"""From one new pod to the next: its start costs some seconds of a processor, and the load is not to wait for that."""


class Newcomers:
    """Pods that are made all the time, one after the other: made, ready with a sidecar, and gone again."""

    def __init__(self, where: mesh.Mesh, tag: str, *, ready: bool) -> None:
        """``ready``: wait for each; without, only that it can be made."""
        self.where = where
        self.tag = tag
        self.ready = ready
        self.made_s: list[float] = []
        """How long the API server took for each."""
        self.ready_s: list[float] = []
        self.failures: list[str] = []
        self.refused = 0
        """Not made because the webhook's replica died in that moment: whoever makes pods tries again, as we do."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @contextlib.contextmanager
    def coming(self) -> Iterator["Newcomers"]:
        """Make pods meanwhile."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            try:
                self._one(f"{self.tag}-{number}")
            except (RuntimeError, ValueError) as error:
                if "failed calling webhook" in str(error):
                    self.refused += 1
                else:
                    self.failures.append(str(error)[-300:])
            self._stop.wait(BETWEEN_S)

    def _one(self, name: str) -> None:
        started_s = time.monotonic()
        self.where.kubectl("create", "--validate=false", "-f", "-", given=json.dumps(pod(name)))
        self.made_s.append(time.monotonic() - started_s)
        if not self.ready:
            return
        self.where.kubectl("wait", "-n", "shop", f"pod/{name}", "--for=condition=Ready", f"--timeout={PATIENCE_S:.0f}s")
        self.ready_s.append(time.monotonic() - started_s)
        found = json.loads(self.where.kubectl("get", "pod", name, "-n", "shop", "-o", "json"))
        if "ipseity-proxy" not in json.dumps(found["spec"]):
            raise ValueError(f"pod {name} has no sidecar")
        self.where.kubectl("delete", "pod", name, "-n", "shop", "--wait=false")

    @property
    def all_came(self) -> bool:
        """Whether there were some, and each came to be."""
        return bool(self.made_s) and not self.failures

    def words(self) -> str:
        """Say it."""
        ready = f", ready after {max(self.ready_s, default=0):.1f} s at most" if self.ready else ""
        made = f"{len(self.made_s)} new pods, made in {max(self.made_s, default=0):.2f} s at most{ready}"
        return f"{made}; {self.refused} refused, {len(self.failures)} failures {self.failures[:3] or ''}"


def pod(name: str) -> dict[str, Any]:
    """Make a pod that asks for a sidecar."""
    metadata = {"name": name, "namespace": "shop", "annotations": {"ipseity.io/inject": "enabled"}}
    container = {"name": "app", "image": "any", "command": ["sleep", "1000"]}
    spec = {"serviceAccountName": "client", "terminationGracePeriodSeconds": 1, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def leader(where: mesh.Mesh) -> str:
    """Name who holds the Lease; empty: nobody."""
    words = ("get", "lease", "ipseity-control", "-n", SYSTEM, "-o", "jsonpath={.spec.holderIdentity}")
    return where.kubectl(*words)


def acquired_s(where: mesh.Mesh) -> float:
    """Say when the present holder took the Lease: its own word, by this machine's clock."""
    words = ("get", "lease", "ipseity-control", "-n", SYSTEM, "-o", "jsonpath={.spec.acquireTime}")
    return dt.datetime.fromisoformat(where.kubectl(*words)).timestamp()


def process_of(where: mesh.Mesh, holder: str) -> int:
    """Find the process of the control plane that holds the Lease."""
    name = holder.partition("_")[0]
    uid = json.loads(where.kubectl("get", "pod", name, "-n", SYSTEM, "-o", "json"))["metadata"]["uid"]
    for pid in where.control_pids():
        with open(f"/proc/{pid}/cgroup") as file:  # noqa: PTH123  # a file of the kernel's
            text = file.read()
        if uid in text or uid.replace("-", "_") in text:
            return pid
    raise verdict.CannotMeasure(f"no process of pod {name}", hint="see: ipseity lab status")


def scraped(where: mesh.Mesh, namespace: str, pod: str, port: int) -> list[Any]:
    """Read the metrics of a pod through the API server, as samples."""
    text = where.kubectl("get", "--raw", f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics")
    return [each for family in parser.text_string_to_metric_families(text) for each in family.samples]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Updates:
    """What proxies say of the configuration that they were sent."""

    accepted: int
    refused: int


def updates(where: mesh.Mesh, names: list[str]) -> Updates:
    """Add up what these proxies have accepted and refused since they started: each type, over all streams."""
    samples = [each for name in names for each in scraped(where, "shop", name, 15020)]
    return Updates(
        accepted=int(sum(each.value for each in samples if "update_success" in each.name)),
        refused=int(sum(each.value for each in samples if "update_rejected" in each.name)),
    )


def synced(where: mesh.Mesh) -> dict[str, int]:
    """Say how many proxies each control plane has that are at the latest."""
    found = {}
    for each in where.get("pods", SYSTEM, "-l", "app=ipseity-control"):
        if "deletionTimestamp" not in each["metadata"]:
            name = each["metadata"]["name"]
            samples = scraped(where, SYSTEM, name, 8446)
            proxies = (one for one in samples if one.name == "ipseity_discovery_proxies")
            found[name] = int(sum(one.value for one in proxies if one.labels["state"] == "synced"))
    return found


def talker(name: str, module: list[str]) -> str:
    """Write a pod without a sidecar that runs one of our programs, in namespace ``plain``."""
    container = {
        "name": "main",
        "image": "any",
        "command": ["python3", "-m", *module],
        "env": [{"name": "PYTHONPATH", "value": str(clone.ROOT)}],
    }
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
    return json.dumps(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "plain"}, "spec": spec}
    )


def exchanges(address: str, seconds: float) -> str:
    """Write a plan: connections all the time, and three that stay open over all of it."""
    pause_s = 0.01
    steps: list[plan.Step] = [
        plan.Exchange(
            address=address,
            port=PORT,
            count=round(seconds / (pause_s + 0.005)),
            request_bytes=1013,
            reply_bytes=2003,
            pause_s=pause_s,
        ),
        *(
            plan.Exchange(address=address, port=PORT, request_bytes=size, reply_bytes=size, held_s=seconds)
            for size in (100_003, 200_003, 300_007)
        ),
    ]
    return plan.dump(steps)


Sums = dict[str, dict[str, int]]
NAMES = {
    "opened": "ipseity_flow_connections_opened_total",
    "closed": "ipseity_flow_connections_closed_total",
    "sent_bytes": "ipseity_flow_sent_bytes_total",
    "received_bytes": "ipseity_flow_received_bytes_total",
}


def said(where: mesh.Mesh, name: str) -> tally.Tally:
    """Read what a pod of ``plain`` has done, by its last report."""
    rows = tally.load(where.kubectl("logs", name, "-n", "plain").splitlines()[-1])
    return sum(rows.values(), tally.Tally())


def truth(caller: tally.Tally, callee: tally.Tally) -> Sums:
    """Put it as metrics do, which speak of source and destination: what the callee sent is what it was answered."""
    return {
        "egress": {name: getattr(caller, name) for name in NAMES},
        "ingress": {
            "opened": callee.opened,
            "closed": callee.closed,
            "sent_bytes": callee.received_bytes,
            "received_bytes": callee.sent_bytes,
        },
    }


def counted(where: mesh.Mesh, agent: str) -> Sums:
    """Add up what the agent says of namespace ``plain``, at either end."""
    found: Sums = {way: dict.fromkeys(NAMES, 0) for way in ("egress", "ingress")}
    names = {metric: name for name, metric in NAMES.items()}
    for each in scraped(where, SYSTEM, agent, 9478):
        ends = each.labels.get("source_namespace"), each.labels.get("destination_namespace")
        if each.name in names and "plain" in ends:
            found[each.labels["direction"]][names[each.name]] += int(each.value)
    return found


def missing(seen: Sums, true: Sums, *names: str) -> int:
    """Count what lacks; what is too much lacks too."""
    return sum(abs(true[way][name] - seen[way][name]) for way in true for name in names)


@contextlib.contextmanager
def uninstalling(where: mesh.Mesh) -> Iterator[subprocess.Popen[str]]:
    """Run ``ipseity uninstall`` meanwhile."""
    words = [str(mesh.COMMAND), "uninstall", "--timeout", "60", "--kubeconfig", str(where.lab.kubeconfig)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def left(where: mesh.Mesh) -> list[str]:
    """Name what of ours is in the cluster yet."""
    kinds = "mutatingwebhookconfigurations,clusterroles,clusterrolebindings,namespaces"
    return [name for name in where.kubectl("get", kinds, "-o", "name").split() if "ipseity" in name]
