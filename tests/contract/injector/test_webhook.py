"""The whole webhook before an API server: it registers itself, is asked, and what it answers is stored.

Leaves out kubelets: nothing runs here.
"""

import asyncio
import contextlib
import datetime as dt
import pathlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import prometheus_client
import pytest
from kubernetes.aio import client

from injector import names
from injector.kube import events, rest
from injector.webhook import announcements, configuration, metrics, namespaces, rotation, server, tls
from ipseity import kube
from tests.contract.kubernetes_api import own
from tests.fakes import admission

Value = dict[str, Any]
PODS = "/api/v1/namespaces/{}/pods"
ENABLED = {names.INJECT: "enabled"}
NOW = dt.datetime.now(tz=dt.UTC)  # noqa: TID251  # the API server looks at the real clock


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    with own.served(tmp_path_factory.mktemp("api")) as found:
        yield found


class Scene:
    """A control plane that injects, and nothing else."""

    def __init__(self, api: client.ApiClient) -> None:
        self.api = api
        counted = metrics.Metrics(prometheus_client.CollectorRegistry())
        self.credentials = tls.Credentials()
        self.namespaces = namespaces.Namespaces(api, time.monotonic_ns)
        self.writer = events.Writer(api, component="ipseity", instance="i", clock=NOW.timestamp)
        self.announcements = announcements.Announcements(api, self.writer, counted, time.monotonic)
        self.server = server.Server(
            self.credentials,
            admission.INSTALLATION,
            self.namespaces,
            self.announcements,
            counted,
            is_ready=lambda: self.namespaces.synced,
        )

    async def register(self) -> None:
        endpoint = configuration.Endpoint(url=f"https://127.0.0.1:{self.server.port}")
        keeper = rotation.Rotation(
            self.api, self.credentials, endpoint, hosts=("127.0.0.1",), leads=lambda: True, clock=lambda: NOW
        )
        await keeper.settle()

    async def namespace(self, name: str, **metadata: Any) -> Value:
        return dict(await rest.create(self.api, "/api/v1/namespaces", {"metadata": {"name": name, **metadata}}))

    async def pod(self, namespace: str, name: str, *, dry_run: bool = False, **more: Any) -> Value:
        spec = {
            "containers": [{"name": "web", "image": "web:1"}],
            "serviceAccountName": "default",
            **more.pop("spec", {}),
        }
        body = {"metadata": {"name": name, **more}, "spec": spec}
        await self.account(namespace)
        return dict(await rest.create(self.api, PODS.format(namespace), body, dry_run=dry_run))

    async def account(self, namespace: str) -> None:
        """Wait for the namespace's service account: pods need it, and a controller makes it."""
        for _ in range(500):
            if await rest.get(self.api, f"/api/v1/namespaces/{namespace}/serviceaccounts/default"):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{namespace} got no service account")


@pytest.fixture
async def scene(kubeconfig: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    async with await kube.connect() as api:
        made = Scene(api)
        await rest.delete(api, configuration.PATH)
        with contextlib.suppress(kube.KubernetesError):
            await made.namespace("ipseity-system")
        await made.server.start("127.0.0.1", 0)
        tasks = [asyncio.create_task(each.run()) for each in (made.namespaces, made.announcements, made.writer)]
        yield made
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await made.server.close()
        await rest.delete(api, configuration.PATH)


def init_containers(pod: Value) -> list[str]:
    return [each["name"] for each in pod["spec"].get("initContainers", [])]


OURS = [names.REDIRECT, names.PROXY]


async def test_a_pod_that_asks_is_stored_with_its_sidecar(scene: Scene) -> None:
    """As the API server completes it: with defaults, a token volume, our label."""
    await scene.register()
    await scene.namespace("own")
    made = await scene.pod("own", "web", annotations=ENABLED)
    assert OURS == init_containers(made)
    assert "true" == made["metadata"]["labels"][names.MESHED]
    assert "Always" == made["spec"]["initContainers"][1]["restartPolicy"]


async def test_a_namespace_that_asks_is_labelled_while_it_is_made(scene: Scene) -> None:
    """So the very next pod is injected; after it opted out, none is."""
    await scene.register()
    made = await scene.namespace("all", annotations=ENABLED)
    assert "enabled" == made["metadata"]["labels"][names.INJECTS]
    assert OURS == init_containers(await scene.pod("all", "first"))
    assert [] == init_containers(await scene.pod("all", "not", annotations={names.INJECT: "disabled"}))
    changed = await rest.patch(scene.api, "/api/v1/namespaces/all", {"metadata": {"annotations": {names.INJECT: None}}})
    assert names.INJECTS not in changed["metadata"]["labels"]
    assert [] == init_containers(await scene.pod("all", "late"))


async def test_a_bad_value_is_refused_in_words(scene: Scene) -> None:
    """What kubectl prints names annotation, value and what is allowed."""
    await scene.register()
    await scene.namespace("bad")
    with pytest.raises(kube.KubernetesError, match=r"proxy-uid.*'root' is not allowed; allowed: 1 to") as caught:
        await scene.pod("bad", "web", annotations={**ENABLED, "config.ipseity.io/proxy-uid": "root"})
    assert "pods.inject.ipseity.io" in str(caught.value)


async def test_a_dry_run_is_answered(scene: Scene) -> None:
    """As if it were true."""
    await scene.register()
    await scene.namespace("dry")
    assert OURS == init_containers(await scene.pod("dry", "web", dry_run=True, annotations=ENABLED))


async def test_an_outage_touches_those_who_asked_only(scene: Scene) -> None:
    """Pods without the annotation are made at once; the others wait, and so do namespaces that opt in."""
    await scene.register()
    await scene.namespace("calm")
    await scene.namespace("asked", annotations=ENABLED)
    await scene.server.close()
    assert [] == init_containers(await scene.pod("calm", "web"))
    assert [] == init_containers(await scene.pod("asked", "web", annotations={names.INJECT: "disabled"}))
    with pytest.raises(kube.KubernetesError, match="failed calling webhook"):
        await scene.pod("calm", "wants", annotations=ENABLED)
    with pytest.raises(kube.KubernetesError, match=r"namespaced-pods\.inject"):
        await scene.pod("asked", "silent")
    with pytest.raises(kube.KubernetesError, match="failed calling webhook"):
        await scene.namespace("later", annotations=ENABLED)
    await rest.patch(scene.api, "/api/v1/namespaces/asked", {"metadata": {"labels": {"team": "a"}}})
