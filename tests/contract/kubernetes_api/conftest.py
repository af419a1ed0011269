"""The API server under test: that of ``--kubeconfig FILE``, else the lab's own; a namespace for each test."""

import pathlib
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.contract.kubernetes_api import cluster, own


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that turns the suite to another server."""
    parser.addoption("--kubeconfig", default=None, help="run the contract tests against this cluster")


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
