"""Churn: 200 short-lived pods share the addresses of a /28, and 600 of 600 connections carry the right pod's UID.

Each pod makes three connections, most pods live for less than a second, and every address changes hands many times.
Every connection sends a number of bytes that no other one sends, so its record says by itself whose it is. The same
records are also judged by a look-up of their source address at the moment when they can first be read, in a cache
that a real watch keeps current: what an observer by address would have said.
"""

import collections
import contextlib
import json
import subprocess
import threading
from typing import Any, NamedTuple

from tests.prove import verdict
from tests.scene import agent, clone, lab
from tests.traffic import counted, plan

NAMESPACE = "default"
PODS = 200
EACH = 3
LIVE = 11
"""Pods at a time: a /28 has 14 addresses, of which the gateway and the server have one each; one is in transit."""
PORT = 7001
FIRST_BYTES = 1009
LINGER_S = 0.7
"""Every fifth pod holds each of its connections for so long, and lives for more than two seconds."""
READ_EVERY_S = 0.1
TOLD_S = 20.0


class Said(NamedTuple):
    """What was said of one connection."""

    uid: str
    evidence: str
    address: str
    uid_by_address: str
    """Who had the address when the record was read; empty: nobody."""


class Watch:
    """Who has which address, as a watch tells it: the best that an observer by address can know."""

    def __init__(self, where: lab.Lab) -> None:
        self.pods: dict[str, dict[str, bool]] = {}
        """By address: UIDs of the pods that have it, oldest first, and whether each has ended."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods?watch=true"
        command = [str(lab.BIN / "kubectl"), f"--kubeconfig={where.kubeconfig}", "get", "--raw", path]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self.follow)
        self.thread.start()

    def follow(self) -> None:
        """Keep the cache current: one event a line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            pod, status = event["object"], event["object"].get("status", {})
            having = self.pods.setdefault(status.get("podIP", ""), {})
            having.pop(pod["metadata"]["uid"], None)
            if event["type"] != "DELETED":
                having[pod["metadata"]["uid"]] = status.get("phase") in {"Succeeded", "Failed"}

    def owner(self, address: str) -> str:
        """Look an address up: a pod that runs before one that has ended; the newest; empty where there is none."""
        having = list(self.pods.get(address, {}).items())
        running = [uid for uid, ended in having if not ended]
        return next(reversed(running or [uid for uid, _ in having]), "")

    def close(self) -> None:
        """Stop watching."""
        self.process.kill()
        self.process.wait()
        self.thread.join()


class Reader:
    """Reads records as soon as they are written, and asks the watch about each at once."""

    def __init__(self, watched: agent.Agent, watch: Watch) -> None:
        self.said: dict[int, Said] = {}
        self.watched = watched
        self.watch = watch
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.follow)
        self.thread.start()

    def follow(self) -> None:
        """Read until told to stop."""
        while not self.stop.wait(READ_EVERY_S):
            self.read()

    def read(self) -> None:
        """Take what is new."""
        for flow in self.watched.flows():
            sent, source = flow.counters.sent_bytes, flow.ip.source
            if flow.type == "connection" and flow.traffic_direction == "EGRESS" and sent not in self.said:
                end = counted.local(flow)
                self.said[sent] = Said(end.pod_uid, end.evidence.value, source, self.watch.owner(source))

    def close(self) -> None:
        """Stop reading."""
        self.stop.set()
        self.thread.join()


def prove() -> verdict.Verdict:
    """Let pods come and go, and judge every record."""
    with lab.up("churn", "--nodes", "1", "--pod-cidr", "10.211.0.0/28") as where, lab.agents(where) as agents:
        (watched,) = agents.values()
        where.kubectl("apply", "-f", "-", given=json.dumps(pod("server", ["tests.traffic.server", str(PORT)])))
        where.kubectl("wait", "pod", "server", "--for=condition=Ready", "--timeout=30s")
        target = where.pods(NAMESPACE)[0]["status"]["podIP"]
        with contextlib.closing(Watch(where)) as watch, contextlib.closing(Reader(watched, watch)) as reader:
            truth = come_and_go(where, target)
            with contextlib.suppress(TimeoutError):
                agent.wait_until(lambda: reader.said.keys() >= truth.keys(), TOLD_S, "every record is there")
        return judge(reader.said, truth)


def judge(said: dict[int, Said], truth: dict[int, str]) -> verdict.Verdict:
    """Compare with who it was."""
    mine = {sent: said[sent] for sent in truth if sent in said}
    right = sum(it.uid == truth[sent] for sent, it in mine.items())
    by_address = sum(it.uid_by_address == truth[sent] for sent, it in mine.items())
    nobody = sum(not it.uid_by_address for it in mine.values())
    addresses = {it.address for it in mine.values()}
    evidence = collections.Counter(it.evidence for it in mine.values())
    wrong = f"{len(mine) - by_address - nobody} named another pod, {nobody} found nobody"
    return verdict.Verdict(
        holds=right == len(truth) == PODS * EACH,
        figure=f"{right} of {len(truth)} local ends carry the right pod UID",
        lines=(
            f"{PODS} pods on {len(addresses)} addresses, {PODS / max(1, len(addresses)):.0f} pods an address",
            f"records read: {len(mine)} of {len(truth)}; evidence of the local end: {dict(evidence)}",
            f"look-up of the address when the record is read: {by_address} of {len(truth)} right; {wrong}",
        ),
    )


def come_and_go(where: lab.Lab, target: str) -> dict[int, str]:
    """Run all pods, each as soon as there is an address; returns whose each number of bytes is."""
    truth: dict[int, str] = {}
    started, gone = 0, set[str]()
    while len(gone) < PODS:
        present = {it["metadata"]["name"]: it for it in where.pods(NAMESPACE) if it["metadata"]["name"] != "server"}
        for name, it in present.items():
            truth |= dict.fromkeys(sizes(int(name.removeprefix("short-"))), it["metadata"]["uid"])
        ended = [name for name, it in present.items() if it["status"].get("phase") == "Succeeded"]
        if ended:
            where.kubectl("delete", "pod", *ended, "--now", "--wait=false")
            gone.update(ended)
        more = range(started, min(PODS, started + LIVE - len(present) + len(ended)))
        if more:
            pods = [json.dumps(short(f"short-{number}", number, target)) for number in more]
            where.kubectl("apply", "-f", "-", given="\n---\n".join(pods))
            started = more.stop
    return truth


def sizes(number: int) -> list[int]:
    """Return the bytes that each connection of a pod sends: no two connections send the same."""
    return [FIRST_BYTES + EACH * number + n for n in range(EACH)]


def short(name: str, number: int, target: str) -> dict[str, Any]:
    """Make a pod that says its three sentences and goes."""
    held_s = LINGER_S if number % 5 == 0 else 0.0
    steps: list[plan.Step] = [
        plan.Exchange(address=target, port=PORT, request_bytes=size, reply_bytes=2003, held_s=held_s)
        for size in sizes(number)
    ]
    return pod(name, ["tests.traffic.client", plan.dump(steps)])


def pod(name: str, module: list[str]) -> dict[str, Any]:
    """Make a bare pod that runs one of our programs."""
    container = {
        "name": "main",
        "image": "any",
        "command": ["python3", "-m", *module],
        "env": [{"name": "PYTHONPATH", "value": str(clone.ROOT)}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"nodeName": "node-a", "restartPolicy": "Never", "containers": [container]},
    }
