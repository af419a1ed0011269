"""The informer's lists: pages that do not end, pages of nothing, objects that cannot be read.

Leaves out how pages are asked for (``test_paging``).
"""

from typing import Any

import msgspec
import pytest

from ipseity import paging
from tests.fakes import kube_api
from tests.unit.ipseity.test_informer import following, pod


class Meta(msgspec.Struct):
    uid: str


class Shape(msgspec.Struct):
    """A pod's phase."""

    metadata: Meta
    status: dict[str, str]


async def test_a_list_that_does_not_end_is_given_up_and_tried_again(api_server: kube_api.FakeKube) -> None:
    """After the usual delay: the same token over and over is no progress."""
    api_server.put(pod("good"))
    page = {"kind": "PodList", "metadata": {"resourceVersion": "1", "continue": "again"}, "items": [pod("p0")]}
    api_server.answers = [(200, page), (200, page)]
    async with following(api_server) as follower:
        assert [("seen", "good")] == await follower.next()
        assert 1 == follower.informer.failed_requests
        assert follower.nothing_more()


async def test_an_empty_page_is_not_the_end_of_a_list(api_server: kube_api.FakeKube) -> None:
    """All that the server looked at for it may have been filtered out."""
    api_server.put(pod("good"))
    page = {"kind": "PodList", "metadata": {"resourceVersion": "1", "continue": "0"}, "items": []}
    api_server.answers = [(200, page)]
    async with following(api_server) as follower:
        assert [("seen", "good")] == await follower.next()
        assert 0 == follower.informer.failed_requests


async def test_a_list_of_too_many_pages_is_given_up(
    api_server: kube_api.FakeKube, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ever new tokens do not help."""
    monkeypatch.setattr(paging, "_MAX_PAGES", 2)
    for number in range(7):
        api_server.put(pod(f"p{number}"))
    async with following(api_server) as follower:
        await api_server.until(lambda: len(api_server.lists) > 2)
        assert "the list of pods does not end: 2 pages" in follower.informer.last_error
        assert follower.nothing_more()


async def test_a_malformed_object_in_a_list_costs_only_itself(api_server: kube_api.FakeKube) -> None:
    """The page's other objects are taken."""
    api_server.put(pod("a"))
    api_server.put(pod("bad", status="not an object"))
    api_server.put(pod("c"))
    async with following(api_server) as follower:
        assert [("seen", "a"), ("seen", "c")] == await follower.next(2)
        assert 1 == follower.informer.malformed


async def test_an_object_in_a_list_that_trim_does_not_take_costs_only_itself(api_server: kube_api.FakeKube) -> None:
    """It can be decoded, so that the others of its page are decoded with it."""
    for uid in ("a", "bad", "c"):
        api_server.put(pod(uid))

    def trim(given: dict[str, Any]) -> str:
        if given["metadata"]["name"] == "bad":
            raise ValueError("no address")
        return str(given["metadata"]["name"])

    async with following(api_server, trim=trim) as follower:
        assert [("seen", "a"), ("seen", "c")] == await follower.next(2)
        assert 1 == follower.informer.malformed


async def test_a_trim_that_fails_as_a_decoder_does_costs_only_its_object(api_server: kube_api.FakeKube) -> None:
    """Some convert what they are given."""
    for uid in ("a", "bad"):
        api_server.put(pod(uid))

    def trim(given: dict[str, Any]) -> str:
        wanted = int if given["metadata"]["name"] == "bad" else str
        return str(msgspec.convert(given["metadata"]["name"], wanted))

    async with following(api_server, trim=trim) as follower:
        assert [("seen", "a")] == await follower.next()
        await api_server.until(lambda: follower.informer.synced)
        assert 1 == follower.informer.malformed


@pytest.mark.parametrize("shape", [dict, Shape])
async def test_an_object_that_can_no_longer_be_read_is_there_as_it_was(
    api_server: kube_api.FakeKube, shape: type
) -> None:
    """Neither a watch nor the next list takes it away: of what does not fit the shape, the uid is read alone.

    One that was never read is not there; one that has gone is gone.
    """
    for uid in ("wrong", "refused", "gone"):
        api_server.put(pod(uid, status={"phase": "Running"}))

    def trim(given: Any) -> str:
        status = given["status"] if shape is dict else given.status
        if status["phase"] == "none":
            raise ValueError("no phase")
        return str(status["phase"])

    async with following(api_server, trim=trim, shape=shape) as follower:
        assert 3 == len(await follower.next(3))
        await api_server.until(lambda: api_server.watches)
        for uid, status in (("wrong", 7), ("refused", {"phase": "none"}), ("gone", 7), ("never", 7)):
            api_server.put(pod(uid, status=status))
        api_server.objects.pop("gone")
        api_server.end_watches()
        assert [("gone", "gone")] == await follower.next()
        await api_server.until(lambda: len(api_server.watches) == 2)
        assert {"wrong": "Running", "refused": "Running"} == follower.informer.known
        assert (7, 2) == (follower.informer.malformed, follower.informer.lists)
        api_server.put(pod("wrong", status={"phase": "Failed"}))
        assert [("seen", "wrong")] == await follower.next()
