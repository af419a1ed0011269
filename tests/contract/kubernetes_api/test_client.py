"""``kubernetes.aio``, the official Python client, with its model classes: typed reads, writes and watches.

``ipseity.informer`` is tested elsewhere; here it is enough that the client's own parts work on our answers.
"""

import pathlib
from collections.abc import AsyncIterator

import pytest
from kubernetes.aio import client, config, watch

from tests.contract.kubernetes_api import cluster


@pytest.fixture
async def connection(kubeconfig: pathlib.Path) -> AsyncIterator[client.ApiClient]:
    """Return a client out of the kubeconfig."""
    settings = client.Configuration()
    await config.load_kube_config(str(kubeconfig), client_configuration=settings, persist_config=False)
    async with client.ApiClient(settings) as made:
        yield made


async def test_typed_objects(connection: client.ApiClient, namespace: str, api: cluster.Cluster) -> None:
    """Created from models, read into models."""
    core = client.CoreV1Api(connection)
    container = client.V1Container(name="c", image="x:1")
    spec = client.V1PodSpec(containers=[container], scheduler_name="nobody")
    made = await core.create_namespaced_pod(namespace, client.V1Pod(metadata=client.V1ObjectMeta(name="p"), spec=spec))
    assert made.spec.restart_policy == "Always"
    listed = await core.list_namespaced_pod(namespace, field_selector="status.phase=Pending")
    assert [pod.metadata.name for pod in listed.items] == ["p"]
    with pytest.raises(client.ApiException) as caught:
        await core.read_namespaced_pod("nope", namespace)
    assert (caught.value.status, caught.value.reason) == (404, "Not Found")
    await core.delete_namespaced_pod("p", namespace)


async def test_its_watch(connection: client.ApiClient, namespace: str, api: cluster.Cluster) -> None:
    """Follows from a list's version, and stops when told."""
    core = client.CoreV1Api(connection)
    listed = await core.list_namespaced_config_map(namespace)
    await api.create(f"/api/v1/namespaces/{namespace}/configmaps", cluster.config_map("a"))
    async with watch.Watch() as following:
        version = listed.metadata.resource_version
        async for event in following.stream(
            core.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=30
        ):
            assert (event["type"], event["object"].metadata.name) == ("ADDED", "a")
            following.stop()
