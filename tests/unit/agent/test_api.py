"""agent/api, agent/feed, agent/listener and agent/apiaddress: what others can ask, and readers that do not read.

Every test talks HTTP over a real Unix socket. Left out: the text of a scrape (test_metrics.py), of a flow
(test_flowjson.py).
"""

import asyncio
import ipaddress
import json
import os
import pathlib
import socket
import stat
from collections.abc import AsyncIterator, Iterable, Mapping

import aiohttp
import pytest
import pytest_asyncio

from agent import api, apiaddress, errors, feed, flowjson, listener, model
from tests.fakes import flows

PATIENCE_S = 20


class Answers:
    """An agent that knows one thing of each kind."""

    def __init__(self) -> None:
        self.ready = True
        self.asked: list[tuple[model.IpAddress, int | None]] = []

    def metrics(self, *, openmetrics: bool) -> Iterable[bytes]:
        yield b"# TYPE x gauge\n"
        yield b"x 1\n# EOF\n" if openmetrics else b"x 1\n"

    def health(self) -> api.Report:
        return api.Report(ok=True, detail={"drains": 23})

    def readiness(self) -> api.Report:
        return api.Report(ok=self.ready, detail={"pods": "not listed yet"})

    def owners(self, address: model.IpAddress, at_wall_ns: int | None) -> flowjson.Owners:
        self.asked.append((address, at_wall_ns))
        return flowjson.Owners(address=str(address), time="2026-11-22T13:00:00Z", node_name="node-a")

    def debug(self) -> Mapping[str, object]:
        return {"pins": pathlib.Path("/sys/fs/bpf/ipseity")}


class Api:
    """A server under test, and a client to ask it."""

    def __init__(self, address: apiaddress.ApiAddress) -> None:
        self.answers = Answers()
        self.feed = feed.Feed(max_flows=1000, node_name="node-a")
        self.server = api.Server(address, self.answers, self.feed)
        self.client = aiohttp.ClientSession("http://agent", connector=aiohttp.UnixConnector(address.path))


@pytest_asyncio.fixture
async def served(tmp_path: pathlib.Path) -> AsyncIterator[Api]:
    """Give a server on a Unix socket."""
    running = Api(apiaddress.ApiAddress(path=str(tmp_path / "agent.sock")))
    await running.server.start()
    yield running
    await running.client.close()
    await running.server.close()


async def get(served: Api, path: str, **headers: str) -> tuple[int, str, str]:
    async with served.client.get(path, headers=headers) as response:
        return response.status, response.content_type, await response.text()


async def nobody_follows(served: Api) -> None:
    while served.feed.followers:  # noqa: ASYNC110  # the server tells nobody that a reader left
        await asyncio.sleep(0.001)


async def test_metrics_in_both_formats(served: Api) -> None:
    """Prometheus chooses by its Accept header."""
    assert (200, "text/plain", "# TYPE x gauge\nx 1\n") == await get(served, "/metrics")
    status, kind, text = await get(served, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert (200, "application/openmetrics-text", "# TYPE x gauge\nx 1\n# EOF\n") == (status, kind, text)


async def test_probes(served: Api) -> None:
    """Alive is not ready."""
    served.answers.ready = False
    assert (200, "application/json", '{"ok":true,"drains":23}\n') == await get(served, "/healthz")
    assert (503, "application/json", '{"ok":false,"pods":"not listed yet"}\n') == await get(served, "/readyz")


async def test_debug_and_index(served: Api) -> None:
    """A person with curl finds the way."""
    assert (200, "application/json", '{"pins":"/sys/fs/bpf/ipseity"}\n') == await get(served, "/debug")
    assert "/owners" in (await get(served, "/"))[2]
    assert (await get(served, "/nothing"))[0] == 404


async def test_owners(served: Api) -> None:
    """The address and the time reach the agent as values."""
    status, _, text = await get(served, "/owners?ip=10.7.0.9&at=2026-11-22T13:00:00Z")
    assert (200, "10.7.0.9") == (status, json.loads(text)["address"])
    await get(served, "/owners?ip=fd00::9")
    assert served.answers.asked == [
        (ipaddress.ip_address("10.7.0.9"), 1_795_352_400_000_000_000),
        (ipaddress.ip_address("fd00::9"), None),
    ]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/owners", "ip"),
        ("/owners?ip=10.7", "10.7"),
        ("/owners?ip=10.7.0.9&at=noon", "noon"),
        ("/owners?ip=10.7.0.9&at=2026-11-22T13:00:00", "2026-11-22T13:00:00"),
        ("/flows?last=-1", "-1"),
        ("/flows?since=5m", "5m"),
        ("/flows?follow=yes", "yes"),
        ("/flows?last=a%0Ab", "a\\nb"),
    ],
)
async def test_a_wrong_question_is_answered_with_a_hint(served: Api, path: str, names: str) -> None:
    """The answer quotes what was wrong and shows what to write."""
    status, _, text = await get(served, path)
    told = json.loads(text)
    assert status == 400
    assert names in told["error"]
    assert told["hint"].startswith("write ?")


async def ports(served: Api, path: str) -> list[int]:
    status, kind, text = await get(served, path)
    assert (200, "application/x-ndjson") == (status, kind)
    return [json.loads(line)["l4"]["TCP"]["destination_port"] for line in text.splitlines()]


async def test_flows_gives_what_is_kept(served: Api) -> None:
    """All, the last few, or since a time."""
    served.feed.publish([flows.edge(port=n, end_wall_ns=flows.T0 + n * 10**9) for n in range(1, 24)])
    assert list(range(1, 24)) == await ports(served, "/flows")
    assert [22, 23] == await ports(served, "/flows?last=2")
    assert [] == await ports(served, "/flows?last=0")
    assert [21, 22, 23] == await ports(served, "/flows?since=2026-11-22T13:00:20Z")
    assert [23] == await ports(served, "/flows?since=2026-11-22T13:00:20Z&last=1")


async def test_only_the_last_flows_are_kept(served: Api) -> None:
    """Memory is bounded by max_flows."""
    served.feed.publish([flows.edge(port=n) for n in range(1, 1030)])
    assert len(served.feed) == 1000
    assert list(range(30, 1030)) == await ports(served, "/flows")


async def test_follow_gives_what_is_kept_and_then_what_comes(served: Api) -> None:
    """No flow is missing or told twice between the two."""
    served.feed.publish([flows.edge(port=1)])
    async with asyncio.timeout(PATIENCE_S), served.client.get("/flows?follow=true") as response:
        seen = [json.loads(await response.content.readline())["l4"]["TCP"]["destination_port"]]
        for port in (2, 3):
            served.feed.publish([flows.edge(port=port)])
            seen.append(json.loads(await response.content.readline())["l4"]["TCP"]["destination_port"])
    assert seen == [1, 2, 3]


async def test_a_slow_reader_loses_lines_and_is_told(served: Api) -> None:
    """Publishing never waits; what did not fit is counted, here and in the reader's own stream."""
    slow = served.feed.follow()
    for _ in range(7):
        served.feed.publish([flows.edge()] * 1000)
    assert served.feed.lost == 2000
    taken = (await slow.take()).splitlines()
    assert len(taken) == 5001
    assert flowjson.Lost(num_events_lost=2000) == flowjson.decode(taken[-1])
    served.feed.publish([flows.edge()])
    assert len((await slow.take()).splitlines()) == 1


async def test_a_reader_that_stops_reading_is_cut_off(served: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes nothing for too long: the connection ends, its queue is freed, it is counted."""
    monkeypatch.setattr(api, "_STALL_S", 0.05)
    reader, writer = await asyncio.open_unix_connection(served.server._address.path, limit=1024)
    writer.write(b"GET /flows?follow=true HTTP/1.1\r\nHost: agent\r\n\r\n")
    async with asyncio.timeout(PATIENCE_S):
        while not served.server.stalled:
            served.feed.publish([flows.edge()] * 200)
            await asyncio.sleep(0.001)
        await nobody_follows(served)
    writer.close()
    assert (1, 0) == (served.server.stalled, served.feed.followers)
    del reader


async def test_a_reader_that_leaves_is_forgotten(served: Api) -> None:
    """A closed terminal leaves no queue behind, also if no flow ever comes."""
    async with served.client.get("/flows?follow=true"):
        assert served.feed.followers == 1
    async with asyncio.timeout(PATIENCE_S):
        await nobody_follows(served)


async def test_followers_are_bounded(served: Api) -> None:
    """The 33rd is told so."""
    for _ in range(32):
        served.feed.follow()
    status, _, text = await get(served, "/flows?follow=true")
    assert (503, "32 readers follow already") == (status, json.loads(text)["error"])


async def test_close_does_not_wait_for_readers(tmp_path: pathlib.Path) -> None:
    """SIGTERM with somebody following: done at once, and the socket's file is gone."""
    running = Api(apiaddress.ApiAddress(path=str(tmp_path / "agent.sock")))
    await running.server.start()
    async with running.client.get("/flows?follow=true") as response:
        async with asyncio.timeout(2):
            await running.server.close()
        with pytest.raises(aiohttp.ClientError):
            await response.content.read()
    await running.client.close()
    assert os.listdir(tmp_path) == []  # noqa: PTH208  # the same, without blocking on a path object


async def test_the_socket_is_private(served: Api) -> None:
    """Flows tell who talks to whom: not for every user."""
    mode = os.stat(served.server._address.path).st_mode  # noqa: PTH116  # one call on a local socket
    assert 0o660 == stat.S_IMODE(mode)


async def test_a_live_socket_is_not_taken(served: Api) -> None:
    """A second agent is refused by name."""
    with pytest.raises(errors.Unavailable, match="another agent listens there"):
        listener.listen(served.server._address)


def test_a_stale_socket_is_replaced(tmp_path: pathlib.Path) -> None:
    """The file of a killed agent is no obstacle."""
    address = apiaddress.ApiAddress(path=str(tmp_path / "run" / "agent.sock"))
    listener.listen(address).close()
    listener.listen(address).close()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: pathlib.Path) -> None:
    """Nobody's file is deleted."""
    path = tmp_path / "agent.sock"
    path.write_text("mine")
    with pytest.raises(errors.Unavailable, match="Address already in use"):
        listener.listen(apiaddress.ApiAddress(path=str(path)))
    assert path.read_text() == "mine"


def test_a_successor_s_socket_is_not_removed(tmp_path: pathlib.Path) -> None:
    """An agent that ends late must not unlink the file of the one that took over."""
    address = apiaddress.ApiAddress(path=str(tmp_path / "agent.sock"))
    opened = listener.listen(address)
    listener.release(address, listener.inode_of(address) + 1)
    assert pathlib.Path(address.path).exists()
    listener.release(address, listener.inode_of(address))
    assert not pathlib.Path(address.path).exists()
    opened.close()


def test_tcp_on_loopback_only() -> None:
    """127.0.0.1 is served; an address that others reach is refused, with the reason."""
    opened = listener.listen(apiaddress.ApiAddress(host="127.0.0.1"))
    with pytest.raises(errors.Unavailable, match="Address already in use"):
        listener.listen(apiaddress.ApiAddress(host="127.0.0.1", port=opened.getsockname()[1]))
    opened.close()
    with pytest.raises(errors.Unavailable, match="not of this machine alone"):
        listener.listen(apiaddress.ApiAddress(host="0.0.0.0", port=9477))


@pytest.mark.skipif(not socket.has_ipv6, reason="the kernel has no IPv6 at all")
def test_tcp_on_ipv6_loopback() -> None:
    """[::1] is this machine too."""
    listener.listen(apiaddress.parse("http://[::1]:0")).close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unix:///run/a.sock", apiaddress.ApiAddress(path="/run/a.sock")),
        ("/run/a.sock", apiaddress.ApiAddress(path="/run/a.sock")),
        ("http://127.0.0.1:9477", apiaddress.ApiAddress(host="127.0.0.1", port=9477)),
        ("http://[::1]:9477/", apiaddress.ApiAddress(host="::1", port=9477)),
        ("http://localhost", apiaddress.ApiAddress(host="localhost", port=80)),
    ],
)
def test_addresses(text: str, expected: apiaddress.ApiAddress) -> None:
    """What an operator may write."""
    assert expected == apiaddress.parse(text)
    assert expected.is_private()
    assert expected == apiaddress.parse(str(expected))


@pytest.mark.parametrize(
    "text", ["", "agent.sock", "unix://run/a.sock", "https://x:1", "http://h:port", "http://h:1/flows"]
)
def test_no_addresses(text: str) -> None:
    """What cannot be meant is quoted."""
    with pytest.raises(errors.Unavailable, match="not an address") as caught:
        apiaddress.parse(text)
    assert repr(text) in str(caught.value)
    assert "unix:///" in caught.value.hint


def test_names_are_not_known_to_be_private() -> None:
    """A host name may be anybody."""
    assert not apiaddress.ApiAddress(host="web.example", port=1).is_private()
