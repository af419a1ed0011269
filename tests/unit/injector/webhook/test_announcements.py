"""Who is told what about an injection. Leaves out writing Events: ``kube.events``."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import prometheus_client

from injector.kube import events
from injector.webhook import announcements, metrics, review
from tests.fakes import admission, kube_objects

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d9", "uid": "r", "controller": True}
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": True}
REPLICA_SET = "/apis/apps/v1/namespaces/shop/replicasets/web-7d9"
EVENTS = "/apis/events.k8s.io/v1/namespaces/shop/events"


def pod(**metadata: Any) -> dict[str, Any]:
    return {"metadata": metadata, "spec": {"containers": [{"name": "web"}]}}


class Scene:
    def __init__(self, cluster: kube_objects.KubeObjects, api: Any) -> None:
        self.cluster, self.now, self.registry = cluster, 0.0, prometheus_client.CollectorRegistry()
        self.writer = events.Writer(api, component="ipseity", instance="i", clock=lambda: 1_795_000_000.0)
        self.announcements = announcements.Announcements(
            api, self.writer, metrics.Metrics(self.registry), lambda: self.now
        )

    def say(self, made: dict[str, Any], said: dict[str, str] | None = None, **request: Any) -> None:
        raw = admission.body(made, **request)
        self.announcements.announce(review.read(raw), admission.ask(raw, said))

    def counted(self, outcome: str) -> float:
        return self.registry.get_sample_value("ipseity_injection_events_total", {"outcome": outcome}) or 0

    async def told(self, count: int) -> list[tuple[str, str, str, str]]:
        """Wait for so many Events, and give the kind and name of what each is about, its type and reason."""
        await self.cluster.until(lambda: count == self.cluster.requests.count(("POST", EVENTS)))
        found = [value for path, value in self.cluster.objects.items() if path.startswith(EVENTS)]
        return [(each["regarding"]["kind"], each["regarding"]["name"], each["type"], each["reason"]) for each in found]


@contextlib.asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    cluster = kube_objects.KubeObjects()
    async with cluster.serve() as api:
        made = Scene(cluster, api)
        tasks = [asyncio.create_task(each) for each in (made.announcements.run(), made.writer.run())]
        yield made
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


ENABLED = {"ipseity.io/inject": "enabled"}


async def test_a_deployment_is_told_once_of_its_pods() -> None:
    """Not its ReplicaSet, which nobody looks at; and again after a while."""
    async with scene() as made:
        made.cluster.put(REPLICA_SET, {"metadata": {"ownerReferences": [DEPLOYMENT]}})
        for _ in range(23):
            made.say(pod(ownerReferences=[OWNER]), ENABLED)
        assert [("Deployment", "web", "Normal", "Injected")] == await made.told(1)
        assert 22 == made.counted("repeated")
        made.now += 601
        made.say(pod(ownerReferences=[OWNER]), ENABLED)
        await made.told(2)
        assert 1 == made.cluster.requests.count(("GET", REPLICA_SET))


async def test_skips_and_refusals_are_told_with_their_reason() -> None:
    """As warnings, where somebody would be surprised."""
    async with scene() as made:
        made.say(pod(name="a", annotations={"ipseity.io/inject": "enable"}))
        made.say(pod(name="b", annotations={"ipseity.io/inject": "disabled"}))
        made.say(pod(name="c", annotations={**ENABLED, "config.ipseity.io/x": "y"}))
        assert [
            ("Pod", "a", "Warning", "InjectionSkipped"),
            ("Pod", "b", "Normal", "InjectionSkipped"),
            ("Pod", "c", "Warning", "InjectionRefused"),
        ] == await made.told(3)


async def test_what_nobody_can_be_told_of_is_not() -> None:
    """A dry run, a pod without a name, one that was injected before."""
    async with scene() as made:
        made.say(pod(name="a", annotations=ENABLED), dryRun=True)
        made.say(pod(generateName="a-", annotations=ENABLED))
        made.say({}, resource={"resource": "x"})
        made.say(pod(name="last", annotations=ENABLED))
        assert [("Pod", "last", "Normal", "Injected")] == await made.told(1)


async def test_an_owner_that_cannot_be_read_is_told_itself() -> None:
    """A ReplicaSet that is gone, or that we may not read."""
    async with scene() as made:
        made.say(pod(ownerReferences=[OWNER]), ENABLED)
        assert [("ReplicaSet", "web-7d9", "Normal", "Injected")] == await made.told(1)


async def test_an_owners_name_leads_nowhere_else() -> None:
    """Whoever makes a pod may write any, and it is asked for with our rights."""
    astray = [
        {**OWNER, "name": "../../../../../api/v1/secrets?watch=true"},
        {**OWNER, "apiVersion": "../api/v1", "name": "x"},
    ]
    async with scene() as made:
        for owner in astray:
            made.say(pod(name="web", annotations=ENABLED, ownerReferences=[owner]))
        await made.told(2)
        asked = {path for method, path in made.cluster.requests if method == "GET"}
        assert all(path.startswith("/apis/apps/v1/namespaces/shop/replicasets/") for path in asked)


async def test_too_many_are_dropped_and_counted() -> None:
    """Nobody's admission waits for an Event."""
    cluster = kube_objects.KubeObjects()
    async with cluster.serve() as api:
        made = Scene(cluster, api)
        for number in range(515):
            made.say(pod(name=f"p{number}", annotations=ENABLED))
        assert 3 == made.counted("dropped")
