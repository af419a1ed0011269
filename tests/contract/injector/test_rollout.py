"""Rollouts before a Kubernetes API: what is written, under which rights, and what the delivered definition refuses.

Leaves out requests and sidecars (``tests/prove/canary.py``) and decisions (``tests/unit/injector/rollout``).
"""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import prometheus_client
import pytest
import pytest_asyncio

from injector import names
from injector.kube import rest
from injector.rollout import config, controller, keeper, metrics, model, place
from ipseity import kube
from tests.contract.deploy import test_rights
from tests.contract.injector import test_control_plane as plane
from tests.contract.kubernetes_api import own
from tests.fakes import rollouts
from tests.scene import gatekeeper

pytestmark = pytest.mark.asyncio(loop_scope="module")
Json = dict[str, Any]
GROUP = "ipseity.io/v1alpha1"
GATEWAY = "gateway.networking.k8s.io/v1"
PATIENCE_S = 20.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[pathlib.Path]:
    with own.served(tmp_path_factory.mktemp("api") / "api") as kubeconfig:
        await plane.define(kubeconfig, "canaries.yaml")
        await plane.define(kubeconfig, "gateway-api/httproutes.yaml")
        async with await kube.connect(str(kubeconfig)) as api:
            await rest.create(api, "/api/v1/namespaces", {"metadata": {"name": names.SYSTEM_NAMESPACE}})
        yield kubeconfig


class Shop:
    """A namespace with two Services, a pod of each, a route and a Canary."""

    def __init__(self, api: Any, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.core = f"/api/v1/namespaces/{namespace}"
        self.canary = f"/apis/{GROUP}/namespaces/{namespace}/canaries/web"
        self.route = f"/apis/{GATEWAY}/namespaces/{namespace}/httproutes/web"

    async def open(self, **changes: Any) -> None:
        await rest.create(self.api, "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        for name in ("web-v1", "web-v2"):
            spec = {"selector": {"app": name}, "ports": [{"port": 8080}]}
            await rest.create(self.api, f"{self.core}/services", {"metadata": {"name": name}, "spec": spec})
        await self.deploy("s", "web-v1")
        await self.deploy("a")
        spec = rollouts.route(None, None)["spec"]
        spec["parentRefs"] = [{"group": "", "kind": "Service", "name": "web-v1"}]
        spec["rules"][0]["matches"][0]["path"]["type"] = "PathPrefix"
        await self._create(self.route, "HTTPRoute", GATEWAY, spec)
        await self._create(self.canary, "Canary", GROUP, rollouts.spec(**changes))

    async def _create(self, path: str, kind: str, version: str, spec: Json) -> None:
        body = {"apiVersion": version, "kind": kind, "metadata": {"name": "web"}, "spec": spec}
        await rest.create(self.api, path.rpartition("/")[0], body)

    async def close(self, service: str = "web-v2") -> None:
        """Have no pod there."""
        async for each in kept(self.api, f"{self.core}/pods"):
            if each["metadata"]["labels"]["app"] == service:
                await rest.delete(self.api, f"{self.core}/pods/{each['metadata']['name']}")

    async def deploy(self, version: str, service: str = "web-v2") -> None:
        """Have a ready pod of this version, and no other."""
        await self.close(service)
        labels = {"app": service, "pod-template-hash": version, names.MESHED: "true"}
        spec = {"schedulerName": "none", "containers": [{"name": "a", "image": "a"}]}
        pod = {"metadata": {"name": f"{service}-{version}", "labels": labels}, "spec": spec}
        await rest.create(self.api, f"{self.core}/pods", pod)
        ready = {"phase": "Running", "podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
        await rest.patch(self.api, f"{self.core}/pods/{service}-{version}/status", {"status": ready})

    async def status(self) -> Json:
        return dict((await rest.get(self.api, self.canary) or {}).get("status", {}))

    async def condition(self, kind: str) -> Json:
        return next(dict(each) for each in (await self.status())["conditions"] if each["type"] == kind)

    async def weights(self) -> list[int | None]:
        found = await rest.get(self.api, self.route) or {}
        return [each.get("weight") for each in found["spec"]["rules"][1]["backendRefs"]]

    async def edit(self, *operations: Json) -> None:
        await rest.patch(self.api, self.route, list(operations), rest.Patch.JSON)


async def kept(api: Any, path: str) -> AsyncIterator[Json]:
    for each in ((await rest.get(api, path)) or {})["items"]:
        yield each


class Measured:
    """A source that says what a test wants, and lets something happen while it is asked."""

    def __init__(self) -> None:
        self.good = True
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.asked = 0

    async def begin(self, where: place.Place) -> None:
        pass

    async def end(self, where: place.Place, begun: None, spec: model.Spec) -> model.Observed:
        self.asked += 1
        happening, self.meanwhile = self.meanwhile, None
        if happening is not None:
            await happening()
        return model.Observed(requests=500, success=100.0 if self.good else 95.0, p99_ms=20.0)


class Hand:
    """Keepers that look when they are told to, on a clock that a test turns."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.now_s = 0.0
        self.leads = True
        self.source = Measured()
        self.told: list[str] = []
        self.counted = metrics.Metrics(prometheus_client.CollectorRegistry())
        self.anew()

    def anew(self) -> None:
        """Begin as a process that knows nothing."""
        world = keeper.World(
            api=self.shop.api,
            sources={model.Provider.PROXIES: self.source},
            clock=lambda: self.now_s,
            wall_s=lambda: 1_800_000_000.0 + self.now_s,
            tell=lambda event: self.told.append(event.reason),
            counted=self.counted,
            leads=lambda: self.leads,
            others=tuple,
        )
        self.keeper = keeper.Keeper(world, self.shop.namespace, "web")

    async def settle(self) -> float:
        """Look until there is nothing to do; returns how long to wait then."""
        for _ in range(12):
            wait_s = await self.keeper.look()
            if wait_s >= 1:
                return wait_s
        raise AssertionError("it does not come to rest")

    async def check(self) -> None:
        """Let an interval pass."""
        self.now_s += 31
        await self.settle()


@pytest_asyncio.fixture(loop_scope="module")
async def hand(system: pathlib.Path, request: pytest.FixtureRequest) -> AsyncIterator[Hand]:
    async with await kube.connect(str(system)) as api:
        shop = Shop(api, request.node.name.replace("_", "-").partition("[")[0][:60])
        await shop.open()
        yield Hand(shop)


async def test_a_good_one_gets_everything_step_by_step(hand: Hand) -> None:
    """Over a process that ends after each step."""
    seen = []
    for _ in range(4):
        await hand.settle()
        seen.append(await hand.shop.weights())
        hand.anew()
        await hand.settle()
        await hand.check()
    assert [[90, 10], [80, 20], [70, 30], [0, 100]] == seen
    assert "Succeeded" == (await hand.shop.status())["phase"]
    assert "True" == (await hand.shop.condition("Promoted"))["status"]
    assert ["RolloutBegun", "RolloutStarted", "WeightMoved", "WeightMoved", "Promoting", "Promoted"] == hand.told
    assert 3 == hand.source.asked


async def test_a_bad_one_gets_nothing_any_more(hand: Hand) -> None:
    await hand.settle()
    hand.source.good = False
    for _ in range(3):
        hand.anew()
        await hand.settle()
        await hand.check()
    status = await hand.shop.status()
    assert ("Failed", 0, 3, [100, 0]) == (
        status["phase"],
        status["canaryWeight"],
        status["failedChecks"],
        await hand.shop.weights(),
    )
    assert "95.00 % is below 99" in (await hand.shop.condition("Promoted"))["message"]
    await hand.shop.deploy("b")
    await hand.settle()
    assert "Progressing" == (await hand.shop.status())["phase"]


async def test_half_a_measurement_judges_nobody(hand: Hand) -> None:
    await hand.settle()
    hand.now_s += 29
    hand.anew()
    await hand.settle()
    hand.now_s += 29
    await hand.settle()
    assert (0, 0) == (hand.source.asked, (await hand.shop.status())["iterations"])


async def test_two_of_it_are_no_more_than_one(hand: Hand) -> None:
    """What one has measured of a step says nothing of the next, which the other one has taken."""
    other = Hand(hand.shop)
    await hand.settle()
    await other.settle()
    await hand.check()
    await other.check()
    assert ([80, 20], 1, 0) == (await hand.shop.weights(), hand.source.asked, other.source.asked)
    other.source.meanwhile = hand.check  # both judge; one is first
    await other.check()
    status = await hand.shop.status()
    assert ([70, 30], 2) == (await hand.shop.weights(), status["iterations"])


async def test_an_edit_of_the_same_moment_stays(hand: Hand) -> None:
    """The patch was for the version before: it is refused, and made anew."""
    await hand.settle()
    hand.source.meanwhile = lambda: hand.shop.edit({"op": "add", "path": "/spec/hostnames", "value": ["web.example"]})
    await hand.check()
    found = await rest.get(hand.shop.api, hand.shop.route) or {}
    assert (["web.example"], [80, 20]) == (found["spec"]["hostnames"], await hand.shop.weights())


async def test_weights_that_somebody_writes_stay(hand: Hand) -> None:
    await hand.settle()
    place = "/spec/rules/1/backendRefs/1/weight"
    hand.source.meanwhile = lambda: hand.shop.edit({"op": "replace", "path": place, "value": 55})
    hand.source.good = False
    await hand.check()
    for _ in range(3):
        await hand.check()
    assert [90, 55] == await hand.shop.weights()
    assert "WeightsChanged" == (await hand.shop.condition("Promoted"))["reason"]
    assert "LeftAlone" == hand.told[-1]


async def test_orders(hand: Hand) -> None:
    async def order(word: str) -> None:
        note = {"metadata": {"annotations": {model.ORDER: word}}}
        await rest.patch(hand.shop.api, hand.shop.canary, note)

    await hand.settle()
    await order("pause")
    await hand.check()
    assert ([90, 10], "True") == (await hand.shop.weights(), (await hand.shop.condition("Paused"))["status"])
    await order("resume")
    await hand.check()
    assert [80, 20] == await hand.shop.weights()
    await order("stop it")
    hand.source.good = False
    await hand.check()
    assert 1 == (await hand.shop.status())["failedChecks"]
    assert "stop it" in (await hand.shop.condition("Accepted"))["message"]
    assert [80, 20] == await hand.shop.weights()
    await order("abort")
    await hand.settle()
    assert ([100, 0], "Aborted") == (await hand.shop.weights(), (await hand.shop.condition("Promoted"))["reason"])


async def test_a_route_that_is_not_there_is_said(hand: Hand) -> None:
    await rest.delete(hand.shop.api, hand.shop.route)
    for _ in range(2):
        await hand.settle()
    found = await hand.shop.condition("Promoted")
    assert ("NoRoute", "there is no HTTPRoute web in this namespace") == (found["reason"], found["message"])


async def test_a_stable_without_pods_gets_nobody(hand: Hand) -> None:
    await hand.shop.close("web-v1")
    await hand.settle()
    assert [1, 1] == await hand.shop.weights()
    assert "Service web-v1 has no ready pod" in (await hand.shop.condition("Promoted"))["message"]
    await hand.shop.deploy("s", "web-v1")
    await hand.settle()
    assert [90, 10] == await hand.shop.weights()
    assert ["s"] == (await hand.shop.status())["retired"]


async def test_who_does_not_lead_writes_nothing(hand: Hand) -> None:
    hand.leads = False
    await hand.settle()
    assert {} == await hand.shop.status()
    assert [1, 1] == await hand.shop.weights()


async def test_a_provider_that_is_not_configured_is_said(hand: Hand) -> None:
    await rest.patch(hand.shop.api, hand.shop.canary, {"spec": {"provider": "prometheus"}})
    await hand.settle()
    assert "--prometheus" in (await hand.shop.condition("Accepted"))["message"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stable": None}, "spec.stable: Required"),
        ({"canary": "web-v1"}, "stable and canary must be two Services"),
        ({"provider": "datadog"}, "spec.provider"),
        ({"targetRef": {"kind": "Deployment", "name": "web"}}, "spec.targetRef.kind"),
        ({"analysis": {"stepWeight": None}}, "give either stepWeight or stepWeights"),
        ({"analysis": {"stepWeight": None, "stepWeights": [5]}}, "maxWeight goes with stepWeight"),
        ({"analysis": {"stepWeight": 40}}, "stepWeight must not be above maxWeight"),
        ({"analysis": {"threshold": 0}}, "spec.analysis.threshold"),
        ({"analysis": {"interval": "soon"}}, "spec.analysis.interval"),
        ({"analysis": {"metrics": []}}, "spec.analysis.metrics"),
        (
            {"analysis": {"metrics": [{"name": "errors", "thresholdRange": {"max": 1}}]}},
            "spec.analysis.metrics[0].name",
        ),
        ({"analysis": {"metrics": [{"name": "request-duration", "thresholdRange": {}}]}}, "thresholdRange"),
    ],
)
async def test_the_definition_refuses(system: pathlib.Path, changes: Any, said: str) -> None:
    body = {"apiVersion": GROUP, "kind": "Canary", "metadata": {"name": "bad"}, "spec": rollouts.spec(**changes)}
    async with await kube.connect(str(system)) as api:
        with pytest.raises(kube.KubernetesError) as refused:
            await rest.create(api, f"/apis/{GROUP}/namespaces/default/canaries", body, dry_run=True)
    assert said in str(refused.value)


async def test_its_roles_are_enough_and_no_more(system: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A whole life, as the process lives it, under what the chart gives it: each right is used, and no other."""
    async with (
        await kube.connect(str(system)) as admin,
        gatekeeper.before(system, gatekeeper.Roles(test_rights.ROLLOUT), tmp_path) as gate,
        await kube.connect(str(gate.kubeconfig)) as api,
        aiohttp.ClientSession() as session,
    ):
        shop = Shop(admin, "rights")
        running = asyncio.create_task(controller.Controller(api, session, config.Config(pod_name="r"), "").run())
        try:
            await shop.open(analysis={"interval": "1s", "threshold": 1})
            async with asyncio.timeout(PATIENCE_S):
                for verb, resource in test_rights.granted(test_rights.ROLLOUT):
                    await gate.asked(verb, resource)
                while (await shop.status()).get("phase") != "Failed":  # noqa: ASYNC110  # it is asked of a server
                    await asyncio.sleep(0.1)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
        assert "the sidecar of pod web-v2-a cannot be read" in (await shop.condition("Promoted"))["message"]
    assert set() == gate.refused
    assert test_rights.granted(test_rights.ROLLOUT) == {(each.verb, each.resource) for each in gate.allowed}
