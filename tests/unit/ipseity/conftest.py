"""An API server of their own for the tests of what follows one."""

from collections.abc import AsyncIterator

import pytest

from tests.fakes import kube_api


@pytest.fixture
async def api_server() -> AsyncIterator[kube_api.FakeKube]:
    """Run it."""
    server = kube_api.FakeKube()
    await server.start()
    yield server
    await server.stop()
