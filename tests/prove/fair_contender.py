"""The IP-based contender left in peace is no straw man: 61 changes, all pairs asked after each, 0 false allows.

A lab of two nodes with real pods and an agent on each. Labels of pods and namespaces, policies, pods and Jobs change in
an order that a seed decides. After each change both agents say when they enforced it; then every pod, node and an
outsider ask each other by TCP and UDP, IPv4 and IPv6 in turn. What should pass is read from the API server's objects by
the naive reading of the specification. No delay is added; what is measured is printed.
"""

import collections
import dataclasses
import ipaddress
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from comparisons.ip_policy import contender, model
from comparisons.lab import layout, plan
from tests.fakes import made_up_policies as made_up
from tests.fakes import naive_policy
from tests.prove import verdict
from tests.scene import lab, wires

Json = dict[str, Any]
NAME = "p-fair"
SEED = 7_919
CHANGES = 61
PODS = 7
PORTS = (80, 8080)
KINDS = ("networkpolicies.networking.k8s.io", "namespaces", "nodes", "pods")
TYPES = ("NetworkPolicy", "Namespace", "Node", "Pod")


@dataclasses.dataclass(kw_only=True)
class Course:
    """What came out so far."""

    asked: int = 0
    allowed: int = 0
    again: int = 0
    false_allows: list[str] = dataclasses.field(default_factory=list)
    false_denies: list[str] = dataclasses.field(default_factory=list)
    delays_ms: list[float] = dataclasses.field(default_factory=list)
    """Of the slower node, from the API server's answer to the rules in force."""
    heard_ms: list[float] = dataclasses.field(default_factory=list)
    """The agent's own part: from what it heard to the rules in force."""
    kinds: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


class Scene:
    """The lab, its agents, and what is asked in it."""

    def __init__(self, where: lab.Lab, agents: list[contender.Agent]) -> None:
        names = layout.Lab(name=where.name)
        made = plan.from_json(json.loads(names.plan.read_text()))
        nodes = {
            each.name: wires.Place(
                name=each.name,
                namespace=names.node(each.name).netns,
                node=each.name,
                addresses=tuple(map(ipaddress.ip_address, each.ips)),
            )
            for each in made.nodes
        }
        routers = tuple(ipaddress.ip_network(cidr)[1] for cidr in made.fabric_cidrs)
        outside = wires.Place(name=wires.FABRIC, namespace=names.fabric, node="", addresses=routers)
        self.where = where
        self.names = names
        self.agents = agents
        self.net = wires.Net(places={outside.name: outside}, nodes=nodes)
        self.net.serve(PORTS)
        self.course = Course()

    def objects(self) -> list[Json]:
        """Read what is true from the API server."""
        found: list[Json] = []
        for kind, plural in zip(TYPES, KINDS, strict=True):
            items = json.loads(self.where.kubectl("get", plural, "-A", "-o", "json"))["items"]
            found += [{**each, "kind": kind} for each in items]
        return found

    def pods(self) -> list[Json]:
        """List the pods that run."""
        return [each for each in self.objects() if each["kind"] == "Pod" and each["status"]["phase"] == "Running"]

    def seat(self) -> None:
        """Let every pod that runs be asked, and none that does not."""
        known = {each["metadata"]["uid"]: each for each in self.pods()}
        for name in [name for name, place in self.net.places.items() if place.uid and place.uid not in known]:
            self.net.leave(name)
        here = {place.uid for place in self.net.places.values()}
        for uid, pod in known.items():
            if uid not in here:
                self.net.enter(self._place(uid, pod))

    def _place(self, uid: str, pod: Json) -> wires.Place:
        node = pod["spec"]["nodeName"]
        return wires.Place(
            name=f"{pod['metadata']['namespace']}/{pod['metadata']['name']}",
            namespace=self.names.node(node).pod_netns(uid),
            node=node,
            addresses=tuple(ipaddress.ip_address(each["ip"]) for each in pod["status"]["podIPs"]),
            uid=uid,
        )

    def await_rules(self, matching: Callable[[contender.Delay], bool], changed_mono_ns: int) -> None:
        """Wait until both nodes enforce a change, and keep how long it took."""
        found = [agent.wait(matching) for agent in self.agents]
        last = max(found, key=lambda each: each.enforced_mono_ns)
        self.course.delays_ms.append(max(0.0, (last.enforced_mono_ns - changed_mono_ns) / 1e6))
        self.course.heard_ms += [each.delay_ms for each in found]

    def ask(self, step: int) -> None:
        """Ask everybody about everybody, and compare with what should be."""
        objects = self.objects()
        version = 6 if step % 3 == 2 else 4
        probes = [
            wires.Probe(source=one, destination=two, protocol=protocol, port=port, version=version)
            for one in self.net.everywhere
            for two in self.net.everywhere
            if one != two
            for protocol in (model.Protocol.TCP, model.Protocol.UDP)
            for port in PORTS
        ]
        arrived, sources = self.net.probe(probes)
        course = self.course
        for probe, packet, source in zip(probes, arrived, sources, strict=True):
            to = str(self.net.everywhere[probe.destination].address(version))
            right = naive_policy.allowed(objects, str(source), to, probe.protocol.value, probe.port)
            if packet is not right:
                (course.false_allows if packet else course.false_denies).append(f"step {step}: {probe}")
        course.asked += len(probes)
        course.allowed += sum(arrived)


class Changes:
    """Changes in an order that a seed decides; each returns what both agents are to have enforced."""

    def __init__(self, scene: Scene, dice: random.Random) -> None:
        self._scene = scene
        self._dice = dice
        self._kubectl = scene.where.kubectl
        self._made = 0
        self._policies: list[tuple[str, str]] = []
        nodes = [each for each in scene.objects() if each["kind"] == "Node"]
        ranges = [cidr for each in nodes for cidr in each["spec"]["podCIDRs"]]
        self._ground = made_up.Ground(nodes=(), seats=(), blocks=("0.0.0.0/0", "::/0", "172.30.0.0/16", *ranges))

    def begin(self) -> None:
        """Make the first pods and a policy for each namespace."""
        for name in made_up.NAMESPACES:
            self._kubectl("create", "namespace", name)
        for _ in range(PODS):
            self.add_pod()
        for _ in made_up.NAMESPACES:
            self.add_policy()

    def one(self) -> str:
        """Make one change and wait for it; what kind it was."""
        course = {
            "a pod's labels": self.label_pod,
            "a namespace's labels": self.label_namespace,
            "a policy more": self.add_policy,
            "a policy changed": self.change_policy,
            "a policy less": self.drop_policy,
            "a pod more": self.add_pod,
            "a pod less": self.drop_pod,
            "a Job that ends": self.run_job,
        }
        weights = (4, 2, 3, 4, 2, 2, 2, 1)
        (kind,) = self._dice.choices(list(course), weights)
        course[kind]()
        return kind

    def label_pod(self) -> None:
        pod = self._dice.choice(self._scene.pods())["metadata"]
        self._changed("pod", self._labelled("pod", pod["name"], made_up.KEYS, "-n", pod["namespace"]))

    def label_namespace(self) -> None:
        self._changed("namespace", self._labelled("namespace", self._dice.choice(made_up.NAMESPACES), made_up.TEAMS))

    def _labelled(self, kind: str, name: str, keys: dict[str, tuple[str, ...]], *where: str) -> Json:
        key = self._dice.choice(list(keys))
        value = self._dice.choice(keys[key]) if self._dice.random() < 0.7 else None
        labels = {key: value, "changed": f"at-{time.monotonic_ns()}"}
        patch = json.dumps({"metadata": {"labels": labels}})
        return dict(json.loads(self._kubectl("patch", kind, name, *where, "--type=merge", "-o", "json", "-p", patch)))

    def add_policy(self) -> None:
        self._made += 1
        made = made_up.policy(f"p{self._made}", self._ground, self._dice)
        self._policies.append((made["metadata"]["namespace"], made["metadata"]["name"]))
        self._changed("policy", self._sent("create", made))

    def change_policy(self) -> None:
        if not self._policies:
            return self.add_policy()
        namespace, name = self._dice.choice(self._policies)
        made = made_up.policy(name, self._ground, self._dice)
        made["metadata"]["namespace"] = namespace
        made["spec"]["podSelector"].setdefault("matchExpressions", []).append(
            {"key": "never", "operator": "DoesNotExist"}
        )
        made["spec"].setdefault("ingress", []).append(
            {"ports": [{"port": 1 + self._dice.randrange(60), "protocol": "TCP"}]}
        )
        return self._changed("policy", self._sent("replace", made))

    def drop_policy(self) -> None:
        if not self._policies:
            return self.add_policy()
        namespace, name = self._policies.pop(self._dice.randrange(len(self._policies)))
        self._kubectl("delete", "networkpolicy", "-n", namespace, name)
        return self._gone("policy", namespace, name)

    def add_pod(self) -> None:
        self._made += 1
        namespace, name = self._dice.choice(made_up.NAMESPACES), f"pod-{self._made}"
        node = self._dice.choice(self._scene.where.nodes)
        self._started(namespace, name, _pod(name, namespace, node, ["/bin/sleep", "7919"], self._dice))

    def drop_pod(self) -> None:
        running = self._scene.pods()
        if len(running) < PODS:
            return self.add_pod()
        pod = self._dice.choice(running)["metadata"]
        self._kubectl("delete", "pod", "-n", pod["namespace"], pod["name"], "--now", "--wait=true")
        return self._gone("pod", pod["namespace"], pod["name"])

    def run_job(self) -> None:
        """Have a pod that runs to its end and stays as an object, while its address is free."""
        self._made += 1
        namespace, name = self._dice.choice(made_up.NAMESPACES), f"job-{self._made}"
        pod = _pod(name, namespace, self._dice.choice(self._scene.where.nodes), ["/bin/true"], self._dice)
        self._kubectl("create", "-f", "-", given=json.dumps(pod))
        self._kubectl(
            "wait", "-n", namespace, f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s"
        )
        version = json.loads(self._kubectl("get", "pod", "-n", namespace, name, "-o", "json"))["metadata"]
        self._scene.await_rules(
            lambda each: (
                (each.kind, each.name) == ("pod", name) and int(each.version) >= int(version["resourceVersion"])
            ),
            time.monotonic_ns(),
        )

    def _started(self, namespace: str, name: str, pod: Json) -> None:
        self._kubectl("create", "-f", "-", given=json.dumps(pod))
        self._kubectl("wait", "-n", namespace, f"pod/{name}", "--for=condition=Ready", "--timeout=30s")
        at = time.monotonic_ns()
        self._scene.await_rules(lambda each: (each.kind, each.name) == ("pod", name) and bool(each.addresses), at)

    def _sent(self, verb: str, policy: Json) -> Json:
        body = {"apiVersion": "networking.k8s.io/v1", **policy}
        return dict(json.loads(self._kubectl(verb, "-o", "json", "-f", "-", given=json.dumps(body))))

    def _changed(self, kind: str, made: Json) -> None:
        at, version = time.monotonic_ns(), made["metadata"]["resourceVersion"]
        self._scene.await_rules(lambda each: each.kind == kind and each.version == version, at)

    def _gone(self, kind: str, namespace: str, name: str) -> None:
        at = time.monotonic_ns()
        wanted = (kind, namespace, name, True)
        self._scene.await_rules(lambda each: (each.kind, each.namespace, each.name, each.gone) == wanted, at)


def _pod(name: str, namespace: str, node: str, command: list[str], dice: random.Random) -> Json:
    container = {"name": "c", "image": "any", "command": command, "ports": made_up.container_ports(dice)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": made_up.labels(dice, made_up.KEYS)},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        },
    }


def prove() -> verdict.Verdict:
    """Measure it."""
    if os.geteuid() != 0:
        raise verdict.CannotMeasure("a lab needs root", hint="run it with sudo")
    with lab.up(NAME, "--nodes", "2") as where:
        course = _run(where)
    return _judged(course)


def _run(where: lab.Lab) -> Course:
    names = layout.Lab(name=where.name)
    with (
        contender.start(names.node(where.nodes[0]), where.kubeconfig) as one,
        contender.start(names.node(where.nodes[1]), where.kubeconfig) as two,
    ):
        scene = Scene(where, [one, two])
        try:
            changes = Changes(scene, random.Random(SEED))
            changes.begin()
            for step in range(CHANGES):
                scene.course.kinds[changes.one()] += 1
                scene.seat()
                scene.ask(step)
        finally:
            scene.net.close()
        scene.course.again = scene.net.again
    return scene.course


def _judged(course: Course) -> verdict.Verdict:
    denied = course.asked - course.allowed
    for each in (*course.false_allows[:10], *course.false_denies[:10]):
        print(each)
    return verdict.Verdict(
        holds=not course.false_allows and not course.false_denies and min(course.allowed, denied) > 0,
        figure=(
            f"{CHANGES} changes, {course.asked} packets asked: {len(course.false_allows)} false allows, "
            f"{len(course.false_denies)} false denies"
        ),
        lines=tuple(_lines(course, denied)),
    )


def _lines(course: Course, denied: int) -> Iterator[str]:
    yield ", ".join(f"{count} x {kind}" for kind, count in sorted(course.kinds.items()))
    yield f"{course.allowed} probes arrived, {denied} were dropped by a rule; asked again, machine busy: {course.again}"
    for what, found in (
        ("from the answer of kubectl", course.delays_ms),
        ("from what an agent heard", course.heard_ms),
    ):
        high = sorted(found)[int(len(found) * 0.95)]
        yield f"enforced, {what}: median {statistics.median(found):.0f} ms, p95 {high:.0f} ms, max {max(found):.0f} ms"
