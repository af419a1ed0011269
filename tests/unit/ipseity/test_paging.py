"""Pages of a list: what is asked for ahead, what is read once, and what is left when nobody reads on.

Leaves out what an informer makes of them, and lists that do not end (``test_informer``).
"""

import contextlib
import gc
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from kubernetes.aio import client

from ipseity import kube, paging
from tests.fakes import kube_api


class Meta(msgspec.Struct):
    uid: str


class Shape(msgspec.Struct):
    metadata: Meta


@pytest.fixture(autouse=True)
def pods(api_server: kube_api.FakeKube) -> None:
    for number in range(7):
        api_server.put({"metadata": {"uid": f"p{number}"}})


@contextlib.asynccontextmanager
async def listed(server: kube_api.FakeKube, timeout_s: float = 10) -> AsyncIterator[Any]:
    async with client.ApiClient(client.Configuration(host=f"http://127.0.0.1:{server.port}")) as api:
        pages = paging.pages(api, kube.PODS, {"limit": "3"}, shape=Shape, timeout_s=timeout_s)
        async with contextlib.aclosing(pages):
            yield pages


async def test_the_next_page_is_asked_for_while_one_is_read(api_server: kube_api.FakeKube) -> None:
    async with listed(api_server) as pages:
        first = await anext(pages)
        await api_server.until(lambda: len(api_server.lists) == 2)  # though nobody has asked for the second yet
        assert ["p0", "p1", "p2"] == [each.metadata.uid for each in first.items]
        assert [3, 1] == [len(page.items) async for page in pages]
    assert ["", "3", "6"] == [query.get("continue", "") for query in api_server.lists]


async def test_a_page_with_one_malformed_object_comes_undecoded(api_server: kube_api.FakeKube) -> None:
    """So that whoever reads it can tell which one it is."""
    api_server.objects["p4"] = {"metadata": {"uid": 4}}
    async with listed(api_server) as pages:
        kinds = [{type(item) for item in page.items} async for page in pages]
    assert [{Shape}, {msgspec.Raw}, {Shape}] == kinds


async def test_who_reads_no_further_leaves_no_request_behind(
    api_server: kube_api.FakeKube, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the page that was asked for ahead was refused."""
    async with listed(api_server) as pages:
        api_server.answers = [(200, {"metadata": {"continue": "3"}, "items": []}), (500, {"message": "no"})]
        await anext(pages)
        await api_server.until(lambda: not api_server.answers)
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_an_answer_that_is_no_list_is_kept_for_who_has_to_say_so(api_server: kube_api.FakeKube) -> None:
    api_server.answers = [(200, {"kind": "Surprise"})]
    async with listed(api_server) as pages:
        with pytest.raises(paging.Unreadable, match="list of pods cannot be read") as caught:
            await anext(pages)
    assert b"Surprise" in caught.value.body


async def test_a_page_that_takes_too_long_is_no_page(api_server: kube_api.FakeKube) -> None:
    """Somebody is there, and is too busy."""
    async with listed(api_server, timeout_s=0.1) as pages, api_server.changed:  # which every answer waits for
        with pytest.raises(paging.NoPage, match=r"a page of pods took longer than 0\.1 s"):
            await anext(pages)


@pytest.mark.parametrize("cause", [aiohttp.ConnectionTimeoutError("no SYN-ACK"), ConnectionResetError("gone")])
async def test_a_server_that_does_not_answer_is_just_that(
    api_server: kube_api.FakeKube, monkeypatch: pytest.MonkeyPatch, cause: Exception
) -> None:
    """It is asked again soon."""

    async def get(api: client.ApiClient, *_: object, **__: object) -> bytes:
        raise kube.unreachable(api, cause) from cause

    monkeypatch.setattr(kube, "get", get)
    async with listed(api_server) as pages:
        with pytest.raises(kube.KubernetesError) as caught:
            await anext(pages)
    assert kube.KubernetesError is type(caught.value)


@pytest.mark.parametrize("uid", [b'"\xff\xfe"', b"7", b"[" * 5000])
def test_what_no_decoder_takes_leaves_the_page_undecoded_or_is_said(uid: bytes) -> None:
    """No text, no string, and nested without end: none of them ends whoever reads the list."""
    body = b'{"metadata":{},"items":[{"metadata":{"uid":' + uid + b"}}]}"
    try:
        page = paging.read(kube.PODS, body, Shape)
    except paging.Unreadable:
        return
    assert [msgspec.Raw] == [type(item) for item in page.items]
