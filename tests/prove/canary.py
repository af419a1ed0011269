"""A good version is promoted and a bad one rolled back, unattended; also when the controller is killed half-way.

In a lab, with real sidecars and a steady load of real requests: one version fails one request in twenty, one takes five
times as long (p99), two are good. Each new version is nothing but a changed Deployment. In two of the rollouts, one of
a good version and one of a bad one, the controller gets SIGKILL after the first step. Prints what the callers noticed:
the error budget that was spent. A route whose weight goes beyond ``maxWeight`` before it is promoted is a failure too.
"""

import asyncio
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
from collections.abc import Iterator
from typing import Any

from comparisons import stage
from injector.cluster import objects
from injector.discovery import naming
from injector.kube import rest
from injector.rollout import prometheus
from injector.seeing import exposition, scrape
from ipseity import kube
from tests.prove import verdict
from tests.scene import chart, clone, mesh

RATE = 25
LOAD_S = 300
FAST_S, SLOW_S, MOST_MS = 0.3, 1.5, 1200
FAIL_EVERY = 20
MOST_WEIGHT = 50
PATIENCE_S = 150.0
LOOK_S = 0.2
SHOP = "shop"
CANARY = f"/apis/ipseity.io/v1alpha1/namespaces/{SHOP}/canaries/web"
ROUTE = f"/apis/gateway.networking.k8s.io/v1/namespaces/{SHOP}/httproutes/web"
SERIES = {
    (prometheus.COMPLETED, ""),
    (prometheus.BY_CLASS, "2"),
    (prometheus.BY_CLASS, "5"),
    (prometheus.BUCKET, ""),
}
"""With the class of status, where there is one; the Service ``next`` has had a bad version."""
Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One rollout, and what must become of it."""

    title: str
    words: str
    phase: str
    reason: str
    stable: str = "web"
    canary: str = "next"
    killed: bool = False


FAST = f", --seconds, '{FAST_S}'"
BAD = f"{FAST}, --fail-every, '{FAIL_EVERY}'"
SLOW = f", --seconds, '{SLOW_S}'"
RELEASES = (
    Release(title="5 % errors", words=BAD, phase="Failed", reason="ChecksFailed"),
    Release(title="p99 x 5", words=SLOW, phase="Failed", reason="ChecksFailed"),
    Release(
        title="5 % errors, killed", words=f"{BAD}, --name, bad", phase="Failed", reason="ChecksFailed", killed=True
    ),
    Release(title="good", words=FAST, phase="Succeeded", reason="Succeeded"),
    Release(
        title="good, killed",
        words=f"{FAST}, --name, newer",
        phase="Succeeded",
        reason="Succeeded",
        stable="next",
        canary="web",
        killed=True,
    ),
)


@dataclasses.dataclass(slots=True)
class Played:
    """What was seen of one rollout."""

    release: Release
    status: Json = dataclasses.field(default_factory=lambda: {"phase": "", "conditions": []})
    route: list[int] = dataclasses.field(default_factory=list)
    """The canary's weights, as they came one after another."""
    load: Json = dataclasses.field(default_factory=dict)
    restarted: bool = False
    ended: bool = False
    counted_on: bool = True
    """What had been counted before the controller was killed was not forgotten."""

    @property
    def promoted(self) -> Json:
        """The condition."""
        found = [each for each in self.status["conditions"] if each["type"] == "Promoted"]
        return found[0] if found else {"reason": "", "message": ""}

    def faults(self) -> list[str]:
        """Say what is not as it must be."""
        promoted = self.release.phase == "Succeeded"
        held = self.route[:-1] if promoted else self.route
        checks = {
            "it did not end": self.ended,
            "the phase": self.status["phase"] == self.release.phase,
            "the reason": self.promoted["reason"] == self.release.reason,
            "the last weight": self.route[-1:] == [100 if promoted else 0],
            "a weight beyond the most": max(held, default=0) <= MOST_WEIGHT,
            "the restart": self.restarted == self.release.killed and self.counted_on,
        }
        return [what for what, holds in checks.items() if not holds]

    def __str__(self) -> str:
        """Say it in a line."""
        requests, failed = self.load["requests"], self.load["failed"]
        wrong = "".join(f"; WRONG: {what}" for what in self.faults())
        failures = f", {self.load['failures']}" if failed else ""
        killed = ", killed and restarted half-way" if self.restarted else ""
        return (
            f"{self.release.title}: {self.status['phase']}{killed}; weights {' '.join(map(str, self.route))}; "
            f"{failed} of {requests} requests failed ({share(failed, requests)}{failures}); "
            f"{self.promoted['message']}{wrong}"
        )


def prove() -> verdict.Verdict:
    """Play them."""
    if os.geteuid() != 0:
        raise verdict.CannotMeasure("a lab needs root", hint="run it with sudo")
    with mesh.up("canary") as where:
        prepare(where)
        played, missing = asyncio.run(play(where))
    wrong = [*[f"{each.release.title}: {fault}" for each in played for fault in each.faults()], *missing]
    lacking = ", ".join(missing) or "none"
    series = f"of {len(SERIES)} series that Prometheus is asked for, the caller's sidecar lacks {lacking}"
    failed, requests = (sum(each.load[key] for each in played) for key in ("failed", "requests"))
    promoted = sum(each.status["phase"] == "Succeeded" for each in played)
    return verdict.Verdict(
        holds=not wrong and len(played) == len(RELEASES),
        figure=f"{promoted} good promoted, {len(played) - promoted} bad rolled back, 2 of them over a kill -9; "
        f"error budget spent: {failed} of {requests} requests ({share(failed, requests)})",
        lines=(*(str(each) for each in played), series),
    )


def share(failed: int, requests: int) -> str:
    """Write a percentage."""
    return f"{100 * failed / max(1, requests):.2f} %"


def prepare(where: mesh.Mesh) -> None:
    """Install the controller and the shop."""
    where.kubectl("apply", "-f", str(clone.ROOT / "deploy/crds/gateway-api"))
    where.apply(controller())
    servers = (mesh.server(SHOP, name, words=FAST) for name in ("web", "next", "caller"))
    where.apply(mesh.namespace(SHOP) + "\n---\n".join(servers))
    where.ready("ipseity-system", "ipseity-rollout")
    where.ready(SHOP, "web", "next", "caller")
    where.apply(json.dumps(route()))


def controller() -> str:
    """Write the controller as the chart has it. In a lab images are ignored, so its command is that of this clone."""
    objects = chart.rendered({"agent": {"enabled": False}, "mesh": {"enabled": False}, "rollout": {"enabled": True}})
    for each in objects:
        if each["kind"] == "Deployment":
            (container,) = each["spec"]["template"]["spec"]["containers"]
            container["command"][0] = str(stage.BIN / "ipseity")
    return chart.written([each for each in objects if each["kind"] != "Namespace"])


def route() -> Json:
    """Write the route: all to ``web``."""
    backends = [{"name": "web", "port": 8080, "weight": 100}, {"name": "next", "port": 8080, "weight": 0}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "web", "namespace": SHOP},
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": "web", "port": 8080}],
            "rules": [{"backendRefs": backends}],
        },
    }


def canary(release: Release) -> Json:
    """Write the Canary."""
    return {
        "apiVersion": "ipseity.io/v1alpha1",
        "kind": "Canary",
        "metadata": {"name": "web", "namespace": SHOP},
        "spec": {
            "targetRef": {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "web"},
            "stable": release.stable,
            "canary": release.canary,
            "analysis": {
                "interval": "5s",
                "threshold": 3,
                "stepWeight": 25,
                "maxWeight": MOST_WEIGHT,
                "minRequests": 20,
                "metrics": [
                    {"name": "request-success-rate", "thresholdRange": {"min": 99}},
                    {"name": "request-duration", "thresholdRange": {"max": MOST_MS}},
                ],
            },
        },
    }


async def play(where: mesh.Mesh) -> tuple[list[Played], list[str]]:
    """Play every release, one after another, under load. Gives the series that are missing, too."""
    async with await kube.connect(str(where.lab.kubeconfig)) as api:
        played = [await one(where, api, RELEASES[0])]
        missing = await unknown(where, api)  # of the bad version's errors too
        return [*played, *[await one(where, api, each) for each in RELEASES[1:]]], missing


async def one(where: mesh.Mesh, api: Any, release: Release) -> Played:
    """Play one: change the Deployment, and look on."""
    played = Played(release=release)
    before = (await rest.get(api, CANARY) or {}).get("status", {})
    with loaded(where, played):
        await asyncio.to_thread(where.apply, mesh.server(SHOP, release.canary, words=release.words))
        await asyncio.to_thread(where.ready, SHOP, release.canary)
        await asyncio.to_thread(where.apply, json.dumps(canary(release)))
        with contextlib.suppress(TimeoutError):  # what was seen until then is told
            async with asyncio.timeout(PATIENCE_S):
                await watched(where, api, played, before)
    return played


async def watched(where: mesh.Mesh, api: Any, played: Played, before: Json) -> None:
    """Look on until it has ended; kill the controller once, where that is wanted, as soon as something was counted."""
    kept = 0
    while True:
        status = (await rest.get(api, CANARY) or {}).get("status", {})
        weight = canary_weight(await rest.get(api, ROUTE) or {}, played.release.canary)
        if played.route[-1:] != [weight]:
            played.route.append(weight)
        fresh = status.get("step", 0) > before.get("step", 0)
        if fresh and played.release.killed and not played.restarted and status["iterations"]:
            kept = status["iterations"]
            await asyncio.to_thread(killed, where)
            played.restarted = True
        if fresh:
            played.status = status
        settled = fresh and status["phase"] in {"Succeeded", "Failed"} and weight == status["canaryWeight"]
        if settled:
            played.counted_on = not played.release.killed or status["iterations"] > kept
            played.ended = True
            return
        await asyncio.sleep(LOOK_S)


def canary_weight(found: Json, name: str) -> int:
    """Give the weight of a backend."""
    (rule,) = found["spec"]["rules"]
    return int(next(each["weight"] for each in rule["backendRefs"] if each["name"] == name))


def killed(where: mesh.Mesh) -> None:
    """Kill the controller's process, and wait until another one runs."""
    before = set(pids(where, "rollout", "run"))
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    mesh.wait_until(lambda: set(pids(where, "rollout", "run")) - before, PATIENCE_S, "the controller is back")


async def unknown(where: mesh.Mesh, api: Any) -> list[str]:
    """List the series that are asked of Prometheus and that the caller's sidecar has not."""
    (pod,) = where.get("pods", SHOP, "-l", "app=caller")
    record = objects.pod(pod)
    assert record is not None
    asked = scrape.ThroughApi(api)
    wanted = frozenset(name for name, _ in SERIES)
    await asked.scrape(record.pod, wanted)  # Envoy's histograms are as they were at the question before
    text = await asked.scrape(record.pod, wanted)
    cluster = naming.service(8080, f"{SHOP}/next")
    found = {
        (each.name, each.labels.get("envoy_response_code_class", ""))
        for each in exposition.samples(text, wanted)
        if each.labels.get("envoy_cluster_name") == cluster
    }
    return sorted(str(each) for each in SERIES - found)


def pids(where: mesh.Mesh, *words: str) -> Iterator[int]:
    """Give the processes in the lab's pods with these words in their command."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            said = path.read_bytes().decode(errors="replace").split("\0")
            if set(words) <= set(said) and where.belongs(int(path.parent.name)):
                yield int(path.parent.name)


@contextlib.contextmanager
def loaded(where: mesh.Mesh, played: Played) -> Iterator[None]:
    """Ask the Service steadily meanwhile."""
    words = ("load", "web", "--rate", str(RATE), "--seconds", str(LOAD_S))
    with where.calling(SHOP, where.pod(SHOP, "caller"), *words) as process:
        mesh.wait_until(lambda: list(pids(where, "tests.traffic.caller")), PATIENCE_S, "somebody calls")
        yield
        for pid in pids(where, "tests.traffic.caller"):
            os.kill(pid, signal.SIGTERM)
        played.load = mesh.result(process)
