"""The informer against an API server that misbehaves on demand, and against what a real one said.

Leaves out TLS and credentials (``test_kube``) and what the agent makes of a pod (``tests/unit/agent/test_pods``).
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio import client

from ipseity import informer, kube
from tests.fakes import kube_api, recordings

QUICK = informer.Pace(first_delay_s=0.01, unreachable_s=0.05, refused_s=0.05, page=3)
Seen = informer.WatchEvent[Any]


def pod(uid: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "name": uid, "namespace": "shop"}, **more}


def name_and_phase(obj: dict[str, Any]) -> tuple[str, str]:
    return obj["metadata"]["name"], obj.get("status", {}).get("phase", "")


@contextlib.asynccontextmanager
async def following(server: kube_api.FakeKube, **options: Any) -> AsyncIterator["Following"]:
    settings = client.Configuration(host=f"http://127.0.0.1:{server.port}")
    async with client.ApiClient(settings) as api:
        options = {"trim": name_and_phase, "clock": time.monotonic_ns, "pace": QUICK, **options}
        follower = Following(informer.Informer(api, kube.PODS, **options))
        yield follower
        await follower.close()


class Following:
    """An informer, and the task that reads it into a queue."""

    def __init__(self, followed: informer.Informer[Any]) -> None:
        self.informer = followed
        self._queue: asyncio.Queue[Seen] = asyncio.Queue()
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async with contextlib.aclosing(self.informer.events()) as events:
            async for event in events:
                self._queue.put_nowait(event)

    async def next(self, count: int = 1) -> list[tuple[str, str]]:
        got = [await asyncio.wait_for(self._queue.get(), 10) for _ in range(count)]
        return [(event.change.value, event.uid) for event in got]

    async def event(self) -> Seen:
        return await asyncio.wait_for(self._queue.get(), 10)

    def nothing_more(self) -> bool:
        return self._queue.empty()

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


async def test_lists_every_page_then_watches_from_there(api_server: kube_api.FakeKube) -> None:
    """Seven objects come in pages of three, and the watch asks for what came after them, with bookmarks."""
    for number in range(7):
        api_server.put(pod(f"p{number}"))
    async with following(api_server) as follower:
        assert [("seen", f"p{number}") for number in range(7)] == await follower.next(7)
        await api_server.until(lambda: api_server.watches)
        api_server.put(pod("late"))
        assert [("seen", "late")] == await follower.next()
    assert ["", "3", "6"] == [query.get("continue", "") for query in api_server.lists]
    assert ("107", "true") == (api_server.watches[0]["resourceVersion"], api_server.watches[0]["allowWatchBookmarks"])


@pytest.mark.parametrize("count", [3, 0])
async def test_it_is_synced_when_the_last_of_the_list_was_taken(api_server: kube_api.FakeKube, count: int) -> None:
    """Not when the list was read: whoever sees it synced has all of it. A list of nothing is one too."""
    for number in range(count):
        api_server.put(pod(f"p{number}"))
    when_taken: list[bool] = []
    async with following(api_server) as follower:

        class Taken(asyncio.Queue[Seen]):
            def put_nowait(self, item: Seen) -> None:
                when_taken.append(follower.informer.synced)
                super().put_nowait(item)

        follower._queue = Taken()
        await follower.next(count)
        await api_server.until(lambda: follower.informer.synced)
    assert [False] * count == when_taken


async def test_resumes_where_a_watch_ended_and_lists_no_second_time(api_server: kube_api.FakeKube) -> None:
    """A bookmark moves the point to resume from, though it is about no object."""
    async with following(api_server) as follower:
        await api_server.until(lambda: api_server.watches)
        api_server.put(pod("a"))
        assert [("seen", "a")] == await follower.next()
        api_server.version = 140
        api_server.bookmark()
        api_server.end_watches()
        await api_server.until(lambda: len(api_server.watches) == 2)
        api_server.put(pod("b"))
        assert [("seen", "b")] == await follower.next()
        assert 1 == follower.informer.lists
    assert "140" == api_server.watches[1]["resourceVersion"]


@pytest.mark.parametrize("form", ["event", "status"])
async def test_an_expired_version_is_a_new_list_and_tells_what_vanished(
    api_server: kube_api.FakeKube, form: str
) -> None:
    """410 comes as an ERROR event inside a 200 (as recorded), or as the HTTP status; both mean: start over."""
    api_server.put(pod("a"))
    api_server.put(pod("b", status={"phase": "Pending"}))
    async with following(api_server) as follower:
        await follower.next(2)
        await api_server.until(lambda: api_server.watches)
        if form == "event":
            api_server.oldest = 1000
        else:
            api_server.answers.append((410, {"kind": "Status", "code": 410, "message": "too old resource version"}))
        streams, api_server._open = api_server._open, []  # what happens now is missed
        api_server.delete("a")
        api_server.put(pod("b", status={"phase": "Running"}))
        api_server.put(pod("c"))
        api_server.version = 1000
        streams[0].put_nowait(None)
        api_server._open = streams
        assert [("gone", "a"), ("seen", "b"), ("seen", "c")] == await follower.next(3)
        assert 2 == follower.informer.lists


async def test_a_410_while_listing_starts_the_list_again(api_server: kube_api.FakeKube) -> None:
    """A continue token that expired between two pages costs a retry and nothing else."""
    for number in range(4):
        api_server.put(pod(f"p{number}"))
    api_server.answers.append((410, {"code": 410, "message": "The provided continue parameter is too old"}))
    async with following(api_server) as follower:
        assert 4 == len(await follower.next(4))
        assert 1 == follower.informer.failed_requests


async def test_an_outage_is_over_within_a_second_of_its_end_and_needs_no_new_list(
    api_server: kube_api.FakeKube,
) -> None:
    """With the delays of production: what was made during the outage is seen at most 2 s after the server is back."""
    async with following(api_server, pace=informer.Pace()) as follower:
        await api_server.until(lambda: api_server.watches)
        api_server.put(pod("before"))
        await follower.next()
        await api_server.stop()
        while follower.informer.failed_requests < 5:  # noqa: ASYNC110  # the outage itself is what is waited for
            await asyncio.sleep(0.05)
        assert "cannot reach" in follower.informer.last_error
        api_server.put(pod("during"))
        await api_server.start()
        back = time.monotonic()
        assert [("seen", "during")] == await follower.next()
        assert time.monotonic() - back < 2.0
        assert (1, "") == (follower.informer.lists, follower.informer.last_error)


async def test_a_server_that_came_back_with_less_than_we_know_is_listed_again(api_server: kube_api.FakeKube) -> None:
    """A watch from a version of the server's future stays open in silence, as was recorded."""
    assert [] == recordings.lines("watch-pod-rv-in-the-future")
    async with following(api_server) as follower:
        await api_server.until(lambda: api_server.watches)
        api_server.put(pod("a"))
        await follower.next()
        await api_server.stop()
        api_server.version, api_server.objects, api_server.log = 7, {}, []
        await api_server.start()
        api_server.put(pod("new"))
        assert [("gone", "a"), ("seen", "new")] == await follower.next(2)


async def test_malformed_lines_are_counted_and_made_good_by_a_list(api_server: kube_api.FakeKube) -> None:
    """No line, however broken, ends the watch; what it may have hidden is asked for when the watch has ended."""
    broken = [b"{", b"[]", b'{"type":"ADDED"}', b'{"type":"ADDED","object":{"metadata":{}}}', b'{"type":1,"object":{}}']
    broken += [b'{"type":"SURPRISE","object":{"metadata":{"uid":"x"}}}', b'{"type":"ADDED","object":7}', b"\xff\xfe"]
    async with following(api_server) as follower:
        await api_server.until(lambda: api_server.watches)
        for line in broken:
            api_server.say(line)
        api_server.put(pod("a"))
        assert [("seen", "a")] == await follower.next()
        assert (len(broken), 1) == (follower.informer.malformed, follower.informer.lists)
        api_server.end_watches()
        await api_server.until(lambda: len(api_server.watches) == 2)
        assert 2 == follower.informer.lists


async def test_a_line_of_several_megabytes_is_read(api_server: kube_api.FakeKube) -> None:
    """Objects may be larger than aiohttp's line limit."""
    async with following(api_server) as follower:
        await api_server.until(lambda: api_server.watches)
        api_server.put(pod("large", spec={"filler": "x" * 5_000_000}))
        assert [("seen", "large")] == await follower.next()


async def test_what_trim_does_not_keep_makes_no_event(api_server: kube_api.FakeKube) -> None:
    """A heartbeat is no news; an object that trim begins to refuse is gone."""
    async with following(
        api_server, trim=lambda obj: None if obj.get("spec") == "skip" else obj["metadata"]["name"]
    ) as f:
        await api_server.until(lambda: api_server.watches)
        api_server.put(pod("a"))
        api_server.put(pod("a", status={"heartbeat": 1}))
        api_server.put(pod("a", spec="skip"))
        api_server.put(pod("other", spec="skip"))
        api_server.delete("other")
        api_server.put(pod("b"))
        assert [("seen", "a"), ("gone", "a"), ("seen", "b")] == await f.next(3)


async def test_a_refusal_is_retried_and_says_what_to_do(api_server: kube_api.FakeKube) -> None:
    """The recorded 403 names the account and the resource; the informer goes on trying."""
    forbidden = recordings.load("api-403-no-rights")["body"]
    api_server.answers.extend([(403, forbidden), (500, {"message": "etcd is away"}), (200, {"not": "a list"})])
    api_server.put(pod("a"))
    async with following(api_server) as follower:
        assert [("seen", "a")] == await follower.next()
        assert (3, 1) == (follower.informer.failed_requests, follower.informer.malformed)


async def test_a_collection_that_is_not_there_is_asked_for_until_it_comes(
    api_server: kube_api.FakeKube, capsys: pytest.CaptureFixture[str]
) -> None:
    """As of a CustomResourceDefinition that is yet to be installed: counted each time, said once, never far apart."""
    absent = {"kind": "Status", "code": 404, "message": "the server could not find the requested resource"}
    api_server.answers = [(404, absent)] * 5
    api_server.put(pod("a"))
    pace = informer.Pace(first_delay_s=0.01, absent_s=0.02, refused_s=30)
    async with following(api_server, pace=pace) as follower:
        assert [("seen", "a")] == await follower.next()
        assert 5 == follower.informer.failed_requests
    said = [line for line in capsys.readouterr().out.splitlines() if "watch lost" in line]
    assert 1 == len(said)
    assert "is its CustomResourceDefinition installed?" in said[0]


async def test_a_collection_that_went_away_and_came_back_is_listed_anew(api_server: kube_api.FakeKube) -> None:
    """What it held before and holds no more is told to be gone."""
    api_server.put(pod("a"))
    pace = informer.Pace(first_delay_s=0.01, absent_s=0.02)
    async with following(api_server, pace=pace) as follower:
        assert [("seen", "a")] == await follower.next()
        await api_server.until(lambda: len(api_server.watches) == 1)
        api_server.objects = {}
        api_server.put(pod("b"))
        await follower.next()
        api_server.answers = [(404, {"kind": "Status", "code": 404, "message": "gone"})]
        api_server.end_watches()
        assert [("gone", "a")] == await follower.next()
        assert 2 == follower.informer.lists


async def test_a_watch_that_ends_at_once_is_not_resumed_in_a_busy_loop(api_server: kube_api.FakeKube) -> None:
    """A watch that ends having said nothing is a failure, so that the delay grows."""
    async with following(api_server) as follower:
        for count in range(1, 4):
            await api_server.until(lambda count=count: len(api_server.watches) >= count)
            await asyncio.sleep(0)
            api_server.end_watches()
        await api_server.until(lambda: len(api_server.watches) >= 4)
        assert follower.informer.failed_requests >= 2


async def test_events_say_since_when_they_may_be_true(api_server: kube_api.FakeKube) -> None:
    """A first list knows nothing of before; one after an outage may tell what happened at any moment of it."""
    now = [10_000_000_000]

    def clock() -> int:
        now[0] += 1
        return now[0]

    api_server.put(pod("a"))
    async with following(api_server, clock=clock) as follower:
        first = await follower.event()
        assert 0 == first.since_ns < first.boot_ns
        await api_server.until(lambda: api_server.watches)
        for _ in range(3):  # in steps, as while it is alive: until what was missed has been told
            now[0] += 900_000_000
            follower.informer._since.beat(now[0])
        api_server.put(pod("live"))
        live = await follower.event()
        assert 0 <= live.boot_ns - live.since_ns < 10
        now[0] += 20_000_000_000
        api_server.put(pod("after a stall"))
        late = await follower.event()
        assert late.since_ns < live.boot_ns + 10 < late.boot_ns
        api_server.answers.append((410, {"code": 410}))
        streams, api_server._open = api_server._open, []
        api_server.put(pod("missed"))
        streams[0].put_nowait(None)
        api_server._open = streams
        missed = await follower.event()
        assert live.boot_ns <= missed.since_ns < missed.boot_ns


async def test_an_earlier_run_s_knowledge_is_compared_with_the_first_list(api_server: kube_api.FakeKube) -> None:
    """What the checkpoint knew and the list does not is gone; what both know is no news."""
    api_server.put(pod("same"))
    known = {"same": ("same", ""), "vanished": ("vanished", "Running")}
    async with following(api_server, known=known, heard_ns=5) as follower:
        event = await follower.event()
        assert ("gone", "vanished", 5) == (event.change.value, event.uid, event.since_ns)
        await api_server.until(lambda: api_server.watches)
        assert follower.nothing_more()
        assert 1 == len(follower.informer)


async def test_staleness_grows_while_nothing_is_heard_and_a_bookmark_ends_it(api_server: kube_api.FakeKube) -> None:
    """Staleness is measured from the last word of any kind."""
    now = [1_000_000_000]
    async with following(api_server, clock=lambda: now[0]) as follower:
        await api_server.until(lambda: api_server.watches)
        now[0] = 61_000_000_000
        assert 60.0 == follower.informer.staleness_s(now[0])
        api_server.bookmark()
        api_server.put(pod("a"))
        await follower.next()
        assert 0.0 == follower.informer.staleness_s(now[0])


async def test_the_recorded_life_of_eleven_pods_is_followed_to_its_end(api_server: kube_api.FakeKube) -> None:
    """The stream of a real kube-apiserver, replayed: three pods were deleted, the bookmarks are no objects."""
    async with following(api_server) as follower:
        await api_server.until(lambda: api_server.watches)
        stream = recordings.lines("watch-pod")
        for line in stream:
            api_server.say(line)
        api_server.say(json.dumps({"type": "ADDED", "object": pod("the-end")}).encode())
        seen = []
        while not seen or seen[-1] != ("seen", "the-end"):
            seen += await follower.next()
        assert (0, 3) == (follower.informer.malformed, len([change for change, _ in seen if change == "gone"]))
        assert "594" == follower.informer._version
