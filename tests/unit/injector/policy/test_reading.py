"""A collection that is read once: all its pages, or an error. Leaves out what is made of it (``test_explain``)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio import client

from injector.policy import reading
from ipseity import kube
from tests.fakes import kube_api


@pytest.fixture
async def server() -> AsyncIterator[kube_api.FakeKube]:
    made = kube_api.FakeKube()
    await made.start()
    yield made
    await made.stop()


async def uids(server: kube_api.FakeKube) -> list[Any]:
    async with client.ApiClient(client.Configuration(host=f"http://127.0.0.1:{server.port}")) as api:
        return [each["metadata"]["uid"] async for each in reading.each(api, kube.PODS.path)]


async def test_all_pages_are_read(server: kube_api.FakeKube) -> None:
    """Also those beyond the first."""
    for number in range(601):
        server.put({"metadata": {"uid": f"p{number}"}})
    assert [f"p{number}" for number in range(601)] == await uids(server)
    assert 3 == len(server.lists)


@pytest.mark.parametrize(
    ("items", "token", "says"),
    [([], "again", "does not end: 2 pages"), ([7], "", "has an object that is none")],
)
async def test_a_list_that_is_none_is_an_error(
    items: list[object], token: str, says: str, server: kube_api.FakeKube
) -> None:
    """One that has no end, and one of what is no object: a command says so, a keeper tries again."""
    server.answers = [(200, {"metadata": {"continue": token}, "items": items})] * 3
    with pytest.raises(kube.KubernetesError, match=says):
        await uids(server)
