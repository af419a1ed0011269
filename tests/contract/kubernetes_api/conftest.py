"""The API server under test: that of ``--kubeconfig FILE``, else the lab's own; a namespace for each test."""

import pathlib
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.contract.kubernetes_api import cluster, definitions, hooked, own
from tests.contract.kubernetes_api import kubectl as kubectl_program
from tests.fakes import admission_webhook


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that turns the suite to another server."""
    parser.addoption("--kubeconfig", default=None, help="run the contract tests against this cluster")
    where = "address of this machine at which that cluster reaches the tests' webhooks"
    parser.addoption("--webhook-address", default="127.0.0.1", help=where)


@pytest.fixture(scope="session")
def kubeconfig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """How to reach the server under test."""
    given = request.config.getoption("--kubeconfig", default=None)
    if given:
        yield pathlib.Path(given)
    else:
        with own.served(tmp_path_factory.mktemp("api")) as made:
            yield made


@pytest.fixture
async def api(kubeconfig: pathlib.Path) -> AsyncIterator[cluster.Cluster]:
    """Yield the server under test."""
    async with cluster.connected(kubeconfig) as found:
        yield found


@pytest.fixture
async def namespace(api: cluster.Cluster) -> AsyncIterator[str]:
    """Yield a namespace of the test's own, with what the server itself puts there."""
    name = f"contract-{uuid.uuid4().hex[:10]}"
    await api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    await api.until(f"/api/v1/namespaces/{name}/serviceaccounts", lambda found: found["metadata"]["name"] == "default")
    maps = f"/api/v1/namespaces/{name}/configmaps"
    await api.until(maps, lambda found: found["metadata"]["name"] == "kube-root-ca.crt")
    yield name
    await api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
async def group(api: cluster.Cluster, namespace: str) -> AsyncIterator[definitions.Group]:
    """Yield an API group of the test's own, for its CustomResourceDefinitions."""
    async with definitions.group(api, namespace) as made:
        yield made


@pytest.fixture
def kubectl(kubeconfig: pathlib.Path, namespace: str, tmp_path: pathlib.Path) -> kubectl_program.Kubectl:
    """Return the real kubectl, in the test's namespace."""
    return kubectl_program.runner(kubeconfig, namespace, tmp_path)


@pytest.fixture
def maps(namespace: str) -> str:
    """Return the path of the namespace's ConfigMaps."""
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
def pods(namespace: str) -> str:
    """Return the path of the namespace's pods."""
    return f"/api/v1/namespaces/{namespace}/pods"


@pytest.fixture
def deployments(namespace: str) -> str:
    """Return the path of the namespace's Deployments."""
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


@pytest.fixture
async def webhook(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[admission_webhook.Webhook]:
    """Yield an admission webhook that the server under test can reach."""
    address = request.config.getoption("--webhook-address", default="127.0.0.1")
    async with admission_webhook.running(tmp_path, address, ["hook.contract.svc"]) as made:
        yield made


@pytest.fixture
async def hooks(
    api: cluster.Cluster, namespace: str, webhook: admission_webhook.Webhook
) -> AsyncIterator[hooked.Hooked]:
    """Yield a way to have the webhook asked about the test's namespace."""
    async with hooked.within(api, namespace, webhook) as found:
        yield found
