"""Since when what an informer tells may be true, where it is told late. Left out: quiet lives (``test_informer``)."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes import kube_api
from tests.unit.ipseity.test_informer import Following, following, pod

S = 10**9


class Clock:
    """Stands still, but for what a test says; reading an object may take time too. There are no stalls."""

    def __init__(self) -> None:
        self.now_ns = 10 * S
        self.reading_s = 0
        self.follower: Following | None = None

    def __call__(self) -> int:
        return self.now_ns

    def trim(self, obj: dict[str, Any]) -> str:
        self.passes(self.reading_s)
        return str(obj["metadata"].get("resourceVersion", ""))

    def passes(self, seconds: int) -> None:
        """Be alive meanwhile."""
        assert self.follower is not None
        for _ in range(2 * seconds):
            self.now_ns += S // 2
            self.follower.informer._since.beat(self.now_ns)


@contextlib.asynccontextmanager
async def timed(server: kube_api.FakeKube, clock: Clock) -> AsyncIterator[Following]:
    async with following(server, clock=clock, trim=clock.trim) as follower:
        clock.follower = follower
        yield follower


async def quiet(server: kube_api.FakeKube, clock: Clock, follower: Following) -> int:
    """Follow until all that was missed has been told; gives when that was."""
    await server.until(lambda: server.watches)
    clock.passes(5)
    server.put(pod("quiet"))
    event = await follower.event()
    assert event.since_ns == event.boot_ns == clock.now_ns
    return clock.now_ns


async def test_what_changed_while_a_list_was_read_is_as_old_as_its_request(api_server: kube_api.FakeKube) -> None:
    """Every page is of the first one's moment, and the watch goes on from there."""
    clock = Clock()
    clock.reading_s = 9
    for uid, token in (("a", "more"), ("b", "")):
        metadata = {"resourceVersion": "100", "continue": token}
        api_server.answers.append((200, {"kind": "PodList", "metadata": metadata, "items": [pod(uid)]}))
    api_server.put(pod("heir"))
    async with timed(api_server, clock) as follower:
        assert [("seen", "a"), ("seen", "b")] == await follower.next(2)
        event = await follower.event()
        assert ("heir", 10 * S) == (event.uid, event.since_ns)


async def test_a_list_because_a_resumed_watch_has_expired_is_of_all_the_time_before(
    api_server: kube_api.FakeKube,
) -> None:
    """That the watch was opened has told nothing: the 410 comes inside a 200."""
    clock = Clock()
    async with timed(api_server, clock) as follower:
        quiet_ns = await quiet(api_server, clock, follower)
        await api_server.stop()
        clock.passes(600)
        api_server.put(pod("heir"))
        api_server.oldest = 1000
        api_server.version = 1000
        await api_server.start()
        event = await follower.event()
        assert ("heir", quiet_ns) == (event.uid, event.since_ns)
        assert 2 == follower.informer.lists


async def test_a_backlog_is_old_however_long_it_takes_to_read(api_server: kube_api.FakeKube) -> None:
    """Up to where the API server was when it came back; what happens then is news of then."""
    clock = Clock()
    async with timed(api_server, clock) as follower:
        quiet_ns = await quiet(api_server, clock, follower)
        await api_server.stop()
        clock.passes(600)
        back_ns, clock.reading_s = clock.now_ns, 3
        for number in range(3):
            api_server.put(pod(f"p{number}"))
        await api_server.start()
        assert [quiet_ns] * 3 == [(await follower.event()).since_ns for _ in range(3)]
        api_server.put(pod("live"))
        assert (await follower.event()).since_ns >= back_ns


async def test_what_a_malformed_line_hid_is_as_old_as_that(api_server: kube_api.FakeKube) -> None:
    """Though others were read after it, before the list that tells it."""
    clock = Clock()
    async with timed(api_server, clock) as follower:
        quiet_ns = await quiet(api_server, clock, follower)
        api_server.objects["hidden"] = pod("hidden")
        api_server.say(b"{")
        api_server.put(pod("before"))
        await follower.next()
        clock.passes(60)
        api_server.put(pod("after"))
        assert clock.now_ns == (await follower.event()).since_ns
        api_server.end_watches()
        event = await follower.event()
        assert ("hidden", quiet_ns) == (event.uid, event.since_ns)


@pytest.mark.parametrize("version", ["²", "9" * 5000, "", "x"])
async def test_a_version_that_is_no_number_is_a_new_list(api_server: kube_api.FakeKube, version: str) -> None:
    """Nobody can tell whether the API server knows less than before."""
    clock = Clock()
    async with timed(api_server, clock) as follower:
        await quiet(api_server, clock, follower)
        await api_server.stop()
        page = {"kind": "PodList", "metadata": {"resourceVersion": version}, "items": []}
        api_server.answers = [(200, page)]
        api_server.put(pod("heir"))
        await api_server.start()
        assert [("seen", "heir")] == await follower.next()
        assert 2 == follower.informer.lists
